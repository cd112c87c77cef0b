//! Why a measurement could not be taken.

use std::fmt;
use std::path::Path;

/// An error that ends the benchmark: a run with a hole in it is not worth reading.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// A file could not be read or written.
    File(String, std::io::Error),
    /// A connection broke or could not be made.
    Net(std::io::Error),
    /// The other side did not speak HTTP as this client knows it.
    Protocol(&'static str),
    /// The daemon answered with something other than success.
    Answer(String),
    /// A process did not start or did not become ready.
    Process(String),
}

impl Error {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File(path.display().to_string(), source)
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Self::Net(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Answer(what) | Self::Process(what) => f.write_str(what),
            Self::File(path, source) => write!(f, "{path}: {source}"),
            Self::Net(source) => write!(f, "connection: {source}"),
            Self::Protocol(what) => write!(f, "not the HTTP that was expected: {what}"),
        }
    }
}
