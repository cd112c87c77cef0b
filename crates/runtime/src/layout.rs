//! Where a function's files are, as its processes see them.

use std::path::{Path, PathBuf};

use crate::ports::View;

/// Where code, layers, bootstraps and toolchains are inside, as on AWS.
pub(crate) const TASK_ROOT: &str = "/var/task";
pub(crate) const RUNTIME_DIR: &str = "/var/runtime";
pub(crate) const LANG_DIR: &str = "/var/lang";
pub(crate) const OPT: &str = "/opt";

/// A plan's host directories: (host path, path inside).
pub(crate) type Binds = [(PathBuf, PathBuf)];

/// The same, made here.
type OwnBinds = Vec<(PathBuf, PathBuf)>;

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
    /// The AWS SDK that the function need not package, if there is one.
    pub(crate) sdk: Option<String>,
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
        let below = Path::new(RUNTIME_DIR);
        let sdk = binds.iter().find(|(_, target)| target.parent() == Some(below));
        let sdk = sdk.and_then(|(_, target)| target.to_str()).map(place);
        let tmp = match view {
            View::OwnRoot => None,
            View::Host { tmp } => Some(tmp.display().to_string()),
        };
        Self {
            task_root: place(TASK_ROOT),
            runtime_dir: place(RUNTIME_DIR),
            lang_dir: place(LANG_DIR),
            opt: place(OPT),
            sdk,
            tmp,
        }
    }
}

/// Where the dynamic linker looks for libraries of functions.
pub(crate) fn libraries(layout: &Layout) -> Vec<PathBuf> {
    [&layout.task_root, &layout.opt].map(|place| Path::new(place).join("lib")).into()
}

/// The bind that makes a function's code appear.
pub(crate) fn code(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.to_owned(), TASK_ROOT.into())
}

/// The bind that makes a function's layers appear.
pub(crate) fn layers(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.to_owned(), OPT.into())
}

/// The same without what lies on other places below `/opt`, such as a toolchain in `/opt/python`: nothing can be
/// mounted inside a read-only view. Directories on the way to such a place are taken apart. Links of theirs
/// are made again.
pub(crate) fn beside(binds: &Binds, symlinks: &Binds) -> (OwnBinds, OwnBinds) {
    let (mut shown, mut links) = (Vec::new(), symlinks.to_vec());
    for (at, (source, target)) in binds.iter().enumerate() {
        let others: Vec<&Path> = binds[at + 1..].iter().map(|(_, other)| other.as_path()).collect();
        if target == Path::new(OPT) {
            take_apart(source, target, &others, &mut shown, &mut links);
        } else {
            shown.push((source.clone(), target.clone()));
        }
    }
    (shown, links)
}

fn take_apart(source: &Path, target: &Path, others: &[&Path], shown: &mut OwnBinds, links: &mut OwnBinds) {
    if others.iter().any(|other| target.starts_with(other)) {
        return;
    }
    let is_on_the_way = others.iter().any(|other| other.starts_with(target));
    match std::fs::read_link(source) {
        Ok(_) if is_on_the_way => {}
        Ok(leads_to) => links.push((target.to_owned(), leads_to)),
        Err(_) if is_on_the_way => {
            // A file that is in the way of another place, or a directory that is gone, is not shown.
            for entry in std::fs::read_dir(source).into_iter().flatten().flatten() {
                take_apart(&entry.path(), &target.join(entry.file_name()), others, shown, links);
            }
        }
        Err(_) => shown.push((source.to_owned(), target.to_owned())),
    }
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
    fn layers_are_shown_beside_a_toolchain_below_opt() {
        let dir = tempfile::tempdir().unwrap();
        let opt = dir.path();
        for file in ["bin/tool", "python3.12/mine/x", "python3.12/bin/python", "one"] {
            std::fs::create_dir_all(opt.join(file).parent().unwrap()).unwrap();
            std::fs::write(opt.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("one", opt.join("link")).unwrap();
        let plain = [code(Path::new("/code")), layers(opt), runtime("/bootstraps".into())];
        assert_eq!(beside(&plain, &[]), (plain.to_vec(), vec![]), "nothing else is below /opt");

        let toolchain: (PathBuf, PathBuf) = ("/opt/python3.12/bin".into(), "/opt/python3.12/bin".into());
        let (mut binds, links) = beside(&[layers(opt), toolchain.clone()], &[]);
        binds.sort();
        let at = |name: &str| (opt.join(name), Path::new("/opt").join(name));
        assert_eq!(binds, [toolchain, at("bin"), at("one"), at("python3.12/mine")]);
        assert_eq!(links, [("/opt/link".into(), "one".into())]);
    }

    #[test]
    fn without_mounts_paths_are_those_of_the_host() {
        let binds = [
            code(Path::new("/data/code/1")),
            layers(Path::new("/data/layers/1")),
            runtime("/data/python".into()),
        ];
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
            opt: "/data/layers/1".into(),
            sdk: None,
            tmp: Some("/data/tmp/1".into()),
        };
        assert_eq!(host, expected);
    }
}
