//! The files of an image layout: in a directory, or in a tar archive of one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::document::{Descriptor, Digest, Index};
use super::error::ImageError;

/// Largest index, manifest or configuration, as registries have it.
const DOCUMENT_MAX: u64 = 4 << 20;
/// Most entries of an archive: an image has at most a few hundred blobs.
const ARCHIVE_ENTRIES_MAX: usize = 10_000;

/// The files of an image layout.
pub(super) enum Layout {
    Directory(PathBuf),
    Archive {
        path: PathBuf,
        file: File,
        /// Offset and length of each file by its name.
        parts: HashMap<String, (u64, u64)>,
    },
}

impl Layout {
    /// Opens the layout at an existing path.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let parts = parts_of(&file).map_err(|source| not_an_archive(path, source.to_string()))?;
        if parts.contains_key("oci-layout") {
            return Ok(Self::Archive { path: path.to_owned(), file, parts });
        }
        Err(not_an_archive(
            path,
            match parts.contains_key("manifest.json") {
                true => "it is one of an older `docker save`".into(),
                false => "it has no file oci-layout".into(),
            },
        ))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Archive { path, .. } => path,
        }
    }

    /// `index.json`.
    pub(super) fn index(&self) -> Result<Index, ImageError> {
        let name = "index.json";
        let unreadable = |source| unreadable(&self.path().join(name), source);
        let reader = self.file(name).map_err(unreadable)?;
        let mut bytes = Vec::new();
        reader.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > DOCUMENT_MAX {
            return Err(too_long(name.into()));
        }
        parse(name, &bytes)
    }

    /// A JSON document by its descriptor.
    pub(super) fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, ImageError> {
        let name = descriptor.digest()?.to_string();
        if descriptor.size > DOCUMENT_MAX {
            return Err(too_long(name));
        }
        let mut blob = self.blob(descriptor)?;
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes).map_err(|source| unreadable(self.path(), source))?;
        blob.finish()?;
        parse(&name, &bytes)
    }

    /// A blob's content. It counts as read only after [`Blob::finish`].
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Blob<'_>, ImageError> {
        let digest = descriptor.digest()?;
        let reader = match self.file(&format!("blobs/sha256/{}", digest.hex())) {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ImageError::MissingBlob { digest: digest.to_string() });
            }
            Err(source) => return Err(unreadable(self.path(), source)),
        };
        Ok(Blob { digest, size: descriptor.size, left: descriptor.size, hasher: Sha256::new(), reader })
    }

    fn file(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Directory(directory) => Ok(Box::new(File::open(directory.join(name))?)),
            Self::Archive { file, parts, .. } => match parts.get(name) {
                Some((offset, length)) => Ok(Box::new(Part { file, offset: *offset, left: *length })),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }
}

/// A blob while it is read: no longer than it should be, and hashed on the way.
pub(super) struct Blob<'a> {
    digest: Digest,
    size: u64,
    left: u64,
    hasher: Sha256,
    reader: Box<dyn Read + 'a>,
}

impl Blob<'_> {
    /// Reads what is left and holds the whole to the digest.
    pub(super) fn finish(mut self) -> Result<(), ImageError> {
        let damaged = |digest: &Digest, reason| ImageError::Damaged { digest: digest.to_string(), reason };
        let mut rest = vec![0; 64 * 1024];
        loop {
            match self.read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(damaged(&self.digest, error.to_string())),
            }
        }
        let longer = self.left == 0 && matches!(self.reader.read(&mut [0; 1]), Ok(1));
        if self.left > 0 || longer {
            let is = if longer { "more" } else { "less" };
            return Err(damaged(&self.digest, format!("it has {is} than the {} bytes it should", self.size)));
        }
        let found = self.hasher.finalize();
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        if found != self.digest.hex() {
            return Err(damaged(&self.digest, format!("its digest is sha256:{found}")));
        }
        Ok(())
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.reader.read(&mut buffer[..most])?;
        self.hasher.update(&buffer[..length]);
        self.left -= length as u64;
        Ok(length)
    }
}

/// A file within an archive.
struct Part<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// Where the files of an archive are.
fn parts_of(file: &File) -> io::Result<HashMap<String, (u64, u64)>> {
    let mut parts = HashMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if parts.len() >= ARCHIVE_ENTRIES_MAX {
            return Err(io::Error::other(format!("more than {ARCHIVE_ENTRIES_MAX} entries")));
        }
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            parts.insert(name, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok(parts)
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Document { name: name.to_owned(), reason: error.to_string() })
}

fn too_long(name: String) -> ImageError {
    ImageError::Document { name, reason: format!("it is longer than {DOCUMENT_MAX} bytes") }
}

fn unreadable(path: &Path, source: io::Error) -> ImageError {
    ImageError::Unreadable { path: path.to_owned(), source }
}

fn not_an_archive(path: &Path, reason: String) -> ImageError {
    ImageError::NotAnArchive { path: path.to_owned(), reason }
}
