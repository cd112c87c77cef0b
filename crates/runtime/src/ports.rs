//! What instances need from their neighbours.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lambd_types::invocation::LogEvent;
use lambd_types::{FunctionKey, NetworkPolicy, Scope};

use crate::catalogue::{Found, Sdk, java};

/// Toolchains beside the machine's own interpreters, of which more may come at any time.
pub trait Toolchains: Send + Sync {
    /// When there was last one more or one less; `None` as long as there was none. It is asked for every new instance.
    fn changed(&self) -> Option<SystemTime>;

    /// What makes JVMs run functions, if it is there.
    fn java_client(&self) -> Option<java::Client> {
        None
    }

    /// AWS SDKs for functions that package none.
    fn sdks(&self) -> Vec<Sdk> {
        Vec::new()
    }

    /// Those that are there, the first of a version goes before others.
    fn installed(&self) -> Vec<Found>;
}

/// What a sandbox is to be: one process with a file system and limits of its own.
#[derive(Debug, Clone, Default)]
pub struct Blueprint {
    /// Unique name.
    pub id: String,
    /// Absolute path of the program, as seen inside.
    pub command: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// A host directory that is its root file system; without one, the host's own programs and libraries.
    pub root: Option<PathBuf>,
    /// Host directories that appear read-only inside: (host path, path inside).
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Symbolic links of the root file system: (link, target).
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// Size of `/tmp` in bytes.
    pub tmp_bytes: u64,
    /// What runs beside the program.
    pub companions: Companions,
    /// How its process begins.
    pub origin: Origin,
}

/// How the process of a sandbox begins.
#[derive(Debug, Clone, Default)]
pub enum Origin {
    /// With its program.
    #[default]
    Program,
    /// With its program, for an image of it to be taken ([`Sandbox::capture`]): its standard input is a socket, of which
    /// it keeps a copy by this number. There it waits to be captured, and reads its environment to the end: each
    /// variable as `NAME=VALUE` with a zero byte behind it. Without companions.
    ToBeCaptured {
        /// The number.
        door: i32,
    },
    /// As what it was when this image was taken, in a sandbox of the same blueprint. It gets its environment at once.
    Image(Image),
}

/// The image of a process. Clones are handles to the same one, which is gone with the last.
#[derive(Clone)]
pub struct Image {
    /// Whatever the sandboxes made it of.
    pub handle: Arc<dyn Any + Send + Sync>,
    /// Bytes of memory.
    pub bytes: u64,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Programs that run beside that of a sandbox. With any, that one waits for [`Sandbox::launch`], and the others live on
/// when it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Companions {
    /// Absolute paths, as seen inside. They start at once and together.
    pub commands: Vec<PathBuf>,
    /// The whole environment of each.
    pub env: Vec<(String, String)>,
    /// Their working directory.
    pub cwd: PathBuf,
}

/// A program that can be started before it is known for which function, and what it needs for that.
///
/// It writes a byte to its standard input, a socket, when it is ready, and reads its environment from there to the end:
/// each variable as `NAME=VALUE` with a zero byte behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ahead {
    /// As in [`Blueprint`], also the following.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment until it gets another.
    pub env: Vec<(String, String)>,
    /// Those that are not the function's.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Links.
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Size of `/tmp` in bytes.
    pub tmp_bytes: u64,
    /// Directories that must be there already, empty.
    pub directories: Vec<PathBuf>,
    /// Whether others may be made from its image, once it waits.
    pub can_be_captured: bool,
}

/// What about a sandbox is decided before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Which network it sees.
    pub network: NetworkPolicy,
    /// Whether [`Blueprint::root`] will be given.
    pub own_root: bool,
}

/// Where the endpoints of one sandbox are, as its processes reach them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The Runtime API.
    pub runtime_api: SocketAddr,
    /// The AWS endpoint.
    pub aws: SocketAddr,
    /// The X-Ray daemon, for datagrams.
    pub xray_udp: SocketAddr,
    /// The X-Ray daemon, for connections.
    pub xray_tcp: SocketAddr,
}

/// The sockets behind [`Addresses`], for the daemon to serve.
#[derive(Debug)]
pub struct Listeners {
    /// The Runtime API.
    pub runtime_api: TcpListener,
    /// The AWS endpoint.
    pub aws: TcpListener,
    /// The X-Ray daemon, for datagrams.
    pub xray_udp: UdpSocket,
    /// The X-Ray daemon, for connections.
    pub xray_tcp: TcpListener,
    /// Whom to serve, where others can reach them as well.
    pub gate: Option<Gate>,
}

/// Tells the processes of a sandbox from others who connect to its endpoints.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn(SocketAddr, SocketAddr) -> bool + Send + Sync>);

impl Gate {
    /// `includes` is asked for the addresses of a connection, the peer's and the listener's; it may block for
    /// a moment.
    pub fn new(includes: impl Fn(SocketAddr, SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(includes))
    }

    /// Whether a connection from `peer` to `local` may be served.
    pub fn includes(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        (self.0)(peer, local)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Which files the processes of a sandbox see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// A root file system of its own: directories appear where the blueprint says.
    OwnRoot,
    /// The host's: directories are where they are, and nothing is at the places that the blueprint names.
    Host {
        /// In the place of `/tmp`.
        tmp: PathBuf,
    },
}

/// How the process of a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with a status.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// The memory limit ended it.
    OutOfMemory,
    /// It could not be executed; the text is the kernel's reason, such as `permission denied`, alone.
    NotStarted(String),
    /// The sandbox is gone and nobody knows why.
    Lost,
}

