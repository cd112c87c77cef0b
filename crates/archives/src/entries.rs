//! What a tar archive is allowed, and making its entries.

use std::cell::Cell;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;

use tar::EntryType;

use crate::tree::{EntryKey, InnerPath, Tree, finish_file};

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be decompressed or is no tar archive.
    #[error("not readable: {0}")]
    Unreadable(io::Error),
    /// An entry's path climbs out, or is too deep.
    #[error("entry {entry:?} leads out of the archive or is too deep")]
    Path {
        /// The entry.
        entry: String,
    },
    /// A hard link to something that is not there.
    #[error("entry {entry:?} is a hard link to {target:?}, which is not there")]
    HardLink {
        /// The entry.
        entry: String,
        /// Where it points.
        target: String,
    },
    /// An entry cannot be made.
    #[error("entry {entry:?}: {source}")]
    Entry {
        /// The entry.
        entry: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is larger than allowed when unpacked.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It has more entries than allowed.
    #[error("it has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
}

/// How much of an archive may stand between two entries: long names and other extensions of their headers.
const HEADERS_MAX: u64 = 1 << 20;

/// How much something may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
}

impl Default for Limits {
    /// 10 GiB, as AWS allows for container images, and a million entries.
    fn default() -> Self {
        Self { bytes: 10 << 30, entries: 1_000_000 }
    }
}

/// What is left of the limits while something is unpacked, which may be several archives.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    bytes: u64,
    entries: u64,
}

impl Budget {
    /// All of it.
    pub fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0, entries: 0 }
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooManyEntries { limit: self.limits.entries });
        }
        if self.bytes > self.limits.bytes {
            return Err(ArchiveError::TooLarge { limit: self.limits.bytes });
        }
        Ok(())
    }
}

/// Reads a tar archive entry by entry.
///
/// # Errors
/// It is none, is larger than allowed, or `each` failed.
pub fn entries<R: Read>(
    archive: R,
    budget: &mut Budget,
    mut each: impl FnMut(&mut tar::Entry<'_, &mut dyn Read>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let allowance = Cell::new(HEADERS_MAX);
    let mut source = Metered { source: archive, allowance: &allowance };
    let source: &mut dyn Read = &mut source;
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(ArchiveError::Unreadable)? {
        let mut entry = entry.map_err(ArchiveError::Unreadable)?;
        budget.take(entry.size())?;
        allowance.set(HEADERS_MAX.saturating_add(entry.size()));
        each(&mut entry)?;
    }
    Ok(())
}

/// Makes an entry, in the place of whatever is there, and names what was made; `None` for devices, pipes and what
/// nobody knows, which are left out.
///
/// # Errors
/// The entry is damaged, or cannot be made.
pub fn make(
    tree: &Tree,
    path: &InnerPath,
    entry: &mut tar::Entry<'_, &mut dyn Read>,
) -> Result<Option<EntryKey>, ArchiveError> {
    let shown = shown(entry);
    let failed = |source| ArchiveError::Entry { entry: shown.clone(), source };
    let kind = entry.header().entry_type();
    let mode = entry.header().mode().map_err(failed)?;
    let (parent, name) = match kind {
        EntryType::Regular
        | EntryType::Continuous
        | EntryType::GNUSparse
        | EntryType::Directory
        | EntryType::Symlink
        | EntryType::Link => (tree.make_way(&path.parent()).map_err(failed)?, path.name()),
        // Devices, pipes and what nobody knows.
        _ => return Ok(None),
    };
    match kind {
        EntryType::Directory => tree.make_directory(&parent, name, mode).map_err(failed)?,
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default();
            parent.make_link(name, &target).map_err(failed)?;
        }
        EntryType::Link => {
            let target = entry.link_name_bytes().unwrap_or_default();
            let missing = || ArchiveError::HardLink {
                entry: shown.clone(),
                target: String::from_utf8_lossy(&target).into_owned(),
            };
            let target = InnerPath::parse(&target).ok_or_else(missing)?;
            let source = tree.directory(&target.parent()).map_err(failed)?.ok_or_else(missing)?;
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
    Ok(Some(parent.key(name).map_err(failed)?))
}

/// Unpacks a tar archive into a directory.
///
/// # Errors
/// It is none, is damaged, leads out of the directory, or is larger than allowed.
pub fn unpack_tar(archive: impl Read, tree: &Tree, budget: &mut Budget) -> Result<(), ArchiveError> {
    entries(archive, budget, |entry| {
        let path = InnerPath::parse(&entry.path_bytes())
            .ok_or_else(|| ArchiveError::Path { entry: shown(entry) })?;
        if !path.is_root() {
            make(tree, &path, entry)?;
        }
        Ok(())
    })
}

fn shown(entry: &tar::Entry<'_, &mut dyn Read>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

/// Copies an entry's content and tells its length: errors of the archive and of the disk are told apart.
pub(crate) fn copy(
    entry: &mut impl Read,
    file: &mut std::fs::File,
    shown: &str,
) -> Result<u64, ArchiveError> {
    let mut written = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = entry.read(&mut buffer).map_err(ArchiveError::Unreadable)?;
        if length == 0 {
            return Ok(written);
        }
        written += length as u64;
        file.write_all(&buffer[..length])
            .map_err(|source| ArchiveError::Entry { entry: shown.to_owned(), source })?;
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
