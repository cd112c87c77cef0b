//! The messages between daemon, spawner and init.
//!
//! Two kinds of socket, both `SOCK_SEQPACKET` so that one message is one packet:
//!
//! - the **request socket** goes from the daemon to the spawner and carries [`Request`]s: each [`SpawnRequest`]
//!   with file descriptors: the sandbox's end of its control socket, the write end of the pipe for its
//!   output and, for [`Network::Connected`], the write end of the pipe for what its uplink has to say; each
//!   [`ConnectRequest`] with that last one alone;
//! - the **control socket**, one per sandbox, carries everything about that sandbox, in order:
//!   [`Event`]s to the daemon (from the spawner until the sandbox is released, then from its init)
//!   and [`Order`]s to the init. Its end of file means to the init that the daemon is gone or wants
//!   the sandbox gone, and to the daemon that the sandbox is gone.
//!
//! A sandbox is made in two steps, so that the first, which is the same for all functions, can be
//! made ahead of demand: [`SpawnRequest`] leads to an empty sandbox ([`Event::Prepared`]), whose init
//! waits for [`Order::Build`], which leads to [`Event::Ready`]. The order may be sent at once; it
//! waits in the socket. In between, [`Order::Start`] may start its program ahead of demand, which then waits for the
//! rest as well.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fds;
use crate::snapshot::Snapshot;

/// Largest message in bytes. Below the default send buffer of a Unix socket, so that a message
/// either fits or is refused here by name.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// How the step begins that fails where the interface of [`Network::Held`] cannot be made.
pub const MAKE_INTERFACE: &str = "make the network interface";

/// What the daemon asks of the spawner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// An empty sandbox.
    Spawn(Box<SpawnRequest>),
    /// The uplink of one with [`Network::Held`].
    Connect(ConnectRequest),
}

/// Asks the spawner to start the uplink of a sandbox whose interface the daemon has let go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectRequest {
    /// Its [`SpawnRequest::id`].
    pub id: String,
    /// What to start.
    pub uplink: Uplink,
}

/// Asks the spawner for one empty sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// Name of the sandbox, which no other has that the spawner makes.
    pub id: String,
    /// What keeps it apart from the host.
    pub level: Level,
    /// Which network it sees.
    pub network: Network,
    /// Addresses to listen on in that network; the sockets are served by the daemon. Port 0 takes any
    /// free one.
    pub listeners: Vec<Listener>,
    /// Whether its root file system will be the host's, which can be made at once; see [`Root`].
    pub host_root: bool,
    /// Files of `/etc` by name with their contents, in place of those that every sandbox has.
    pub etc: Vec<(String, String)>,
    /// Where the kernel accounts for it.
    pub cgroup: CgroupPlacement,
    /// At the level `process`: absolute path of the directory to make for it, the only one it may write to.
    pub tmp: Option<PathBuf>,
}

/// What keeps a sandbox apart from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Namespaces and a root file system of its own.
    Namespaces,
    /// Rights of its process alone: user id, seccomp, Landlock, resource limits.
    Process,
    /// A container that an OCI runtime makes in such namespaces, see [`JailSpec::runtime`].
    Oci,
}

/// Which network a sandbox sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// One of its own, with a loopback interface and nothing else.
    Own,
    /// One of its own, which a program connects to the daemon's.
    Connected(Uplink),
    /// The same, but the program is not started before it is asked for ([`Request::Connect`]). Until then the daemon
    /// holds the other end of the interface.
    Held {
        /// Name of the interface, which the program must be told as well.
        interface: String,
    },
    /// The daemon's.
    Host,
}

impl Network {
    /// Whether a program connects it to the daemon's, now or later.
    #[must_use]
    pub fn has_uplink(&self) -> bool {
        matches!(self, Self::Connected(_) | Self::Held { .. })
    }
}

/// A program that connects a network namespace to the network that it was started in itself: pasta(1).
///
/// It runs as the user of the sandbox's init and has the capabilities to enter and to configure the sandbox's
/// network, and none outside. It ends with the sandbox, and the sandbox with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// Absolute path on the host.
    pub program: PathBuf,
    /// Its arguments. The path of the network namespace to enter follows them.
    pub args: Vec<String>,
}

/// A socket that the daemon serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Its kind.
    pub transport: Transport,
    /// Where it is bound.
    pub address: SocketAddrV4,
}

/// The kind of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Listening for connections.
    Tcp,
    /// Receiving datagrams.
    Udp,
}

