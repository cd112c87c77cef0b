//! Which managed runtimes this machine can run, and how each is started.

mod bootstraps;
mod discover;
mod plan;

use std::path::PathBuf;

use lambd_types::FunctionSnapshot;

pub use bootstraps::Bootstraps;
pub use plan::LaunchPlan;

/// A language with managed runtimes that lambd can start from an interpreter of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `python3.x`.
    Python,
    /// `nodejs20.x` and its like.
    NodeJs,
}

impl Family {
    /// The family and the language version of a runtime identifier: `python3.12` is Python 3.12,
    /// `nodejs20.x` is Node.js 20.
    pub fn of(runtime: &str) -> Option<(Self, LanguageVersion)> {
        if let Some(version) = runtime.strip_prefix("python") {
            let (major, minor) = version.split_once('.')?;
            return Some((Self::Python, LanguageVersion(major.parse().ok()?, minor.parse().ok()?)));
        }
        let version = runtime.strip_prefix("nodejs")?.strip_suffix(".x")?;
        Some((Self::NodeJs, LanguageVersion(version.parse().ok()?, 0)))
    }

    /// The runtime identifier of a language version.
    pub fn identifier(self, version: LanguageVersion) -> String {
        match self {
            Self::Python => format!("python{}.{}", version.0, version.1),
            Self::NodeJs => format!("nodejs{}.x", version.0),
        }
    }

    /// How people call the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::NodeJs => "Node.js",
        }
    }
}

/// Major and minor version of a language; for Node.js only the major one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LanguageVersion(pub u32, pub u32);

/// An interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its language.
    pub family: Family,
    /// Its version.
    pub version: LanguageVersion,
    /// The program, links resolved.
    pub program: PathBuf,
    /// The directory that holds the whole toolchain.
    pub prefix: PathBuf,
}

impl Found {
    /// The runtime identifier that this interpreter serves exactly.
    pub fn runtime(&self) -> String {
        self.family.identifier(self.version)
    }

    /// The version as people write it.
    pub fn version_text(&self) -> String {
        version_text(self.family, self.version)
    }
}

/// What to do when the exact version is not on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Substitution {
    /// Take the nearest version of the language, with a notice in the function's log.
    #[default]
    Nearest,
    /// Refuse.
    Never,
}

/// A runtime that cannot be started here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The language is known, but no suitable interpreter was found.
    #[error("{runtime} needs {} {}, which is not installed on this machine; install it and restart lambd{}", .family.name(), version_text(*.family, *.version), nearest_text(.nearest))]
    NotInstalled {
        /// The identifier asked for.
        runtime: String,
        /// Its language.
        family: Family,
        /// Its version.
        version: LanguageVersion,
        /// What could be substituted.
        nearest: Option<String>,
    },
    /// lambd cannot start this kind of runtime.
    #[error("lambd cannot run {runtime} functions yet; see docs/runtimes.md")]
    NotSupported {
        /// The identifier asked for.
        runtime: String,
    },
}

fn version_text(family: Family, version: LanguageVersion) -> String {
    match family {
        Family::Python => format!("{}.{}", version.0, version.1),
        Family::NodeJs => version.0.to_string(),
    }
}

fn nearest_text(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or(String::new(), |n| format!(", or allow {n} instead with --runtime-substitution nearest"))
}

/// The runtimes of this machine.
#[derive(Debug, Clone)]
pub struct Catalogue {
    found: Vec<Found>,
    substitution: Substitution,
    bootstraps: Bootstraps,
}

impl Catalogue {
    /// Looks for interpreters in the places where people have them. No interpreter is run, except
    /// `node --version`, because nothing else tells a Node.js version.
    pub async fn discover(substitution: Substitution, bootstraps: Bootstraps) -> Self {
        Self { found: discover::all().await, substitution, bootstraps }
    }

    /// A catalogue of given interpreters.
    pub fn new(found: Vec<Found>, substitution: Substitution, bootstraps: Bootstraps) -> Self {
        Self { found, substitution, bootstraps }
    }

    /// Does what makes later starts faster. Functions may be started before it is done.
    pub async fn prepare(&self) {
        for python in self.found.iter().filter(|f| f.family == Family::Python) {
            self.bootstraps.compile(python).await;
        }
    }

    /// Interpreters, newest first within a language, at most one a version.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Whether this is a custom runtime, whose `bootstrap` comes with the function.
    pub fn is_custom(runtime: &str) -> bool {
        matches!(runtime, "provided" | "provided.al2" | "provided.al2023")
    }

