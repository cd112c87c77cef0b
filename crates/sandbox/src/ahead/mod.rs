//! Programs that are started ahead of demand, each in a sandbox of its own that becomes that of a function when one
//! needs it.
//!
//! Such a program has run nothing of anybody's yet, and serves one function only. Of one that allows it an image is taken,
//! and all further ones are restored from that, which takes a fraction of the time: also when none waits. How many wait follows demand
//! (`demand`) and what memory is free; both cost only time when they are wrong, because who finds none starts the
//! program itself.

mod demand;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lambd_jail::snapshot::Captured;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::demand::Demand;
use crate::error::SandboxError;
use crate::memory::{MachineMemory, MemoryNow};
use crate::pool::Pool;
use crate::prepared::Prepared;
use crate::spec::{Base, BaseRoot, Bind};

/// A program that was taken is replaced after this: its function needs the processor first.
const REFILL_AFTER: Duration = Duration::from_millis(50);

/// A program that cannot be started, or has ended, is tried again after this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// While programs wait, how often is looked whether they should.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Nothing waits when less than this part of the memory is available.
const SHORT_OF_MEMORY: f64 = 0.1;

/// A program that can be started before it is known for whom, and what it needs for that.
///
/// It must be one that runs no code of others before its environment arrives: its standard input is a socket, to which
/// it writes one byte when it is ready, and from which it reads to the end: each variable of its environment as
/// `NAME=VALUE` with a zero byte behind it. An end without any means that it is not needed and should end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ahead {
    /// Absolute path of the program inside the sandbox.
    pub command: PathBuf,
    /// Arguments after `argv[0]`, which is the command itself.
    pub args: Vec<String>,
    /// Its environment until it gets another.
    pub env: Vec<(String, String)>,
    /// Read-only views of host directories or files; see [`SandboxSpec::binds`](crate::SandboxSpec::binds).
    pub binds: Vec<Bind>,
    /// Symbolic links as pairs of absolute link path and target.
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Size limit of `/tmp` in bytes; see [`SandboxSpec::tmp_bytes`](crate::SandboxSpec::tmp_bytes).
    pub tmp_bytes: u64,
    /// Directories that are there, empty, until it gets its environment, for a dynamic linker that looks once which of
    /// its directories exist.
    pub directories: Vec<PathBuf>,
    /// Whether others may be restored from its image once it waits, so that they share what is in its memory: it must
    /// have a single thread, and keep nothing that is to be random.
    pub can_be_captured: bool,
}

/// What became of programs that were started ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AheadNow {
    /// They wait.
    pub waiting: usize,
    /// They were there when they were needed.
    pub used: u64,
    /// They were restored from an image when they were needed.
    pub restored: u64,
    /// They had to be started when they were needed.
    pub missed: u64,
}

/// One kind of sandbox with a program in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    base: Base,
    ahead: Arc<Ahead>,
}

struct Shelf {
    demand: Demand,
    ready: Vec<Prepared>,
    image: Image,
    /// After a failure.
    not_before: Option<Instant>,
}

/// What others of a kind are restored from.
enum Image {
    /// It may be there later.
    Missing,
    Taken(Arc<Captured>),
    /// There will be none.
    Refused,
}

/// How a program comes to be that was asked for.
pub(crate) enum Source {
    Waiting(Box<Prepared>),
    Image(Arc<Captured>),
    /// It has to be started.
    Nothing,
}

/// The programs that wait.
pub(crate) struct Started {
    /// How many at most, of all kinds together; none means that nothing is started ahead.
    most: usize,
    memory: MachineMemory,
    /// None once it is closed: one that is being started meanwhile must not be kept.
    shelves: Mutex<Option<HashMap<Kind, Shelf>>>,
    used: AtomicU64,
    restored: AtomicU64,
    missed: AtomicU64,
    changed: Arc<Notify>,
}