/// What to build and run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JailSpec {
    /// Absolute path of the program inside the sandbox.
    pub command: PathBuf,
    /// Arguments after `argv[0]`, which is the command itself.
    pub args: Vec<String>,
    /// The whole environment, in this order.
    pub env: Vec<(String, String)>,
    /// Working directory inside the sandbox.
    pub cwd: PathBuf,
    /// Where its programs and libraries come from.
    pub root: Root,
    /// Read-only views of host directories or files, mounted in this order.
    pub binds: Vec<Bind>,
    /// For [`Order::Start`]: directories that are there, empty, until the sandbox is built. The dynamic linker looks
    /// once which of its directories exist (ld.so(8)), so that those must which may have libraries later.
    pub directories: Vec<PathBuf>,
    /// Symbolic links of the root file system, made before the binds.
    pub symlinks: Vec<Symlink>,
    /// What `/tmp` is. At the level `process` that is [`SpawnRequest::tmp`], and this tells in bytes how large a
    /// file may be.
    pub tmp: Tmp,
    /// `RLIMIT_DATA` in bytes for each process, where no cgroup limits memory.
    pub data_limit_bytes: Option<u64>,
    /// What makes the container at [`Level::Oci`].
    pub runtime: Option<OciRuntime>,
    /// What runs beside the program.
    pub companions: Companions,
    /// Instead of executing the command, become what it was when it was captured. The image comes along. For
    /// [`Order::Build`] without companions: it waits for its environment then, which it gets at once.
    pub snapshot: Option<Snapshot>,
    /// For [`Order::Build`] at [`Level::Namespaces`] without companions: the program is to be captured. Its standard
    /// input is a socket, of which it keeps a copy by this number; with [`Order::Capture`] it waits there for an
    /// environment, in the form of [`Order::Start`]. The init keeps the right to trace it.
    pub door: Option<i32>,
}

/// Programs that run beside the sandbox's own, from before it starts.
///
/// With any, [`Order::Build`] comes with the write end of the pipe for their output, the sandbox's program waits for
/// [`Order::Launch`], and its end is reported without ending the sandbox, which lasts as long as its control socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companions {
    /// Absolute paths of the programs inside the sandbox.
    pub commands: Vec<PathBuf>,
    /// The whole environment of each, in this order.
    pub env: Vec<(String, String)>,
    /// Their working directory inside the sandbox.
    pub cwd: PathBuf,
}

/// A program with the command line of an OCI runtime.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OciRuntime {
    /// Absolute path on the host.
    pub program: PathBuf,
    /// Options before `run`, after those for its state and its log.
    pub args: Vec<String>,
    /// Whether the container's first process is an ordinary process of the sandbox that lives on without the
    /// runtime. Else the runtime stays, and its exit code tells how the container ended.
    pub detaches: bool,
    /// Whether it takes a compiled seccomp filter by crun's annotation.
    pub takes_compiled_filter: bool,
}

/// The root file system. It is shown read-only, with `/dev`, `/proc`, `/tmp` and a few files of `/etc` that are
/// the sandbox's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// The host's programs and libraries, and nothing else of it.
    #[default]
    Host,
    /// A directory that holds a root file system. Links in it are taken as links inside it.
    Directory {
        /// Absolute path on the host.
        path: PathBuf,
    },
}

/// What `/tmp` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tmp {
    /// A file system in memory, whose pages count as the sandbox's.
    Memory {
        /// Its size in bytes; zero means no limit.
        bytes: u64,
    },
    /// A directory of the host, writable by every user, which limits by itself what it can hold.
    Directory {
        /// Absolute path on the host. Once the sandbox is built, it may disappear there.
        path: PathBuf,
    },
}

impl Default for Tmp {
    fn default() -> Self {
        Self::Memory { bytes: 0 }
    }
}

/// A read-only view of a host directory or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the sandbox; made if missing.
    pub target: PathBuf,
}

/// A symbolic link of the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symlink {
    /// Absolute path of the link in the sandbox.
    pub link: PathBuf,
    /// What it points to.
    pub target: PathBuf,
}

/// The cgroups a sandbox is put into before its first own instruction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlacement {
    /// Version 1: one `tasks` file for each hierarchy.
    pub v1_tasks_files: Vec<PathBuf>,
    /// Version 2: the directory, for `CLONE_INTO_CGROUP`.
    pub v2_directory: Option<PathBuf>,
}

