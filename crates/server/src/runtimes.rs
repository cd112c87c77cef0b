//! What runs functions: the interpreters of this machine, and the root file systems that were chosen.

use std::path::{Path, PathBuf};

use lambd_api::runtimes::{CREATABLE, phases};
use lambd_cli::{
    RootStatus, RuntimeFound, RuntimeProgram, RuntimeRoot, RuntimeState, RuntimeStatus, RuntimeSubstitution,
    RuntimeSubstitutions, RuntimesQuery, StartError,
};
use lambd_runtime::ports::Sandboxes;
use lambd_runtime::{
    Bootstraps, Catalogue, Family, Found, LanguageVersion, Provision, RootError, RootOrigin, Selector,
    Substitution, Unavailable, java,
};
use lambd_sandbox::images::{ImageError, ImageLimits, ImageStore, RootSource, UnpackedImage};
use lambd_sandbox::{Isolation, Spawner, SpawnerOptions};
use lambd_toolchains::{Installed, Toolchains};
use lambd_types::{Clock as _, SystemClock};

use crate::{toolchains, wiring};

/// What to do with images that were unpacked for options which are no longer given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Keep,
    Remove,
}

/// Refuses root file systems where functions see the host's files.
pub(crate) fn check_level(chosen: &[RuntimeRoot], level: &Isolation) -> Result<(), StartError> {
    match chosen.first().filter(|_| !level.has_root_of_its_own()) {
        None => Ok(()),
        Some(root) => {
            let reason = format!("functions at the isolation level {level} see the host's files");
            Err(unusable(root, reason, "leave it out, or choose another level with --isolation".into()))
        }
    }
}

/// Turns the options into root file systems that are there and have what they were chosen for. Images
/// are unpacked below the data directory.
pub(crate) async fn roots(
    chosen: Vec<RuntimeRoot>,
    data: &Path,
    others: Others,
    sandboxes: &dyn Sandboxes,
) -> Result<Vec<lambd_runtime::RuntimeRoot>, StartError> {
    let selectors = chosen.iter().map(|root| selector(root, &chosen)).collect::<Result<Vec<_>, _>>()?;
    let (images, asked) = (data.join("images"), chosen.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&asked, &images, others)).await;
    let places = unpacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let examined = selectors.into_iter().zip(places).map(|(selector, (directory, origin))| {
        lambd_runtime::RuntimeRoot::examine(selector, directory, origin, sandboxes)
    });
    let examined = futures_util::future::join_all(examined).await;
    examined
        .into_iter()
        .zip(&chosen)
        .map(|(root, chosen)| root.map_err(|e| bad_contents(chosen, &e)))
        .collect()
}

fn selector(root: &RuntimeRoot, all: &[RuntimeRoot]) -> Result<Selector, StartError> {
    if all.iter().filter(|other| other.id == root.id).count() > 1 {
        let reason = format!("{} has more than one root file system", root.id);
        return Err(unusable(root, reason, "give one for each runtime or family".into()));
    }
    Selector::parse(&root.id, CREATABLE).map_err(|error| {
        let families = error.families.join(", ");
        let remedy = format!("give a runtime such as python3.12 or provided.al2023, or a family: {families}");
        unusable(root, error.to_string(), remedy)
    })
}

/// Finds each root file system, or makes it from its image.
fn unpack(
    chosen: &[RuntimeRoot],
    images: &Path,
    others: Others,
) -> Result<Vec<(PathBuf, RootOrigin)>, StartError> {
    let mut sources = Vec::new();
    for root in chosen {
        sources.push(RootSource::parse(&root.path).map_err(|error| bad_image(root, error))?);
    }
    let mut images = Images { directory: images, store: None };
    let mut in_use: Vec<UnpackedImage> = Vec::new();
    let mut places = Vec::new();
    for (root, source) in chosen.iter().zip(sources) {
        places.push(match source {
            RootSource::Directory(path) => (path.clone(), RootOrigin::Directory { path }),
            RootSource::Image(image) => {
                let unpacked = images.store()?.unpack(&image).map_err(|error| bad_image(root, error))?;
                in_use.push(unpacked.clone());
                (unpacked.root, RootOrigin::Image { path: image.path, digest: unpacked.digest })
            }
        });
    }
    if others == Others::Remove && images.directory.is_dir() {
        images.store()?.retain(&in_use);
    }
    Ok(places)
}

/// The store of images, made when it is first needed.
struct Images<'a> {
    directory: &'a Path,
    store: Option<ImageStore>,
}

impl Images<'_> {
    fn store(&mut self) -> Result<&ImageStore, StartError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                ImageStore::open(self.directory, ImageLimits::default()).map_err(|error| match error {
                    ImageError::Store { path, source } => StartError::DataUnusable { path, source },
                    other => StartError::Part(other.into()),
                })?
            }
        };
        Ok(self.store.insert(store))
    }
}

