//! Which runtimes this machine can run, and how each is started.
//!
//! | module       | idea                                                                  |
//! |--------------|-----------------------------------------------------------------------|
//! | `discover`   | the interpreters of the machine                                       |
//! | `selector`   | one identifier, or a family of them                                   |
//! | `roots`      | root file systems chosen for runtimes, and what in them runs functions |
//! | `rooted`     | looking into such a root                                              |
//! | `versions`   | what version a program says it has                                    |
//! | `trial`      | running a program of a root file system once                          |
//! | `bootstraps` | lambd's own runtimes on disk                                          |
//! | `dotnet`     | .NET, and its command line                                            |
//! | `executable` | functions that are programs by themselves                             |
//! | [`java`]     | JVMs, and AWS's runtime interface client on them                      |
//! | `live`       | toolchains that are installed while a daemon runs                     |
//! | `sdk`        | AWS SDKs that functions need not package                              |
//! | `plan`       | how a function's process is started                                   |

mod bootstraps;
mod discover;
mod dotnet;
mod executable;
pub mod java;
mod live;
mod plan;
mod rooted;
mod roots;
mod sdk;
mod selector;
mod trial;
mod versions;

use std::io;
use std::path::{Path, PathBuf};

use lambd_types::FunctionSnapshot;

use crate::ports::Sandboxes;
use roots::Contents;

pub use bootstraps::Bootstraps;
pub use dotnet::DotNet;
pub use live::LiveCatalogue;
pub(crate) use plan::Start;
pub use plan::{LaunchPlan, Launcher};
pub use roots::{RootError, RootOrigin, RuntimeRoot};
pub use sdk::Sdk;
pub(crate) use sdk::place as sdk_place;
pub use selector::{Selector, UnknownRuntime};

/// A language with managed runtimes that lambd can start from an interpreter of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `python3.x`.
    Python,
    /// `nodejs20.x` and its like.
    NodeJs,
    /// `ruby3.x`.
    Ruby,
    /// `dotnet8` and `dotnetcore3.1` and their like.
    DotNet,
    /// `java21` and its like.
    Java,
}

impl Family {
    /// The family and the language version of a runtime identifier: `python3.12` is Python 3.12,
    /// `nodejs20.x` is Node.js 20, `java8.al2` is Java 8, `dotnetcore3.1` and `dotnet8` are .NET 3.1 and 8.
    pub fn of(runtime: &str) -> Option<(Self, LanguageVersion)> {
        for (prefix, family) in [("python", Self::Python), ("ruby", Self::Ruby), ("dotnetcore", Self::DotNet)]
        {
            let Some(version) = runtime.strip_prefix(prefix) else { continue };
            let (major, minor) = version.split_once('.')?;
            return Some((family, LanguageVersion(major.parse().ok()?, minor.parse().ok()?)));
        }
        if let Some(version) = runtime.strip_prefix("dotnet") {
            return Some((Self::DotNet, LanguageVersion(version.parse().ok()?, 0)));
        }
        let (family, version) = match runtime.strip_prefix("java") {
            Some(version) => (Self::Java, version.strip_suffix(".al2").unwrap_or(version)),
            None => (Self::NodeJs, runtime.strip_prefix("nodejs")?.strip_suffix(".x")?),
        };
        Some((family, LanguageVersion(version.parse().ok()?, 0)))
    }

    /// The runtime identifier of a language version.
    pub fn identifier(self, version: LanguageVersion) -> String {
        match self {
            Self::Python => format!("python{}.{}", version.0, version.1),
            Self::NodeJs => format!("nodejs{}.x", version.0),
            Self::Ruby => format!("ruby{}.{}", version.0, version.1),
            Self::DotNet if version < DOTNET_CORE_END => format!("dotnetcore{}.{}", version.0, version.1),
            Self::DotNet => format!("dotnet{}", version.0),
            Self::Java => format!("java{}", version.0),
        }
    }

    /// Whether lambd's bootstrap runs on this version.
    fn has_bootstrap(self, version: LanguageVersion) -> bool {
        self != Self::Python || version.0 >= 3
    }