/// A sandbox could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SpawnError(pub String);

/// Makes sandboxes.
pub trait Sandboxes: Send + Sync + 'static {
    /// An empty sandbox, whose endpoints have their addresses already.
    fn prepare(&self, base: Base) -> BoxFuture<'_, Result<Box<dyn Prepared>, SpawnError>>;
    /// The same; where programs can be started ahead, this one may wait in it already.
    fn prepare_for(
        &self,
        base: Base,
        _ahead: &Ahead,
    ) -> BoxFuture<'_, Result<Box<dyn Prepared>, SpawnError>> {
        self.prepare(base)
    }
    /// A program that is likely to be needed.
    fn expect(&self, _base: Base, _ahead: &Ahead) {}
    /// Whether images of processes can be taken and used here.
    fn takes_images(&self) -> bool {
        false
    }
}

/// An empty sandbox. Dropping it removes it.
pub trait Prepared: Send + 'static {
    /// Where its endpoints are.
    fn addresses(&self) -> Addresses;
    /// Which files it sees.
    fn view(&self) -> View;
    /// Builds it and starts its process.
    fn build(
        self: Box<Self>,
        blueprint: Blueprint,
    ) -> BoxFuture<'static, Result<Box<dyn Sandbox>, SpawnError>>;
}

/// One sandbox. Dropping it ends everything inside.
pub trait Sandbox: Send + Sync + 'static {
    /// The sockets of its endpoints. `None` the second time.
    fn take_listeners(&mut self) -> Option<Listeners>;
    /// Non-blocking read end of the pipe that is the process's stdout and stderr. `None` the second time.
    fn take_output(&mut self) -> Option<OwnedFd>;
    /// The same of the companions, all together. `None` without any, or the second time.
    fn take_companion_output(&mut self) -> Option<OwnedFd>;
    /// The ends of companions, by their place in [`Companions::commands`]; the first of each counts. `None` without
    /// any, or the second time.
    fn take_companion_ends(&mut self) -> Option<BoxStream<'static, (usize, Exit)>>;
    /// Lets the process start that waits beside companions.
    fn launch(&self) -> BoxFuture<'_, ()>;
    /// Resolves when the process has ended.
    fn exited(&self) -> BoxFuture<'static, Exit>;
    /// The id that the sandbox's init, whose child the process is, has for the daemon; none where there is no init.
    fn init(&self) -> Option<i32>;
    /// Resolves when nothing is left.
    fn gone(&self) -> BoxFuture<'static, ()>;
    /// The image of a process that is to be captured, once it waits; or why there can be none.
    fn capture(&self) -> BoxFuture<'_, Result<Image, String>> {
        Box::pin(std::future::ready(Err("no images are taken here".to_owned())))
    }
    /// Asks the process alone to end (SIGTERM).
    fn terminate_process(&self) -> BoxFuture<'_, ()>;
    /// Ends the process alone.
    fn kill_process(&self) -> BoxFuture<'_, ()>;
    /// Connects to a port that some process inside listens on.
    fn connect(&self, port: u16) -> BoxFuture<'static, io::Result<tokio::net::TcpStream>>;
    /// Stops everything inside where it is; where the machine cannot do that, nothing happens.
    fn freeze(&self) -> io::Result<()>;
    /// Lets what is frozen go on.
    fn thaw(&self) -> io::Result<()>;
    /// Ends the time at full CPU: from now on everything inside has the share that goes with its memory.
    /// May block for some milliseconds. Where the machine cannot do that, nothing happens.
    fn limit_cpu(&self) -> io::Result<()>;
    /// Asks the process to end (SIGTERM) and ends everything inside when it has, or after `grace`; resolves when
    /// nothing is left. What is frozen must be thawed before.
    fn terminate(&self, grace: Duration) -> BoxFuture<'_, ()>;
    /// Ends everything inside at once, frozen or not.
    fn kill(&self);
    /// Most memory that was in use at one time, in bytes, when the machine can tell.
    fn memory_peak_bytes(&self) -> Option<u64>;
}

/// Keeps logs.
pub trait LogSink: Send + Sync + 'static {
    /// Opens a stream of a group.
    fn open(&self, scope: &Scope, group: &str, stream: &str) -> Arc<dyn LogStream>;
}

/// One log stream.
pub trait LogStream: Send + Sync + 'static {
    /// Adds events. Never blocks.
    fn append(&self, events: Vec<LogEvent>);
    /// Whether the sink is behind, so that a function's output should wait in its pipe.
    fn is_full(&self) -> bool;
    /// Resolves when the sink has caught up.
    fn room(&self) -> BoxFuture<'_, ()>;
}

/// Serves the AWS endpoint on a listener inside a sandbox, until the guard is dropped.
pub trait EndpointServer: Send + Sync + 'static {
    /// Starts serving callers that can act only in the account of `scope`, and only those whom `gate` includes.
    fn serve(&self, listener: TcpListener, gate: Option<Gate>, scope: &Scope) -> Box<dyn Send + Sync>;
}

/// Takes what functions send to the address of their X-Ray daemon, until the guard is dropped.
pub trait Traces: Send + Sync + 'static {
    /// Starts serving: segments come as datagrams, questions about sampling over connections.
    fn serve(
        &self,
        datagrams: UdpSocket,
        connections: TcpListener,
        function: &FunctionKey,
    ) -> Box<dyn Send + Sync>;
}
