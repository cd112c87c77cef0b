//! Which isolation level is used.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lambd_cli::{IsolationChoice, StartError};
use lambd_runtime::Found;
use lambd_sandbox::{Availability, Isolation, LimitsInForce, OciRuntime};

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

/// What is in force, for people.
pub(crate) fn describe(level: &Isolation, limits: &LimitsInForce) -> String {
    let details = level.details().map(|details| format!("{details}; ")).unwrap_or_default();
    format!("{level} ({details}{limits})")
}

/// Which interpreters functions can execute at an isolation level.
pub(crate) struct Interpreters {
    separates_users: bool,
    /// Directories that keep functions out, with interpreters in them.
    closed: Mutex<BTreeSet<PathBuf>>,
}

impl Interpreters {
    pub(crate) fn of(level: &Isolation) -> Self {
        Self { separates_users: level.separates_users(), closed: Mutex::default() }
    }

    pub(crate) fn are_usable(&self, found: &Found) -> bool {
        if !self.separates_users {
            return true;
        }
        let closed = closed_to_others(&found.prefix).or_else(|| closed_to_others(&found.program));
        let usable = closed.is_none();
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).extend(closed);
        usable
    }

    pub(crate) fn tell_unusable(&self) {
        for directory in self.closed.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            tracing::warn!(
                directory = %directory.display(),
                "interpreters in it are not used: the users that functions run as cannot enter it"
            );
        }
    }
}

/// The first directory on the way to a path, or the path itself, that users other than its owner cannot
/// enter or read.
pub(crate) fn closed_to_others(path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let needed = |part: &Path| if part == path { 0o5 } else { 0o1 };
    let open = |part: &Path| {
        std::fs::metadata(part).is_ok_and(|meta| meta.permissions().mode() & needed(part) == needed(part))
    };
    way.into_iter().find(|part| !open(part)).map(Path::to_owned)
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

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn the_first_closed_directory_is_named() {
        let top = tempfile::tempdir().unwrap();
        let program = top.path().join("a/b/program");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        set(top.path(), 0o711);
        set(&program, 0o755);
        assert_eq!(closed_to_others(&program), None);
        set(&top.path().join("a"), 0o700);
        assert_eq!(closed_to_others(&program), Some(top.path().join("a")));
        set(&top.path().join("a"), 0o711);
        set(&program, 0o711);
        assert_eq!(closed_to_others(&program), Some(program.clone()), "it must be read as well");
    }
}
