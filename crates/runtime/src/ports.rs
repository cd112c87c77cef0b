//! What instances need from their neighbours.

use std::io;
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_types::Scope;
use lambd_types::invocation::LogEvent;

/// What a sandbox is to be: one process with a file system, limits and listeners of its own.
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
    /// Host directories that appear read-only inside: (host path, path inside).
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Symbolic links of the root file system: (link, target).
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// Size of `/tmp` in bytes.
    pub tmp_bytes: u64,
    /// Addresses inside on which the daemon listens.
    pub listeners: Vec<SocketAddrV4>,
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
    /// Makes one and starts its process.
    fn spawn(&self, blueprint: Blueprint) -> BoxFuture<'_, Result<Box<dyn Sandbox>, SpawnError>>;
}

/// One sandbox. Dropping it ends everything inside.
pub trait Sandbox: Send + Sync + 'static {
    /// The listeners of the blueprint, in its order. Empty the second time.
    fn take_listeners(&mut self) -> Vec<TcpListener>;
    /// Non-blocking read end of the pipe that is the process's stdout and stderr. `None` the second time.
    fn take_output(&mut self) -> Option<OwnedFd>;
    /// Resolves when the process has ended.
    fn exited(&self) -> BoxFuture<'static, Exit>;
    /// Stops everything inside where it is; where the machine cannot do that, nothing happens.
    fn freeze(&self) -> io::Result<()>;
    /// Lets what is frozen go on.
    fn thaw(&self) -> io::Result<()>;
    /// Ends the time at full CPU: from now on everything inside has the share that goes with its memory.
    /// May block for some milliseconds. Where the machine cannot do that, nothing happens.
    fn limit_cpu(&self) -> io::Result<()>;
    /// Asks the process to end (SIGTERM) and ends everything inside after `grace`; resolves when nothing
    /// is left. What is frozen must be thawed before.
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
    /// Starts serving callers that can act only in the account of `scope`.
    fn serve(&self, listener: TcpListener, scope: &Scope) -> Box<dyn Send + Sync>;
}
