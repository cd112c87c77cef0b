//! Links of the documents: those that point into the tree must lead somewhere.

use std::path::Path;

/// The relative links of a document that point to no file.
pub(crate) fn dead_links<'a>(document: &'a Path, text: &'a str) -> impl Iterator<Item = String> + 'a {
    let folder = document.parent().unwrap_or(document);
    links(text).filter(move |link| {
        let path = link.split('#').next().unwrap_or_default();
        !path.is_empty()
            && !path.contains("://")
            && !path.starts_with("mailto:")
            && !folder.join(path).exists()
    })
}

/// Targets of `[text](target)` outside code.
fn links(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut fenced = false;
    let prose = text.lines().filter(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    });
    prose.flat_map(|line| {
        let outside_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
        outside_code
            .split("](")
            .skip(1)
            .filter_map(|rest| {
                rest.split_once(')')
                    .map(|(target, _)| target.split(' ').next().unwrap_or_default().to_owned())
            })
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::dead_links;

    #[test]
    fn only_dead_relative_links_are_found() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let text = "[a](src/main.rs#x) [b](nowhere.md) [c](https://example.com) [d](#part)\n\
            `[e](gone.md)`\n```\n[f](gone.md)\n```\n";
        assert_eq!(dead_links(&here, text).collect::<Vec<_>>(), ["nowhere.md"]);
    }
}
