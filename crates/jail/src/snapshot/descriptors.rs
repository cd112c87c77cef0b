//! Open files: what of them can be had again in another sandbox.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{SeekFrom, seek};
use serde::{Deserialize, Serialize};

use super::facts::{field, number_of};
use super::{CaptureError, refused, trace};
use crate::error::{Step, StepError};

/// Devices that mean the same to everybody: null, zero, full, random, urandom. All have the major number 1.
const DEVICES: [u32; 5] = [3, 5, 7, 8, 9];

/// Names one file for all sandboxes that see it, and tells when it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileId {
    fn of(path: PathBuf, file: &fs::Metadata) -> Self {
        Self {
            path,
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }

    /// Opens a file to be captured with who it is.
    pub(super) fn open_first(path: PathBuf) -> Result<(File, Self), CaptureError> {
        if path.starts_with("/tmp") {
            return Err(refused(format!(
                "the process uses {}, which other instances do not have",
                path.display()
            )));
        }
        let file = File::open(&path).step_with(|| format!("open {}", path.display()))?;
        let metadata = file.metadata().step_with(|| format!("look at {}", path.display()))?;
        Ok((file, Self::of(path, &metadata)))
    }

    /// Opens it again, if it still is the same.
    pub(super) fn open(&self) -> Result<File, StepError> {
        let file = File::open(&self.path).step_with(|| format!("open {}", self.path.display()))?;
        let metadata = file.metadata().step_with(|| format!("look at {}", self.path.display()))?;
        if Self::of(self.path.clone(), &metadata) != *self {
            let step = format!("map {}, which has changed since the snapshot", self.path.display());
            return Err(StepError { step: step.into(), errno: libc::ESTALE });
        }
        Ok(file)
    }
}

/// An open file of a captured process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Descriptor {
    pub(super) number: RawFd,
    /// As open(2) takes them.
    flags: i32,
    kind: Kind,
}

/// How it can be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// The one that the restoring side gives.
    Given,
    /// Opened again at this offset.
    File { file: FileId, position: u64 },
    /// One of [`DEVICES`].
    Device { path: PathBuf },
    /// A counter for events, see eventfd(2).
    Counter { count: u64, is_semaphore: bool },
    /// Another number for this one.
    Duplicate { of: RawFd },
}

/// All but the standard ones of a process; `waits_on` is given again, unless it is one of those.
pub(super) fn of(pid: i32, waits_on: RawFd) -> Result<Vec<Descriptor>, CaptureError> {
    let folder = format!("/proc/{pid}/fd");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(&folder).step("list open files")? {
        let name = entry.step("list open files")?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    numbers.sort_unstable();
    let mut all: Vec<Descriptor> = Vec::new();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        let mut found = describe(pid, number, waits_on)?;
        for earlier in &all {
            if trace::is_same_file(pid, earlier.number, number).step("compare open files")? {
                found.kind = Kind::Duplicate { of: earlier.number };
                break;
            }
        }
        all.push(found);
    }
    Ok(all)
}

fn describe(pid: i32, number: RawFd, waits_on: RawFd) -> Result<Descriptor, CaptureError> {
    let link = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).step("look at an open file")?;
    let flags = field(&info, "flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    let flags = flags.ok_or_else(|| refused("the kernel does not tell about open files"))?;
    let target = fs::read_link(&link).step("look at an open file")?;
    let kind = match target.to_str().unwrap_or_default() {
        _ if number == waits_on => Kind::Given,
        _ if info.contains("\nlock:") => {
            return Err(refused(format!("the process holds a lock on {}", target.display())));
        }
        "anon_inode:[eventfd]" => {
            let count = field(&info, "eventfd-count:").and_then(|count| u64::from_str_radix(count, 16).ok());
            let is_semaphore = number_of(&info, "eventfd-semaphore:") == Some(1);
            Kind::Counter { count: count.unwrap_or(0), is_semaphore }
        }
        name if name.starts_with("socket:") => {
            return Err(refused(format!("the process has an open socket (descriptor {number})")));
        }
        name if name.starts_with("pipe:") => {
            return Err(refused(format!("the process has an open pipe (descriptor {number})")));
        }
        name if name.starts_with('/') => on_disk(&link, target.clone(), flags, &info)?,
        name => {
            let name = name.trim_start_matches("anon_inode:").trim_matches(['[', ']']);
            return Err(refused(format!("the process has an open {name} (descriptor {number})")));
        }
    };
    Ok(Descriptor { number, flags, kind })
}

