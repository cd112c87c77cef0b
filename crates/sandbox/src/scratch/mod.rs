//! `/tmp` of sandboxes on disk: limited in size, and not charged to the sandbox's memory.
//!
//! Each sandbox gets a file system of its own: ext4 in a sparse file without a name, on a loop device.
//! So the limit is the size of the file system, and a program at the limit sees what it sees on AWS,
//! `ENOSPC`; `df` shows the limit; nothing of a sandbox can be met by another; and the end of a sandbox is
//! the end of its file, whatever is in there: nobody ever walks through what a function left.
//!
//! Project quotas on one volume for all would be cheaper to make, but many kernels are built without them
//! (`CONFIG_QFMT_V2`), ext4 answers `EDQUOT` instead, and contents would have to be removed file by file.
//!
//! Making a volume takes 1 to 2 ms, so some are ready before they are needed, and those that a sandbox
//! never wrote to are used again. Mounts are visible in the daemon's own mount namespace only
//! ([`lambd_jail::private_mounts`]), and but for a few only until the sandbox has its own: each mount of
//! the daemon makes every new sandbox a little slower.
//!
//! | module     | idea                                          |
//! |------------|-----------------------------------------------|
//! | `place`    | where images and mount points are             |
//! | `template` | an empty file system, to be copied            |
//! | `volume`   | one file system in a file without a name      |
//! | `store`    | volumes by size, waiting or to be used again  |

mod error;
mod place;
mod store;
mod template;
mod volume;

use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use lambd_jail::protocol::Tmp;
use tokio::sync::oneshot;

use crate::limits::{TmpInForce, WhyMemory};
use place::MountPoint;
use store::Store;
use volume::Volume;

/// Living sandboxes whose volume stays mounted in the daemon's namespace. A few cost new sandboxes little
/// (see `store::READY`) and save unmounting and mounting again; a thousand would double their cost.
const STAYING: usize = 8;

/// Where `/tmp` of sandboxes is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchOptions {
    /// Directory for the volumes, made if missing; `None` puts `/tmp` into memory. Nothing is left in it.
    ///
    /// The process should have called [`lambd_jail::private_mounts`]; else its mounts are seen by the whole
    /// host and stay if it is killed.
    pub directory: Option<PathBuf>,
    /// The size in bytes that most sandboxes will ask for, prepared before they do.
    pub usual_bytes: u64,
}

impl Default for ScratchOptions {
    fn default() -> Self {
        Self { directory: None, usual_bytes: 512 << 20 }
    }
}

/// Gives out volumes. Two threads do what takes time: one makes, one ends them.
pub(crate) struct Scratch {
    shared: Arc<Shared>,
    /// Volumes of living sandboxes that are still mounted in the daemon's namespace.
    shown: Arc<AtomicUsize>,
    maker: mpsc::Sender<u64>,
    ender: mpsc::Sender<End>,
}

/// What it turned out to be; set by the maker.
type Shared = OnceLock<Result<Store, WhyMemory>>;

enum End {
    /// The sandbox has ended, or was never made.
    Volume { volume: Volume, mount_point: Option<MountPoint>, bytes: u64, unused: bool },
    /// End all that nobody uses, then answer.
    Everything(oneshot::Sender<()>),
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scratch").field(&self.in_force()).finish()
    }
}

impl Scratch {
    /// Finds out in the background whether volumes can be made.
    pub(crate) fn start(options: ScratchOptions) -> Self {
        let (maker, refills) = mpsc::channel();
        let (ender, ends) = mpsc::channel();
        let shared = Arc::new(Shared::new());
        let scratch = Self { shared: Arc::clone(&shared), shown: Arc::default(), maker, ender };
        let Some(directory) = options.directory else {
            let _ = shared.set(Err(WhyMemory::NotConfigured));
            return scratch;
        };
        let (made, ended) = (Arc::clone(&shared), Arc::clone(&shared));
        let make = move || make_all(&made, &directory, options.usual_bytes, &refills);
        let started = thread::Builder::new().name("lambd-tmp".into()).spawn(make).and_then(|_| {
            thread::Builder::new().name("lambd-tmp-end".into()).spawn(move || end_all(&ended, &ends))
        });
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start the threads that make volumes");
            let _ = shared.set(Err(WhyMemory::Refused));
        }
        scratch
    }

    /// What `/tmp` of the next sandbox is, as far as it is known.
    pub(crate) fn in_force(&self) -> TmpInForce {
        match self.shared.get() {
            None => TmpInForce::Undecided,
            Some(Ok(_)) => TmpInForce::Disk,
            Some(Err(why)) => TmpInForce::Memory(*why),
        }
    }

    /// Waits until [`Self::in_force`] is decided, which takes some milliseconds after the start.
    pub(crate) async fn decided(&self) {
        let shared = Arc::clone(&self.shared);
        // Fails only when the runtime ends.
        let wait = move || {
            shared.wait();
        };
        let _ = tokio::task::spawn_blocking(wait).await;
    }

    /// A `/tmp` of this size. Blocks: for a moment, or for some milliseconds when none is ready. Falls back
    /// to memory, with a warning, when the disk is full or the kernel refuses.
    pub(crate) fn take(&self, bytes: u64) -> Lease {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let memory = || Lease { tmp: Tmp::Memory { bytes }, held: None };
        let Ok(store) = self.shared.wait() else { return memory() };
        match store.take(bytes) {
            Ok(((volume, mount_point), low)) => {
                WARNED.store(false, Ordering::Relaxed);
                Lease {
                    tmp: Tmp::Directory { path: mount_point.path().to_owned() },
                    held: Some(Held {
                        volume,
                        mount_point: Some(mount_point),
                        shown: Shown { all: Arc::clone(&self.shown), counted: false },
                        bytes,
                        low,
                        unused: AtomicBool::new(false),
                        maker: self.maker.clone(),
                        ender: self.ender.clone(),
                    }),
                }
            }
            Err(error) => {
                if !WARNED.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "/tmp of a sandbox is memory and counts as such, until this works again");
                }
                memory()
            }
        }
    }

    /// Ends all volumes of sandboxes that are gone, and keeps none any more.
    pub(crate) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.ender.send(End::Everything(done)).is_ok() {
            // An error means that there was nothing to end.
            let _ = ended.await;
        }
    }
}