    /// A version of the language as people write it.
    pub fn version_text(self, version: LanguageVersion) -> String {
        match self {
            Self::Python | Self::Ruby => format!("{}.{}", version.0, version.1),
            Self::DotNet if version < DOTNET_CORE_END => format!("{}.{}", version.0, version.1),
            Self::NodeJs | Self::Java | Self::DotNet => version.0.to_string(),
        }
    }

    /// How people call the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::NodeJs => "Node.js",
            Self::Ruby => "Ruby",
            Self::DotNet => ".NET",
            Self::Java => "Java",
        }
    }
}

/// The first .NET that is not .NET Core.
const DOTNET_CORE_END: LanguageVersion = LanguageVersion(5, 0);

/// Major and minor version of a language; for Node.js and Java only the major one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LanguageVersion(pub u32, pub u32);

/// An interpreter of this machine, or of a root file system; paths are those in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its language.
    pub family: Family,
    /// Its version.
    pub version: LanguageVersion,
    /// All of its version, such as `3.12.4`; `None` when it was not asked.
    pub exact: Option<String>,
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
        self.family.version_text(self.version)
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
    #[error("{runtime} needs {} {}, which is not installed on this machine; `lambd runtimes` tells how to have it{}", .family.name(), .family.version_text(*.version), nearest_text(.nearest))]
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
    /// The root file system that was chosen for the language has no suitable interpreter.
    #[error("{runtime} needs {} {}, and the root file system for {}, {}, has {} only; choose another for {runtime} with --runtime-root {runtime}=PATH", .family.name(), .family.version_text(*.version), .root.selector, .root.origin, .root.versions().join(", "))]
    NotInRoot {
        /// The identifier asked for.
        runtime: String,
        /// Its language.
        family: Family,
        /// Its version.
        version: LanguageVersion,
        /// The root file system.
        root: Box<RuntimeRoot>,
    },
    /// The language is there, but not the library that makes it a runtime.
    #[error("{runtime} needs {} as well; `lambd runtimes add java` gets it", java::CLIENT)]
    NoJavaClient {
        /// The identifier asked for.
        runtime: String,
    },
    /// lambd cannot start this kind of runtime.
    #[error(
        "lambd cannot run {runtime} functions yet, except on an image that brings the runtime along; see docs/runtimes.md"
    )]
    NotSupported {
        /// The identifier asked for.
        runtime: String,
    },
}

fn nearest_text(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or(String::new(), |n| format!(", or allow {n} instead with --runtime-substitution nearest"))
}

/// The runtime whose functions are programs by themselves.
const GO: &str = "go1.x";

/// What can run the functions of a runtime, on whatever machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// Their packages bring it along.
    Package,
    /// lambd's runtime on this version of the language.
    Interpreter {
        /// How people call the language.
        language: &'static str,
        /// Its version as people write it.
        version: String,
    },
    /// The runtime of an image, and nothing else.
    Image,
}

/// What runs the functions of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision<'a> {
    /// The function's own `bootstrap`, or the program that is its handler.
    Function {
        /// On this root file system; without one, on the host's.
        root: Option<&'a RuntimeRoot>,
    },
    /// The `/var/runtime/bootstrap` of a root file system.
    Root {
        /// The root file system.
        root: &'a RuntimeRoot,
        /// What it runs on, if that is known.
        interpreter: Option<&'a Found>,
    },
    /// lambd's bootstrap on an interpreter.
    Interpreter {
        /// The interpreter.
        interpreter: &'a Found,
        /// The root file system that has it; without one, the host's.
        root: Option<&'a RuntimeRoot>,
        /// Whether it has the version asked for; else it is the nearest.
        exact: bool,
    },
}

/// The runtimes of this machine.
#[derive(Debug, Clone)]
pub struct Catalogue {
    found: Vec<Found>,
    roots: Vec<RuntimeRoot>,
    substitution: Substitution,
    substitutions: Vec<(Selector, Substitution)>,
    bootstraps: Bootstraps,
    java: Option<java::Client>,
    sdks: Vec<Sdk>,
}

