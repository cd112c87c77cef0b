//! A directory of the host as the root file system: an unpacked image, or a tree that somebody made.
//!
//! The directory is never changed, yet a sandbox needs places to mount on that it may lack, such as
//! `/var/task`. So the root stays the small tmpfs of every sandbox, and each entry of the directory gets a
//! read-only view on it. Where a place is missing, the directory that should have it is *opened up*: made on
//! the tmpfs as well, with a view of each of its entries. Links are made again; sockets, pipes and devices are left
//! out.
//!
//! A link of the image may point anywhere. None is followed by the kernel while paths are those of the
//! host: `resolve` walks them inside the directory, and what is captured is one name in an open directory.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::captured::Captured;
use super::resolve::{Last, Place, resolve};
use super::{EMPTY_DIRECTORIES, View};
use crate::error::{Step, StepError};
use crate::etc;
use crate::protocol::JailSpec;

/// Entries of the root that every sandbox has from elsewhere, or not at all.
const OWN: &[&str] = &["/dev", "/proc", "/sys", "/tmp"];

/// Copies the mounts of what will be seen of `path`.
pub(super) fn capture(path: &Path, spec: &JailSpec, view: &mut View) -> Result<(), StepError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())
        .step_with(|| format!("open the root file system {}", path.display()))?;
    let root = root.as_fd();

    let mut plan = Plan::new(root);
    for directory in EMPTY_DIRECTORIES {
        plan.directory(Path::new(directory))?;
    }
    plan.binds(view)?;
    for link in &spec.symlinks {
        let place = plan.replaced(&link.link)?;
        view.links.push((place, link.target.clone()));
    }
    plan.etc(view)?;
    plan.show(root, Path::new("/"), view)?;
    view.directories.extend(plan.made.into_iter().map(|path| (path, 0o755)));
    capture_shell(root, view)
}

/// What has to be on the tmpfs so that everything finds its place. All paths are without links.
struct Plan<'a> {
    root: BorrowedFd<'a>,
    /// Directories of the image that are opened up; with each, those above it.
    opened: BTreeSet<PathBuf>,
    /// Entries of such directories that get no view, because something else takes their place.
    left_out: BTreeSet<PathBuf>,
    /// Directories that the image lacks.
    made: BTreeSet<PathBuf>,
}

impl<'a> Plan<'a> {
    fn new(root: BorrowedFd<'a>) -> Self {
        let left_out = OWN.iter().map(PathBuf::from).collect();
        Self { root, opened: BTreeSet::from(["/".into()]), left_out, made: BTreeSet::new() }
    }

    /// Sees to it that there is a directory to mount on, and tells its path without links.
    fn directory(&mut self, path: &Path) -> Result<PathBuf, StepError> {
        let place = match resolve(self.root, path, Last::Follow)? {
            Place::There { path, kind, .. } if kind.is_dir() => path,
            Place::There { path, .. } => {
                self.leave_out(&path);
                self.made.insert(path.clone());
                path
            }
            Place::Missing { inside, rest } => self.make_missing(inside, rest),
        };
        Self::refuse_own(path, &place)?;
        Ok(place)
    }

    /// The same for a file. A missing one is made when it is mounted on.
    fn file(&mut self, path: &Path) -> Result<PathBuf, StepError> {
        let place = match resolve(self.root, path, Last::Follow)? {
            Place::There { path, kind, .. } if kind.is_file() => path,
            Place::There { path, .. } => {
                self.leave_out(&path);
                path
            }
            Place::Missing { inside, mut rest } => {
                let name = rest.pop().unwrap_or_default();
                let parent = if rest.is_empty() {
                    self.open_up(&inside);
                    inside
                } else {
                    self.make_missing(inside, rest)
                };
                parent.join(name)
            }
        };
        Self::refuse_own(path, &place)?;
        Ok(place)
    }

