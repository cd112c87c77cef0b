//! Unpacked images by digest: made whole or not at all, reused, removed when nothing refers to them.
//!
//! ```text
//! <directory>/lock        held while images are unpacked or removed
//! <directory>/incoming    an image that is being unpacked
//! <directory>/<digest>    the root file system of the image whose manifest has this SHA-256
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lambd_archives::{Budget, InnerPath, Limits, Tree};
use rustix::fs::{FlockOperation, flock, syncfs};

use super::document::Descriptor;
use super::error::ImageError;
use super::layer;
use super::layout::Layout;
use super::select::{self, Selected};
use super::source::ImageSource;

/// A root file system that was unpacked from an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedImage {
    /// Digest of the image's manifest, `sha256:` and 64 digits.
    pub digest: String,
    /// The directory.
    pub root: PathBuf,
}

/// The place for unpacked images. It is locked against other processes for as long as this lives.
#[derive(Debug)]
pub struct ImageStore {
    directory: PathBuf,
    limits: Limits,
    _lock: File,
}

impl ImageStore {
    /// Opens the place, makes it if it is missing, waits until no other process uses it, and removes what
    /// one that was killed left behind.
    ///
    /// # Errors
    /// [`ImageError::Store`] when it cannot be written.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Store { path: directory.to_owned(), source };
        // What is in an image is nobody's business but the functions'.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let lock = directory.join("lock");
        let failed = |source| ImageError::Store { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let store = Self { directory, limits, _lock: file };
        remove(&store.incoming())?;
        Ok(store)
    }

    /// Unpacks an image, unless it has been unpacked before. Its documents are read and checked in either
    /// case.
    ///
    /// # Errors
    /// When there is no such image, it is not for this machine, is damaged, or does not fit.
    pub fn unpack(&self, image: &ImageSource) -> Result<UnpackedImage, ImageError> {
        let layout = Layout::open(&image.path)?;
        let selected = select::select(&layout, image.tag.as_deref())?;
        let digest = selected.descriptor.digest()?;
        let unpacked = UnpackedImage { digest: digest.to_string(), root: self.directory.join(digest.hex()) };
        if !unpacked.root.is_dir() {
            tracing::info!(image = %image.path.display(), %digest, "unpacking an image");
            let made = self.fill(&layout, &selected).and_then(|()| self.keep(&unpacked.root));
            if made.is_err() {
                // The reason why it failed is worth more than the reason why leftovers stay until next time.
                let _ = remove(&self.incoming());
            }
            made?;
        }
        Ok(unpacked)
    }

    /// Removes the images that are not among these. What cannot be removed only takes space.
    pub fn retain(&self, in_use: &[UnpackedImage]) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_image = path.file_name().is_some_and(|name| name.len() == 64);
            if is_image && !in_use.iter().any(|image| image.root == path) {
                tracing::info!(image = %path.display(), "removing an image that nothing refers to any more");
                // Under the other name first: half of an image must not be found by its digest.
                let gone = fs::rename(&path, self.incoming())
                    .map_err(|source| ImageError::Store { path: path.clone(), source })
                    .and_then(|()| remove(&self.incoming()));
                if let Err(error) = gone {
                    tracing::warn!(%error, "cannot remove an image; remove it by hand");
                }
            }
        }
    }

    fn incoming(&self) -> PathBuf {
        self.directory.join("incoming")
    }

    fn fill(&self, layout: &Layout, selected: &Selected) -> Result<(), ImageError> {
        let incoming = self.incoming();
        let failed = |source| ImageError::Store { path: incoming.clone(), source };
        fs::create_dir(&incoming).map_err(failed)?;
        fs::set_permissions(&incoming, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let tree = Tree::open(&incoming).map_err(failed)?;
        let mut budget = Budget::new(self.limits);
        for layer in &selected.manifest.layers {
            apply(layout, layer, &tree, &mut budget)?;
        }
        complete(&tree);
        Ok(())
    }

    /// Makes it last, then gives it its name.
    fn keep(&self, root: &Path) -> Result<(), ImageError> {
        let incoming = self.incoming();
        let failed = |source: io::Error| ImageError::Store { path: incoming.clone(), source };
        let opened = File::open(&incoming).map_err(failed)?;
        syncfs(&opened).map_err(|error| failed(error.into()))?;
        fs::rename(&incoming, root).map_err(failed)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }
}

fn apply(layout: &Layout, layer: &Descriptor, tree: &Tree, budget: &mut Budget) -> Result<(), ImageError> {
    let digest = layer.digest()?.to_string();
    let Some(compression) = layer.compression() else {
        return Err(ImageError::MediaType { digest, media_type: layer.media_type.clone() });
    };
    let mut blob = layout.blob(layer)?;
    let applied = layer::apply(compression.reader(&mut blob), tree, budget);
    // A damaged blob is the better explanation of an archive that cannot be read.
    match (blob.finish(), applied) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(damaged), _) => Err(damaged),
        (Ok(()), Err(source)) => Err(ImageError::Layer { digest, source }),
    }
}

/// Makes the places that every sandbox mounts on, where the image lacks them: a sandbox with such a root
/// starts faster. It is only that, so an image in which one cannot be made stays as it is.
fn complete(tree: &Tree) {
    for directory in lambd_jail::places::directories() {
        if let Some(path) = InnerPath::parse(directory.as_bytes()) {
            let _ = tree.make_way(&path);
        }
    }
    for file in lambd_jail::places::files() {
        let Some(path) = InnerPath::parse(file.as_bytes()) else { continue };
        let Ok(parent) = tree.make_way(&path.parent()) else { continue };
        if let Ok(None) = parent.kind(path.name())
            && let Ok(file) = parent.make_file(path.name())
        {
            let _ = file.set_permissions(fs::Permissions::from_mode(0o644));
        }
    }
}

/// Removes a directory with all its content; absence is fine.
fn remove(path: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| ImageError::Store { path: path.to_owned(), source }),
    }
}
