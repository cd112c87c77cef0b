//! Directories in the place of `/tmp`, for sandboxes without a root file system of their own.
//!
//! Each sandbox has one, made by its init and owned by its function, which may leave anything in it:
//! directories that nobody may enter, links to elsewhere, paths longer than the kernel takes. Removing
//! and measuring therefore go from open directory to entry, follow no link and go by no path.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, chmod, chownat, fstat, open, openat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::cleaner::Cleaner;
use crate::error::SandboxError;

/// How often the use of a directory is measured.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// What the smallest file costs, as in a tmpfs.
const PAGE: u64 = 4096;

/// Where the directories are made.
#[derive(Debug)]
pub(crate) struct TmpDirectories {
    root: PathBuf,
    number: AtomicU64,
    cleaner: Cleaner,
}

impl TmpDirectories {
    /// Takes a directory over: whatever is in it goes.
    pub(crate) fn open(root: &Path, cleaner: Cleaner) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::TmpDirectory { path: root.to_owned(), source };
        std::fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        // To be passed by the users of the sandboxes, and listed by nobody.
        rustix::fs::chmod(&root, Mode::from_raw_mode(0o711)).map_err(|error| failed(error.into()))?;
        let left = std::fs::read_dir(&root).map_err(failed)?.flatten().map(|entry| entry.path());
        left.for_each(|path| cleaner.remove_tree(path));
        // Not a name of those.
        let started = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
        Ok(Self { root, number: AtomicU64::new(started), cleaner })
    }

    /// A name for a new one, which the sandbox's init makes.
    pub(crate) fn reserve(&self) -> TmpDirectory {
        let name = format!("{:x}", self.number.fetch_add(1, Ordering::Relaxed));
        TmpDirectory { path: self.root.join(name), cleaner: self.cleaner.clone() }
    }
}

/// The directory of one sandbox; removed in the background when this is dropped.
#[derive(Debug)]
pub(crate) struct TmpDirectory {
    path: PathBuf,
    cleaner: Cleaner,
}

impl TmpDirectory {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TmpDirectory {
    fn drop(&mut self) {
        self.cleaner.remove_tree(std::mem::take(&mut self.path));
    }
}

/// Bytes that a directory and everything below it occupy; counting ends once it is over `limit`.
///
/// # Errors
/// When a directory cannot be read: without the right to pass permissions, only the function's user can.
/// `ENAMETOOLONG` when directories are nested deeper than a path can tell.
pub(crate) fn usage(path: &Path, limit: u64) -> io::Result<u64> {
    let root = rustix::fs::open(path, DIRECTORY | OFlags::PATH, Mode::empty())?;
    let mut used = 0;
    // The directory that is looked at, from the root, and behind each of its parts the names beside it
    // that still wait. One open file is enough for any tree.
    let mut at = PathBuf::from(".");
    let mut waiting: Vec<Vec<CString>> = Vec::new();
    loop {
        let mut below = Vec::new();
        match rustix::fs::openat2(&root, &at, DIRECTORY, Mode::empty(), WITHIN) {
            Ok(directory) => {
                for_each_entry(&directory, |name| {
                    // What was removed meanwhile costs nothing.
                    let Ok(status) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                        return false;
                    };
                    used += PAGE.max(status.st_blocks as u64 * 512);
                    if FileType::from_raw_mode(status.st_mode).is_dir() {
                        below.push(name.to_owned());
                    }
                    used > limit
                })?;
            }
            // Removed, or replaced by something else: the next measurement sees that.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error.into()),
        }
        if used > limit {
            return Ok(used);
        }
        waiting.push(below);
        loop {
            match waiting.last_mut().map(Vec::pop) {
                None => return Ok(used),
                Some(Some(name)) => {
                    at.push(OsStr::from_bytes(name.to_bytes()));
                    break;
                }
                Some(None) => {
                    waiting.pop();
                    at.pop();
                }
            }
        }
    }
}

