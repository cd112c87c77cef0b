//! House rules that no compiler holds: file sizes, crate documentation, unsafe code, leftovers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::metadata::Package;
use crate::{markdown, process};

/// A source file ends before it has this many lines.
const LINES: usize = 700;

/// Endings of the files that people write and read.
const SOURCES: &[&str] = &["rs", "py", "js", "mjs", "cjs", "sh", "toml"];

/// The only crate that may contain unsafe code.
const UNSAFE_HOME: &str = "crates/jail";

/// Breaches of the house rules, as sentences.
pub(crate) fn breaches(root: &Path, packages: &[Package]) -> Result<Vec<String>, Error> {
    let mut breaches = Vec::new();
    for package in packages.iter().filter(|package| package.ours) {
        of_package(root, package, &mut breaches)?;
    }
    for file in files(root)? {
        let full = root.join(&file);
        let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        // A file that is listed but gone is being deleted; binary files have no lines.
        let Ok(text) = fs::read_to_string(&full) else { continue };
        if SOURCES.contains(&ending) {
            of_source(&file, &text, &mut breaches);
        }
        if ending == "md" {
            breaches.extend(
                markdown::dead_links(&full, &text)
                    .map(|link| format!("{}: dead link {link}", file.display())),
            );
        }
    }
    Ok(breaches)
}

fn of_package(root: &Path, package: &Package, breaches: &mut Vec<String>) -> Result<(), Error> {
    if package.description.as_deref().unwrap_or_default().is_empty() {
        breaches.push(format!("{} has no description in its Cargo.toml", package.name));
    }
    for source in &package.roots {
        let text = fs::read_to_string(source).map_err(|e| Error::file(source, e))?;
        let documented =
            text.lines().find(|line| !line.starts_with("#!")).is_some_and(|line| line.starts_with("//!"));
        if !documented && source.file_name().is_none_or(|name| name != "build.rs") {
            breaches.push(format!("{} has no documentation at its top (//! ...)", shown(root, source)));
        }
    }
    let manifest = package.folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|e| Error::file(&manifest, e))?;
    if !text.contains("[lints]\nworkspace = true") && !package.folder.ends_with(UNSAFE_HOME) {
        breaches.push(format!("{} does not use the lints of the workspace", shown(root, &manifest)));
    }
    Ok(())
}

fn of_source(file: &Path, text: &str, breaches: &mut Vec<String>) {
    let name = file.display();
    let lines = text.lines().count();
    if lines >= LINES {
        breaches.push(format!("{name} has {lines} lines; the limit is {LINES}"));
    }
    // Put together here so that this file does not break its own rule.
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")] {
        if let Some(line) = text.lines().position(|line| line.contains(word)) {
            breaches.push(format!("{name}:{} has a {word}: finish it or file it", line + 1));
        }
    }
    let unsafe_allowed = concat!("allow(", "unsafe_code)");
    if text.contains(unsafe_allowed) && !file.starts_with(UNSAFE_HOME) {
        breaches.push(format!("{name} allows unsafe code; only {UNSAFE_HOME} may"));
    }
}

/// Files that git knows or would add.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = process::text(&mut git)?;
    Ok(listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LINES, of_source};

    fn check(file: &str, text: &str) -> usize {
        let mut breaches = Vec::new();
        of_source(Path::new(file), text, &mut breaches);
        breaches.len()
    }

    #[test]
    fn sources() {
        assert_eq!(check("crates/api/src/lib.rs", "fn f() {}\n"), 0);
        assert_eq!(check("crates/api/src/lib.rs", &"\n".repeat(LINES - 1)), 0);
        assert_eq!(check("crates/api/src/lib.rs", &"\n".repeat(LINES)), 1);
        assert_eq!(check("crates/api/src/lib.rs", concat!("// TO", "DO later\n")), 1);
        assert_eq!(check("crates/api/src/lib.rs", concat!("#![allow(", "unsafe_code)]\n")), 1);
        assert_eq!(check("crates/jail/src/lib.rs", concat!("#![allow(", "unsafe_code)]\n")), 0);
    }
}
