//! Where a path leads inside a root file system that is not this process's root.
//!
//! The kernel follows no link here: each directory is opened by one name below an open directory, and
//! links are read and walked by hand, absolute ones from the image's root. What comes out is a path
//! without links, or how far the path exists and what is missing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::error::{Step, StepError};

/// As many links as the kernel follows in one path, see path_resolution(7).
const LINKS_MAX: usize = 40;

/// What to do when the last name of a path is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Where a path leads.
pub(super) enum Place {
    /// Something is there.
    There {
        /// The directory it is in, unless it is one itself.
        parent: Option<OwnedFd>,
        /// Its path, without links.
        path: PathBuf,
        kind: FileType,
    },
    /// Something on the way is missing, or is no directory.
    Missing {
        /// How far directories go; without links.
        inside: PathBuf,
        /// The names that are left, at least one.
        rest: Vec<OsString>,
    },
}

/// Resolves an absolute path inside `root`.
pub(super) fn resolve(root: BorrowedFd<'_>, path: &Path, last: Last) -> Result<Place, StepError> {
    let step = || format!("look for {} in the root file system", path.display());
    walk(root, path, last).step_with(step)
}

fn walk(root: BorrowedFd<'_>, path: &Path, last: Last) -> Result<Place, Errno> {
    let mut open: Vec<(OwnedFd, OsString)> = Vec::new();
    let mut names = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            open.pop();
            continue;
        }
        let here = open.last().map_or(root, |(fd, _)| fd.as_fd());
        let kind = match statat(here, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => FileType::from_raw_mode(status.st_mode),
            Err(Errno::NOENT) => return missing(&open, name, names),
            Err(error) => return Err(error),
        };
        let is_last = names.is_empty();
        if kind.is_symlink() && !(is_last && last == Last::Keep) {
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            let target = readlinkat(here, &name, Vec::new())?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                open.clear();
            }
            for name in names_of(target).into_iter().rev() {
                names.push_front(name);
            }
        } else if kind.is_dir() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = openat(here, &name, flags, Mode::empty())?;
            open.push((directory, name));
        } else if is_last {
            let path = path_of(&open).join(&name);
            return Ok(Place::There { parent: Some(here.try_clone_to_owned().map_err(errno)?), path, kind });
        } else {
            return missing(&open, name, names);
        }
    }
    Ok(Place::There { parent: None, path: path_of(&open), kind: FileType::Directory })
}

fn missing(open: &[(OwnedFd, OsString)], name: OsString, names: VecDeque<OsString>) -> Result<Place, Errno> {
    // Up from what does not exist leads nowhere, as for the kernel.
    if names.iter().any(|name| name == "..") {
        return Err(Errno::NOENT);
    }
    Ok(Place::Missing { inside: path_of(open), rest: std::iter::once(name).chain(names).collect() })
}

fn names_of(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

fn path_of(open: &[(OwnedFd, OsString)]) -> PathBuf {
    std::iter::once(OsStr::new("/")).chain(open.iter().map(|(_, name)| name.as_os_str())).collect()
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `there PATH` or `PATH lacks REST`, or the error.
    fn resolved(root: &Path, path: &str, last: Last) -> String {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).unwrap();
        match resolve(root.as_fd(), Path::new(path), last) {
            Ok(Place::There { path, kind, .. }) => {
                let kind = if kind.is_symlink() { "link " } else { "" };
                format!("{kind}{}", path.display())
            }
            Ok(Place::Missing { inside, rest }) => {
                format!("{} lacks {}", inside.display(), rest.iter().collect::<PathBuf>().display())
            }
            Err(error) => std::io::Error::from_raw_os_error(error.errno).kind().to_string(),
        }
    }

    #[test]
    fn links_stay_inside_the_root() {
        let dir = std::env::temp_dir().join(format!("lambd-resolve-{}", std::process::id()));
        let root = dir.join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::create_dir_all(dir.join("outside")).unwrap();
        fs::write(root.join("usr/bin/bash"), "").unwrap();
        for (link, target) in [
            ("bin", "usr/bin"),
            ("usr/bin/sh", "/bin/bash"),
            ("up", "../../../../outside"),
            ("host", "/etc/passwd"),
            ("loop", "loop"),
            ("var", "/usr/../usr/lib"),
            ("self", "/"),
            ("nowhere", "gone/../usr"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for (path, expected) in [
            ("/", "/"),
            ("/bin/sh", "/usr/bin/bash"),
            ("/self/self/bin/bash", "/usr/bin/bash"),
            ("/../../usr", "/usr"),
            ("/up", "/ lacks outside"),
            ("/up/x", "/ lacks outside/x"),
            ("/host", "/ lacks etc/passwd"),
            ("/var/task", "/usr lacks lib/task"),
            ("/usr/bin/bash/task", "/usr/bin lacks bash/task"),
            ("/opt", "/ lacks opt"),
            ("/nowhere", "entity not found"),
            ("/loop/x", "filesystem loop or indirection limit (e.g. symlink loop)"),
        ] {
            assert_eq!(resolved(&root, path, Last::Follow), expected, "{path}");
        }
        assert_eq!(resolved(&root, "/bin/sh", Last::Keep), "link /usr/bin/sh");
        assert_eq!(resolved(&root, "/bin", Last::Keep), "link /bin");
        fs::remove_dir_all(dir).unwrap();
    }
}