fn bad_image(root: &RuntimeRoot, error: ImageError) -> StartError {
    let remedy = error.remedy().to_owned();
    unusable(root, error.to_string(), remedy)
}

fn bad_contents(root: &RuntimeRoot, error: &RootError) -> StartError {
    unusable(root, error.to_string(), error.remedy().to_owned())
}

fn unusable(root: &RuntimeRoot, reason: String, remedy: String) -> StartError {
    StartError::RuntimeRoot { id: root.id.clone(), path: root.path.clone(), reason, remedy }
}

/// The managed runtimes that run in the version asked for.
pub(crate) fn available(catalogue: &Catalogue) -> Vec<RuntimeFound> {
    let known = catalogue.known(CREATABLE);
    known
        .into_iter()
        .filter_map(|id| {
            let (path, found) = match catalogue.provision(&id).ok()? {
                Provision::Interpreter { interpreter, exact: true, .. } => {
                    (interpreter.program.clone(), Some(interpreter))
                }
                Provision::Root { interpreter, .. } => ("/var/runtime/bootstrap".into(), interpreter),
                Provision::Interpreter { exact: false, .. } | Provision::Function { .. } => return None,
            };
            let created_as = created_as(&id);
            Some(RuntimeFound { version: found.map(version).unwrap_or_default(), path, id, created_as })
        })
        .collect()
}

/// The runtime of Lambda that is closest to a version of a language, which need not be one of Lambda's.
pub(crate) fn created_as(id: &str) -> String {
    let Some((family, wanted)) = Family::of(id).filter(|_| !CREATABLE.contains(&id)) else {
        return id.to_owned();
    };
    let rank = |version: LanguageVersion| i64::from(version.0) * 1000 + i64::from(version.1);
    let known = CREATABLE.iter().filter_map(|id| Some((Family::of(id)?, *id)));
    let of_family = known.filter(|((other, _), _)| *other == family);
    let closest = of_family.min_by_key(|((_, version), _)| (rank(*version) - rank(wanted)).abs());
    closest.map_or(id, |(_, closest)| closest).to_owned()
}

/// What `lambd runtimes` lists.
pub(crate) async fn listed(query: RuntimesQuery) -> Result<Vec<RuntimeStatus>, StartError> {
    let bootstraps = Bootstraps::at(query.data.join("runtime"));
    let mut catalogue =
        Catalogue::discover(substitution(&query.runtime_substitution), bootstraps, |_| true).await;
    catalogue = catalogue.with_substitutions(substitutions(&query.runtime_substitution)?);
    catalogue.learn_versions().await;
    let installed = Toolchains::at(&query.toolchains).list();
    let java = query.java_runtime_client.unwrap_or_else(|| query.toolchains.join(java::TOOLCHAIN));
    catalogue = catalogue.with_toolchains(toolchains::found(&installed));
    catalogue = catalogue.with_java_client(java::Client::find(&java)).with_sdks(toolchains::sdks(&installed));
    let mut chosen = query.runtime_roots;
    chosen.extend(toolchains::roots(&installed, &chosen));
    if !chosen.is_empty() {
        let options =
            SpawnerOptions { listeners: wiring::sandboxes::listeners(), ..SpawnerOptions::default() };
        let spawner = Spawner::start(options).map_err(|e| StartError::Part(Box::new(e)))?;
        let sandboxes = wiring::sandboxes::Sandboxes(spawner.clone());
        let roots = roots(chosen, &query.data, Others::Keep, &sandboxes).await;
        spawner.shutdown().await;
        catalogue = catalogue.with_roots(roots?);
    }
    let known = catalogue.known(CREATABLE);
    Ok(known.into_iter().map(|id| with_toolchain(status(&catalogue, id), &installed)).collect())
}

/// The rule for runtimes that have none of their own.
pub(crate) fn substitution(rules: &RuntimeSubstitutions) -> Substitution {
    of_rule(rules.others)
}

/// The rules of some runtimes.
pub(crate) fn substitutions(
    rules: &RuntimeSubstitutions,
) -> Result<Vec<(Selector, Substitution)>, StartError> {
    let rule = |(id, rule): &(String, RuntimeSubstitution)| {
        let selector = Selector::parse(id, CREATABLE).map_err(|error| StartError::Substitution {
            id: id.clone(),
            reason: error.to_string(),
            remedy: format!("give a runtime such as python3.12, or a family: {}", error.families.join(", ")),
        })?;
        Ok((selector, of_rule(*rule)))
    };
    rules.of.iter().map(rule).collect()
}

fn of_rule(rule: RuntimeSubstitution) -> Substitution {
    match rule {
        RuntimeSubstitution::Nearest => Substitution::Nearest,
        RuntimeSubstitution::Never => Substitution::Never,
    }
}