impl Catalogue {
    /// Looks for interpreters in the places where people have them. No interpreter is run, except
    /// `node --version` and `ruby --version`, because nothing else tells these versions.
    ///
    /// Interpreters that `usable` refuses are passed over.
    pub async fn discover(
        substitution: Substitution,
        bootstraps: Bootstraps,
        usable: impl Fn(&Found) -> bool,
    ) -> Self {
        Self::new(discover::all(usable).await, substitution, bootstraps)
    }

    /// A catalogue of given interpreters.
    pub fn new(found: Vec<Found>, substitution: Substitution, bootstraps: Bootstraps) -> Self {
        let (roots, substitutions, java, sdks) = Default::default();
        Self { found, roots, substitution, substitutions, bootstraps, java, sdks }
    }

    /// The same, with the interpreters that [`Self::discover`] finds.
    #[must_use]
    pub async fn with_interpreters(self, usable: impl Fn(&Found) -> bool) -> Self {
        Self { found: discover::all(usable).await, ..self }
    }

    /// The same, with rules of their own for some runtimes. One for a runtime goes before that for its family.
    #[must_use]
    pub fn with_substitutions(self, substitutions: Vec<(Selector, Substitution)>) -> Self {
        Self { substitutions, ..self }
    }

    /// The same, with root file systems for some runtimes.
    #[must_use]
    pub fn with_roots(self, roots: Vec<RuntimeRoot>) -> Self {
        Self { roots, ..self }
    }

    /// The same, with what makes JVMs run functions.
    #[must_use]
    pub fn with_java_client(self, java: Option<java::Client>) -> Self {
        Self { java, ..self }
    }

    /// The same, with toolchains that go before interpreters of the same version.
    #[must_use]
    pub fn with_toolchains(&self, installed: Vec<Found>) -> Self {
        let mut found = installed;
        found.extend(self.found.iter().cloned());
        // Stable, so the first of each version stays the first.
        found.sort_by_key(|found| (found.family, std::cmp::Reverse(found.version)));
        found.dedup_by_key(|found| (found.family, found.version));
        Self { found, ..self.clone() }
    }

    /// Asks the interpreters of this machine for the whole of their versions, which starts each of them.
    pub async fn learn_versions(&mut self) {
        let unknown = self.found.iter_mut().filter(|found| found.exact.is_none());
        let asked = unknown.map(|found| async {
            found.exact = versions::of_host(found.family, &found.program).await.map(|told| told.exact);
        });
        futures_util::future::join_all(asked).await;
    }

    /// Writes what functions on JVMs and on the root file systems need, and removes what others needed. Must be
    /// done before any is started.
    ///
    /// # Errors
    /// When the directory of the bootstraps cannot be written.
    pub fn install(&self) -> io::Result<()> {
        let chosen: Vec<&Selector> = self.roots.iter().map(|root| &root.selector).collect();
        self.bootstraps.retain_roots(&chosen)?;
        for root in self.roots.iter().filter(|root| matches!(root.contents, Contents::Interpreters(_))) {
            Bootstraps::install(self.bootstraps.of_root(&root.selector).path())?;
        }
        self.install_java()
    }

    /// The same for JVMs.
    fn install_java(&self) -> io::Result<()> {
        let Some(java) = &self.java else { return Ok(()) };
        // A JVM may come to the machine later.
        let has_java = |found: &[Found]| found.iter().any(|found| found.family == Family::Java);
        let mut places = self.places().filter(|(found, root, _)| root.is_none() || has_java(found));
        places.try_for_each(|(.., bootstraps)| java.install(&bootstraps.directory(Family::Java)))
    }

