//! Isolation levels, and which of them work here.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use lambd_jail::protocol::Level;

use crate::oci::OciRuntime;
use crate::probe::{self, Availability};
use crate::spawner::OWN_BINARY;

/// What keeps a sandbox apart from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Namespaces and a root file system of its own.
    #[default]
    Namespaces,
    /// The rights of its processes alone, for machines that allow no namespaces: a user id of its own where
    /// that is possible, Landlock, seccomp, resource limits. Paths are the host's.
    Process,
    /// A container that this runtime makes inside such namespaces.
    Oci(OciRuntime),
}

impl Isolation {
    /// The levels that need nothing but this machine, strongest first.
    pub const ALL: [Self; 2] = [Self::Namespaces, Self::Process];

    /// Whether it works here. For the trial, this process's own binary is the spawner, see
    /// [`Spawner::start`](crate::Spawner::start).
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.availability_with_program(Path::new(OWN_BINARY))
    }

    /// As [`Self::availability`] with another binary.
    #[must_use]
    pub fn availability_with_program(&self, spawner: &Path) -> Availability {
        match self {
            Self::Namespaces => probe::namespaces(),
            Self::Process => probe::process(),
            Self::Oci(runtime) => match probe::namespaces() {
                Availability::Available => runtime.availability(spawner),
                unavailable @ Availability::Unavailable { .. } => unavailable,
            },
        }
    }

    pub(crate) fn runtime(&self) -> Option<&OciRuntime> {
        match self {
            Self::Oci(runtime) => Some(runtime),
            Self::Namespaces | Self::Process => None,
        }
    }

    /// The strongest of [`Self::ALL`] that works here.
    ///
    /// # Errors
    /// Why each of them does not.
    pub fn strongest() -> Result<Self, Vec<(Self, Availability)>> {
        let mut failed = Vec::new();
        for level in Self::ALL {
            match level.availability() {
                Availability::Available => return Ok(level),
                unavailable @ Availability::Unavailable { .. } => failed.push((level, unavailable)),
            }
        }
        Err(failed)
    }

    /// Whether programs see their files at the paths that [`SandboxSpec`](crate::SandboxSpec) gives them
    /// inside; else they see them where they are on the host.
    #[must_use]
    pub fn has_root_of_its_own(&self) -> bool {
        *self != Self::Process
    }

    /// Whether it can have a network of its own; else the daemon's is limited for it.
    #[must_use]
    pub fn has_network_of_its_own(&self) -> bool {
        *self != Self::Process
    }

    /// Whether each function gets a user of its own on the host, who must be able to reach what it is to read.
    #[must_use]
    pub fn separates_users(&self) -> bool {
        *self == Self::Process && lambd_jail::has_ids_for_sandboxes()
    }

    /// How far it goes on this machine, in a few words, if that depends on the machine.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        (*self == Self::Process).then(probe::process_details)
    }

    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Namespaces => Level::Namespaces,
            Self::Process => Level::Process,
            Self::Oci(_) => Level::Oci,
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespaces => f.write_str("namespaces"),
            Self::Process => f.write_str("process"),
            Self::Oci(runtime) => write!(f, "oci with {runtime}"),
        }
    }
}

impl FromStr for Isolation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "namespaces" => Ok(Self::Namespaces),
            "process" => Ok(Self::Process),
            _ => Err("not an isolation level: namespaces or process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_level() {
        for level in Isolation::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("docker".parse::<Isolation>().is_err());
    }
}
