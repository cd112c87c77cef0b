//! Starting the spawner process, asking it for sandboxes.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lambd_jail::SPAWNER_ARG0;
use lambd_jail::protocol::{Event, SpawnRequest};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::cgroups::{CgroupMode, Cgroups};
use crate::channel::{self, Control, Requests};
use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::limits::{EnforcedBy, LimitsInForce};
use crate::sandbox::{Resources, Sandbox, Tree};
use crate::scratch::{Scratch, ScratchOptions};
use crate::spec::SandboxSpec;

/// Building a sandbox takes milliseconds; one that is not ready after this has a sick machine below.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// `RLIMIT_DATA` counts private writable memory from when it is mapped, whether it is ever touched or
/// not. Thread stacks of 8 MiB each and the heaps that managed runtimes reserve would exceed the
/// limit of a small function that never uses them, so this much is allowed on top.
const DATA_ALLOWANCE_BYTES: u64 = 256 << 20;

/// How sandboxes are limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnerOptions {
    /// Name of the directory in each cgroup hierarchy below which all cgroups are made.
    pub cgroup_parent: String,
    /// Which cgroup version is used.
    pub cgroup: CgroupMode,
    /// Where `/tmp` is.
    pub scratch: ScratchOptions,
}

impl Default for SpawnerOptions {
    fn default() -> Self {
        Self { cgroup_parent: "lambd".into(), cgroup: CgroupMode::Auto, scratch: ScratchOptions::default() }
    }
}

/// A handle to the spawner process; clones share it. The process ends, and all sandboxes with it, by
/// [`Spawner::shutdown`], with the last handle, or with the daemon.
#[derive(Clone)]
pub struct Spawner(Arc<Inner>);

