//! Volumes by size: those that wait for a sandbox, and those that can be used again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::ScratchError;
use super::place::{MountPoint, Place};
use super::template::{Template, find_mke2fs};
use super::volume::Volume;
use crate::limits::WhyMemory;

/// Mounted volumes of a size that wait for a sandbox, at most and before more are made. Few, because every
/// mount of the daemon is copied into each new sandbox for a moment, at about 4 microseconds.
const READY: usize = 4;
const LOW: usize = 2;
/// Unused volumes of a size that are kept beside those, each a loop device and some ten kilobytes of the
/// kernel's memory.
const RESTING: usize = 28;
/// Sizes for which anything is kept.
const SIZES: usize = 8;

/// A volume and where it is mounted.
pub(crate) type Shown = (Volume, MountPoint);

/// Makes and keeps volumes.
pub(crate) struct Store {
    // Before the place that their mount points are in.
    sizes: Mutex<Sizes>,
    place: Place,
    mke2fs: PathBuf,
}

#[derive(Default)]
struct Sizes {
    by_bytes: HashMap<u64, Size>,
    /// Counts uses, to find the size that was not used for longest.
    clock: u64,
    closed: bool,
}

#[derive(Default)]
struct Size {
    /// Made by the first who needs it, while others wait.
    template: Arc<Mutex<Option<Arc<Template>>>>,
    ready: Vec<Shown>,
    resting: Vec<Volume>,
    used: u64,
}

impl Store {
    /// Tries everything once, in an existing directory: what works now will work later.
    pub(crate) fn open(directory: &Path, first_bytes: u64) -> Result<Self, WhyMemory> {
        if !rustix::process::geteuid().is_root() {
            return Err(WhyMemory::NotRoot);
        }
        let mke2fs = find_mke2fs().ok_or(WhyMemory::NoMke2fs)?;
        if !Path::new("/dev/loop-control").exists() {
            return Err(WhyMemory::NoLoopDevices);
        }
        let open = || -> Result<Self, ScratchError> {
            let place = Place::open(directory)?;
            let store = Self { sizes: Mutex::default(), place, mke2fs };
            let first = store.make(first_bytes)?;
            store.lock().size(first_bytes).ready.push(first);
            Ok(store)
        };
        open().map_err(|error| {
            tracing::warn!(%error, directory = %directory.display(), "sandboxes get no /tmp on disk");
            match error {
                ScratchError::NoDisk { .. } => WhyMemory::NoDisk,
                ScratchError::DiskFull { .. } => WhyMemory::DiskFull,
                _ => WhyMemory::Refused,
            }
        })
    }

    /// A volume: one that waits, else one that was not written to, else a new one. Also says whether
    /// [`Self::refill`] has something to do.
    pub(crate) fn take(&self, bytes: u64) -> Result<(Shown, bool), ScratchError> {
        let (kept, low) = {
            let mut sizes = self.lock();
            let size = sizes.size(bytes);
            let kept = size.ready.pop().map(Ok).or_else(|| size.resting.pop().map(Err));
            (kept, size.ready.len() < LOW)
        };
        let shown = match kept {
            Some(Ok(shown)) => shown,
            Some(Err(resting)) => self.show(resting)?,
            None => self.make(bytes)?,
        };
        Ok((shown, low))
    }

    /// Takes a volume back that nobody uses any more, to be used again if it was never written to.
    pub(crate) fn give_back(&self, bytes: u64, volume: Volume, mount_point: Option<MountPoint>) {
        if !volume.is_fresh() {
            return;
        }
        // What is not kept ends after the lock has gone.
        let _rest = {
            let mut sizes = self.lock();
            let closed = sizes.closed;
            match (sizes.by_bytes.get_mut(&bytes).filter(|_| !closed), mount_point) {
                (Some(size), Some(mount_point)) if size.ready.len() < READY => {
                    size.ready.push((volume, mount_point));
                    return;
                }
                (Some(size), mount_point) if size.resting.len() < RESTING => {
                    size.resting.push(volume);
                    (None, mount_point)
                }
                (_, mount_point) => (Some(volume), mount_point),
            }
        };
    }

    /// Sees to it that enough volumes of a size wait.
    pub(crate) fn refill(&self, bytes: u64) {
        loop {
            let resting = {
                let mut sizes = self.lock();
                let closed = sizes.closed;
                match sizes.by_bytes.get_mut(&bytes) {
                    Some(size) if !closed && size.ready.len() < READY => size.resting.pop(),
                    _ => return,
                }
            };
            match resting.map_or_else(|| self.make(bytes), |volume| self.show(volume)) {
                Ok(shown) => self.keep_ready(bytes, shown),
                // Whoever needs one will try and report it.
                Err(error) => return tracing::debug!(%error, bytes, "no volume made ahead"),
            }
        }
    }

    /// Ends all volumes that nobody uses, and keeps none from now on.
    pub(crate) fn close(&self) {
        let sizes = {
            let mut sizes = self.lock();
            sizes.closed = true;
            std::mem::take(&mut sizes.by_bytes)
        };
        // Without the lock: this takes a moment.
        drop(sizes);
    }

    fn keep_ready(&self, bytes: u64, shown: Shown) {
        let mut sizes = self.lock();
        if !sizes.closed
            && let Some(size) = sizes.by_bytes.get_mut(&bytes)
        {
            size.ready.push(shown);
        }
    }

    fn show(&self, volume: Volume) -> Result<Shown, ScratchError> {
        let mount_point = volume.show(&self.place)?;
        Ok((volume, mount_point))
    }

    fn make(&self, bytes: u64) -> Result<Shown, ScratchError> {
        let template = Arc::clone(&self.lock().size(bytes).template);
        let template = {
            let mut made = template.lock().unwrap_or_else(PoisonError::into_inner);
            match &*made {
                Some(template) => Arc::clone(template),
                None => {
                    let template = Arc::new(Template::make(&self.place, &self.mke2fs, bytes)?);
                    *made = Some(Arc::clone(&template));
                    template
                }
            }
        };
        Volume::create(&self.place, &template)
    }

    fn lock(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sizes {
    /// The entry for a size, for which the one that was not used for longest may have to go.
    fn size(&mut self, bytes: u64) -> &mut Size {
        self.clock += 1;
        if self.by_bytes.len() >= SIZES && !self.by_bytes.contains_key(&bytes) {
            let oldest = self.by_bytes.iter().min_by_key(|(_, size)| size.used).map(|(bytes, _)| *bytes);
            oldest.and_then(|oldest| self.by_bytes.remove(&oldest));
        }
        let size = self.by_bytes.entry(bytes).or_default();
        size.used = self.clock;
        size
    }
}