impl Started {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            memory: MachineMemory::find(),
            shelves: Mutex::new(Some(HashMap::new())),
            used: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            changed: Arc::default(),
        })
    }

    /// Works in the background as long as somebody has both; must be called inside a runtime.
    pub(crate) fn run(self: &Arc<Self>, pool: &Arc<Pool>) {
        if self.most > 0 {
            tokio::spawn(fill(Arc::downgrade(self), Arc::downgrade(pool), Arc::clone(&self.changed)));
        }
    }

    /// A sandbox in which the program waits, if there is one, or its image. There will be more of them.
    pub(crate) fn take(&self, base: Base, ahead: &Arc<Ahead>) -> Source {
        let mut shelves = self.shelves();
        let Some(shelf) = shelves.as_mut().and_then(|shelves| self.shelf(shelves, base, ahead)) else {
            return Source::Nothing;
        };
        shelf.demand.rises(Instant::now());
        // One may have been killed while it waited.
        let taken = std::iter::from_fn(|| shelf.ready.pop()).find(Prepared::is_alive);
        let (source, count) = match (taken, &shelf.image) {
            (Some(prepared), _) => (Source::Waiting(Box::new(prepared)), &self.used),
            (None, Image::Taken(image)) => (Source::Image(Arc::clone(image)), &self.restored),
            (None, Image::Missing | Image::Refused) => (Source::Nothing, &self.missed),
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        source
    }

    pub(crate) fn now(&self) -> AheadNow {
        let waiting = self.shelves().iter().flat_map(HashMap::values).map(|shelf| shelf.ready.len()).sum();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (used, restored, missed) = (count(&self.used), count(&self.restored), count(&self.missed));
        AheadNow { waiting, used, restored, missed }
    }

    /// Has the program started, because it is likely to be asked for.
    pub(crate) fn expect(&self, base: Base, ahead: &Arc<Ahead>) {
        let mut shelves = self.shelves();
        let Some(shelf) = shelves.as_mut().and_then(|shelves| self.shelf(shelves, base, ahead)) else {
            return;
        };
        shelf.demand.lasts(Instant::now());
        self.changed.notify_one();
    }

    /// Restores nothing more from the image of a program.
    pub(crate) fn refuse_image(&self, base: Base, ahead: &Arc<Ahead>) {
        let kind = Kind { base, ahead: Arc::clone(ahead) };
        self.of(&kind, |shelf| shelf.image = Image::Refused);
    }

    /// Ends those that wait, and starts no more.
    pub(crate) fn close(&self) {
        *self.shelves() = None;
        self.changed.notify_one();
    }

    fn shelf<'a>(
        &self,
        shelves: &'a mut HashMap<Kind, Shelf>,
        base: Base,
        ahead: &Arc<Ahead>,
    ) -> Option<&'a mut Shelf> {
        if self.most == 0 || base.root != BaseRoot::Host {
            return None;
        }
        let kind = Kind { base, ahead: Arc::clone(ahead) };
        Some(shelves.entry(kind).or_insert_with(|| Shelf {
            demand: Demand::expected(Instant::now()),
            ready: Vec::new(),
            image: if ahead.can_be_captured { Image::Missing } else { Image::Refused },
            not_before: None,
        }))
    }

    /// What is to be started next; ends what should not wait any longer. `Err` once it is closed.
    fn next(&self, now: Instant) -> Result<Option<Kind>, Closed> {
        let is_short = self.memory.read().is_some_and(is_short);
        let mut surplus = Vec::new();
        let mut shelves = self.shelves();
        let shelves = shelves.as_mut().ok_or(Closed)?;
        let mut kinds: Vec<_> = shelves.iter_mut().collect();
        kinds.sort_by_key(|(_, shelf)| std::cmp::Reverse(shelf.demand.last()));
        let mut left = if is_short { 0 } else { self.most };
        let mut next = None;
        for (kind, shelf) in kinds {
            shelf.ready.retain(Prepared::is_alive);
            let allowed = shelf.demand.wanted(now).min(left);
            left -= allowed;
            surplus.extend(shelf.ready.drain(allowed.min(shelf.ready.len())..));
            let may = shelf.not_before.is_none_or(|time| time <= now);
            if next.is_none() && may && shelf.ready.len() < allowed {
                next = Some(kind.clone());
            }
        }
        shelves.retain(|_, shelf| shelf.demand.wanted(now) > 0);
        Ok(next)
    }

    /// Does something with the shelf of a kind, if there still is one.
    fn of<T>(&self, kind: &Kind, action: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        self.shelves().as_mut()?.get_mut(kind).map(action)
    }

    /// One more of a kind: restored, or started and then captured where that has not been tried.
    async fn make(&self, pool: &Pool, kind: &Kind) -> Result<Prepared, SandboxError> {
        let image = self.of(kind, |shelf| match &shelf.image {
            Image::Taken(image) => (Some(Arc::clone(image)), false),
            Image::Missing => (None, true),
            Image::Refused => (None, false),
        });
        let (image, is_wanted) = image.unwrap_or_default();
        let prepared = pool.make(kind.base).await?.started(&kind.ahead, image.as_deref()).await?;
        if is_wanted {
            let image = match prepared.capture().await? {
                Ok(image) => Image::Taken(Arc::new(image)),
                Err(reason) => {
                    let command = kind.ahead.command.display();
                    tracing::info!(%command, reason, "no image is taken of a program that waits");
                    Image::Refused
                }
            };
            self.of(kind, |shelf| shelf.image = image);
        }
        Ok(prepared)
    }

    /// Whether there is anything to look after.
    fn is_idle(&self) -> bool {
        self.shelves().as_ref().is_none_or(HashMap::is_empty)
    }

    fn shelves(&self) -> MutexGuard<'_, Option<HashMap<Kind, Shelf>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is started any more.
struct Closed;

impl Drop for Started {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

fn is_short(memory: MemoryNow) -> bool {
    (memory.available as f64) < memory.total as f64 * SHORT_OF_MEMORY
}

/// Keeps as many waiting as should.
async fn fill(started: Weak<Started>, pool: Weak<Pool>, changed: Arc<Notify>) {
    while let (Some(started), Some(pool)) = (started.upgrade(), pool.upgrade()) {
        let Ok(next) = started.next(Instant::now()) else { return };
        let Some(kind) = next else {
            let is_idle = started.is_idle();
            // Whoever waits must keep neither.
            drop((started, pool));
            let look = async {
                match is_idle {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(LOOK_EVERY).await,
                }
            };
            tokio::select! {
                () = changed.notified() => tokio::time::sleep(REFILL_AFTER).await,
                () = look => {}
            }
            continue;
        };
        match started.make(&pool, &kind).await {
            Ok(prepared) => {
                started.of(&kind, |shelf| shelf.ready.push(prepared));
            }
            Err(SandboxError::SpawnerGone) => return,
            Err(error) => {
                tracing::debug!(%error, command = %kind.ahead.command.display(), "cannot start a program ahead of demand");
                started.of(&kind, |shelf| {
                    shelf.image = Image::Refused;
                    shelf.not_before = Some(Instant::now() + PAUSE_AFTER_FAILURE);
                });
            }
        }
    }
}
