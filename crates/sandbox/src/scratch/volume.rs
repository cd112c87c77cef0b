//! One file system in a file without a name.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use lambd_jail::volume::LoopDevice;
use rustix::fs::{Dir, Mode, OFlags};

use super::error::ScratchError;
use super::place::{MountPoint, Place};
use super::template::Template;

/// A file system of its own. It lives as long as this, and longer where it is mounted; with its last user
/// the kernel gives back the device and the room on the disk.
#[derive(Debug)]
pub(crate) struct Volume {
    /// The root directory. Declared first, so that the file system ends before the device detaches.
    root: File,
    device: Arc<LoopDevice>,
    fresh: State,
    /// The device still keeps what it reads and writes in the host's memory.
    through_cache: bool,
}

/// What changes when anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    changed: (i64, u64),
    free_blocks: u64,
    free_inodes: u64,
}

impl Volume {
    /// Makes an empty one and mounts it.
    pub(crate) fn create(place: &Place, template: &Template) -> Result<(Self, MountPoint), ScratchError> {
        let image = place.image(template.image_bytes())?;
        template.write(&image)?;
        let device = Arc::new(place.attach(&image)?);
        let mount_point = place.show(&device)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |error: rustix::io::Errno| ScratchError::io("open an empty file system", error.into());
        let root = File::from(rustix::fs::open(mount_point.path(), flags, Mode::empty()).map_err(open)?);
        let fresh = State::of(&root).map_err(open)?;
        Ok((Self { root, device, fresh, through_cache: true }, mount_point))
    }

    /// Mounts it once more.
    pub(crate) fn show(&self, place: &Place) -> Result<MountPoint, ScratchError> {
        place.show(&self.device)
    }

    /// The device it is on, once: see [`LoopDevice::bypass_cache`].
    pub(crate) fn device_through_cache(&mut self) -> Option<Arc<LoopDevice>> {
        std::mem::take(&mut self.through_cache).then(|| Arc::clone(&self.device))
    }

    /// Whether nothing of what was done in it, if anything, can be found any more: it is empty, its root
    /// directory has not changed, and not a block or inode is in use that was not at first.
    ///
    /// Means something only when no process can write any more.
    pub(crate) fn is_fresh(&self) -> bool {
        State::of(&self.root).is_ok_and(|state| state == self.fresh) && is_empty(&self.root)
    }
}

impl State {
    fn of(root: &File) -> rustix::io::Result<Self> {
        let (stat, room) = (rustix::fs::fstat(root)?, rustix::fs::fstatvfs(root)?);
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Ok(Self { changed, free_blocks: room.f_bfree, free_inodes: room.f_ffree })
    }
}

fn is_empty(root: &File) -> bool {
    let entries = Dir::read_from(root.as_fd());
    entries.is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
    })
}
