//! Where images and mount points are.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lambd_jail::volume::{LoopDevice, Workplace, detach};
use rustix::fs::{Mode, OFlags};

use super::error::ScratchError;

/// What must stay free on the disk beside what a new volume may hold, for everything else that writes there.
const MARGIN_BYTES: u64 = 64 << 20;

/// File systems that are memory: tmpfs and ramfs, see statfs(2).
const IN_MEMORY: &[rustix::fs::FsWord] = &[0x0102_1994, 0x8584_58f6];

/// A directory of the host for images, covered by one in memory for mount points.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Below the cover.
    images: OwnedFd,
    cover: Workplace,
}

impl Place {
    /// Covers an existing directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, ScratchError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let images = rustix::fs::open(directory, flags, Mode::empty())
            .map_err(|error| ScratchError::io("open the directory of volumes", error.into()))?;
        let kind = rustix::fs::fstatfs(&images)
            .map_err(|error| ScratchError::io("look at the directory of volumes", error.into()))?
            .f_type;
        // Its pages could be charged to the function that writes to the volume, and never given back.
        if IN_MEMORY.contains(&kind) {
            return Err(ScratchError::NoDisk { directory: directory.to_owned() });
        }
        Ok(Self { path: directory.to_owned(), images, cover: Workplace::mount(directory)? })
    }

    /// A sparse file without a name, so that nothing is left of it once nobody uses it, whatever happens.
    /// Refused unless the disk has room for all that may be written to it.
    pub(crate) fn image(&self, bytes: u64) -> Result<File, ScratchError> {
        let stat = rustix::fs::fstatvfs(&self.images)
            .map_err(|error| ScratchError::io("look at the free space of the disk", error.into()))?;
        let (free, needed) =
            (stat.f_bavail.saturating_mul(stat.f_frsize), bytes.saturating_add(MARGIN_BYTES));
        if free < needed {
            return Err(ScratchError::DiskFull { directory: self.path.clone(), free, needed });
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let image = rustix::fs::openat(&self.images, ".", flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| ScratchError::io("make a file without a name", error.into()))?;
        let image = File::from(image);
        image.set_len(bytes).map_err(|source| ScratchError::io("set the size of an image", source))?;
        Ok(image)
    }

    /// Attaches an image to a device.
    pub(crate) fn attach(&self, image: &File) -> Result<LoopDevice, ScratchError> {
        Ok(LoopDevice::attach(image.as_fd(), &self.cover)?)
    }

    /// Mounts the file system of a device at a place of its own.
    pub(crate) fn show(&self, device: &LoopDevice) -> Result<MountPoint, ScratchError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&path).map_err(|source| ScratchError::io("make a mount point", source))?;
        if let Err(error) = device.mount(&path) {
            let _ = std::fs::remove_dir(&path);
            return Err(error.into());
        }
        Ok(MountPoint(path))
    }
}

/// A mounted volume's path. Unmounted when dropped; whoever uses the volume by then goes on.
#[derive(Debug)]
pub(crate) struct MountPoint(PathBuf);

impl MountPoint {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if let Err(error) = detach(&self.0).and_then(|()| std::fs::remove_dir(&self.0)) {
            tracing::warn!(path = %self.0.display(), %error, "cannot unmount a volume");
        }
    }
}