    /// How to start `function`.
    pub fn plan(&self, function: &FunctionSnapshot) -> Result<LaunchPlan, Unavailable> {
        let runtime = &function.runtime;
        if Self::is_custom(runtime) {
            return Ok(LaunchPlan::custom(function));
        }
        let unsupported = || Unavailable::NotSupported { runtime: runtime.clone() };
        let (family, version) = Family::of(runtime).ok_or_else(unsupported)?;
        if family == Family::Python && version.0 < 3 {
            return Err(unsupported());
        }
        let nearest = self.nearest(family, version);
        match (nearest, self.substitution) {
            (Some(found), _) if found.version == version => {
                Ok(LaunchPlan::managed(found, &self.bootstraps, None))
            }
            (Some(found), Substitution::Nearest) => {
                let notice = format!(
                    "lambd: {runtime} is not installed on this machine; running on {} instead\n",
                    found.runtime()
                );
                Ok(LaunchPlan::managed(found, &self.bootstraps, Some(notice)))
            }
            (nearest, _) => Err(Unavailable::NotInstalled {
                runtime: runtime.clone(),
                family,
                version,
                nearest: nearest.map(Found::runtime),
            }),
        }
    }

    /// The interpreter closest to a version; of two at the same distance the newer one.
    fn nearest(&self, family: Family, version: LanguageVersion) -> Option<&Found> {
        let rank = |v: LanguageVersion| i64::from(v.0) * 1000 + i64::from(v.1);
        self.found
            .iter()
            .filter(|f| f.family == family && (family != Family::Python || f.version.0 == version.0))
            .min_by_key(|f| ((rank(f.version) - rank(version)).abs(), -rank(f.version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(minor: u32) -> Found {
        Found {
            family: Family::Python,
            version: LanguageVersion(3, minor),
            program: format!("/opt/python3.{minor}/bin/python3.{minor}").into(),
            prefix: format!("/opt/python3.{minor}").into(),
        }
    }

    fn function(runtime: &str) -> FunctionSnapshot {
        use lambd_types::*;
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        FunctionSnapshot {
            key: FunctionKey { scope, name: FunctionName::parse("f").unwrap(), version: Version::Latest },
            revision: RevisionId::random(),
            arn: String::new(),
            runtime: runtime.into(),
            handler: "app.handler".into(),
            memory: MemorySize::default(),
            timeout: Timeout::default(),
            ephemeral_storage: EphemeralStorage::default(),
            network: None,
            environment: Vec::new().into(),
            code: Sha256Digest::of(b""),
            code_dir: "/nowhere".into(),
            log_group: String::new(),
        }
    }

    fn catalogue(substitution: Substitution) -> Catalogue {
        Catalogue::new(vec![python(13), python(9)], substitution, Bootstraps::at("/bootstraps".into()))
    }

    #[test]
    fn identifiers_name_language_versions() {
        assert_eq!(Family::of("python3.12"), Some((Family::Python, LanguageVersion(3, 12))));
        assert_eq!(Family::of("nodejs20.x"), Some((Family::NodeJs, LanguageVersion(20, 0))));
        assert_eq!(Family::NodeJs.identifier(LanguageVersion(20, 0)), "nodejs20.x");
        for other in ["java21", "provided", "nodejs", "python3", "nodejs4.3"] {
            assert_eq!(Family::of(other), None, "{other}");
        }
    }

    #[test]
    fn the_nearest_version_is_substituted_with_a_notice() {
        let catalogue = catalogue(Substitution::Nearest);
        assert_eq!(catalogue.plan(&function("python3.13")).unwrap().notice, None);
        let plan = catalogue.plan(&function("python3.11")).unwrap();
        assert!(plan.notice.unwrap().contains("running on python3.13"), "of two at one distance the newer");
        assert!(catalogue.plan(&function("python3.8")).unwrap().notice.unwrap().contains("python3.9"));
    }

    #[test]
    fn refusals_tell_the_remedy() {
        let text = |c: &Catalogue, runtime| c.plan(&function(runtime)).unwrap_err().to_string();
        let never = catalogue(Substitution::Never);
        assert!(never.plan(&function("python3.9")).is_ok());
        let refused = text(&never, "python3.12");
        assert!(
            refused.contains("needs Python 3.12") && refused.contains("allow python3.13 instead"),
            "{refused}"
        );
        let nearest = catalogue(Substitution::Nearest);
        assert!(text(&nearest, "nodejs20.x").contains("needs Node.js 20, which is not installed"));
        assert!(text(&nearest, "java21").contains("cannot run java21 functions yet"));
        assert!(text(&nearest, "python2.7").contains("cannot run python2.7 functions yet"));
    }
}