/// What `/tmp` would be if sandboxes were started with this directory, found out by making a volume there, or
/// as near above as something exists. Leaves nothing behind.
#[must_use]
pub fn probe_scratch(directory: &Path) -> TmpInForce {
    /// Enough for a file system.
    const BYTES: u64 = 1 << 20;
    let existing = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let attempt = || {
        // Of this thread only. Should it fail, mounting does too.
        let _ = lambd_jail::private_mounts();
        Store::open(existing, BYTES).map(drop)
    };
    let outcome = thread::scope(|scope| scope.spawn(attempt).join());
    outcome.unwrap_or(Err(WhyMemory::Refused)).map_or_else(TmpInForce::Memory, |()| TmpInForce::Disk)
}

/// The `/tmp` of one sandbox, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    tmp: Tmp,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    volume: Volume,
    mount_point: Option<MountPoint>,
    shown: Shown,
    bytes: u64,
    /// More of this size have to be made.
    low: bool,
    /// No process can write to it any more.
    unused: AtomicBool,
    maker: mpsc::Sender<u64>,
    ender: mpsc::Sender<End>,
}

/// A place among the mounts that stay although their sandbox has its own.
#[derive(Debug)]
struct Shown {
    all: Arc<AtomicUsize>,
    counted: bool,
}

impl Shown {
    /// Takes a place if there is one.
    fn keep(&mut self) -> bool {
        self.counted = self.all.fetch_add(1, Ordering::Relaxed) < STAYING;
        if !self.counted {
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
        self.counted
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.counted {
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Lease {
    /// What the jail shall mount.
    pub(crate) fn tmp(&self) -> Tmp {
        self.tmp.clone()
    }

    /// The sandbox is built and has a mount of its own: the directory may disappear from the host. Must be
    /// called inside a tokio runtime.
    pub(crate) fn mounted(&mut self) {
        let Some(held) = &mut self.held else { return };
        let stays = held.shown.keep();
        let mount_point = held.mount_point.take_if(|_| !stays);
        let device = held.volume.device_through_cache();
        if mount_point.is_some() || device.is_some() {
            tokio::task::spawn_blocking(move || {
                drop(mount_point);
                // Not before: what makes a volume need not reach the disk while nobody writes to it.
                device.inspect(|device| device.bypass_cache());
            });
        }
        if held.low {
            let _ = held.maker.send(held.bytes);
        }
    }

    /// No process of the sandbox is left. Without this call the volume is never used again, because
    /// somebody might still write to it.
    pub(crate) fn ended(&self) {
        if let Some(held) = &self.held {
            held.unused.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Held { volume, mount_point, bytes, unused, ender, .. }) = self.held.take() {
            // A thread that is gone drops it right here.
            let unused = unused.into_inner();
            let _ = ender.send(End::Volume { volume, mount_point, bytes, unused });
        }
    }
}

fn make_all(shared: &Shared, directory: &Path, usual_bytes: u64, refills: &mpsc::Receiver<u64>) {
    let mut builder = std::fs::DirBuilder::new();
    // Should this fail, the store will say what is wrong with it.
    let _ = builder.recursive(true).mode(0o700).create(directory);
    let _ = shared.set(Store::open(directory, usual_bytes));
    let Some(Ok(store)) = shared.get() else { return };
    store.refill(usual_bytes);
    for bytes in refills {
        store.refill(bytes);
    }
}

fn end_all(shared: &Shared, ends: &mpsc::Receiver<End>) {
    let Ok(store) = shared.wait() else { return };
    for end in ends {
        match end {
            End::Volume { volume, mount_point, bytes, unused } => {
                if unused {
                    store.give_back(bytes, volume, mount_point);
                }
            }
            End::Everything(done) => {
                store.close();
                let _ = done.send(());
            }
        }
    }
}
