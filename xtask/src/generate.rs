//! What documents take from the code: the table of operations in docs/compatibility.md.
//!
//! Tasks import no crate of lambd, so the table comes from an example of the crate that has it.

use std::fs;

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

const PAGE: &str = "docs/compatibility.md";
const BEGIN: &str = "<!-- begin: written by `cargo xtask generate` -->\n";
const END: &str = "<!-- end -->\n";

/// Brings the documents up to date.
pub(crate) fn write(workspace: &Workspace) -> Result<(), Error> {
    let (path, page) = read(workspace)?;
    let wanted = replaced(&page, &table(workspace)?)?;
    if wanted != page {
        fs::write(&path, wanted).map_err(|e| Error::file(&path, e))?;
    }
    Ok(())
}

/// Documents that the code has left behind, as sentences.
pub(crate) fn stale(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let (_, page) = read(workspace)?;
    let fresh = replaced(&page, &table(workspace)?)? == page;
    Ok(if fresh { Vec::new() } else { vec![format!("{PAGE} is out of date: run `cargo xtask generate`")] })
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

/// The page with what is between the marks replaced.
fn replaced(page: &str, table: &str) -> Result<String, Error> {
    let marked = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marked.ok_or_else(|| Error::Output(format!("{PAGE} has lost its marks")))?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced};

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let expected = format!("before\n{BEGIN}new\n{END}after\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), expected);
        assert!(replaced("no marks", "new").is_err());
    }
}
