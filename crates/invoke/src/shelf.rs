//! Idle instances, and room for further ones: does what the machines in `machine/pool.rs` and `machine/room.rs` decide.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_types::FunctionSnapshot;
use lambd_types::invocation::{Event, Wants};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::machine::pool::Pools;
use crate::machine::pressure::{self, Pressure};
use crate::machine::room::{Answer, Blocked, Evictions, Given, Holder, Limits, Need, Room};
use crate::metrics::{Counters, InstancesNow};
use crate::ports::{Delivery, Instance, Memory};
use crate::retiring::Retiring;
use crate::{InvokeError, InvokeOptions};

/// Of how many refusals for lack of room one is logged at most.
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);

/// Where instances are when they have nothing to do. Clones share it.
#[derive(Clone)]
pub(crate) struct Shelf {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Mutex<Pools<Arc<Placed>>>,
    rooms: Arc<Rooms>,
    memory_is_short: AtomicBool,
    retiring: Retiring,
    counters: Arc<Counters>,
    options: InvokeOptions,
    /// Instances that were started; spreads their ends.
    born: AtomicU64,
    last_refusal: Mutex<Option<Instant>>,
}

/// What instances need of it: they are part of the rest.
struct Rooms {
    /// Locked before the pools where both are.
    room: Mutex<Room<oneshot::Sender<Handed>>>,
    /// Events that wait in it, so that nobody else has to lock it.
    waiting: AtomicUsize,
    /// Somebody who waits may be served now.
    freed: Notify,
}

/// Room for one instance; it gives itself back.
pub(crate) struct Place {
    rooms: Arc<Rooms>,
    need: Need,
    evicted: AtomicBool,
}

/// An instance with its room, which is free when the last handle is gone.
pub(crate) struct Placed {
    instance: Arc<dyn Instance>,
    place: Place,
    /// From then on it is not reused.
    until: Option<Instant>,
}

/// What somebody gets who needs an instance.
pub(crate) enum Handed {
    /// One that has become idle.
    Instance(Arc<Placed>),
    /// Room for a new one.
    Place(Place),
}

impl Shelf {
    /// Serves those who wait in the background while it lives; must be called inside a tokio runtime.
    pub(crate) fn start(options: &InvokeOptions, retiring: Retiring, counters: Arc<Counters>) -> Self {
        let limits =
            Limits { instances: options.instances(), waiting: options.max_waiting, scaling: options.scaling };
        let rooms = Arc::new(Rooms {
            room: Mutex::new(Room::new(limits)),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        });
        let inner = Arc::new(Inner {
            pools: Mutex::default(),
            rooms: rooms.clone(),
            memory_is_short: AtomicBool::new(false),
            retiring,
            counters,
            options: options.clone(),
            born: AtomicU64::new(0),
            last_refusal: Mutex::new(None),
        });
        tokio::spawn(serve(Arc::downgrade(&inner), rooms));
        Self { inner }
    }

