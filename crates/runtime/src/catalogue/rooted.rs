//! Looking into a root file system that is not this process's, as a program inside would.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

/// A directory whose links lead to places inside it.
pub(super) struct Rooted {
    root: OwnedFd,
    path: PathBuf,
}

impl Rooted {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(&path, flags, Mode::empty())?, path })
    }

    /// The executable file that an absolute path inside leads to: its path without links.
    pub(super) fn program(&self, path: &Path) -> Option<PathBuf> {
        let file = self.open_inside(path, OFlags::PATH).ok()?;
        let status = rustix::fs::fstat(&file).ok()?;
        let executable = FileType::from_raw_mode(status.st_mode).is_file() && status.st_mode & 0o111 != 0;
        if !executable {
            return None;
        }
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        Some(Path::new("/").join(path.strip_prefix(&self.path).ok()?))
    }

    /// Names in a directory inside; none where there is no such directory.
    pub(super) fn names(&self, directory: &Path) -> Vec<OsString> {
        let Ok(opened) = self.open_inside(directory, OFlags::RDONLY | OFlags::DIRECTORY) else {
            return Vec::new();
        };
        let entries = Dir::new(opened).into_iter().flatten().flatten();
        let mut names: Vec<OsString> =
            entries.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec())).collect();
        names.sort();
        names
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something on the machine was renamed meanwhile, see openat2(2).
                Err(rustix::io::Errno::AGAIN) => {}
                opened => return opened,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn links_are_those_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        let file = |name: &str, mode| {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("usr/bin/python3.12", 0o755);
        file("usr/bin/notes", 0o644);
        symlink("/usr/bin", dir.path().join("bin")).unwrap();
        symlink("/bin/python3.12", dir.path().join("usr/bin/python3")).unwrap();
        symlink("../../../../../../usr/bin/python3.12", dir.path().join("usr/bin/up")).unwrap();
        symlink("/bin/sh", dir.path().join("usr/bin/sh")).unwrap();
        let rooted = Rooted::open(dir.path()).unwrap();
        let program = |path: &str| rooted.program(Path::new(path));
        for good in ["/usr/bin/python3.12", "/bin/python3", "/usr/bin/up", "/../bin/python3"] {
            assert_eq!(program(good), Some("/usr/bin/python3.12".into()), "{good}");
        }
        for bad in ["/usr/bin/notes", "/usr/bin", "/usr/bin/sh", "/gone", "/proc/self/exe"] {
            assert_eq!(program(bad), None, "{bad}");
        }
        assert!(rooted.names(Path::new("/bin")).contains(&"python3".into()));
        assert!(rooted.names(Path::new("/gone")).is_empty());
    }
}
