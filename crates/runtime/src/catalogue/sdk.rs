//! AWS SDKs that are installed on this machine: functions need not package them, as on AWS.

use std::path::{Path, PathBuf};

use super::{Catalogue, Family, Found, LanguageVersion, LaunchPlan};
use crate::layout::RUNTIME_DIR;

/// An installed AWS SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdk {
    /// The name of its toolchain.
    pub name: String,
    /// Its language.
    pub family: Family,
    /// The one runtime that it is for; without it, all of its language from `since` on.
    pub runtime: Option<String>,
    /// The first version of the language that it runs on.
    pub since: LanguageVersion,
    /// Its own version, to be compared.
    pub version: Vec<u64>,
    /// What its language looks into.
    pub directory: PathBuf,
}

impl Sdk {
    /// The one for functions of a runtime on an interpreter: one for that runtime goes before one for the version that
    /// runs instead, that before one for all, and newer ones before older ones.
    pub fn choose<'a>(all: &'a [Self], runtime: &str, interpreter: &Found) -> Option<&'a Self> {
        let exact = interpreter.runtime();
        let rank = |sdk: &Self| match sdk.runtime.as_deref() {
            Some(of) if of == runtime => Some(2),
            Some(of) if of == exact => Some(1),
            Some(_) => None,
            None => Some(0),
        };
        let of_language = all.iter().filter(|sdk| sdk.family == interpreter.family);
        let fitting = of_language.filter(|sdk| sdk.since <= interpreter.version);
        let ranked = fitting.filter_map(|sdk| Some((rank(sdk)?, sdk)));
        ranked.max_by_key(|(rank, sdk)| (*rank, &sdk.version)).map(|(_, sdk)| sdk)
    }
}

impl Catalogue {
    /// The same, with AWS SDKs for functions that package none.
    #[must_use]
    pub fn with_sdks(self, sdks: Vec<Sdk>) -> Self {
        Self { sdks, ..self }
    }

    /// The AWS SDK of a runtime's functions on an interpreter.
    pub fn sdk_of(&self, runtime: &str, interpreter: &Found) -> Option<&Sdk> {
        Sdk::choose(&self.sdks, runtime, interpreter)
    }
}

/// Where functions see the SDK of a language, below `/var/runtime`; the directory is in the bootstrap's.
pub(crate) fn place(family: Family) -> Option<&'static str> {
    match family {
        Family::Python => Some("python"),
        Family::NodeJs => Some("node_modules"),
        Family::Ruby => Some("gems"),
        Family::Java | Family::DotNet => None,
    }
}

impl LaunchPlan {
    /// The same with an SDK, which the language looks into last.
    #[must_use]
    pub(super) fn with_sdk(mut self, sdk: Option<&Sdk>) -> Self {
        if let Some((sdk, place)) = sdk.and_then(|sdk| Some((sdk, place(sdk.family)?))) {
            // After the bootstrap, on whose directory it lies.
            self.binds.push((sdk.directory.clone(), Path::new(RUNTIME_DIR).join(place)));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bootstraps, Launcher};
    use super::*;
    use crate::layout::Layout;
    use crate::ports::View;

    fn sdk(name: &str, runtime: Option<&str>, since: LanguageVersion, version: &[u64]) -> Sdk {
        Sdk {
            name: name.into(),
            family: Family::Python,
            runtime: runtime.map(Into::into),
            since,
            version: version.into(),
            directory: format!("/t/{name}/python").into(),
        }
    }

    fn python(minor: u32) -> Found {
        Found {
            family: Family::Python,
            version: LanguageVersion(3, minor),
            exact: None,
            program: "/usr/bin/python3".into(),
            prefix: "/usr".into(),
        }
    }

    #[test]
    fn the_newest_sdk_that_runs_there_is_chosen_and_one_for_the_version_before_it() {
        let all = [
            sdk("old", None, LanguageVersion(3, 8), &[1, 37, 0]),
            sdk("newer", None, LanguageVersion(3, 10), &[1, 43, 11]),
            sdk("new", None, LanguageVersion(3, 10), &[1, 43, 2]),
            sdk("own", Some("python3.9"), LanguageVersion(3, 8), &[1, 36, 0]),
        ];
        let on =
            |runtime: &str, minor| Sdk::choose(&all, runtime, &python(minor)).map(|sdk| sdk.name.as_str());
        let chosen = |minor| on(&format!("python3.{minor}"), minor);
        assert_eq!(
            [12, 10, 9, 8, 7].map(chosen),
            [Some("newer"), Some("newer"), Some("own"), Some("old"), None]
        );
        assert_eq!(on("python3.9", 12), Some("own"), "that of the runtime asked for");
        assert_eq!(on("python3.8", 9), Some("own"), "that of the version that runs instead");
    }

    #[test]
    fn functions_see_it_below_the_runtime_and_are_told_where() {
        let (found, bootstraps) = (python(12), Bootstraps::at("/b".into()));
        let all = [sdk("x", None, LanguageVersion(3, 8), &[1])];
        let plan = LaunchPlan::managed(&found, found.version, &bootstraps, None, None).with_sdk(all.first());
        let arguments = |view| {
            let Ok(launcher @ Launcher::Managed { .. }) = &plan.launcher else { panic!() };
            launcher.start(&Layout::new(&view, &plan.binds, &plan.symlinks)).args
        };
        assert_eq!(
            arguments(View::OwnRoot),
            ["-s", "/var/runtime/bootstrap.py", "/opt", "/var/runtime/python"]
        );
        assert_eq!(
            arguments(View::Host { tmp: "/t".into() }),
            ["-s", "/b/python/bootstrap.py", "/opt", "/t/x/python"]
        );
    }
}
