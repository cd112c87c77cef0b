//! Toolchains: installed by `lambd runtimes add`, used by the catalogue.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lambd_cli::{AddProgress, AddRuntime, AddedRuntime, BoxFuture, InstallError, Installer, RuntimeRoot};
use lambd_runtime::{Family, Found, LanguageVersion, Sdk, java};
use lambd_sandbox::images::{ImageLimits, ImageStore, RootSource};
use lambd_toolchains::{
    Added, Images, Installed, Jar, JarSource, Library, Place, Registries, Request, SdkRequest, Step,
    ToolchainError, Toolchains, add_jars, add_sdk, is_sdk,
};

use crate::doctor::Doctor;
use crate::isolation::Interpreters;

impl Installer for Doctor {
    fn add<'a>(
        &'a self,
        request: AddRuntime,
        progress: &'a (dyn Fn(AddProgress) + Send + Sync),
    ) -> BoxFuture<'a, Result<AddedRuntime, InstallError>> {
        Box::pin(async move {
            let toolchains = Toolchains::at(&request.toolchains);
            if request.id == java::FAMILY {
                return add_java_client(request, progress).await;
            }
            if is_sdk(&request.id) {
                return add_an_sdk(request, progress).await;
            }
            let registries = Registries::find(request.npm_registry, request.pypi_index);
            let request = Request { runtime: request.id, from: request.from, registries };
            let tell = |step| progress(told(step));
            let added = lambd_toolchains::add(&toolchains, &request, Arc::new(UnpackedImages), &tell).await;
            let added = added.map_err(install_error)?;
            Ok(described(request.runtime, added))
        })
    }

    fn remove(&self, toolchains: &Path, id: &str) -> Result<Vec<String>, InstallError> {
        Toolchains::at(toolchains).remove(id).map_err(install_error)
    }
}

/// The client that JVMs need to run functions.
async fn add_java_client(
    request: AddRuntime,
    progress: &(dyn Fn(AddProgress) + Send + Sync),
) -> Result<AddedRuntime, InstallError> {
    let jar = |artefact: &java::Artefact| Jar {
        group: artefact.group,
        name: artefact.name,
        version: artefact.version,
        sha256: artefact.sha256,
    };
    let library = Library {
        runtime: java::FAMILY,
        directory: java::TOOLCHAIN,
        jars: java::ARTEFACTS.iter().map(jar).collect(),
    };
    let source = match (request.from, request.maven_repository) {
        (Some(folder), _) => JarSource::Folder(folder.into()),
        (None, Some(url)) => JarSource::Repository(url),
        (None, None) => JarSource::usual(),
    };
    let toolchains = Toolchains::at(&request.toolchains);
    let added = add_jars(&toolchains, &library, &source, &|step| progress(told(step))).await;
    added.map(|added| described(request.id, added)).map_err(install_error)
}

/// An AWS SDK.
async fn add_an_sdk(
    request: AddRuntime,
    progress: &(dyn Fn(AddProgress) + Send + Sync),
) -> Result<AddedRuntime, InstallError> {
    let AddRuntime { toolchains, id, from, npm_registry, pypi_index, packages, .. } = request;
    let wanted = SdkRequest { id, packages, from: from.map(PathBuf::from), npm_registry, pypi_index };
    let added = add_sdk(&Toolchains::at(&toolchains), &wanted, &|step| progress(told(step))).await;
    added.map(|added| described(wanted.id, added)).map_err(install_error)
}

fn described(id: String, added: Added) -> AddedRuntime {
    let (name, root) = (added.installed.name(), added.installed.root());
    let Installed { manifest, directory } = added.installed;
    AddedRuntime {
        id,
        name,
        version: Some(manifest.version).filter(|version| !version.is_empty()),
        directory,
        source: manifest.source,
        checksum: manifest.checksum,
        already: added.already,
        needs_restart: root.is_some() && !added.already,
    }
}

fn told(step: Step) -> AddProgress {
    match step {
        Step::Waiting => AddProgress::Waiting,
        Step::Asking { registry } => AddProgress::Asking { registry },
        Step::Downloading { url, received, total } => AddProgress::Downloading { url, received, total },
        Step::Unpacking => AddProgress::Unpacking,
        Step::Trying => AddProgress::Trying,
    }
}

fn install_error(error: ToolchainError) -> InstallError {
    InstallError { reason: error.to_string(), remedy: error.remedy() }
}

struct UnpackedImages;

impl Images for UnpackedImages {
    fn unpack(&self, image: &str, below: &Path) -> Result<(PathBuf, String), (String, String)> {
        let failed =
            |error: lambd_sandbox::images::ImageError| (error.to_string(), error.remedy().to_owned());
        match RootSource::parse(image).map_err(failed)? {
            RootSource::Directory(path) => Err((
                format!("{} is no image layout", path.display()),
                "give the directory or the archive of an OCI image; a directory that holds a root file system is for \
                 --runtime-root"
                    .into(),
            )),
            RootSource::Image(source) => {
                let store = ImageStore::open(&below.join("image"), ImageLimits::default()).map_err(failed)?;
                let unpacked = store.unpack(&source).map_err(failed)?;
                Ok((unpacked.root, unpacked.digest))
            }
        }
    }
}

/// The toolchains of a running daemon.
pub(crate) struct Live {
    toolchains: Toolchains,
    /// Where the client for Java is.
    java_client: PathBuf,
    interpreters: Arc<Interpreters>,
    /// Where toolchains are shown to users who cannot enter the data directory.
    shared: Option<PathBuf>,
}

