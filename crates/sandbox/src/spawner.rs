//! Starting the spawner process, asking it for sandboxes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lambd_jail::SPAWNER_ARG0;
use lambd_jail::fds::MAX_FDS;
use lambd_jail::protocol::Listener;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::ahead::{Ahead, AheadNow, Source, Started};
use crate::cgroups::{CgroupMode, Cgroups, CpuLimits};
use crate::channel::{self, Requests};
use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::isolation::Isolation;
use crate::limits::{EnforcedBy, LimitsInForce};
use crate::network::{Nat, NatOptions};
use crate::pool::Pool;
use crate::prepared::{Maker, Prepared};
use crate::sandbox::Sandbox;
use crate::scratch::{Scratch, ScratchOptions};
use crate::spec::{Base, SandboxSpec};
use crate::tmp::TmpDirectories;

/// A link that still leads to the running binary when its file has been replaced meanwhile.
pub(crate) const OWN_BINARY: &str = "/proc/self/exe";

/// Sockets of a sandbox for whoever uses this crate; some more travel along where it is connected.
const MAX_LISTENERS: usize = MAX_FDS - 8;

/// How sandboxes are limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnerOptions {
    /// What keeps sandboxes apart from the host. Whether it works here is not checked, see
    /// [`Isolation::availability`]; where it does not, making a sandbox fails.
    pub isolation: Isolation,
    /// Directory for this spawner alone, in which each sandbox at [`Isolation::Process`] gets a private one in
    /// the place of `/tmp`; made if missing, and whatever is in it is removed. Users of sandboxes must be
    /// able to pass its parents. Other levels need none.
    pub tmp_parent: Option<PathBuf>,
    /// Name of the directory in each cgroup hierarchy below which all cgroups are made.
    pub cgroup_parent: String,
    /// Which cgroup version is used.
    pub cgroup: CgroupMode,
    /// Whether sandboxes get a share of the CPU only.
    pub cpu: CpuLimits,
    /// How often the cgroups are looked through for what dead daemons left, besides at the start.
    pub orphans_every: Duration,
    /// Sockets that each sandbox has in its network, at most 24; where many share a network, ports are
    /// taken as they are free. Only addresses of the loopback network 127.0.0.0/8 (or 0.0.0.0) exist.
    pub listeners: Vec<Listener>,
    /// What sandboxes of [`crate::Network::Nat`] need; without it there are none.
    pub nat: Option<NatOptions>,
    /// How many empty sandboxes are made ahead of demand and kept ready.
    pub prepared: usize,
    /// What those are made with.
    pub prepared_base: Base,
    /// How many programs that are started ahead of demand wait at most, see [`Ahead`]; none at other levels than
    /// [`Isolation::Namespaces`].
    pub started_ahead: usize,
    /// Where `/tmp` is, at other levels than [`Isolation::Process`].
    pub scratch: ScratchOptions,
}

impl Default for SpawnerOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            tmp_parent: None,
            cgroup_parent: "lambd".into(),
            cgroup: CgroupMode::Auto,
            cpu: CpuLimits::default(),
            orphans_every: Duration::from_secs(60),
            listeners: Vec::new(),
            nat: None,
            prepared: 0,
            prepared_base: Base::default(),
            started_ahead: 0,
            scratch: ScratchOptions::default(),
        }
    }
}

/// A handle to the spawner process; clones share it. The process ends, and all sandboxes with it, by
/// [`Spawner::shutdown`], with the last handle, or with the daemon.
#[derive(Clone)]
pub struct Spawner(Arc<Inner>);

struct Inner {
    pool: Arc<Pool>,
    started: Arc<Started>,
    process: Mutex<Child>,
    pid: u32,
    takes_images: bool,
}

impl Inner {
    fn cgroups(&self) -> &Cgroups {
        &self.pool.maker().cgroups
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What is still in use stays for the next start of the daemon; see `Spawner::shutdown` for more.
        self.cgroups().remove_own();
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner")
            .field("pid", &self.0.pid)
            .field("cgroups", self.0.cgroups())
            .finish_non_exhaustive()
    }
}

impl Spawner {
    /// Starts the spawner process from this process's own binary, whose `main` must begin with
    /// [`lambd_jail::run_if_spawner`]. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the process cannot be started, or a demanded cgroup version cannot be used.
    pub fn start(options: SpawnerOptions) -> Result<Self, SandboxError> {
        Self::start_with_program(Path::new(OWN_BINARY), options)
    }

