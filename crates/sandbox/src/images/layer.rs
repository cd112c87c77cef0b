//! Applying a layer: its entries are added to what the layers below made, and its whiteouts remove some of
//! that (layer.md of the image specification).

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use tar::EntryType;

use super::error::LayerError;
use super::tree::{EntryKey, InnerPath, Tree, finish_file};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Other names that start so belong to the bookkeeping of an old storage driver.
const BOOKKEEPING: &str = ".wh..wh.";

/// How much of a layer may stand between two entries: long names and other extensions of their headers.
const HEADERS_MAX: u64 = 1 << 20;

/// How much an image may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of all files of all layers together.
    pub bytes: u64,
    /// Entries of all layers together.
    pub entries: u64,
}

impl Default for ImageLimits {
    /// 10 GiB, as AWS allows for container images, and a million entries.
    fn default() -> Self {
        Self { bytes: 10 << 30, entries: 1_000_000 }
    }
}

/// What is left of the limits while an image is unpacked.
pub(super) struct Budget {
    limits: ImageLimits,
    bytes: u64,
    entries: u64,
}

impl Budget {
    pub(super) fn new(limits: ImageLimits) -> Self {
        Self { limits, bytes: 0, entries: 0 }
    }

    fn take(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > self.limits.entries {
            return Err(LayerError::TooManyEntries { limit: self.limits.entries });
        }
        if self.bytes > self.limits.bytes {
            return Err(LayerError::TooLarge { limit: self.limits.bytes });
        }
        Ok(())
    }
}

/// Applies one layer, an uncompressed tar archive.
pub(super) fn apply(layer: impl Read, tree: &Tree, budget: &mut Budget) -> Result<(), LayerError> {
    let allowance = Cell::new(HEADERS_MAX);
    let mut archive = tar::Archive::new(Metered { source: layer, allowance: &allowance });
    let mut applied = Layer { tree, made: HashSet::new() };
    for entry in archive.entries().map_err(LayerError::Unreadable)? {
        let mut entry = entry.map_err(LayerError::Unreadable)?;
        budget.take(entry.size())?;
        allowance.set(HEADERS_MAX.saturating_add(entry.size()));
        applied.add(&mut entry)?;
    }
    Ok(())
}

/// A layer that is being applied.
struct Layer<'a> {
    tree: &'a Tree,
    /// What it made itself, which its own whiteouts leave alone wherever in the archive they stand.
    made: HashSet<EntryKey>,
}

impl Layer<'_> {
    fn add(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), LayerError> {
        let shown = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path =
            InnerPath::parse(&entry.path_bytes()).ok_or_else(|| LayerError::Path { entry: shown() })?;
        if path.is_root() {
            return Ok(());
        }
        let shown = shown();
        let failed = |source| LayerError::Entry { entry: shown.clone(), source };
        if path.name() == OPAQUE {
            return self.clear_below(&path.parent()).map_err(failed);
        }
        if path.names().any(|name| name.as_bytes().starts_with(BOOKKEEPING.as_bytes())) {
            return Ok(());
        }
        if let Some(removed) = path.name().as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            return self.remove(&path.parent(), OsStr::from_bytes(removed)).map_err(failed);
        }
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().map_err(failed)?;
        let (parent, name) = match kind {
            EntryType::Regular
            | EntryType::Continuous
            | EntryType::GNUSparse
            | EntryType::Directory
            | EntryType::Symlink
            | EntryType::Link => (self.tree.make_way(&path.parent()).map_err(failed)?, path.name()),
            // Devices, pipes and what nobody knows.
            _ => return Ok(()),
        };
        match kind {
            EntryType::Directory => self.tree.make_directory(&parent, name, mode).map_err(failed)?,
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                parent.make_link(name, &target).map_err(failed)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let missing = || LayerError::HardLink {
                    entry: shown.clone(),
                    target: String::from_utf8_lossy(&target).into_owned(),
                };
                let target = InnerPath::parse(&target).ok_or_else(missing)?;
                let source = self.tree.directory(&target.parent()).map_err(failed)?.ok_or_else(missing)?;
                if source.kind(target.name()).map_err(failed)?.is_none() {
                    return Err(missing());
                }
                parent.make_hard_link(name, &source, target.name()).map_err(failed)?;
            }
            _ => {
                let modified = entry.header().mtime().unwrap_or(0);
                let mut file = parent.make_file(name).map_err(failed)?;
                copy(entry, &mut file, &shown)?;
                finish_file(file.as_fd(), mode, modified).map_err(failed)?;
            }
        }
        self.made.insert(parent.key(name).map_err(failed)?);
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

/// Copies an entry's content: errors of the archive and of the disk are told apart.
fn copy(entry: &mut impl Read, file: &mut std::fs::File, shown: &str) -> Result<(), LayerError> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = entry.read(&mut buffer).map_err(LayerError::Unreadable)?;
        if length == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..length])
            .map_err(|source| LayerError::Entry { entry: shown.to_owned(), source })?;
    }
}

/// Stops an archive whose headers never end: they are kept in memory.
struct Metered<'a, R> {
    source: R,
    allowance: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.allowance.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "headers are longer than 1 MiB"));
        }
        let length = self.source.read(&mut buffer[..most])?;
        self.allowance.set(self.allowance.get() - length as u64);
        Ok(length)
    }
}
