//! The catalogue of a running daemon, which sees toolchains that are installed meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Catalogue;
use crate::ports::Toolchains;

/// A change that is younger may be one of two within a tick of the file system's clock.
const SETTLED: Duration = Duration::from_secs(1);

/// The catalogue of a running daemon. Looking costs as much as asking when the toolchains changed last.
pub struct LiveCatalogue {
    machine: Catalogue,
    toolchains: Arc<dyn Toolchains>,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    changed: Option<SystemTime>,
    catalogue: Arc<Catalogue>,
}

impl LiveCatalogue {
    /// What the machine has, and what is installed as toolchains.
    pub fn new(machine: Catalogue, toolchains: Arc<dyn Toolchains>) -> Self {
        Self { machine, toolchains, seen: Mutex::default() }
    }

    /// The catalogue of this moment. What functions of it need is on disk.
    pub fn current(&self) -> Arc<Catalogue> {
        let changed = self.toolchains.changed();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.changed == changed) {
            return seen.catalogue.clone();
        }
        let catalogue = self.machine.with_toolchains(self.toolchains.installed());
        let catalogue = Arc::new(
            catalogue.with_java_client(self.toolchains.java_client()).with_sdks(self.toolchains.sdks()),
        );
        if let Err(error) = catalogue.install_java() {
            tracing::error!(%error, "cannot copy the runtime interface client for Java to where functions see it");
        }
        let settled = changed.is_none_or(|changed| changed.elapsed().is_ok_and(|age| age > SETTLED));
        *seen = settled.then(|| Seen { changed, catalogue: catalogue.clone() });
        catalogue
    }
}

impl From<Catalogue> for LiveCatalogue {
    /// What the machine has, and nothing else ever.
    fn from(machine: Catalogue) -> Self {
        Self::new(machine, Arc::new(NoToolchains))
    }
}

#[derive(Debug)]
struct NoToolchains;

impl Toolchains for NoToolchains {
    fn changed(&self) -> Option<SystemTime> {
        None
    }

    fn installed(&self) -> Vec<super::Found> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bootstraps, Family, Found, LanguageVersion, Provision, Substitution};
    use super::*;

    #[derive(Default)]
    struct Later(Mutex<(Option<SystemTime>, Vec<Found>)>, Mutex<u32>);

    impl Toolchains for Later {
        fn changed(&self) -> Option<SystemTime> {
            self.0.lock().unwrap().0
        }

        fn installed(&self) -> Vec<Found> {
            *self.1.lock().unwrap() += 1;
            self.0.lock().unwrap().1.clone()
        }
    }

    fn node(major: u32, prefix: &str) -> Found {
        Found {
            family: Family::NodeJs,
            version: LanguageVersion(major, 0),
            exact: None,
            program: format!("{prefix}/bin/node").into(),
            prefix: prefix.into(),
        }
    }

    #[test]
    fn what_is_installed_later_is_seen_and_goes_before_the_machines_own() {
        let later = Arc::new(Later::default());
        let machine =
            Catalogue::new(vec![node(20, "/usr")], Substitution::Nearest, Bootstraps::at("/b".into()));
        let live = LiveCatalogue::new(machine, later.clone());
        let runs = |runtime: &str| match live.current().provision(runtime).unwrap() {
            Provision::Interpreter { interpreter, exact, .. } => {
                (interpreter.prefix.display().to_string(), exact)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(runs("nodejs22.x"), ("/usr".into(), false));
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        *later.0.lock().unwrap() = (Some(long_ago), vec![node(22, "/t/22"), node(20, "/t/20")]);
        assert_eq!(runs("nodejs22.x"), ("/t/22".into(), true));
        assert_eq!(runs("nodejs20.x"), ("/t/20".into(), true));
        assert_eq!(*later.1.lock().unwrap(), 2, "it is read once for each change");
        *later.0.lock().unwrap() = (Some(SystemTime::now()), Vec::new());
        assert_eq!(runs("nodejs22.x"), ("/usr".into(), false));
        assert_eq!(runs("nodejs22.x"), ("/usr".into(), false));
        assert_eq!(*later.1.lock().unwrap(), 4, "a young change may not be the last");
    }
}
