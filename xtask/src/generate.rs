//! What the documents take from elsewhere: docs/compatibility.md the table of operations from the code, and the
//! requirements that are not met from docs/requirements-api.md; docs/runtimes.md the table of runtimes from the catalogue.
//!
//! Tasks import no crate of lambd, so a table comes from an example of the crate that has it.

use std::fs;

use crate::error::Error;
use crate::workspace::Workspace;
use crate::{process, requirements};

const RUNTIMES_PAGE: &str = "docs/runtimes.md";
const PAGES: [&str; 2] = ["docs/compatibility.md", RUNTIMES_PAGE];
/// Before and after the table of operations.
const OPERATIONS: [&str; 2] = ["<!-- begin: written by `cargo xtask generate` -->\n", "<!-- end -->\n"];
/// Before and after the table of runtimes.
const RUNTIMES: [&str; 2] =
    ["<!-- begin runtimes: written by `cargo xtask generate` -->\n", "<!-- end runtimes -->\n"];
/// Before and after the table of requirements that are not met.
const NOT_MET: [&str; 2] =
    ["<!-- begin requirements: written by `cargo xtask generate` -->\n", "<!-- end requirements -->\n"];

/// Brings the documents up to date.
pub(crate) fn write(workspace: &Workspace) -> Result<(), Error> {
    for page in PAGES {
        let (path, content) = read(workspace, page)?;
        let wanted = fresh(workspace, page, &content)?;
        if wanted != content {
            fs::write(&path, wanted).map_err(|e| Error::file(&path, e))?;
        }
    }
    Ok(())
}

/// Documents that the code has left behind, as sentences.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut stale = Vec::new();
    for page in PAGES {
        let (_, content) = read(workspace, page)?;
        if fresh(workspace, page, &content)? != content {
            stale.push(format!("{page} is out of date: run `cargo xtask generate`"));
        }
    }
    Ok(stale)
}

fn read(workspace: &Workspace, page: &str) -> Result<(std::path::PathBuf, String), Error> {
    let path = workspace.root().join(page);
    let content = fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
    Ok((path, content))
}

/// What an example of a crate prints.
fn table(workspace: &Workspace, package: &str, example: &str) -> Result<String, Error> {
    let mut command = process::cargo();
    command.current_dir(workspace.root());
    command.args(["run", "--quiet", "--package", package, "--example", example]);
    process::text(&mut command)
}

/// A page as it should be.
fn fresh(workspace: &Workspace, page: &str, content: &str) -> Result<String, Error> {
    if page == RUNTIMES_PAGE {
        return replaced(page, content, RUNTIMES, &table(workspace, "lambd-runtime", "runtimes")?);
    }
    let content = replaced(page, content, OPERATIONS, &table(workspace, "lambd-api", "compatibility")?)?;
    replaced(page, &content, NOT_MET, &requirements::not_met(workspace)?)
}

/// The page with what is between the marks replaced.
fn replaced(page: &str, content: &str, [begin, end]: [&str; 2], table: &str) -> Result<String, Error> {
    let marked = content.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = marked.ok_or_else(|| Error::Output(format!("{page} has lost its marks")))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{OPERATIONS, replaced};

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let [begin, end] = OPERATIONS;
        let page = format!("before\n{begin}old\n{end}after\n");
        let expected = format!("before\n{begin}new\n{end}after\n");
        assert_eq!(replaced("a page", &page, OPERATIONS, "new\n").unwrap(), expected);
        assert!(replaced("a page", "no marks", OPERATIONS, "new").is_err());
    }
}