    /// As [`Spawner::start`] with another binary.
    ///
    /// # Errors
    /// As for [`Spawner::start`].
    pub fn start_with_program(program: &Path, options: SpawnerOptions) -> Result<Self, SandboxError> {
        if options.listeners.len() > MAX_LISTENERS {
            let reason = format!("{} are more than {MAX_LISTENERS}", options.listeners.len());
            return Err(SandboxError::InvalidSpec { field: "listeners", reason });
        }
        // Works in the background meanwhile. Where nothing is mounted, no volume is of use.
        let scratch = match &options.isolation {
            Isolation::Process => Scratch::start(ScratchOptions { directory: None, ..options.scratch }),
            Isolation::Namespaces | Isolation::Oci(_) => Scratch::start(options.scratch),
        };
        let scratch = Arc::new(scratch);
        let cgroups = Arc::new(Cgroups::open(&options.cgroup_parent, options.cgroup, options.cpu)?);
        let cleaner = Cleaner::start(Arc::clone(&cgroups), options.orphans_every);
        let tmp = match (&options.isolation, &options.tmp_parent) {
            (Isolation::Process, Some(parent)) => Some(TmpDirectories::open(parent, cleaner.clone())?),
            (Isolation::Process, None) => {
                let reason = "needed at the level process".into();
                return Err(SandboxError::InvalidSpec { field: "tmp_parent", reason });
            }
            (Isolation::Namespaces | Isolation::Oci(_), _) => None,
        };
        let failed = |step| move |source| SandboxError::StartSpawner { step, source };
        let (ours, theirs) = channel::pair().map_err(failed("create request socket"))?;
        let process = Command::new(program)
            .arg0(SPAWNER_ARG0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .spawn()
            .map_err(failed("execute the binary"))?;
        // A limit of memory must hold for what waits already.
        let is_limited = matches!(options.isolation, Isolation::Namespaces)
            && cgroups.limits(scratch.in_force()).memory != EnforcedBy::Rlimit;
        let maker = Maker {
            isolation: options.isolation,
            scratch,
            requests: Arc::new(Requests::new(ours).map_err(failed("register request socket"))?),
            cleaner,
            cgroups,
            listeners: options.listeners,
            tmp,
            nat: options.nat.ok_or_else(|| "it was not set up".to_owned()).and_then(Nat::start),
        };
        tracing::debug!(pid = process.id(), limits = %maker.limits(), cgroups = %maker.cgroups, "spawner started");
        let pool = Pool::new(maker);
        pool.keep_ready(options.prepared_base, options.prepared);
        let started = Started::new(if is_limited { options.started_ahead } else { 0 });
        started.run(&pool);
        Ok(Self(Arc::new(Inner {
            pid: process.id().unwrap_or(0),
            process: Mutex::new(process),
            pool,
            started,
            // Functions have a user of their own only where the daemon may give them one.
            takes_images: is_limited && cfg!(target_arch = "x86_64") && rustix::process::geteuid().is_root(),
        })))
    }

    /// Keeps so many empty sandboxes of this kind ready from now on, as
    /// [`SpawnerOptions::prepared`] does from the start; has an effect only once.
    pub fn keep_ready(&self, base: Base, count: usize) {
        self.0.pool.keep_ready(base, count);
    }

    /// An empty sandbox: one that was made ahead of demand, if there is one, else a new one.
    ///
    /// # Errors
    /// When a resource cannot be had, or the kernel refuses a step.
    pub async fn prepare(&self, base: Base) -> Result<Prepared, SandboxError> {
        self.0.pool.take(base).await
    }

    /// The same for a program that may have been started in it ahead of demand.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub async fn prepare_for(&self, base: Base, ahead: &Arc<Ahead>) -> Result<Prepared, SandboxError> {
        match self.0.started.take(base, ahead) {
            Source::Waiting(prepared) => Ok(*prepared),
            Source::Nothing => self.prepare(base).await,
            Source::Image(image) => match self.prepare(base).await?.started(ahead, Some(&image)).await {
                Ok(prepared) => Ok(prepared),
                Err(error) => {
                    tracing::warn!(%error, "cannot restore a program: from now on it is started instead");
                    self.0.started.refuse_image(base, ahead);
                    self.prepare(base).await
                }
            },
        }
    }

    /// Has a program started ahead of demand that is likely to be asked for.
    pub fn expect(&self, base: Base, ahead: &Arc<Ahead>) {
        self.0.started.expect(base, ahead);
    }

    /// What became of programs that were started ahead of demand.
    #[must_use]
    pub fn started_ahead(&self) -> AheadNow {
        self.0.started.now()
    }

    /// Whether images of programs can be taken ([`Sandbox::capture`]) and used ([`Prepared::restore`]) here.
    #[must_use]
    pub fn takes_images(&self) -> bool {
        self.0.takes_images
    }

    /// Makes a sandbox: [`Self::prepare`] and [`Prepared::build`] in one.
    ///
    /// # Errors
    /// Those of both.
    pub async fn spawn(&self, spec: SandboxSpec) -> Result<Sandbox, SandboxError> {
        spec.check()?;
        self.prepare(spec.base()).await?.build(spec).await
    }

    /// Resolves when the spawner process has ended, which it does only when told to or when something
    /// killed it. No sandbox lives on, and no other can be made.
    pub async fn ended(&self) {
        if let Err(error) = self.0.process.lock().await.wait().await {
            tracing::warn!(%error, "cannot wait for the spawner");
        }
    }

    /// Ends the spawner process and thereby every sandbox, waits for it, and removes all cgroups.
    pub async fn shutdown(&self) {
        self.0.started.close();
        self.0.pool.close();
        if let Err(error) = self.0.process.lock().await.wait().await {
            tracing::warn!(%error, "cannot wait for the spawner");
        }
        self.0.pool.maker().scratch.close().await;
        self.0.pool.maker().cleaner.finish(self.0.cgroups()).await;
    }

    /// What enforces the limits of sandboxes.
    #[must_use]
    pub fn limits(&self) -> LimitsInForce {
        self.0.pool.maker().limits()
    }

    /// Waits until all of [`Self::limits`] is known, which may be some milliseconds after the start.
    pub async fn decided(&self) {
        self.0.pool.maker().scratch.decided().await;
    }

    /// Process id of the spawner.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid
    }
}
