//! What the command line needs from the daemon's side. The server crate implements it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use lambd_types::{AccountId, Cidr, FunctionName, NetworkPolicy, Region, ScalingRule, limits};

use crate::args::{
    ClockChoice, CpuShare, IsolationChoice, LogLevel, NetworkChoice, RuntimeDeprecation, RuntimeSubstitution,
};
use crate::report::{DoctorReport, RuntimeStatus};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts the daemon inside this process.
pub trait Daemon: Send + Sync {
    /// Binds the listener, opens the data directory and serves. Resolves once requests are answered.
    fn start(&self, args: ServeArgs) -> BoxFuture<'_, Result<RunningDaemon, StartError>>;
}

/// Looks at the machine for `lambd doctor`.
pub trait Inspector: Send + Sync {
    /// Examines kernel, isolation, limits, runtimes and the data directory without changing anything.
    /// The listener's port is examined by the command line itself.
    ///
    /// `isolation` is what the daemon would be started with.
    fn inspect(&self, data_dir: &Path, isolation: &IsolationChoice) -> DoctorReport;

    /// Tells what runs the functions of each runtime, for a daemon that is started like this. Images that
    /// were never unpacked are unpacked into the data directory; nothing else changes.
    fn runtimes(&self, query: RuntimesQuery) -> BoxFuture<'_, Result<Vec<RuntimeStatus>, StartError>>;
}

/// Installs and removes toolchains.
pub trait Installer: Send + Sync {
    /// Installs what runs the functions of a runtime, telling how far it is.
    fn add<'a>(
        &'a self,
        request: AddRuntime,
        progress: &'a (dyn Fn(AddProgress) + Send + Sync),
    ) -> BoxFuture<'a, Result<AddedRuntime, InstallError>>;

    /// Removes the toolchains of a runtime, or the one of that name, and tells their names.
    fn remove(&self, toolchains: &Path, id: &str) -> Result<Vec<String>, InstallError>;
}

/// What to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddRuntime {
    /// The directory of toolchains.
    pub toolchains: PathBuf,
    /// The runtime.
    pub id: String,
    /// An archive, a folder, or `oci:` and an image; without one, where the language's users get it.
    pub from: Option<String>,
    /// Base URL of the npm registry, if it is chosen.
    pub npm_registry: Option<String>,
    /// Base URL of the index of Python packages, if it is chosen.
    pub pypi_index: Option<String>,
    /// URL of the Maven repository, if it is chosen.
    pub maven_repository: Option<String>,
    /// Packages of an SDK, if they are chosen.
    pub packages: Vec<String>,
}

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddProgress {
    /// Another one is going on.
    Waiting,
    /// A registry is asked.
    Asking {
        /// Its base URL.
        registry: String,
    },
    /// The archive is on its way.
    Downloading {
        /// Where from.
        url: String,
        /// Bytes that came.
        received: u64,
        /// Bytes in all, if the server says.
        total: Option<u64>,
    },
    /// Files are made.
    Unpacking,
    /// The program is run once.
    Trying,
}

/// A toolchain that is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddedRuntime {
    /// The runtime that it runs.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// Its directory.
    pub directory: PathBuf,
    /// Where it comes from.
    pub source: String,
    /// What was verified of it.
    pub checksum: Option<String>,
    /// Whether it was there before.
    pub already: bool,
    /// Whether a running daemon sees it only after a restart.
    pub needs_restart: bool,
}

/// A toolchain cannot be installed or removed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct InstallError {
    /// What went wrong.
    pub reason: String,
    /// What the user can do about it.
    pub remedy: String,
}