    /// Does what makes later starts faster. Functions may be started before it is done.
    pub async fn prepare(&self, sandboxes: &dyn Sandboxes) {
        for (found, root, bootstraps) in self.places() {
            for found in found {
                match (found.family, root, &self.java) {
                    (Family::Python, None, _) => bootstraps.compile(found).await,
                    (Family::Python, Some(root), _) => {
                        bootstraps.compile_inside(found, root, sandboxes).await;
                    }
                    (Family::Java, root, Some(java)) => {
                        java.archive(found, root, &bootstraps.directory(Family::Java), sandboxes).await;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Interpreters by where they are: on this machine, or in a root file system; and their bootstraps.
    fn places(&self) -> impl Iterator<Item = (&[Found], Option<&Path>, Bootstraps)> {
        let in_roots = self.roots.iter().filter_map(|root| match &root.contents {
            Contents::Interpreters(found) => {
                let bootstraps = self.bootstraps.of_root(&root.selector);
                Some((found.as_slice(), Some(root.directory.as_path()), bootstraps))
            }
            _ => None,
        });
        std::iter::once((self.found.as_slice(), None, self.bootstraps.clone())).chain(in_roots)
    }

    /// Interpreters of this machine, newest first within a language, at most one a version.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// All runtimes that can be meant: those given, and others whose interpreters are there. By
    /// language, the newest first.
    pub fn known(&self, identifiers: &[&str]) -> Vec<String> {
        let in_roots = self.roots.iter().flat_map(RuntimeRoot::interpreters);
        let found = self.found.iter().chain(in_roots).map(Found::runtime);
        let mut known: Vec<String> = identifiers.iter().map(|id| (*id).to_owned()).chain(found).collect();
        known.sort_by(|a, b| selector::order(a).cmp(&selector::order(b)));
        known.dedup();
        known
    }

    /// Whether this is a custom runtime, whose `bootstrap` comes with the function.
    pub fn is_custom(runtime: &str) -> bool {
        matches!(runtime, "provided" | "provided.al2" | "provided.al2023")
    }

    /// What can run the functions of a runtime.
    pub fn support(runtime: &str) -> Support {
        if Self::is_custom(runtime) || runtime == GO {
            return Support::Package;
        }
        match Family::of(runtime) {
            Some((family, version)) if family.has_bootstrap(version) => {
                Support::Interpreter { language: family.name(), version: family.version_text(version) }
            }
            _ => Support::Image,
        }
    }

    /// How to start `function`.
    pub fn plan(&self, function: &FunctionSnapshot) -> Result<LaunchPlan, Unavailable> {
        let runtime = &function.runtime;
        Ok(match self.provision(runtime)? {
            Provision::Function { root } if runtime == GO => LaunchPlan::executable(function, root),
            Provision::Function { root } => LaunchPlan::custom(function, root),
            Provision::Root { root, .. } => LaunchPlan::brought_along(runtime, root),
            Provision::Interpreter { interpreter, root, exact } => {
                let place = root.map_or_else(
                    || "installed on this machine".to_owned(),
                    |root| format!("in the root file system {}", root.origin),
                );
                let notice = (!exact).then(|| {
                    format!("lambd: {runtime} is not {place}; running on {} instead\n", interpreter.runtime())
                });
                let bootstraps = root
                    .map_or_else(|| self.bootstraps.clone(), |root| self.bootstraps.of_root(&root.selector));
                if interpreter.family == Family::DotNet {
                    return Ok(LaunchPlan::dotnet(interpreter, function, &bootstraps, root, notice));
                }
                if let Some(java) = self.java.as_ref().filter(|_| interpreter.family == Family::Java) {
                    let directory = bootstraps.directory(Family::Java);
                    return Ok(LaunchPlan::java(interpreter, function, java, directory, root, notice));
                }
                let asked = Family::of(runtime).map_or(interpreter.version, |(_, version)| version);
                LaunchPlan::managed(interpreter, asked, &bootstraps, root, notice)
                    .with_sdk(self.sdk_of(runtime, interpreter))
            }
        })
    }

    /// What runs the functions of a runtime.
    pub fn provision(&self, runtime: &str) -> Result<Provision<'_>, Unavailable> {
        let root = self.root_of(runtime);
        if Self::is_custom(runtime) || runtime == GO {
            return Ok(Provision::Function { root });
        }
        if let Some(root) = root
            && let Contents::Runtime { interpreter } = &root.contents
        {
            return Ok(Provision::Root { root, interpreter: interpreter.as_ref() });
        }
        let unsupported = || Unavailable::NotSupported { runtime: runtime.to_owned() };
        let (family, version) = Family::of(runtime).ok_or_else(unsupported)?;
        if !family.has_bootstrap(version) {
            return Err(unsupported());
        }
        let found = root.map_or(self.found.as_slice(), RuntimeRoot::interpreters);
        let nearest = nearest(found, family, version);
        if let Some(interpreter) = nearest {
            let exact = interpreter.version == version;
            if exact || self.substitution_of(runtime) == Substitution::Nearest {
                if family == Family::Java && self.java.is_none() {
                    return Err(Unavailable::NoJavaClient { runtime: runtime.to_owned() });
                }
                return Ok(Provision::Interpreter { interpreter, root, exact });
            }
        }
        let runtime = runtime.to_owned();
        Err(match root {
            Some(root) => Unavailable::NotInRoot { runtime, family, version, root: Box::new(root.clone()) },
            None => {
                let nearest = nearest.map(Found::runtime);
                Unavailable::NotInstalled { runtime, family, version, nearest }
            }
        })
    }

    fn substitution_of(&self, runtime: &str) -> Substitution {
        let rules = self.substitutions.iter();
        let fitting = rules.filter_map(|(selector, rule)| Some((selector.fit(runtime)?, *rule)));
        fitting.max_by_key(|(fit, _)| *fit).map_or(self.substitution, |(_, rule)| rule)
    }

    /// The root file system that was chosen for a runtime, or else for its family.
    fn root_of(&self, runtime: &str) -> Option<&RuntimeRoot> {
        let fitting = self.roots.iter().filter_map(|root| Some((root.selector.fit(runtime)?, root)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, root)| root)
    }
}

/// The interpreter closest to a version; of two at the same distance the newer one. A JVM or
/// a .NET runs what was compiled for older ones, not for newer.
fn nearest(found: &[Found], family: Family, version: LanguageVersion) -> Option<&Found> {
    let rank = |v: LanguageVersion| i64::from(v.0) * 1000 + i64::from(v.1);
    found
        .iter()
        .filter(|f| f.family == family && (family != Family::Python || f.version.0 == version.0))
        .filter(|f| family != Family::DotNet || f.version >= version)
        .min_by_key(|f| {
            (
                family == Family::Java && f.version < version,
                (rank(f.version) - rank(version)).abs(),
                -rank(f.version),
            )
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::ports::View;

    fn python(minor: u32) -> Found {
        Found {
            family: Family::Python,
            version: LanguageVersion(3, minor),
            exact: None,
            program: format!("/opt/python3.{minor}/bin/python3.{minor}").into(),
            prefix: format!("/opt/python3.{minor}").into(),
        }
    }

    pub(crate) fn function(runtime: &str) -> FunctionSnapshot {
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
            snap_start: false,
            network: None,
            environment: Vec::new().into(),
            code: Sha256Digest::of(b""),
            code_dir: "/nowhere".into(),
            layers_dir: None,
            log_group: String::new(),
            log_format: LogFormat::Text,
            dead_letter: None,
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
        for (id, version) in [("dotnetcore3.1", LanguageVersion(3, 1)), ("dotnet8", LanguageVersion(8, 0))] {
            assert_eq!(Family::of(id), Some((Family::DotNet, version)));
            assert_eq!(Family::DotNet.identifier(version), id);
        }
        assert_eq!(Family::of("java8.al2"), Some((Family::Java, LanguageVersion(8, 0))));
        let others = [
            "java",
            "javascript",
            "provided",
            "nodejs",
            "python3",
            "nodejs4.3",
            "dotnet",
            "dotnetcore",
            "dotnetcore3",
        ];
        for other in others {
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
    fn runtimes_can_have_rules_of_their_own() {
        let rule = |id, rule| (Selector::parse(id, IDENTIFIERS).expect("a selector"), rule);
        let rules = vec![rule("python", Substitution::Never), rule("python3.12", Substitution::Nearest)];
        let catalogue = catalogue(Substitution::Nearest).with_substitutions(rules);
        assert!(catalogue.plan(&function("python3.12")).unwrap().notice.is_some());
        assert!(catalogue.plan(&function("python3.11")).is_err());
        assert!(catalogue.plan(&function("python3.13")).is_ok());
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
        assert!(text(&nearest, "dotnet8").contains("needs .NET 8, which is not installed"));
        assert!(text(&nearest, "python2.7").contains("cannot run python2.7 functions yet"));
    }

    const IDENTIFIERS: &[&str] =
        &["python3.12", "python3.13", "nodejs20.x", "java21", "provided", "provided.al2023"];

    fn root(selector: &str, contents: Contents) -> RuntimeRoot {
        let directory = PathBuf::from(format!("/roots/{selector}"));
        let origin = RootOrigin::Directory { path: directory.clone() };
        let selector = Selector::parse(selector, IDENTIFIERS).expect("a selector");
        RuntimeRoot { selector, directory, origin, contents }
    }

    #[test]
    fn a_root_runs_the_runtimes_it_was_chosen_for() {
        let roots = vec![
            root("python", Contents::Interpreters(vec![python(13)])),
            root("python3.12", Contents::Interpreters(vec![python(12)])),
            root("java", Contents::Runtime { interpreter: None }),
            root("provided.al2023", Contents::Files { bootstrap: true }),
        ];
        let catalogue = catalogue(Substitution::Nearest).with_roots(roots);
        let plan = |runtime| catalogue.plan(&function(runtime)).expect(runtime);
        let root_of = |runtime| plan(runtime).root.map(|root| root.display().to_string());
        assert_eq!(root_of("python3.12").as_deref(), Some("/roots/python3.12"));
        assert_eq!(root_of("python3.13").as_deref(), Some("/roots/python"));
        assert_eq!(root_of("java21").as_deref(), Some("/roots/java"));
        assert_eq!(root_of("provided.al2023").as_deref(), Some("/roots/provided.al2023"));
        assert_eq!(root_of("provided"), None);

        let managed = plan("python3.12");
        let command = |launcher: Result<Launcher, String>| {
            launcher.expect("a launcher").start(&Layout::new(&View::OwnRoot, &[], &[])).command
        };
        assert_eq!(command(managed.launcher), Path::new("/opt/python3.12/bin/python3.12"));
        assert_eq!(
            managed.binds,
            [("/bootstraps/roots/python3.12/python".into(), "/var/runtime".into())],
            "nothing of the host"
        );
        let brought = plan("java21");
        assert_eq!(brought.binds, []);
        assert_eq!(command(brought.launcher), Path::new("/var/runtime/bootstrap"));
        let custom = plan("provided.al2023").launcher;
        assert_eq!(command(custom), Path::new("/var/runtime/bootstrap"), "the package has none");
        let notice = plan("python3.9").notice.expect("a notice");
        assert!(
            notice.contains("not in the root file system /roots/python; running on python3.13"),
            "{notice}"
        );
    }

    #[test]
    fn a_root_without_the_version_is_named() {
        let roots = vec![root("python", Contents::Interpreters(vec![python(13)]))];
        let catalogue = catalogue(Substitution::Never).with_roots(roots);
        // The host has this one; but the root was chosen.
        let refused = catalogue.plan(&function("python3.9")).unwrap_err().to_string();
        assert!(
            refused.contains("the root file system for python, /roots/python, has 3.13 only"),
            "{refused}"
        );
    }

    #[test]
    fn known_runtimes_are_sorted_and_single() {
        let catalogue = catalogue(Substitution::Nearest);
        assert_eq!(
            catalogue.known(IDENTIFIERS),
            ["java21", "nodejs20.x", "provided.al2023", "provided", "python3.13", "python3.12", "python3.9"]
        );
    }
}
