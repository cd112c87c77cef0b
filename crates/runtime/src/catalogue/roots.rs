//! Root file systems that were chosen for runtimes, and what in them runs functions.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::discover::python_version;
use super::rooted::Rooted;
use super::selector::{Selector, family_of};
use super::versions::{self, Silent};
use super::{Family, Found, dotnet};
use crate::layout::{LANG_DIR, RUNTIME_DIR};
use crate::ports::{Sandboxes, SpawnError};

/// Where interpreters are in a root file system: where AWS's images, Docker's and distributions have them.
const PROGRAMS: [&str; 3] = ["/var/lang/bin", "/usr/local/bin", "/usr/bin"];

/// Where JVMs are besides: images for Java have one directory of that kind.
const JAVA_HOMES: [&str; 4] = ["/opt/java", "/usr/lib/jvm", "/usr/java", "/usr/local"];

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootOrigin {
    /// A directory that somebody made.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// An image that was unpacked.
    Image {
        /// The image layout or archive.
        path: PathBuf,
        /// Digest of the image.
        digest: String,
    },
}

impl fmt::Display for RootOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path } | Self::Image { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// A root file system for the functions of one runtime or of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRoot {
    /// Which runtimes it is for.
    pub selector: Selector,
    /// The directory that holds it.
    pub directory: PathBuf,
    /// Where it comes from.
    pub origin: RootOrigin,
    pub(super) contents: Contents,
}

/// What in a root file system runs functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// `/var/runtime/bootstrap`, as in AWS's own images; and the language's interpreter, if it was found.
    Runtime { interpreter: Option<Found> },
    /// lambd's bootstraps on one of these, newest first.
    Interpreters(Vec<Found>),
    /// The function's own bootstrap, else `/var/runtime/bootstrap` if there is one.
    Files { bootstrap: bool },
}

/// Why a root file system cannot be used for what it was chosen for.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// It cannot be looked into.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] io::Error),
    /// Nothing in it runs functions of the language.
    #[error(
        "it has no executable {RUNTIME_DIR}/bootstrap, and lambd has no runtime of its own for {selector}"
    )]
    NoRuntime {
        /// What it was chosen for.
        selector: Selector,
    },
    /// The interpreter is missing, or has another version.
    #[error("it has no {wanted} in {places}{}", found_text(.found))]
    NoInterpreter {
        /// Language and version.
        wanted: String,
        /// Where it was looked for.
        places: String,
        /// Versions that it has.
        found: Vec<String>,
    },
    /// The interpreter does not run.
    #[error("its {} does not run: {reason}", program.display())]
    Broken {
        /// Path of the interpreter inside.
        program: PathBuf,
        /// What it said, or how it ended.
        reason: String,
    },
    /// It could not be tried.
    #[error("cannot create an execution environment to try it: {0}")]
    Sandbox(SpawnError),
}

fn found_text(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(", only {}", found.join(", ")) }
}

impl RootError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoRuntime { .. } => {
                "use an image that brings the runtime, such as AWS's own base images for Lambda"
            }
            Self::NoInterpreter { .. } => "install it there, or choose another root file system",
            Self::Broken { .. } => {
                "check that its libraries are there and that it is for this machine's processor"
            }
            Self::Unreadable(_) | Self::Sandbox(_) => "run `lambd doctor` to see what this machine lacks",
        }
    }
}

impl RuntimeRoot {
    /// Looks what a root file system has for the runtimes it was chosen for. Its interpreters are run once, in
    /// sandboxes, for their versions.
    ///
    /// # Errors
    /// When it has nothing for them that works.
    pub async fn examine(
        selector: Selector,
        directory: PathBuf,
        origin: RootOrigin,
        sandboxes: &dyn Sandboxes,
    ) -> Result<Self, RootError> {
        let rooted = Rooted::open(&directory)?;
        let bootstrap = rooted.program(&Path::new(RUNTIME_DIR).join("bootstrap")).is_some();
        let language = Language::of(&selector);
        let contents = match language {
            _ if family_of(selector.as_str()) == "provided" => Contents::Files { bootstrap },
            Some(language) if bootstrap => {
                // The bootstrap knows what it runs on; but AWS's images for another version are a mistake.
                let asked = ask(&language, &rooted, &directory, sandboxes).await.unwrap_or_default();
                let interpreter = asked.iter().find(|found| language.is(found)).cloned();
                if interpreter.is_none() && asked.iter().any(|found| found.prefix == Path::new(LANG_DIR)) {
                    return Err(no_interpreter(&language, &asked));
                }
                Contents::Runtime { interpreter }
            }
            None if bootstrap => Contents::Runtime { interpreter: None },
            Some(language) => {
                let asked = ask(&language, &rooted, &directory, sandboxes).await?;
                let found: Vec<Found> = asked.iter().filter(|found| language.is(found)).cloned().collect();
                if found.is_empty() {
                    return Err(no_interpreter(&language, &asked));
                }
                Contents::Interpreters(found)
            }
            None => return Err(RootError::NoRuntime { selector }),
        };
        Ok(Self { selector, directory, origin, contents })
    }