    /// The pools of idle instances. None may be dropped while this is held.
    pub(crate) fn pools(&self) -> MutexGuard<'_, Pools<Arc<Placed>>> {
        self.inner.pools()
    }

    /// The most recently used idle instance of what a function is now.
    pub(crate) fn warm(&self, function: &FunctionSnapshot) -> Option<Arc<Placed>> {
        loop {
            let instance = self.pools().take(&function.key, &function.revision)?;
            if instance.is_alive() {
                return Some(instance);
            }
        }
    }

    /// Keeps an instance for its next event. `false`: it was not kept.
    pub(crate) fn put(&self, function: &FunctionSnapshot, instance: Arc<Placed>) -> bool {
        let now = Instant::now();
        if instance.until.is_some_and(|until| until <= now) {
            self.inner.counters.recycled.add(1);
            self.retire([instance]);
            return false;
        }
        let superseded = self.pools().put(&function.key, &function.revision, instance, now);
        let kept = superseded.is_none();
        if let Some(superseded) = superseded {
            self.retire([superseded]);
        }
        if self.inner.rooms.waiting.load(Ordering::SeqCst) > 0 {
            self.inner.serve();
        }
        kept
    }

    /// Ends instances in the background.
    pub(crate) fn retire(&self, instances: impl IntoIterator<Item = Arc<Placed>>) {
        self.inner.retire(instances);
    }

    /// An instance that has become idle, or room for a new one, for which idle instances of others have to go. Waits
    /// for that in line, not for long.
    pub(crate) async fn room_for(&self, function: &FunctionSnapshot) -> Result<Handed, InvokeError> {
        match self.ask(function, false).await {
            Ok(handed) => Ok(handed),
            Err(Refused::TooFast(wait)) => Err(InvokeError::Scaling { wait }),
            Err(Refused::Full(reason)) => Err(InvokeError::MachineFull { reason }),
        }
    }

    /// Room for a provisioned instance, however long it takes until there may be more of them.
    pub(crate) async fn room_for_provisioned(&self, function: &FunctionSnapshot) -> Result<Place, String> {
        loop {
            match self.ask(function, true).await {
                Ok(Handed::Place(place)) => return Ok(place),
                // Never handed out for one.
                Ok(Handed::Instance(instance)) => self.retire([instance]),
                Err(Refused::TooFast(wait)) => tokio::time::sleep(wait).await,
                Err(Refused::Full(reason)) => return Err(reason),
            }
        }
    }

    async fn ask(&self, function: &FunctionSnapshot, provisioned: bool) -> Result<Handed, Refused> {
        let inner = &self.inner;
        let key = &function.key;
        let holder = Holder { scope: key.scope.clone(), name: key.name.clone() };
        let need = Need { holder, most: inner.options.instances_of(function.memory), provisioned };
        let (id, mut handed) = {
            let mut room = inner.rooms.room();
            let blocked = match room.ask(&need, Instant::now()) {
                Answer::Granted => return Ok(Handed::Place(Place::new(inner, need))),
                Answer::TooFast(wait) => return Err(Refused::TooFast(wait)),
                Answer::Full(blocked) => blocked,
            };
            let (tell, handed) = oneshot::channel();
            let Some(id) = room.wait(need, key.clone(), function.revision.clone(), tell) else {
                drop(room);
                return Err(inner.refuse(blocked));
            };
            inner.rooms.tell(&room);
            (id, handed)
        };
        inner.counters.waited.add(1);
        inner.serve();
        if let Ok(handed) = tokio::time::timeout(inner.options.wait_for_room, &mut handed).await {
            return handed.map_err(|_| Refused::Full("the daemon is stopping".to_owned()));
        }
        let left = {
            let mut room = inner.rooms.room();
            let left = room.leave(id);
            inner.rooms.tell(&room);
            left
        };
        match left {
            Some(blocked) => Err(inner.refuse(blocked)),
            // It was served at the last moment.
            None => handed.await.map_err(|_| Refused::Full("the daemon is stopping".to_owned())),
        }
    }

    /// An instance in its place.
    pub(crate) fn placed(&self, instance: Arc<dyn Instance>, place: Place) -> Arc<Placed> {
        let until = self.inner.options.recycle_after.map(|age| {
            // Those that were started together do not end together: up to an eighth earlier.
            let number = self.inner.born.fetch_add(1, Ordering::Relaxed);
            let spread = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u32;
            Instant::now() + age - age / 8 * spread / 256
        });
        Arc::new(Placed { instance, place, until })
    }

    /// Ends idle instances while free memory is short, as long as the shelf lives.
    pub(crate) fn watch(&self, memory: Arc<dyn Memory>) {
        tokio::spawn(watch(Arc::downgrade(&self.inner), memory));
    }

    /// What there is now.
    pub(crate) fn now(&self) -> InstancesNow {
        let (total, waiting) = {
            let room = self.inner.rooms.room();
            (room.total(), room.waiting())
        };
        InstancesNow {
            total,
            idle: self.pools().len(),
            most: self.inner.options.instances(),
            waiting,
            memory_is_short: self.inner.memory_is_short.load(Ordering::Relaxed),
        }
    }
}

/// Why there is no instance.
enum Refused {
    TooFast(Duration),
    Full(String),
}

impl Rooms {
    fn room(&self) -> MutexGuard<'_, Room<oneshot::Sender<Handed>>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called when the number of those who wait has changed.
    fn tell(&self, room: &Room<oneshot::Sender<Handed>>) {
        self.waiting.store(room.waiting(), Ordering::SeqCst);
    }
}