/// What happened to one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The spawner made the sandbox's init; a pidfd of it comes along.
    Spawned {
        /// Process id of the init in the spawner's pid namespace.
        pid: i32,
        /// User id of the function in the spawner's user namespace, if nobody else has it.
        uid: Option<u32>,
    },
    /// A step before exec failed; the sandbox is gone.
    SetupFailed {
        /// What was tried.
        step: String,
        /// The error number, see errno(3); zero where an OCI runtime told no more than the step says.
        errno: i32,
    },
    /// The empty sandbox waits for [`Order::Build`]; its listeners come along, in the order asked for. For
    /// [`Network::Connected`], two sockets follow them through which the sandbox's network can be configured
    /// (rtnetlink(7), already subscribed to changes of its interfaces) and filtered (`NETLINK_NETFILTER`). For
    /// [`Network::Held`] come two more: the other end of its interface, from which whole frames are read, one at a
    /// time; and a socket that sends frames by that interface as if they came from inside, filtered or not.
    Prepared {
        /// How long each step took.
        phases: Vec<Phase>,
    },
    /// The program of [`Order::Start`] waits for its environment.
    Started,
    /// The image of the program that waits comes along; or why there is none, in a sentence for whoever wrote it.
    Captured {
        /// What to know of the image.
        snapshot: Result<Snapshot, String>,
    },
    /// The sandbox is built, and its program is about to be executed, or has been given its environment.
    Ready {
        /// How long each step since the order took.
        phases: Vec<Phase>,
    },
    /// execve(2) refused the command.
    ExecFailed {
        /// The error number, see execve(2).
        errno: i32,
    },
    /// The function's process ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
        /// Largest resident set of any of its processes in bytes.
        max_rss_bytes: u64,
    },
    /// The function's process was ended by a signal.
    Signaled {
        /// The signal's number, see signal(7).
        signal: i32,
        /// Largest resident set of any of its processes in bytes.
        max_rss_bytes: u64,
    },
    /// A companion was not started.
    CompanionNotStarted {
        /// Its place in [`Companions::commands`].
        index: usize,
        /// `execve`, or what was tried before it.
        step: String,
        /// The error number, as in [`Event::SetupFailed`].
        errno: i32,
    },
    /// A companion ended: with an exit code, or by the signal of this number. Also told of one that was not started.
    CompanionEnded {
        /// Its place in [`Companions::commands`].
        index: usize,
        /// `Ok` with the exit code, `Err` with the signal.
        status: Result<i32, i32>,
    },
    /// The answer to [`Order::Socket`]: the socket comes along, or there was an error of this number.
    Socket {
        /// See socket(2).
        errno: Option<i32>,
    },
}

/// One step of making a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done.
    pub name: Cow<'static, str>,
    /// How long it took in nanoseconds.
    pub nanoseconds: u64,
}

/// What the daemon asks of a sandbox's init.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// At [`Level::Namespaces`] with the host's root: start this program in the empty sandbox, once, before
    /// [`Order::Build`]. It has the rights of any program of a sandbox, and sees what it names and the host's system.
    ///
    /// Its standard input is a socket. It writes one byte when it is ready ([`Event::Started`]), and reads until the
    /// end: its whole environment, each variable as `NAME=VALUE` with a zero byte behind it. An end without any means
    /// that it is not needed.
    Start(Box<JailSpec>),
    /// Take the image of the program that waits: one that was started, or one with a [`JailSpec::door`], which has
    /// some seconds to come there.
    Capture,
    /// Build this in the empty sandbox, once. A program that was started takes the place of the one that is named, and
    /// gets its environment; binds and links are those that it does not have yet, and its `/tmp` stays.
    Build(Box<JailSpec>),
    /// Let the program start that waits beside companions.
    Launch,
    /// Send `SIGTERM` to the function's process.
    Terminate,
    /// Send `SIGKILL` to the function's process and its process group.
    Kill,
    /// Open a TCP socket in the sandbox's network and hand it out, so that the daemon can connect to what listens there.
    Socket,
    /// At the level `process`: stop all processes of the sandbox by `SIGSTOP`.
    Stop,
    /// At the level `process`: let them go on by `SIGCONT`.
    Continue,
}

/// Sends one message with file descriptors.
///
/// # Errors
/// `EMSGSIZE` when the message is larger than [`MAX_MESSAGE`], else those of sendmsg(2).
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    fds::send_packet(socket, &bytes, fds)
}

/// Receives one message with file descriptors; `None` at the end of the connection.
///
/// # Errors
/// Those of recvmsg(2); `EPROTO` when the packet was cut or is not a message of this type.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let (length, fds) = fds::receive_packet(socket, &mut buffer)?;
    if length == 0 {
        return Ok(None);
    }
    match serde_json::from_slice(&buffer[..length]) {
        Ok(message) => Ok(Some((message, fds))),
        Err(_) => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}
