//! Packages, and what the work on one costs without a daemon around it.

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::error::Error;

/// What no store of packages can do without.
#[derive(Debug)]
pub(crate) struct Work {
    /// Digesting the package and writing it to a file, synced.
    pub(crate) stored: Duration,
    /// The same, and unpacking it.
    pub(crate) unpacked: Duration,
}

/// A zip of one file, which is stored as it is.
pub(crate) fn stored(content: &[u8]) -> Result<Vec<u8>, Error> {
    file("bootstrap", content)
}

/// The same with a name for the file.
pub(crate) fn file(name: &str, content: &[u8]) -> Result<Vec<u8>, Error> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .unix_permissions(0o755);
    writer.start_file(name, options).map_err(failed)?;
    writer.write_all(content)?;
    Ok(writer.finish().map_err(failed)?.into_inner())
}

/// Does the work on a package, step by step.
pub(crate) fn work(zip: &[u8]) -> Result<Work, Error> {
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    std::hint::black_box(Sha256::digest(zip));
    let mut file = File::create(folder.path().join("package.zip"))?;
    file.write_all(zip)?;
    file.sync_all()?;
    let stored = start.elapsed();
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(failed)?;
    archive.extract(folder.path().join("unpacked")).map_err(failed)?;
    Ok(Work { stored, unpacked: start.elapsed() })
}

fn failed(error: zip::result::ZipError) -> Error {
    Error::Answer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{stored, work};

    #[test]
    fn packages_can_be_unpacked() {
        let work = work(&stored(b"exit 0\n").unwrap()).unwrap();
        assert!(work.unpacked >= work.stored);
    }
}