    /// Versions of its interpreters.
    pub(super) fn versions(&self) -> Vec<String> {
        self.interpreters().iter().map(Found::version_text).collect()
    }

    pub(super) fn interpreters(&self) -> &[Found] {
        match &self.contents {
            Contents::Interpreters(found) => found,
            Contents::Runtime { interpreter } => interpreter.as_slice(),
            Contents::Files { .. } => &[],
        }
    }
}

/// A language that lambd has a bootstrap for, and the version asked for if any.
struct Language {
    family: Family,
    version: Option<super::LanguageVersion>,
}

impl Language {
    fn of(selector: &Selector) -> Option<Self> {
        let whole = |family| Some(Self { family, version: None });
        match selector.as_str() {
            "python" => whole(Family::Python),
            "nodejs" => whole(Family::NodeJs),
            "ruby" => whole(Family::Ruby),
            "dotnet" => whole(Family::DotNet),
            "java" => whole(Family::Java),
            identifier => {
                let (family, version) = Family::of(identifier)?;
                family.has_bootstrap(version).then_some(Self { family, version: Some(version) })
            }
        }
    }

    fn is(&self, found: &Found) -> bool {
        self.version.is_none_or(|version| version == found.version)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.name())?;
        self.version.map_or(Ok(()), |version| write!(f, " {}", self.family.version_text(version)))
    }
}

fn no_interpreter(language: &Language, found: &[Found]) -> RootError {
    RootError::NoInterpreter {
        wanted: language.to_string(),
        places: places(language.family),
        found: found.iter().map(Found::version_text).collect(),
    }
}

fn places(family: Family) -> String {
    let mut all = PROGRAMS.map(str::to_owned).to_vec();
    if family == Family::Java {
        all.extend(JAVA_HOMES.map(|homes| format!("{homes}/*/bin")));
    }
    if family == Family::DotNet {
        all.extend(dotnet::PLACES.map(str::to_owned));
    }
    all.join(", ")
}

fn directories(family: Family, rooted: &Rooted) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = PROGRAMS.map(PathBuf::from).into();
    if family == Family::Java {
        for homes in JAVA_HOMES.map(Path::new) {
            all.extend(rooted.names(homes).iter().map(|name| homes.join(name).join("bin")));
        }
    }
    all
}

/// Interpreters of a language by version, newest first, the first found of each.
async fn ask(
    language: &Language,
    rooted: &Rooted,
    directory: &Path,
    sandboxes: &dyn Sandboxes,
) -> Result<Vec<Found>, RootError> {
    if language.family == Family::DotNet {
        return Ok(dotnets(rooted));
    }
    let mut programs: Vec<PathBuf> = Vec::new();
    for bin in directories(language.family, rooted) {
        for name in rooted.names(&bin).iter().filter_map(|name| name.to_str()) {
            let wanted = match language.family {
                Family::Python => name == "python3" || python_version(name).is_some(),
                Family::NodeJs => name == "node",
                Family::Ruby => name == "ruby",
                Family::DotNet => false,
                Family::Java => name == "java",
            };
            let program = if wanted { rooted.program(&bin.join(name)) } else { None };
            programs.extend(program.filter(|program| !programs.contains(program)));
        }
    }
    let asked = programs.into_iter().map(|program| async move {
        let told = versions::inside(language.family, directory, &program, sandboxes).await;
        (program, told)
    });
    let mut found: Vec<Found> = Vec::new();
    let mut broken = None;
    for (program, told) in join_all(asked).await {
        match told {
            Ok(told) if found.iter().all(|found| found.version != told.version) => {
                let prefix = program.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned();
                let (version, exact) = (told.version, Some(told.exact));
                found.push(Found { family: language.family, version, exact, program, prefix });
            }
            Ok(_) => {}
            Err(Silent::Sandbox(error)) => return Err(RootError::Sandbox(error)),
            Err(Silent::Broken(reason)) => broken = Some(RootError::Broken { program, reason }),
        }
    }
    // One that works is enough, if it is the one that is wanted.
    match broken {
        Some(error) if !found.iter().any(|found| language.is(found)) => Err(error),
        _ => {
            found.sort_by_key(|found| std::cmp::Reverse(found.version));
            Ok(found)
        }
    }
}

/// The same for .NET, which nobody needs to run for that.
fn dotnets(rooted: &Rooted) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let places = PROGRAMS.iter().chain(&dotnet::PLACES).map(Path::new);
    for one in places.flat_map(|place| dotnet::inside(place, rooted)) {
        if found.iter().all(|found| found.version != one.version) {
            found.push(one);
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.version));
    found
}

#[cfg(test)]
#[path = "roots_tests.rs"]
mod tests;
