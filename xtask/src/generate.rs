//! What docs/compatibility.md takes from elsewhere: the table of operations from the code, the requirements that are
//! not met from docs/requirements-api.md.
//!
//! Tasks import no crate of lambd, so the table comes from an example of the crate that has it.

use std::fs;

use crate::error::Error;
use crate::workspace::Workspace;
use crate::{process, requirements};

const PAGE: &str = "docs/compatibility.md";
/// Before and after the table of operations.
const OPERATIONS: [&str; 2] = ["<!-- begin: written by `cargo xtask generate` -->\n", "<!-- end -->\n"];
/// Before and after the table of requirements that are not met.
const NOT_MET: [&str; 2] =
    ["<!-- begin requirements: written by `cargo xtask generate` -->\n", "<!-- end requirements -->\n"];

/// Brings the documents up to date.
pub(crate) fn write(workspace: &Workspace) -> Result<(), Error> {
    let (path, page) = read(workspace)?;
    let wanted = fresh(workspace, &page)?;
    if wanted != page {
        fs::write(&path, wanted).map_err(|e| Error::file(&path, e))?;
    }
    Ok(())
}

/// Documents that the code has left behind, as sentences.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let (_, page) = read(workspace)?;
    let up_to_date = fresh(workspace, &page)? == page;
    Ok(if up_to_date {
        Vec::new()
    } else {
        vec![format!("{PAGE} is out of date: run `cargo xtask generate`")]
    })
}

fn read(workspace: &Workspace) -> Result<(std::path::PathBuf, String), Error> {
    let path = workspace.root().join(PAGE);
    let page = fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
    Ok((path, page))
}

fn table(workspace: &Workspace) -> Result<String, Error> {
    let mut command = process::cargo();
    command.current_dir(workspace.root());
    command.args(["run", "--quiet", "--package", "lambd-api", "--example", "compatibility"]);
    process::text(&mut command)
}

/// The page as it should be.
fn fresh(workspace: &Workspace, page: &str) -> Result<String, Error> {
    let page = replaced(page, OPERATIONS, &table(workspace)?)?;
    replaced(&page, NOT_MET, &requirements::not_met(workspace)?)
}

/// The page with what is between the marks replaced.
fn replaced(page: &str, [begin, end]: [&str; 2], table: &str) -> Result<String, Error> {
    let marked = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = marked.ok_or_else(|| Error::Output(format!("{PAGE} has lost its marks")))?;
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
        assert_eq!(replaced(&page, OPERATIONS, "new\n").unwrap(), expected);
        assert!(replaced("no marks", OPERATIONS, "new").is_err());
    }
}
