//! Applying a layer: its entries are added to what the layers below made, and its whiteouts remove some of
//! that (layer.md of the image specification).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;

use lambd_archives::{ArchiveError, Budget, EntryKey, InnerPath, Tree};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Other names that start so belong to the bookkeeping of an old storage driver.
const BOOKKEEPING: &str = ".wh..wh.";

/// Applies one layer, an uncompressed tar archive.
pub(super) fn apply(layer: impl Read, tree: &Tree, budget: &mut Budget) -> Result<(), ArchiveError> {
    let mut applied = Layer { tree, made: HashSet::new() };
    lambd_archives::entries(layer, budget, |entry| applied.add(entry))
}

/// A layer that is being applied.
struct Layer<'a> {
    tree: &'a Tree,
    /// What it made itself, which its own whiteouts leave alone wherever in the archive they stand.
    made: HashSet<EntryKey>,
}

impl Layer<'_> {
    fn add(&mut self, entry: &mut tar::Entry<'_, &mut dyn Read>) -> Result<(), ArchiveError> {
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = InnerPath::parse(&entry.path_bytes())
            .ok_or_else(|| ArchiveError::Path { entry: shown.clone() })?;
        if path.is_root() {
            return Ok(());
        }
        let failed = |source| ArchiveError::Entry { entry: shown.clone(), source };
        if path.name() == OPAQUE {
            return self.clear_below(&path.parent()).map_err(failed);
        }
        if path.names().any(|name| name.as_bytes().starts_with(BOOKKEEPING.as_bytes())) {
            return Ok(());
        }
        if let Some(removed) = path.name().as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            return self.remove(&path.parent(), OsStr::from_bytes(removed)).map_err(failed);
        }
        self.made.extend(lambd_archives::make(self.tree, &path, entry)?);
        Ok(())
    }

    /// Removes what the layers below have by this name.
    fn remove(&self, parent: &InnerPath, name: &OsStr) -> io::Result<()> {
        if matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        match self.tree.directory(parent)? {
            Some(parent) => parent.prune(name, &|key| self.made.contains(key)),
            None => Ok(()),
        }
    }

    /// Removes what the layers below have in this directory.
    fn clear_below(&self, directory: &InnerPath) -> io::Result<()> {
        match self.tree.directory(directory)? {
            Some(directory) => directory.prune_all(&|key| self.made.contains(key)),
            None => Ok(()),
        }
    }
}