/// How the daemon is to run: the options with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArgs {
    /// Address to listen on. Port 0 means any free one.
    pub listen: SocketAddr,
    /// Region of requests that name none.
    pub region: Region,
    /// Account of requests whose credentials name none.
    pub account: AccountId,
    /// Directory for everything that survives a restart; to be created where missing.
    pub data: PathBuf,
    /// Directory of the toolchains that `lambd runtimes add` installs.
    pub toolchains: PathBuf,
    /// What keeps functions apart from the machine.
    pub isolation: IsolationChoice,
    /// How much CPU time functions get.
    pub cpu: CpuShare,
    /// Which network functions see that ask for none themselves.
    pub network: NetworkChoice,
    /// Whether a function may have this machine's network by asking for it.
    pub allow_host_network: bool,
    /// Networks that functions must not reach.
    pub denied_networks: Vec<Cidr>,
    /// Where code in S3 is read: a URL, in which `{region}` may stand for the region.
    pub s3_endpoint: Option<String>,
    /// Where trace segments are handed on to.
    pub xray_daemon: Option<SocketAddr>,
    /// How asynchronous events are treated.
    pub events: EventChoices,
    /// What each account may have in each region.
    pub limits: AccountLimits,
    /// How many instances there may be, how fast they become more, and how long they live.
    pub instances: InstanceLimits,
    /// What to do about a function whose runtime version is not installed.
    pub runtime_substitution: RuntimeSubstitutions,
    /// What to do about runtimes that AWS has deprecated.
    pub runtime_deprecation: RuntimeDeprecation,
    /// Root file systems that are used instead of the machine's own.
    pub runtime_roots: Vec<RuntimeRoot>,
    /// Functions that run under their language's debugger, and where that can be reached.
    pub debug: Vec<(FunctionName, SocketAddr)>,
    /// Where the jars of the Java runtime interface client are, if not in the data directory.
    pub java_runtime_client: Option<PathBuf>,
    /// The clock of what waits for a time of day.
    pub clock: ClockChoice,
    /// How much the daemon's own log says.
    pub log_level: LogLevel,
}

/// Limits of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceLimits {
    /// How fast they become more.
    pub scaling: ScalingRule,
    /// Requests in a second for each concurrent execution; `None`: as many as come.
    pub requests_per_execution: Option<u32>,
    /// On the machine; `None`: what its memory allows.
    pub max_instances: Option<usize>,
    /// Of one function; `None`: what the machine's memory allows.
    pub max_instances_per_function: Option<usize>,
    /// How long an event waits for room for an instance.
    pub wait_for_room: Duration,
    /// Bytes of memory that stay free; `None`: a part of it, 0: whatever happens.
    pub min_free_memory: Option<u64>,
    /// Interpreters that wait at most for a function to run.
    pub started_ahead: usize,
    /// How long one may be without an event.
    pub idle_timeout: Duration,
    /// How long one is used; `None`: for ever.
    pub recycle_after: Option<Duration>,
}

/// How asynchronous events are treated. Endpoints are URLs, in which `{region}` may stand for the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventChoices {
    /// Waits before the attempts after a function error.
    pub retry_delays: Vec<Duration>,
    /// First wait after throttling or a fault.
    pub backoff: Duration,
    /// Longest such wait.
    pub backoff_max: Duration,
    /// Age at which an event is given up.
    pub max_age: Duration,
    /// Where queues are; `None` for the daemon itself.
    pub sqs_endpoint: Option<String>,
    /// Where topics are; `None` for the daemon itself.
    pub sns_endpoint: Option<String>,
    /// Where event buses are, if anywhere.
    pub eventbridge_endpoint: Option<String>,
}

/// Limits of an account in a region. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// Of a package that is uploaded directly.
    pub code_size_zipped: u64,
    /// Of a package when unpacked, layers included.
    pub code_size_unzipped: u64,
    /// Of all packages.
    pub total_code_size: u64,
    /// Of a response that its function streams.
    pub streamed_response: u64,
    /// Events processed at one time.
    pub concurrent_executions: usize,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            code_size_zipped: limits::CODE_SIZE_ZIPPED,
            code_size_unzipped: limits::CODE_SIZE_UNZIPPED,
            total_code_size: limits::TOTAL_CODE_SIZE,
            streamed_response: limits::STREAMED_RESPONSE,
            concurrent_executions: limits::CONCURRENT_EXECUTIONS,
        }
    }
}

/// What to do about functions whose runtime versions are not installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeSubstitutions {
    /// For runtimes without a rule of their own.
    pub others: RuntimeSubstitution,
    /// For a runtime identifier, or a family.
    pub of: Vec<(String, RuntimeSubstitution)>,
}

impl RuntimeSubstitutions {
    /// The rule for a runtime: its own, else its family's, else that for the others.
    pub fn rule(&self, runtime: &str) -> RuntimeSubstitution {
        let family = runtime.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or(runtime);
        let of = |id: &str| self.of.iter().find(|(other, _)| other == id).map(|(_, rule)| *rule);
        of(runtime).or_else(|| of(family)).unwrap_or(self.others)
    }
}

/// A root file system for the functions of a runtime or of a family of runtimes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRoot {
    /// A runtime identifier, or a family.
    pub id: String,
    /// A directory, an image layout or an archive of one; a tag may follow after a colon.
    pub path: String,
}

