//! Archives and folders of this machine.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use lambd_archives::{Budget, Compression, Limits, Tree, unpack_tar, unpack_zip};
use sha2::{Digest as _, Sha256};

use crate::ToolchainError;
use crate::recipe::Wanted;
use crate::store::store_error;
use crate::trial;

/// How deep in an archive the directory with `bin` may lie.
const DEPTH: usize = 4;

/// Unpacks an archive of any kind that is known.
pub(crate) fn unpack(mut archive: File, into: &Path) -> Result<(), ToolchainError> {
    let unreadable = |source| ToolchainError::Archive(lambd_archives::ArchiveError::Unreadable(source));
    fs::create_dir(into).map_err(|source| store_error(into, source))?;
    let tree = Tree::open(into).map_err(|source| store_error(into, source))?;
    let mut budget = Budget::new(Limits::default());
    let mut start = Vec::new();
    (&mut archive).take(8).read_to_end(&mut start).map_err(unreadable)?;
    archive.rewind().map_err(unreadable)?;
    if start.starts_with(b"PK\x03\x04") {
        return Ok(unpack_zip(io::BufReader::new(archive), &tree, &mut budget)?);
    }
    Ok(unpack_tar(Compression::of_start(&start).reader(archive), &tree, &mut budget)?)
}

/// The checksum of a file, as manifests have it.
pub(crate) fn checksum(path: &Path) -> Result<String, ToolchainError> {
    let failed = |source| ToolchainError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => digest.update(&buffer[..length]),
        }
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

/// Copies a folder; links are copied as links.
pub(crate) fn copy(from: &Path, into: &Path) -> Result<(), ToolchainError> {
    let unreadable = |path: &Path, source| ToolchainError::Unreadable { path: path.to_owned(), source };
    fs::create_dir(into).map_err(|source| store_error(into, source))?;
    for entry in fs::read_dir(from).map_err(|source| unreadable(from, source))? {
        let entry = entry.map_err(|source| unreadable(from, source))?;
        let (path, target) = (entry.path(), into.join(entry.file_name()));
        let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_symlink() {
            let points_to = fs::read_link(&path).map_err(|source| unreadable(&path, source))?;
            std::os::unix::fs::symlink(points_to, &target).map_err(|source| store_error(&target, source))?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(|source| unreadable(&path, source))?;
        }
    }
    Ok(())
}

/// The directory, `top` or one below, that has the program where toolchains have it: the directory and the program
/// below it.
pub(crate) fn prefix(wanted: &Wanted, top: &Path) -> Result<(PathBuf, PathBuf), ToolchainError> {
    let mut level = vec![top.to_owned()];
    for _ in 0..=DEPTH {
        if let Some(found) = level.iter().find_map(|dir| Some((dir.clone(), trial::program(wanted, dir)?))) {
            return Ok(found);
        }
        let below = level.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
        let mut next: Vec<PathBuf> = below
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        next.sort();
        level = next;
    }
    let program = match wanted.family {
        crate::recipe::Family::NodeJs => "bin/node".to_owned(),
        family => format!("program of {} at the place where it belongs", family.title()),
    };
    Err(ToolchainError::NoProgram { program })
}
