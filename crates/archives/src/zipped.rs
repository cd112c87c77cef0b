//! Zip archives.

use std::io::{self, Read as _, Seek};
use std::os::fd::AsFd as _;

use crate::entries::copy;
use crate::tree::{Tree, finish_file};
use crate::{ArchiveError, Budget, InnerPath};

/// Kinds of files in the permissions that Unix programs write.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Longest target of a link.
const TARGET_MAX: u64 = 4096;

/// Unpacks a zip archive into a directory.
///
/// # Errors
/// It is none, is damaged, leads out of the directory, or is larger than allowed.
pub fn unpack_zip(
    archive: impl io::Read + Seek,
    tree: &Tree,
    budget: &mut Budget,
) -> Result<(), ArchiveError> {
    let unreadable = |error: zip::result::ZipError| ArchiveError::Unreadable(error.into());
    let mut archive = zip::ZipArchive::new(archive).map_err(unreadable)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let shown = entry.name().map_err(unreadable)?.into_owned();
        let path =
            InnerPath::parse(shown.as_bytes()).ok_or_else(|| ArchiveError::Path { entry: shown.clone() })?;
        budget.take(entry.size())?;
        if path.is_root() {
            continue;
        }
        let failed = |source| ArchiveError::Entry { entry: shown.clone(), source };
        let mode = entry.unix_mode();
        let parent = tree.make_way(&path.parent()).map_err(failed)?;
        if entry.is_dir() {
            tree.make_directory(&parent, path.name(), mode.unwrap_or(0o755)).map_err(failed)?;
        } else if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            (&mut entry).take(TARGET_MAX).read_to_end(&mut target).map_err(ArchiveError::Unreadable)?;
            parent.make_link(path.name(), &target).map_err(failed)?;
        } else {
            let mut file = parent.make_file(path.name()).map_err(failed)?;
            let size = entry.size();
            let written = copy(&mut (&mut entry).take(size.saturating_add(1)), &mut file, &shown)?;
            if written > size {
                let reason = "an entry is longer than the archive says";
                return Err(ArchiveError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
            finish_file(file.as_fd(), mode.unwrap_or(0o644), 0).map_err(failed)?;
        }
    }
    Ok(())
}
