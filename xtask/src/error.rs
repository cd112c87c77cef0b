//! Why a task could not do its work. (A failing test or check is a result, not an error.)

use std::fmt;
use std::path::Path;

/// An error that ends the task. It is only ever shown to the person who ran it.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// Something that the task needs is not on this machine.
    Missing(String),
    /// A file could not be read or written.
    File(String, std::io::Error),
    /// A program could not be started or ended badly.
    Program(String),
    /// A tool printed something other than expected.
    Output(String),
}

impl Error {
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File(path.display().to_string(), source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Missing(what) | Self::Program(what) => f.write_str(what),
            Self::File(path, source) => write!(f, "{path}: {source}"),
            Self::Output(what) => write!(f, "unexpected output: {what}"),
        }
    }
}