impl Live {
    /// The toolchains in `directory`; the client for Java is one of them, unless another place is named.
    pub(crate) fn new(
        directory: &Path,
        java_client: Option<&Path>,
        interpreters: Arc<Interpreters>,
        shared: Option<&Path>,
    ) -> Self {
        if let Some(directory) = java_client.filter(|directory| java::Client::find(directory).is_none()) {
            tracing::warn!(directory = %directory.display(), "it has no jar of {}", java::CLIENT);
        }
        let java_client = java_client.map_or_else(|| directory.join(java::TOOLCHAIN), Path::to_owned);
        let shared = shared.map(|shared| shared.join("toolchains"));
        Self { toolchains: Toolchains::at(directory), java_client, interpreters, shared }
    }

    /// The same toolchains where functions can reach them.
    fn reachable(&self, installed: Vec<Installed>) -> Vec<Installed> {
        let Some(shared) = &self.shared else { return installed };
        for entry in std::fs::read_dir(shared).into_iter().flatten().flatten() {
            let listed = installed.iter().any(|one| entry.file_name() == one.name().as_str());
            if !listed && let Err(error) = lambd_sandbox::remove_tree(&entry.path()) {
                tracing::warn!(directory = %entry.path().display(), %error, "cannot remove");
            }
        }
        let reach = |one: Installed| {
            let directory = shared.join(one.name());
            let shown = if directory.is_dir() { Ok(()) } else { show(&one.directory, &directory) };
            match shown {
                Ok(()) => Some(Installed { directory, ..one }),
                Err(error) => {
                    tracing::warn!(toolchain = one.name(), %error, "functions cannot be given it");
                    None
                }
            }
        };
        installed.into_iter().filter_map(reach).collect()
    }
}

impl lambd_runtime::ports::Toolchains for Live {
    fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.toolchains.directory()).and_then(|meta| meta.modified()).ok()
    }

    fn java_client(&self) -> Option<java::Client> {
        java::Client::find(&self.java_client)
    }

    fn sdks(&self) -> Vec<Sdk> {
        sdks(&self.reachable(self.toolchains.list()))
    }

    fn installed(&self) -> Vec<Found> {
        let installed = self.reachable(self.toolchains.list());
        found(&installed).into_iter().filter(|found| self.interpreters.are_usable(found)).collect()
    }
}

/// Makes a directory appear elsewhere, complete or not at all: by hard links where that is possible.
fn show(from: &Path, at: &Path) -> std::io::Result<()> {
    let mut incoming = at.as_os_str().to_owned();
    incoming.push(".incoming");
    let incoming = PathBuf::from(incoming);
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let filled = link_all(from, &incoming).and_then(|()| std::fs::rename(&incoming, at));
    if filled.is_err() {
        // The reason why it failed is worth more.
        let _ = lambd_sandbox::remove_tree(&incoming);
    }
    filled
}

fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_all(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Toolchains that lambd has a bootstrap for, the newest first.
pub(crate) fn found(installed: &[Installed]) -> Vec<Found> {
    let mut found: Vec<Found> = installed
        .iter()
        .filter_map(|one| {
            let (family, version) = Family::of(&one.manifest.runtime)?;
            let (program, prefix) = (one.program()?, one.directory.clone());
            Some(Found { family, version, exact: Some(one.manifest.version.clone()), program, prefix })
        })
        .collect();
    found.sort_by_key(|found| std::cmp::Reverse(numbers(found.exact.as_deref().unwrap_or_default())));
    found
}

/// A version, to be compared.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '_', '+', '-']).map_while(|part| part.parse().ok()).collect()
}

/// The AWS SDKs among the toolchains.
pub(crate) fn sdks(installed: &[Installed]) -> Vec<Sdk> {
    let sdk = |one: &Installed| {
        let Place::Sdk { directory, since } = &one.manifest.place else { return None };
        let runtime = one.manifest.runtime.strip_suffix("-sdk").and_then(|id| Some((id, Family::of(id)?.0)));
        let family = match (runtime, one.manifest.family.as_str()) {
            (Some((_, family)), _) => family,
            (None, "python") => Family::Python,
            (None, "nodejs") => Family::NodeJs,
            (None, "ruby") => Family::Ruby,
            (None, _) => return None,
        };
        // For Node.js only the major version counts.
        let minor = if family == Family::NodeJs { 0 } else { number(since, 1) };
        Some(Sdk {
            name: one.name(),
            family,
            runtime: runtime.map(|(id, _)| id.to_owned()),
            since: LanguageVersion(number(since, 0), minor),
            version: numbers(&one.manifest.version),
            directory: one.directory.join(directory),
        })
    };
    installed.iter().filter_map(sdk).collect()
}

fn number(version: &[u64], at: usize) -> u32 {
    version.get(at).and_then(|number| u32::try_from(*number).ok()).unwrap_or_default()
}

/// The root file systems among the toolchains, for runtimes that no option chooses one for.
pub(crate) fn roots(installed: &[Installed], chosen: &[RuntimeRoot]) -> Vec<RuntimeRoot> {
    let mut roots: Vec<RuntimeRoot> = Vec::new();
    for one in installed {
        let Some(root) = one.root() else { continue };
        let id = &one.manifest.runtime;
        // Of several for one runtime, the first by name.
        if !chosen.iter().chain(&roots).any(|root| root.id == *id) {
            roots.push(RuntimeRoot { id: id.clone(), path: root.display().to_string() });
        }
    }
    roots
}
