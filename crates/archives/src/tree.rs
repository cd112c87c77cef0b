//! Making files in a directory that no link leads out of.
//!
//! Paths here are relative and have plain names only. The directory that an entry lands in is opened by
//! openat2(2) with `RESOLVE_IN_ROOT`: links of the image on the way are followed as if its root were `/`.
//! The entry itself is made by name in that open directory, and never through a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::Errno;

/// Deepest path in an image: removing a tree takes an open file and a piece of stack a level.
const DEPTH_MAX: usize = 256;

/// A path of an image: relative, of plain names, none of them `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerPath(PathBuf);

impl InnerPath {
    /// The path of an entry, `None` when it climbs out, is too deep or is no path at all. The root is empty.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.contains(&0) {
            return None;
        }
        let mut path = PathBuf::new();
        for component in Path::new(OsStr::from_bytes(bytes)).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        (path.components().count() <= DEPTH_MAX).then_some(Self(path))
    }

    /// Whether it is the root of the tree.
    pub fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// Where it lies.
    pub fn parent(&self) -> Self {
        Self(self.0.parent().unwrap_or(Path::new("")).to_owned())
    }

    /// Its names from the root on.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter()
    }

    /// The last name; empty for the root.
    pub fn name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }
}

/// A directory entry, by the directory's inode number and the name: the same however a path led to it.
pub type EntryKey = (u64, OsString);

/// An open directory that is being filled.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// How deep the directory itself lies.
    depth: usize,
}

/// An open directory inside.
#[derive(Debug)]
pub struct Inside(OwnedFd);

impl Tree {
    /// Opens a directory.
    ///
    /// # Errors
    /// It is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let depth = depth_of(root.as_fd())?;
        Ok(Self { root, depth })
    }

    /// Opens a directory inside, if it is there.
    ///
    /// # Errors
    /// Something else is in the way, or a link on the way leads out.
    pub fn directory(&self, path: &InnerPath) -> io::Result<Option<Inside>> {
        match self.open_directory(path) {
            Ok(fd) => Ok(Some(Inside(fd))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a directory inside, and makes those that are missing.
    ///
    /// # Errors
    /// Something else is in the way, it is too deep, or the disk refuses.
    pub fn make_way(&self, path: &InnerPath) -> io::Result<Inside> {
        match self.open_directory(path) {
            Err(Errno::NOENT) if !path.is_root() => {
                let parent = self.make_way(&path.parent())?;
                self.check_depth(&parent)?;
                rustix::fs::mkdirat(&parent.0, path.name(), Mode::from_raw_mode(0o755))?;
                // Again from the root: the name may be a link that leads nowhere, which is an error.
                Ok(Inside(self.open_directory(path)?))
            }
            opened => Ok(Inside(opened?)),
        }
    }

    fn open_directory(&self, path: &InnerPath) -> Result<OwnedFd, Errno> {
        let path = if path.is_root() { Path::new(".") } else { &path.0 };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Refused with EAGAIN while something else on the machine renames directories: see openat2(2).
        loop {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
    }

    /// Links on the way add to the depth that a path shows.
    fn check_depth(&self, parent: &Inside) -> io::Result<()> {
        if depth_of(parent.0.as_fd())? >= self.depth + DEPTH_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok(())
    }

    /// Makes a directory, or gives an existing one these permissions.
    ///
    /// # Errors
    /// It is too deep, or the disk refuses.
    pub fn make_directory(&self, parent: &Inside, name: &OsStr, mode: RawMode) -> io::Result<()> {
        if parent.kind(name)? != Some(FileType::Directory) {
            self.check_depth(parent)?;
            parent.clear(name)?;
            rustix::fs::mkdirat(&parent.0, name, Mode::RWXU)?;
        }
        // The daemon must be able to fill and to remove it.
        let mode = Mode::from_raw_mode(mode & 0o777 | 0o700);
        Ok(rustix::fs::chmodat(&parent.0, name, mode, AtFlags::empty())?)
    }
}

impl Inside {
    /// Names an entry across paths.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn key(&self, name: &OsStr) -> io::Result<EntryKey> {
        Ok((rustix::fs::fstat(&self.0)?.st_ino, name.to_owned()))
    }

    /// What is there by this name.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kind(&self, name: &OsStr) -> io::Result<Option<FileType>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an empty file that only the daemon can use yet, in the place of whatever is there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn make_file(&self, name: &OsStr) -> io::Result<std::fs::File> {
        self.clear(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Makes a symbolic link, in the place of whatever is there. Its target may be anything.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn make_link(&self, name: &OsStr, target: &[u8]) -> io::Result<()> {
        self.clear(name)?;
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// Makes another name for an existing file or link, in the place of whatever is there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn make_hard_link(&self, name: &OsStr, source: &Self, source_name: &OsStr) -> io::Result<()> {
        let inode = |directory: &Self, name: &OsStr| {
            rustix::fs::statat(&directory.0, name, AtFlags::SYMLINK_NOFOLLOW).map(|status| status.st_ino)
        };
        if inode(self, name).ok() == Some(inode(source, source_name)?) {
            return Ok(());
        }
        self.clear(name)?;
        Ok(rustix::fs::linkat(&source.0, source_name, &self.0, name, AtFlags::empty())?)
    }

    /// Removes whatever is there.
    fn clear(&self, name: &OsStr) -> io::Result<()> {
        self.prune(name, &|_| false).map(drop)
    }

    /// Removes an entry and what is below, but keeps what `keep` says, and the directories on the way to
    /// it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn prune(&self, name: &OsStr, keep: &dyn Fn(&EntryKey) -> bool) -> io::Result<()> {
        let Some(kind) = self.kind(name)? else { return Ok(()) };
        if kind.is_dir() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
            below.prune_all(keep)?;
        }
        if keep(&self.key(name)?) {
            return Ok(());
        }
        let flags = if kind.is_dir() { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&self.0, name, flags) {
            // Something below was kept.
            Err(Errno::NOTEMPTY) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// The same with everything in this directory.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn prune_all(&self, keep: &dyn Fn(&EntryKey) -> bool) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&self.0, c".", flags, Mode::empty())?;
        // All names first: what is removed while a directory is read may hide another.
        let names: Vec<OsString> = Dir::new(listed)?
            .map(|entry| entry.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()))
            .collect::<Result<_, _>>()?;
        for name in names.iter().filter(|name| *name != "." && *name != "..") {
            self.prune(name, keep)?;
        }
        Ok(())
    }
}

/// Gives a finished file its permissions, and its time: interpreters compare it with that of compiled code.
///
/// # Errors
/// The kernel refuses.
pub fn finish_file(file: BorrowedFd<'_>, mode: RawMode, modified_seconds: u64) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o777))?;
    let modified = Timespec { tv_sec: i64::try_from(modified_seconds).unwrap_or(0), tv_nsec: 0 };
    let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: unchanged, last_modification: modified })?)
}

fn depth_of(directory: BorrowedFd<'_>) -> io::Result<usize> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    Ok(path.components().count())
}