    /// Sees to it that nothing is at a path, so that something can be made there.
    fn replaced(&mut self, path: &Path) -> Result<PathBuf, StepError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StepError {
                step: format!("replace {}", path.display()).into(),
                errno: libc::EINVAL,
            });
        };
        let place = self.directory(parent)?.join(name);
        self.leave_out(&place);
        Ok(place)
    }

    /// The targets of the views that were asked for. One inside an earlier one lies on that.
    fn binds(&mut self, view: &mut View) -> Result<(), StepError> {
        let mut earlier: Vec<PathBuf> = Vec::new();
        for bind in &mut view.binds {
            if !earlier.iter().any(|target| bind.target.starts_with(target)) {
                earlier.push(bind.target.clone());
                bind.target =
                    if bind.is_directory { self.directory(&bind.target)? } else { self.file(&bind.target)? };
            }
        }
        Ok(())
    }

    /// The generated files: mounted over those of the image if it has them all, else `/etc` is opened up.
    fn etc(&mut self, view: &mut View) -> Result<(), StepError> {
        view.etc = self.directory(Path::new("/etc"))?;
        let mut all_there = !self.opened.contains(&view.etc) && !self.made.contains(&view.etc);
        for name in etc::names() {
            let file = resolve(self.root, &view.etc.join(name), Last::Keep)?;
            all_there &= matches!(file, Place::There { kind, .. } if kind.is_file());
        }
        view.etc_is_covered = all_there;
        if !all_there {
            for name in etc::names() {
                self.leave_out(&view.etc.join(name));
            }
        }
        Ok(())
    }

    /// Makes what is missing below an existing directory, and tells the whole path.
    fn make_missing(&mut self, inside: PathBuf, rest: Vec<OsString>) -> PathBuf {
        let mut path = inside;
        for name in rest {
            path.push(name);
            // Something that is no directory may be in the way.
            self.leave_out(&path);
            self.made.insert(path.clone());
        }
        path
    }

    fn leave_out(&mut self, path: &Path) {
        self.left_out.insert(path.to_owned());
        if let Some(parent) = path.parent() {
            self.open_up(parent);
        }
    }

    fn open_up(&mut self, path: &Path) {
        self.opened.extend(path.ancestors().map(Path::to_owned));
    }

    /// A link that leads a mount point into `/proc` or `/dev` is no use to anybody honest, and what is there
    /// when the mount is attached is not what is there in the image. (`/var/tmp` may well be a link to `/tmp`.)
    fn refuse_own(asked: &Path, place: &Path) -> Result<(), StepError> {
        let own = OWN.iter().filter(|own| **own != "/tmp");
        if own.into_iter().any(|own| place.starts_with(own) && !asked.starts_with(own)) {
            let step = format!("use {}: it leads to {}", asked.display(), place.display());
            return Err(StepError { step: step.into(), errno: libc::EINVAL });
        }
        Ok(())
    }

    /// Makes a directory of the image on the tmpfs, with views of its entries.
    fn show(&self, directory: BorrowedFd<'_>, path: &Path, view: &mut View) -> Result<(), StepError> {
        let step = || format!("read {} of the root file system", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = openat(directory, c".", flags, Mode::empty()).step_with(step)?;
        for entry in Dir::new(listed).step_with(step)? {
            let entry = entry.step_with(step)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let child = path.join(name);
            if name == "." || name == ".." || self.left_out.contains(&child) {
                continue;
            }
            let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).step_with(step)?;
            match FileType::from_raw_mode(status.st_mode) {
                FileType::Directory if self.opened.contains(&child) => {
                    view.directories.push((child.clone(), status.st_mode & 0o777));
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = openat(directory, name, flags, Mode::empty()).step_with(step)?;
                    self.show(below.as_fd(), &child, view)?;
                }
                FileType::Directory | FileType::RegularFile => {
                    view.system.push(Captured::entry(directory, name, &child)?);
                }
                FileType::Symlink => {
                    let target = readlinkat(directory, name, Vec::new()).step_with(step)?;
                    view.links.push((child, OsStr::from_bytes(target.as_bytes()).into()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// `/bin/sh` is bash, as for the host's root, if the image has one.
fn capture_shell(root: BorrowedFd<'_>, view: &mut View) -> Result<(), StepError> {
    let shell = resolve(root, Path::new("/bin/sh"), Last::Follow)?;
    let bash = resolve(root, Path::new("/bin/bash"), Last::Follow)?;
    let (
        Place::There { path: shell, kind: FileType::RegularFile, .. },
        Place::There { parent: Some(parent), path: bash, kind: FileType::RegularFile },
    ) = (shell, bash)
    else {
        return Ok(());
    };
    if let (true, Some(name)) = (shell != bash, bash.file_name()) {
        view.system.push(Captured::entry(parent.as_fd(), name, &shell)?);
    }
    Ok(())
}
