//! Which isolation level is used.

use lambd_cli::{IsolationChoice, StartError};
use lambd_sandbox::{Availability, Isolation, OciRuntime};

/// The name of the level that needs an OCI runtime.
pub(crate) const OCI: &str = "oci";

/// The level that was asked for if it works, or the strongest that works.
pub(crate) fn choose(choice: &IsolationChoice) -> Result<Isolation, StartError> {
    let (name, level) = match choice {
        IsolationChoice::Auto => return Isolation::strongest().map_err(|failed| none(&failed)),
        IsolationChoice::Only(name) => {
            let remedy = "choose a level that `lambd doctor` lists";
            (name.as_str(), name.parse().map_err(|reason: &str| unavailable(name, reason, remedy))?)
        }
        IsolationChoice::Oci { runtime, args } => {
            let found = OciRuntime::find(runtime.as_deref(), args);
            (OCI, Isolation::Oci(found.map_err(|reason| unavailable(OCI, &reason, OciRuntime::REMEDY))?))
        }
    };
    match level.availability() {
        Availability::Available => Ok(level),
        Availability::Unavailable { reason, remedy } => Err(unavailable(name, &reason, &remedy)),
    }
}

fn unavailable(level: &str, reason: &str, remedy: &str) -> StartError {
    StartError::IsolationUnavailable {
        level: level.to_owned(),
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn none(failed: &[(Isolation, Availability)]) -> StartError {
    let reasons = failed.iter().filter_map(|(level, availability)| match availability {
        Availability::Available => None,
        Availability::Unavailable { reason, remedy } => Some(format!("{level}: {reason} ({remedy})")),
    });
    StartError::NoIsolation(reasons.collect::<Vec<_>>().join("; "))
}
