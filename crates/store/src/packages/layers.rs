//! What functions with layers see at `/opt`: one directory for each list of layers, in the cache of unpacked code.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use lambd_types::Sha256Digest;

use super::{Dirs, Incoming, PackageError, Packages, UnpackLimits, blocking, merge, remove_tree};

/// What names of merged directories begin with; those of packages are digests alone.
const MERGED: &str = "layers-";

impl Packages {
    /// The content of stored packages laid over each other, the last one on top: made if this boot has not made it
    /// yet. `None` for no packages at all.
    pub async fn layers(&self, layers: Vec<Sha256Digest>) -> Result<Option<PathBuf>, PackageError> {
        let Some(directory) = self.dirs.merged(&layers) else { return Ok(None) };
        if directory.is_dir() {
            return Ok(Some(directory));
        }
        let dirs = self.dirs.clone();
        blocking(move || dirs.merge(&layers, directory).map(Some)).await
    }
}

impl Dirs {
    /// Where layers are merged. One alone is what it was unpacked to.
    fn merged(&self, layers: &[Sha256Digest]) -> Option<PathBuf> {
        match layers {
            [] => None,
            [one] => Some(self.directory(*one)),
            several => {
                let list: Vec<String> = several.iter().map(|layer| layer.to_hex()).collect();
                let name = Sha256Digest::of(list.join("\n").as_bytes()).to_hex();
                Some(self.unpacked.join(format!("{MERGED}{name}")))
            }
        }
    }

    fn merge(&self, layers: &[Sha256Digest], target: PathBuf) -> Result<PathBuf, PackageError> {
        for layer in layers {
            if !self.directory(*layer).is_dir() {
                // Within the limits when it was published; they may have been lowered since.
                self.unpack_stored(*layer, UnpackLimits::NONE)?;
            }
        }
        if layers.len() > 1 {
            let incoming = Incoming::new(&self.unpacking);
            let sources: Vec<PathBuf> = layers.iter().map(|layer| self.directory(*layer)).collect();
            let made = merge::merge(sources.iter().map(PathBuf::as_path), &incoming.0)
                .and_then(|()| fs::rename(&incoming.0, &target));
            match made {
                Ok(()) => {}
                // Another task merged the same layers in the meantime.
                Err(_) if target.is_dir() => {}
                Err(source) => return Err(PackageError::Io { path: target, source }),
            }
        }
        Ok(target)
    }

    /// Removes unpacked content other than that of these packages and lists.
    pub(super) fn retain_unpacked(
        &self,
        packages: &HashSet<String>,
        lists: &[Vec<Sha256Digest>],
    ) -> io::Result<()> {
        let merged: HashSet<PathBuf> = lists.iter().filter_map(|list| self.merged(list)).collect();
        for entry in fs::read_dir(&self.unpacked)?.flatten() {
            let path = entry.path();
            let is_package = entry.file_name().to_str().is_some_and(|name| packages.contains(name));
            if !is_package && !merged.contains(&path) {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }
}