struct Inner {
    requests: Requests,
    process: Mutex<Child>,
    pid: u32,
    cgroups: Arc<Cgroups>,
    cleaner: Cleaner,
    scratch: Arc<Scratch>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What is still in use stays for the next start of the daemon; see `Spawner::shutdown` for more.
        self.cgroups.remove_own();
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner")
            .field("pid", &self.0.pid)
            .field("cgroups", &self.0.cgroups)
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
        // The link still leads to the running binary when its file has been replaced meanwhile.
        Self::start_with_program(Path::new("/proc/self/exe"), options)
    }

    /// As [`Spawner::start`] with another binary.
    ///
    /// # Errors
    /// As for [`Spawner::start`].
    pub fn start_with_program(program: &Path, options: SpawnerOptions) -> Result<Self, SandboxError> {
        // Works in the background meanwhile.
        let scratch = Arc::new(Scratch::start(options.scratch));
        let cgroups = Cgroups::open(&options.cgroup_parent, options.cgroup)?;
        let failed = |step| move |source| SandboxError::StartSpawner { step, source };
        let (ours, theirs) = channel::pair().map_err(failed("create request socket"))?;
        let process = Command::new(program)
            .arg0(SPAWNER_ARG0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .spawn()
            .map_err(failed("execute the binary"))?;
        let limits = cgroups.limits(scratch.in_force());
        tracing::debug!(pid = process.id(), %limits, cgroups = %cgroups, "spawner started");
        Ok(Self(Arc::new(Inner {
            requests: Requests::new(ours).map_err(failed("register request socket"))?,
            pid: process.id().unwrap_or(0),
            process: Mutex::new(process),
            cgroups: Arc::new(cgroups),
            cleaner: Cleaner::start(),
            scratch,
        })))
    }

    /// Makes a sandbox. Returns once it is built and its listeners accept connections; its program is
    /// about to be executed then, and should that fail, [`Sandbox::exited`] tells.
    ///
    /// When the future is dropped, whatever exists of the sandbox is killed and removed.
    ///
    /// # Errors
    /// When the specification is unusable, a resource cannot be had, or the kernel refuses a step.
    pub async fn spawn(&self, spec: SandboxSpec) -> Result<Sandbox, SandboxError> {
        spec.check()?;
        let failed = |step| move |source| SandboxError::Io { step, source };
        let mut resources = self.create_resources(&spec).await?;
        let (ours, theirs) = channel::pair().map_err(failed("create control socket"))?;
        let control = Control::new(ours).map_err(failed("register control socket"))?;
        let (output, output_write) = output_pipe().map_err(failed("create output pipe"))?;
        let request = SpawnRequest {
            id: spec.id.clone(),
            spec: spec.to_jail(resources.tmp.tmp(), self.data_limit(&spec)),
            cgroup: resources.cgroups.placement(),
        };
        self.0.requests.send(&request, &[theirs.as_fd(), output_write.as_fd()]).await.map_err(|source| {
            match source.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SandboxError::SpawnerGone,
                _ => SandboxError::Io { step: "send request to spawner", source },
            }
        })?;
        // Our copies must be gone, or neither socket nor pipe would ever end.
        drop((theirs, output_write));
        let (tree, listeners) = tokio::time::timeout(READY_TIMEOUT, wait_until_ready(&control))
            .await
            .map_err(|_| SandboxError::Timeout(READY_TIMEOUT))??;
        resources.tmp.mounted();
        Ok(Sandbox::new(spec.id, tree, control, resources, listeners, output))
    }

    /// Resolves when the spawner process has ended, which it does only when told to or when something
    /// killed it. No sandbox lives on, and no other can be made.
    pub async fn ended(&self) {
        if let Err(error) = self.0.process.lock().await.wait().await {
            tracing::warn!(%error, "cannot wait for the spawner");
        }
    }

    /// Ends the spawner process and thereby every sandbox, waits for it, and removes the cgroups of
    /// sandboxes that nobody holds any more.
    pub async fn shutdown(&self) {
        self.0.requests.close();
        if let Err(error) = self.0.process.lock().await.wait().await {
            tracing::warn!(%error, "cannot wait for the spawner");
        }
        self.0.cleaner.flush().await;
        self.0.scratch.close().await;
        self.0.cgroups.remove_own();
    }

    /// What enforces the limits of sandboxes.
    #[must_use]
    pub fn limits(&self) -> LimitsInForce {
        self.0.cgroups.limits(self.0.scratch.in_force())
    }

    /// Waits until all of [`Self::limits`] is known, which may be some milliseconds after the start.
    pub async fn decided(&self) {
        self.0.scratch.decided().await;
    }

    /// Process id of the spawner.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// On a thread for blocking work: making a cgroup may wait for locks of the kernel, and making a volume
    /// takes a moment.
    async fn create_resources(&self, spec: &SandboxSpec) -> Result<Resources, SandboxError> {
        let (cgroups, cleaner) = (Arc::clone(&self.0.cgroups), self.0.cleaner.clone());
        let (scratch, id) = (Arc::clone(&self.0.scratch), spec.id.clone());
        let (memory_bytes, tmp_bytes) = (spec.memory_bytes, spec.tmp_bytes);
        let create = move || {
            let cgroups = cgroups.create(&id, memory_bytes, &cleaner)?;
            Ok(Resources { cgroups, tmp: scratch.take(tmp_bytes) })
        };
        tokio::task::spawn_blocking(create)
            .await
            .map_err(|error| SandboxError::Io { step: "create cgroups", source: io::Error::other(error) })?
    }

    fn data_limit(&self, spec: &SandboxSpec) -> Option<u64> {
        (self.limits().memory == EnforcedBy::Rlimit)
            .then_some(spec.memory_bytes.saturating_add(DATA_ALLOWANCE_BYTES))
    }
}

/// A pipe with a non-blocking read end; the write end blocks, as programs expect of their output.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    channel::set_nonblocking(&read)?;
    Ok((read, write))
}

/// Follows the sandbox's events until it is built.
async fn wait_until_ready(control: &Control) -> Result<(Tree, Vec<TcpListener>), SandboxError> {
    let mut tree = None;
    loop {
        let received = control.receive().await;
        let Some((event, fds)) =
            received.map_err(|source| SandboxError::Io { step: "receive from control socket", source })?
        else {
            return Err(SandboxError::Died);
        };
        match event {
            Event::Spawned { pid } => {
                let pidfd = fds.into_iter().next().ok_or(SandboxError::Died)?;
                let register = |source| SandboxError::Io { step: "register pidfd", source };
                tree = Some(Tree::new(pid, pidfd).map_err(register)?);
            }
            Event::Ready => {
                let tree = tree.ok_or(SandboxError::Died)?;
                return Ok((tree, fds.into_iter().map(TcpListener::from).collect()));
            }
            Event::SetupFailed { step, errno } => {
                return Err(SandboxError::Setup { step, source: io::Error::from_raw_os_error(errno) });
            }
            Event::ExecFailed { .. } | Event::Exited { .. } | Event::Signaled { .. } => {
                return Err(SandboxError::Died);
            }
        }
    }
}