/// Removes a directory with everything in it, whoever owns it; absence is fine. Needs no right to pass over
/// permissions, only CAP_CHOWN for what others own. Blocks.
///
/// # Errors
/// The first thing that cannot be removed, as a mount.
///
/// Directories are emptied of their files, and what they hold of directories moves up to the top, so that
/// any depth needs three open files.
pub fn remove(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let Some(name) = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok()) else {
        return Err(Errno::INVAL.into());
    };
    let parent = rustix::fs::open(parent, DIRECTORY | OFlags::PATH, Mode::empty())?;
    let top = match seize(&parent, &name) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut moved = 0_u64;
    loop {
        let mut directories = Vec::new();
        unlink_files(&top, &mut directories)?;
        if directories.is_empty() {
            return Ok(unlinkat(&parent, &name, AtFlags::REMOVEDIR)?);
        }
        for name in directories {
            let directory = seize(&top, &name)?;
            let mut below = Vec::new();
            unlink_files(&directory, &mut below)?;
            for child in below {
                // A directory is written to when it moves: its "..".
                drop(seize(&directory, &child)?);
                move_up(&directory, &child, &top, &mut moved)?;
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

/// Moves a directory to the top under a name that is free there.
fn move_up(from: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    loop {
        *moved += 1;
        let new = format!("{moved}.moved");
        match renameat_with(from, name, top, &new, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

/// Unlinks what is not a directory, and lists what is.
fn unlink_files(directory: &OwnedFd, directories: &mut Vec<CString>) -> io::Result<()> {
    let mut failed = None;
    for_each_entry(directory, |name| {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => directories.push(name.to_owned()),
            Err(error) => failed = Some(error),
        }
        failed.is_some()
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Opens a directory whatever its owner did to keep others out.
fn seize(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let handle = openat(parent, name, DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    let own = rustix::process::geteuid();
    if fstat(&handle)?.st_uid != own.as_raw() {
        // With CAP_CHOWN alone; the owner may do the rest.
        chownat(&handle, c"", Some(own), None, AtFlags::EMPTY_PATH)?;
    }
    // By a link that leads to exactly this directory: a handle itself takes no mode.
    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
    chmod(&link, Mode::RWXU)?;
    open(&link, DIRECTORY, Mode::empty())
}

/// Calls `each` with every name in a directory but `.` and `..`, until it says `true`.
fn for_each_entry(directory: &OwnedFd, mut each: impl FnMut(&CStr) -> bool) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") && each(entry.file_name()) {
            break;
        }
    }
    Ok(())
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let outside = tempfile::tempdir().expect("temporary directory");
        let top = outside.path().join("top");
        std::fs::create_dir(&top).expect("mkdir");
        (outside, top)
    }

    #[test]
    fn a_hostile_tree_is_removed_and_nothing_outside() {
        let (outside, top) = tree();
        let keep = outside.path().join("keep");
        std::fs::create_dir(&keep).expect("mkdir");
        std::fs::write(keep.join("file"), "x").expect("write");
        symlink(&keep, top.join("link")).expect("symlink");
        symlink("/nowhere", top.join("dangling")).expect("symlink");
        std::fs::create_dir_all(top.join("locked/inner/more")).expect("mkdir");
        std::fs::write(top.join("locked/inner/file"), "x").expect("write");
        symlink(&keep, top.join("locked/inner/link")).expect("symlink");
        std::fs::create_dir(top.join("1.moved")).expect("mkdir");
        for path in ["locked/inner", "locked"] {
            std::fs::set_permissions(top.join(path), std::fs::Permissions::from_mode(0o000)).expect("chmod");
        }
        remove(&top).expect("removes");
        assert!(!top.exists());
        assert_eq!(std::fs::read(keep.join("file")).expect("still there"), b"x");
        remove(&top).expect("absence is fine");
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_measured_and_removed() {
        let (_outside, top) = tree();
        let mut directory = open(&top, DIRECTORY, Mode::empty()).expect("opens");
        let name = "d".repeat(200);
        for _ in 0..100 {
            rustix::fs::mkdirat(&directory, &name, Mode::RWXU).expect("mkdir");
            directory = openat(&directory, &name, DIRECTORY, Mode::empty()).expect("opens");
        }
        let error = usage(&top, u64::MAX).expect_err("20,000 bytes are no path");
        assert_eq!(error.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
        remove(&top).expect("removes");
        assert!(!top.exists());
    }

    #[test]
    fn usage_counts_what_is_occupied() {
        let (_outside, top) = tree();
        assert_eq!(usage(&top, u64::MAX).expect("measures"), 0);
        std::fs::create_dir_all(top.join("a/b")).expect("mkdir");
        std::fs::write(top.join("a/b/file"), vec![1; 100_000]).expect("write");
        std::fs::write(top.join("a/empty"), "").expect("write");
        symlink("/", top.join("a/root")).expect("symlink");
        let used = usage(&top, u64::MAX).expect("measures");
        assert!((100_000..200_000).contains(&used), "{used}");
        assert!(usage(&top, 5000).expect("measures") > 5000);
        let sparse = std::fs::File::create(top.join("sparse")).expect("create");
        sparse.set_len(1 << 40).expect("set length");
        assert!(usage(&top, u64::MAX).expect("measures") < 1 << 20, "a hole occupies nothing");
    }
}