/// What [`Inspector::runtimes`] has to know of how the daemon is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimesQuery {
    /// The data directory.
    pub data: PathBuf,
    /// As for [`ServeArgs`].
    pub toolchains: PathBuf,
    /// As for [`ServeArgs`].
    pub runtime_substitution: RuntimeSubstitutions,
    /// As for [`ServeArgs`].
    pub runtime_roots: Vec<RuntimeRoot>,
    /// As for [`ServeArgs`].
    pub java_runtime_client: Option<PathBuf>,
}

/// A daemon that answers requests.
pub struct RunningDaemon {
    /// Where it really listens.
    pub endpoint: SocketAddr,
    /// The isolation level in force, such as `namespaces`.
    pub isolation: String,
    /// The network of functions that ask for none themselves, such as `nat`, and why if that was not chosen.
    pub network: String,
    /// The managed runtimes that this machine can run.
    pub runtimes: Vec<RuntimeFound>,
    /// The data directory in use.
    pub data: PathBuf,
    /// Stops it: no new requests, events in flight finish or return to the queue.
    pub stop: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>,
}

impl fmt::Debug for RunningDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningDaemon")
            .field("endpoint", &self.endpoint)
            .field("isolation", &self.isolation)
            .field("network", &self.network)
            .field("runtimes", &self.runtimes)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// A managed runtime whose interpreter is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RuntimeFound {
    /// Lambda's identifier, such as `python3.12` or `nodejs22.x`.
    pub id: String,
    /// What functions are created with to run on it: the same, unless Lambda has no such runtime.
    pub created_as: String,
    /// The interpreter.
    pub path: PathBuf,
    /// The interpreter's own version, such as `3.12.4`.
    pub version: String,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process listens there.
    #[error("{0} is already in use")]
    PortInUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address for a debugger cannot be listened on.
    #[error("cannot listen for a debugger on {address}: {source}")]
    DebugPort {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A function cannot be debugged at the isolation level in force.
    #[error("functions at the isolation level {level} may not listen, as debuggers do")]
    DebugLevel {
        /// The level.
        level: String,
    },
    /// Another daemon works with this data directory.
    #[error("another lambd{} uses the data directory {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    DataLocked {
        /// The directory.
        path: PathBuf,
        /// The other daemon, when it told.
        pid: Option<u32>,
    },
    /// The data directory cannot be created, read or written.
    #[error("cannot use the data directory {}: {source}", path.display())]
    DataUnusable {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A root file system cannot be used.
    #[error("cannot use --runtime-root {id}={path}: {reason}")]
    RuntimeRoot {
        /// What it was chosen for.
        id: String,
        /// Where it should be.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// A rule of substitution is for no runtime.
    #[error("cannot use --runtime-substitution {id}=…: {reason}")]
    Substitution {
        /// What it is for.
        id: String,
        /// What is wrong with it.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// No isolation level works on this machine: what stands in the way of each, and what would help.
    #[error("no isolation level works here: {0}")]
    NoIsolation(String),
    /// The isolation level that was asked for does not work on this machine.
    #[error("the isolation level {level} does not work here: {reason}")]
    IsolationUnavailable {
        /// Its name.
        level: String,
        /// What stands in the way.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// The network that was asked for does not work on this machine.
    #[error("the network policy {policy} does not work here: {reason}")]
    NetworkUnavailable {
        /// Which one.
        policy: NetworkPolicy,
        /// What stands in the way.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// A part of the daemon failed to start.
    #[error("the daemon did not start: {0}")]
    Part(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::PortInUse(_) => {
                "stop the other process, or choose another address with --listen 127.0.0.1:PORT \
                                   (port 0 takes a free one)"
                    .into()
            }
            Self::Listen { .. } => {
                "choose an address of this machine, and a port above 1023, with --listen".into()
            }
            Self::DebugLevel { .. } => "leave --debug out, or choose another level with --isolation".into(),
            Self::DebugPort { .. } => "choose a free port: --debug NAME:PORT".into(),
            Self::DataLocked { .. } => {
                "stop the other lambd, or choose another directory with --data DIR".into()
            }
            Self::DataUnusable { .. } => {
                "make it writable for you, or choose another directory with --data DIR".into()
            }
            Self::IsolationUnavailable { remedy, .. } => {
                format!("{remedy}; or choose another level with --isolation")
            }
            Self::RuntimeRoot { remedy, .. } | Self::Substitution { remedy, .. } => remedy.clone(),
            Self::NetworkUnavailable { remedy, .. } => {
                format!("{remedy}; or choose another network with --network")
            }
            Self::NoIsolation(_) | Self::Part(_) => {
                "run `lambd doctor` to see what this machine lacks".into()
            }
        }
    }
}