/// Names the toolchain that runs a runtime, or that does not without something else.
fn with_toolchain(status: RuntimeStatus, installed: &[Installed]) -> RuntimeStatus {
    let program = match &status.runs {
        Some(RuntimeProgram::Interpreter { path }) => Some(path),
        _ => None,
    };
    let runs = installed.iter().find(|one| one.program().is_some() && one.program().as_ref() == program);
    let lacks = installed.iter().find(|one| one.program().is_some() && one.manifest.runtime == status.id);
    match (status.state, lacks) {
        (RuntimeState::Missing, Some(lacks)) => {
            let otherwise = status.remedy.unwrap_or_default();
            let name = lacks.name();
            let remedy = Some(format!("toolchain {name} is installed, and does not do alone: {otherwise}"));
            RuntimeStatus { toolchain: Some(name), remedy, ..status }
        }
        _ => RuntimeStatus { toolchain: runs.map(Installed::name), ..status },
    }
}

fn status(catalogue: &Catalogue, id: String) -> RuntimeStatus {
    let today = SystemClock.now().day();
    let deprecation = phases(&id).map(|phases| phases.deprecated.to_owned());
    let deprecated = deprecation.as_ref().is_some_and(|day| *day <= today);
    let available = |runs, root: Option<&lambd_runtime::RuntimeRoot>, found: Option<&Found>| RuntimeStatus {
        id: id.clone(),
        state: RuntimeState::Available,
        version: found.map(version),
        runs: Some(runs),
        root: Some(root.map_or(RootStatus::Host, |root| root_status(&root.origin))),
        toolchain: None,
        sdk: found.and_then(|found| catalogue.sdk_of(&id, found)).map(|sdk| sdk.name.clone()),
        deprecation: deprecation.clone(),
        deprecated,
        remedy: None,
    };
    match catalogue.provision(&id) {
        Ok(Provision::Function { root }) => available(RuntimeProgram::Function, root, None),
        Ok(Provision::Root { root, interpreter }) => available(RuntimeProgram::Root, Some(root), interpreter),
        Ok(Provision::Interpreter { interpreter, root, exact }) => {
            let runs = RuntimeProgram::Interpreter { path: interpreter.program.clone() };
            let listed = available(runs, root, Some(interpreter));
            if exact {
                return listed;
            }
            let remedy = Some(if root.is_some() { choose(&id) } else { install(&id) });
            RuntimeStatus { state: RuntimeState::Substituted, remedy, ..listed }
        }
        Err(error) => RuntimeStatus {
            state: RuntimeState::Missing,
            version: None,
            runs: None,
            root: None,
            toolchain: None,
            sdk: None,
            deprecation,
            deprecated,
            remedy: Some(match error {
                Unavailable::NotInstalled { .. } => install(&id),
                Unavailable::NotInRoot { .. } => choose(&id),
                Unavailable::NoJavaClient { .. } => "lambd runtimes add java".to_owned(),
                Unavailable::NotSupported { .. } => {
                    format!("give an image that brings it along: --runtime-root {id}=PATH")
                }
            }),
            id,
        },
    }
}

fn install(id: &str) -> String {
    if lambd_toolchains::can_be_added(id) {
        return format!("lambd runtimes add {id}");
    }
    let what = Family::of(id).map_or_else(
        || id.to_owned(),
        |(family, version)| format!("{} {}", family.name(), family.version_text(version)),
    );
    format!("install {what} or give a root file system that has it: --runtime-root {id}=PATH")
}

fn choose(id: &str) -> String {
    format!("give a root file system that has it: --runtime-root {id}=PATH")
}

fn version(found: &Found) -> String {
    found.exact.clone().unwrap_or_else(|| found.version_text())
}

fn root_status(origin: &RootOrigin) -> RootStatus {
    match origin {
        RootOrigin::Directory { path } => RootStatus::Directory { path: path.clone() },
        RootOrigin::Image { path, digest } => {
            RootStatus::Image { path: path.clone(), digest: digest.clone() }
        }
    }
}

/// What clients may know of the runtimes of a running daemon: `lambd functions` shows it. No paths: whoever may call
/// functions may ask.
pub(crate) fn in_use(catalogue: &Catalogue) -> serde_json::Value {
    let known = catalogue.known(CREATABLE).into_iter();
    let runtimes = known.filter_map(|id| {
        let (interpreter, substituted) = match catalogue.provision(&id).ok()? {
            Provision::Interpreter { interpreter, exact, .. } => (Some(interpreter), !exact),
            Provision::Root { interpreter, .. } => (interpreter, false),
            Provision::Function { .. } => (None, false),
        };
        Some(serde_json::json!({ "id": id, "version": interpreter.map(version), "substituted": substituted }))
    });
    runtimes.collect()
}
