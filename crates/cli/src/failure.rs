//! How commands end: exit statuses and what is said before them.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::console::{Console, Paint};
use crate::ports::{InstallError, StartError};
use crate::project::Problem;

/// How a command ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well: 0.
    Good,
    /// The command worked, and what it reports is bad: 1. A function failed, or `doctor` misses
    /// something required.
    Bad,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{what} is not valid JSON: {source}")]
    NotJson { what: String, source: serde_json::Error },
    #[error("found no function in {}", dir.display())]
    NoFunctions { dir: PathBuf },
    #[error("no function named {name} here; there is {}", known.join(", "))]
    UnknownFunction { name: String, known: Vec<String> },
    #[error("lambd starts no debugger for {runtime}, the runtime of {name}")]
    NoDebugger { name: String, runtime: String },
    #[error(
        "Delve, the debugger for Go, which {name} is written in, is not installed: no dlv is on the path"
    )]
    NoDelve { name: String },
    #[error("port {port}, for the debugger of {name}, is another function's already")]
    DebugPortTwice { name: String, port: u16 },
    #[error("{}", problems_text(.0))]
    Problems(Vec<Problem>),
    #[error("cannot watch {}: {source}", path.display())]
    Watch { path: PathBuf, source: notify::Error },
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// What the user can do about it.
    fn remedy(&self) -> Option<String> {
        match self {
            Self::Client(e) => e.remedy(),
            Self::Start(e) => Some(e.remedy()),
            Self::Install(e) => Some(e.remedy.clone()),
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("check the path; relative paths start at the current directory".into())
            }
            Self::NotJson { .. } => {
                Some(r#"quote it for the shell: '{"name":"Ada"}', or name a file: @event.json"#.into())
            }
            Self::NoFunctions { .. } => Some(NO_FUNCTIONS.into()),
            Self::Watch { .. } => Some(
                "if the limit of inotify watches is reached, raise it: sysctl fs.inotify.max_user_watches=524288"
                    .into(),
            ),
            Self::NoDebugger { .. } => Some(
                "attach a debugger to its process instead, such as `gdb -p PID`, as root".into(),
            ),
            Self::NoDelve { .. } => Some(
                "run `go install github.com/go-delve/delve/cmd/dlv@latest`, and have its directory on the path".into(),
            ),
            Self::DebugPortTwice { name, .. } => Some(format!("give it another: --debug {name}:PORT")),
            Self::Unreadable { .. } | Self::UnknownFunction { .. } | Self::Problems(_) | Self::Output(_) => None,
        }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Client(e) if e.is_unreachable() => 3,
            Self::Start(_) => 3,
            Self::Client(_)
            | Self::Install(_)
            | Self::Unreadable { .. }
            | Self::NotJson { .. }
            | Self::NoFunctions { .. }
            | Self::UnknownFunction { .. }
            | Self::NoDebugger { .. }
            | Self::NoDelve { .. }
            | Self::DebugPortTwice { .. }
            | Self::Problems(_)
            | Self::Watch { .. }
            | Self::Output(_) => 2,
        }
    }
}

const NO_FUNCTIONS: &str = "\
a function is a folder with its code and a lambd.toml such as

    runtime = \"python\"
    handler = \"app.handler\"

or a SAM template.yaml with AWS::Serverless::Function resources";

fn problems_text(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Says on stderr why a command failed, and translates its end to the process's exit status.
pub(crate) fn exit_status(done: Result<Exit, Failure>, console: &Console) -> u8 {
    match done {
        Ok(Exit::Good) => 0,
        Ok(Exit::Bad) => 1,
        // `lambd functions | head -1`: the reader has what it wanted.
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(failure) => {
            say(console, &failure);
            failure.status()
        }
    }
}

/// Writes a failure and its remedy to stderr.
pub(crate) fn say(console: &Console, failure: &Failure) {
    let paint = console.err_paint();
    let mark = paint.red("error:");
    // When stderr itself is gone there is nobody to tell.
    let _ = console.err(&format!("{mark} {failure}"));
    if let Some(remedy) = failure.remedy() {
        let _ = console.err(&format!("{} {remedy}", label(paint)));
    }
}

fn label(paint: Paint) -> String {
    paint.cyan("try:")
}
