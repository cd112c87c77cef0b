//! Why a toolchain cannot be installed or removed.

use std::io;
use std::path::PathBuf;

use lambd_archives::ArchiveError;
use lambd_outbound::OutboundError;

/// Why a toolchain cannot be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No such runtime.
    #[error("{id:?} is no runtime whose toolchain lambd can install")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// Functions of the runtime bring along what runs them.
    #[error("{id} needs nothing: its functions are programs by themselves")]
    NothingNeeded {
        /// The runtime.
        id: String,
    },
    /// No registry that lambd knows has it.
    #[error("no registry that lambd knows publishes what runs {id}")]
    NotPublished {
        /// The runtime.
        id: String,
        /// How to have it all the same.
        remedy: String,
    },
    /// The registry has no version that fits.
    #[error("{registry} has no {package} {line} for this machine")]
    NoVersion {
        /// Where.
        registry: String,
        /// The package.
        package: String,
        /// Version wanted.
        line: String,
    },
    /// The registry did not answer.
    #[error("{}", with_causes(.0))]
    Outbound(#[from] OutboundError),
    /// The registry answered, but not with what was asked for.
    #[error("{url} answers {status}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The registry's answer cannot be understood.
    #[error("{url} is not what a registry answers: {reason}")]
    NotARegistry {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The download broke off.
    #[error("the download of {url} broke off after {received} bytes")]
    BrokenOff {
        /// What was downloaded.
        url: String,
        /// Bytes that came.
        received: u64,
    },
    /// What came is not what the registry says it is.
    #[error("{url} has another checksum than the registry says: {found} instead of {expected}")]
    Checksum {
        /// What was downloaded.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The registry publishes no checksum that can be relied on.
    #[error("{url} is published without a checksum that can be relied on")]
    NoChecksum {
        /// The file.
        url: String,
    },
    /// It cannot be unpacked.
    #[error("cannot unpack it: {0}")]
    Archive(#[from] ArchiveError),
    /// A link in it leads to something else on this machine.
    #[error("{} in it is a link that leads out of it, to {}", link.display(), target.display())]
    LinkLeavesIt {
        /// The link.
        link: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// There is no such file or folder, or it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program is not in it.
    #[error("there is no {program} in it")]
    NoProgram {
        /// Where the program should be.
        program: String,
    },
    /// The program does not run.
    #[error("{program} does not run on this machine: {reason}")]
    Broken {
        /// The program.
        program: String,
        /// How it ended, or what it said.
        reason: String,
    },
    /// It is another version than was asked for.
    #[error("it is version {found}, and {id} needs {line}")]
    WrongVersion {
        /// The runtime.
        id: String,
        /// Version wanted.
        line: String,
        /// Version that it is.
        found: String,
    },
    /// An image cannot be used.
    #[error("cannot use the image: {reason}")]
    Image {
        /// Why.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// The directory cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Maven did not get what it was to get.
    #[error("Maven cannot get the jars: {reason}")]
    Maven {
        /// What it says.
        reason: String,
    },
    /// A language's package manager did not get what it was to get.
    #[error("{manager} cannot get the packages: {reason}")]
    PackageManager {
        /// pip, npm or gem.
        manager: &'static str,
        /// What it says.
        reason: String,
    },
    /// Nothing of that name is installed.
    #[error("no toolchain {id} is installed{}", if .installed.is_empty() { String::new() } else { format!("; there is {}", .installed.join(", ")) })]
    NotInstalled {
        /// What was asked for.
        id: String,
        /// What there is.
        installed: Vec<String>,
    },
}

impl ToolchainError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unknown { .. } => "`lambd runtimes` lists the runtimes".into(),
            Self::NothingNeeded { id } => format!("create the function with --runtime {id}"),
            Self::NotPublished { remedy, .. } | Self::Image { remedy, .. } => remedy.clone(),
            Self::NoVersion { .. } => "give an archive or a folder that has it: --from PATH".into(),
            Self::Outbound(_) | Self::Refused { .. } | Self::NotARegistry { .. } => {
                "check the network and HTTPS_PROXY; a mirror is chosen with --npm-registry, --pypi-index or --maven-repository; without any, \
                 give an archive: --from PATH"
                    .into()
            }
            Self::BrokenOff { .. } => "try again".into(),
            Self::Checksum { .. } | Self::NoChecksum { .. } => {
                "somebody on the way changed it, or the mirror is damaged: ask its operator, or choose another".into()
            }
            Self::Archive(_) | Self::LinkLeavesIt { .. } => "use another archive".into(),
            Self::Unreadable { .. } => {
                "give a folder, a .tar, .tar.gz, .tar.xz, .tar.zst, .tgz, .zip or .whl, or oci:DIRECTORY for an image"
                    .into()
            }
            Self::Maven { .. } => {
                "give the address of a Maven repository with --maven-repository URL, or a folder that has the jars with --from DIR"
                    .into()
            }
            Self::PackageManager { manager, .. } => {
                format!("check what {manager} is told of its registry, or give a folder or an archive that has the SDK: --from PATH")
            }
            Self::NoProgram { program } if program.contains("SDK") => "give the folder that has its packages in it".into(),
            Self::NoProgram { .. } => "give the archive or the folder that has bin/ in it".into(),
            Self::Broken { .. } => {
                "check that it is for this machine's processor and C library; `ldd` tells what it lacks".into()
            }
            Self::WrongVersion { .. } => "give one of that version, or add it for the runtime that it is".into(),
            Self::Store { .. } => "free some space, or choose another directory with --data DIR".into(),
            Self::NotInstalled { .. } => "`lambd runtimes` lists what is there, and from where".into(),
        }
    }
}

fn with_causes(error: &OutboundError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