fn on_disk(link: &Path, path: PathBuf, flags: i32, info: &str) -> Result<Kind, CaptureError> {
    let open = fs::metadata(link).step_with(|| format!("look at {}", path.display()))?;
    if open.file_type().is_char_device() {
        let (major, minor) = (libc::major(open.rdev()), libc::minor(open.rdev()));
        if major == 1 && DEVICES.contains(&minor) {
            return Ok(Kind::Device { path });
        }
    }
    if !open.is_file() {
        return Err(refused(format!("the process has {} open", path.display())));
    }
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Err(refused(format!("the process has {} open for writing", path.display())));
    }
    let gone = || refused(format!("the process has {} open, which is gone", path.display()));
    let (_, file) = match FileId::open_first(path.clone()) {
        Err(CaptureError::Failed(error)) if error.errno == libc::ENOENT => return Err(gone()),
        opened => opened?,
    };
    if file != FileId::of(path.clone(), &open) {
        return Err(gone());
    }
    Ok(Kind::File { file, position: number_of(info, "pos:").unwrap_or(0) })
}

impl Descriptor {
    /// Whether execve(2) closes it.
    fn closes_on_exec(&self) -> bool {
        self.flags & libc::O_CLOEXEC != 0
    }

    /// Opens it again; `None` for those that need another one first.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>, StepError> {
        match &self.kind {
            Kind::Given | Kind::Duplicate { .. } => Ok(None),
            Kind::File { file, position } => {
                let opened = file.open()?;
                seek(&opened, SeekFrom::Start(*position)).step("go to the place in an open file")?;
                Ok(Some(opened.into()))
            }
            Kind::Device { path } => {
                let mut options = File::options();
                let access = self.flags & libc::O_ACCMODE;
                options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY);
                options.custom_flags(self.flags & libc::O_NONBLOCK);
                let opened = options.open(path).step_with(|| format!("open {}", path.display()))?;
                Ok(Some(opened.into()))
            }
            Kind::Counter { count, is_semaphore } => {
                let mut flags = EventfdFlags::CLOEXEC;
                flags.set(EventfdFlags::NONBLOCK, self.flags & libc::O_NONBLOCK != 0);
                flags.set(EventfdFlags::SEMAPHORE, *is_semaphore);
                let counter = eventfd(0, flags).step("make a counter for events")?;
                if *count > 0 {
                    rustix::io::write(&counter, &count.to_ne_bytes()).step("set a counter for events")?;
                }
                Ok(Some(counter))
            }
        }
    }

    /// Puts it at its number, from wherever it was opened.
    pub(super) fn place(&self, opened: Option<OwnedFd>, given: &OwnedFd) -> io::Result<()> {
        match (&self.kind, opened) {
            (Kind::Duplicate { of }, _) => copy_to(*of, self.number, self.closes_on_exec()),
            (Kind::Given, _) => copy_to(given.as_raw_fd(), self.number, self.closes_on_exec()),
            (_, Some(opened)) => copy_to(opened.as_raw_fd(), self.number, self.closes_on_exec()),
            (_, None) => Ok(()),
        }
    }
}

/// Makes a number mean an open file, whatever it meant before.
pub(super) fn copy_to(from: RawFd, to: RawFd, closes_on_exec: bool) -> io::Result<()> {
    let flags = if closes_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: no pointers. Only a process that is about to be replaced as a whole calls this, and nothing in it
    // uses what `to` meant before.
    if unsafe { libc::dup3(from, to, flags) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves a descriptor to a number that is not below another one.
pub(super) fn move_up(fd: impl Into<OwnedFd>, lowest: RawFd) -> io::Result<OwnedFd> {
    let fd = fd.into();
    if fd.as_raw_fd() >= lowest {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), lowest)?)
}
