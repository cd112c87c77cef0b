//! Where a function's files are, as its processes see them.

use std::path::{Path, PathBuf};

use crate::ports::View;

/// Where code, layers, bootstraps and toolchains are inside, as on AWS.
pub(crate) const TASK_ROOT: &str = "/var/task";
pub(crate) const RUNTIME_DIR: &str = "/var/runtime";
pub(crate) const LANG_DIR: &str = "/var/lang";
const OPT: &str = "/opt";

/// A plan's host directories: (host path, path inside).
pub(crate) type Binds = [(PathBuf, PathBuf)];

/// Paths that are in the environment and the command line of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The function's code.
    pub(crate) task_root: String,
    /// The bootstrap of the managed runtime.
    pub(crate) runtime_dir: String,
    /// The language's toolchain.
    pub(crate) lang_dir: String,
    /// Layers.
    pub(crate) opt: String,
    /// For temporary files, where it is not `/tmp`: where the files are the host's.
    pub(crate) tmp: Option<String>,
}

impl Layout {
    /// The places inside which `binds` and `symlinks` make, or those they lead to where nothing is mounted.
    pub(crate) fn new(view: &View, binds: &Binds, symlinks: &Binds) -> Self {
        let place = |inside: &str| match view {
            View::OwnRoot => inside.to_owned(),
            View::Host { .. } => {
                let bound =
                    binds.iter().find(|(_, target)| target == Path::new(inside)).map(|(source, _)| source);
                let linked =
                    symlinks.iter().find(|(link, _)| link == Path::new(inside)).map(|(_, target)| target);
                bound.or(linked).map_or_else(|| inside.to_owned(), |path| path.display().to_string())
            }
        };
        let tmp = match view {
            View::OwnRoot => None,
            View::Host { tmp } => Some(tmp.display().to_string()),
        };
        Self {
            task_root: place(TASK_ROOT),
            runtime_dir: place(RUNTIME_DIR),
            lang_dir: place(LANG_DIR),
            opt: place(OPT),
            tmp,
        }
    }
}

/// The bind that makes a function's code appear.
pub(crate) fn code(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.to_owned(), TASK_ROOT.into())
}

/// The bind that makes the bootstrap of a managed runtime appear.
pub(crate) fn runtime(directory: PathBuf) -> (PathBuf, PathBuf) {
    (directory, RUNTIME_DIR.into())
}

/// The link that makes a toolchain appear at its documented place.
pub(crate) fn language(prefix: PathBuf) -> (PathBuf, PathBuf) {
    (LANG_DIR.into(), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_mounts_paths_are_those_of_the_host() {
        let binds = [code(Path::new("/data/code/1")), runtime("/data/python".into())];
        let links = [language("/home/me/python".into())];
        let inside = Layout::new(&View::OwnRoot, &binds, &links);
        assert_eq!(
            (inside.task_root.as_str(), inside.lang_dir.as_str(), inside.tmp),
            ("/var/task", "/var/lang", None)
        );
        let host = Layout::new(&View::Host { tmp: "/data/tmp/1".into() }, &binds, &links);
        let expected = Layout {
            task_root: "/data/code/1".into(),
            runtime_dir: "/data/python".into(),
            lang_dir: "/home/me/python".into(),
            opt: "/opt".into(),
            tmp: Some("/data/tmp/1".into()),
        };
        assert_eq!(host, expected);
    }
}