impl Inner {
    fn pools(&self) -> MutexGuard<'_, Pools<Arc<Placed>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retire(&self, instances: impl IntoIterator<Item = Arc<Placed>>) {
        self.retiring.retire(instances.into_iter().map(|instance| instance as Arc<dyn Instance>));
    }

    fn refuse(&self, blocked: Blocked) -> Refused {
        let reason = blocked.reason();
        let mut last = self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.is_none_or(|at| now - at >= REFUSAL_PAUSE) {
            *last = Some(now);
            tracing::warn!(%reason, "an event is refused; further ones are not reported for a minute");
        }
        Refused::Full(reason)
    }

    /// Gives those who wait what there is, and makes room for the others.
    fn serve(self: &Arc<Self>) {
        let (served, dead, evicted) = {
            let mut room = self.rooms.room();
            let mut pools = self.pools();
            let mut dead = Vec::new();
            let served = room.serve(|key, revision| {
                loop {
                    let instance = pools.take(key, revision)?;
                    if instance.is_alive() {
                        return Some(instance);
                    }
                    dead.push(instance);
                }
            });
            let Evictions { of, any } = room.evictions();
            let mut evicted = Vec::new();
            for holder in of {
                evicted.extend(pools.evict(1, Some((&holder.scope, &holder.name))));
            }
            evicted.extend(pools.evict(any, None));
            for instance in &evicted {
                instance.place.evicted.store(true, Ordering::Relaxed);
                room.evicted(&instance.place.need.holder);
            }
            self.rooms.tell(&room);
            (served, dead, evicted)
        };
        drop(dead);
        self.counters.evicted_for_room.add(evicted.len() as u64);
        self.retire(evicted);
        for (tell, need, given) in served {
            let handed = match given {
                Given::Instance(instance) => Handed::Instance(instance),
                Given::Room => Handed::Place(Place::new(self, need)),
            };
            // Whoever has gone gives it back by dropping it.
            drop(tell.send(handed));
        }
    }
}

impl Place {
    fn new(inner: &Inner, need: Need) -> Self {
        Self { rooms: inner.rooms.clone(), need, evicted: AtomicBool::new(false) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waiting = {
            let mut room = self.rooms.room();
            room.give_back(&self.need, self.evicted.load(Ordering::Relaxed));
            room.waiting()
        };
        if waiting > 0 {
            // This may be anywhere, so that others do it.
            self.rooms.freed.notify_one();
        }
    }
}

impl Placed {
    /// From when on it is not reused.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Instance for Placed {
    fn deliver(&self, event: Event, wants: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>> {
        self.instance.deliver(event, wants)
    }

    fn finish(&self) -> BoxFuture<'_, bool> {
        self.instance.finish()
    }

    fn initialise(&self) -> BoxFuture<'_, bool> {
        self.instance.initialise()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        self.instance.ended()
    }

    fn freeze(&self) {
        self.instance.freeze();
    }

    fn is_alive(&self) -> bool {
        self.instance.is_alive()
    }

    fn retire(&self) -> BoxFuture<'_, ()> {
        self.instance.retire()
    }
}

/// Serves those who wait whenever room became free.
async fn serve(inner: Weak<Inner>, rooms: Arc<Rooms>) {
    loop {
        rooms.freed.notified().await;
        let Some(strong) = inner.upgrade() else { return };
        strong.serve();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.rooms.freed.notify_one();
    }
}

async fn watch(inner: Weak<Inner>, memory: Arc<dyn Memory>) {
    let mut before = Pressure::Enough;
    loop {
        let pause = if before == Pressure::Enough { pressure::CALM } else { pressure::SHORT };
        tokio::time::sleep(pause).await;
        let Some(strong) = inner.upgrade() else { return };
        let Some(now) = memory.read() else { continue };
        let reserve = strong.options.reserve(now.total);
        let state = Pressure::of(now, reserve);
        if state != before {
            let (available_mb, reserve_mb) = (now.available >> 20, reserve >> 20);
            match state {
                Pressure::Enough => tracing::info!(available_mb, "free memory is enough again"),
                Pressure::Short => tracing::warn!(
                    available_mb,
                    reserve_mb,
                    stalled = now.stalled,
                    "free memory is short: idle instances are ended"
                ),
                Pressure::Critical => tracing::warn!(
                    available_mb,
                    reserve_mb,
                    "free memory is very short: idle instances are ended, and none is started"
                ),
            }
            strong.memory_is_short.store(state != Pressure::Enough, Ordering::Relaxed);
            strong.rooms.room().set_memory_is_short(state == Pressure::Critical);
            before = state;
            strong.serve();
        }
        let gone = {
            let mut pools = strong.pools();
            let count = state.evictions(pools.len());
            pools.evict(count, None)
        };
        strong.counters.evicted_for_memory.add(gone.len() as u64);
        strong.retire(gone);
    }
}
