//! What a toolchain says about itself.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name.
pub(crate) const FILE: &str = "toolchain.json";

/// The only version of the file's format so far.
pub(crate) const FORMAT: u32 = 1;

/// What a toolchain says about itself: the file `toolchain.json` in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The runtime that it runs in its own version, such as `nodejs22.x`.
    pub runtime: String,
    /// Its language: `nodejs`, `java`, `dotnet`, `python`, `ruby`.
    pub family: String,
    /// All of its version, as it says itself; empty for a root file system that does not tell.
    pub version: String,
    /// What the directory is.
    #[serde(flatten)]
    pub place: Place,
    /// Where it comes from: a URL, or a path.
    pub source: String,
    /// What was verified of the source: `sha512-…` in base64 as npm writes it, or `sha256:…`. Nothing for files of this
    /// machine that came without.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checksum: Option<String>,
}

/// What a toolchain's directory is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Place {
    /// The prefix of an interpreter or virtual machine.
    Prefix {
        /// The program, below the directory.
        program: PathBuf,
    },
    /// A root file system.
    Root {
        /// It, below the directory.
        root: PathBuf,
    },
    /// Jars.
    Jars {},
    /// An AWS SDK.
    Sdk {
        /// What its language looks into, below the directory.
        directory: PathBuf,
        /// The first version of the language that it runs on; nothing if it does not say.
        since: Vec<u64>,
    },
}

impl Manifest {
    /// Reads the one of a toolchain; `None` if there is none that this lambd understands.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read(directory.join(FILE)).ok()?;
        let manifest: Self = serde_json::from_slice(&text).ok()?;
        let inside = match &manifest.place {
            Place::Prefix { program: path }
            | Place::Root { root: path }
            | Place::Sdk { directory: path, .. } => path.as_path(),
            Place::Jars {} => Path::new(""),
        };
        let plain = inside.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (manifest.format == FORMAT && plain).then_some(manifest)
    }
}
