//! Why a root file system cannot be had from a path, or an image cannot be unpacked.

use std::io;
use std::path::PathBuf;

use lambd_archives::ArchiveError;

/// Why a root file system cannot be had from a path, or an image cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is nothing at the path, or it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory is empty, so it is no root file system.
    #[error("{} is empty", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The machine's own root would show everything that its users may read.
    #[error("/ is this machine's own root file system")]
    HostRoot,
    /// A tag was given for a directory that is no image.
    #[error("{} has no oci-layout file, so there is no tag {tag:?} in it", path.display())]
    TagWithoutLayout {
        /// The directory.
        path: PathBuf,
        /// The tag.
        tag: String,
    },
    /// The file is no tar archive of an image layout.
    #[error("{} is no archive of an OCI image layout: {reason}", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What is missing or broken.
        reason: String,
    },
    /// A JSON document is not what it should be.
    #[error("{name} is not usable: {reason}")]
    Document {
        /// `index.json`, or the digest of a blob.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No image has this tag.
    #[error("no image with tag {tag:?}; there is {}", list(.known))]
    UnknownTag {
        /// The tag asked for.
        tag: String,
        /// The tags that there are.
        known: Vec<String>,
    },
    /// Several images, and none was chosen.
    #[error("it holds several images: {}", list(.known))]
    Ambiguous {
        /// The tags that there are.
        known: Vec<String>,
    },
    /// No image is for this machine.
    #[error("it has no image for {wanted}, only for {}", list(.known))]
    WrongPlatform {
        /// This machine.
        wanted: String,
        /// What the images are for.
        known: Vec<String>,
    },
    /// A blob has a media type that is unknown here.
    #[error("{digest} is of the unknown type {media_type:?}")]
    MediaType {
        /// The blob.
        digest: String,
        /// Its type.
        media_type: String,
    },
    /// A digest that is not written as one, or of another algorithm than SHA-256.
    #[error("{0:?} is no sha256 digest")]
    Digest(String),
    /// A blob that the documents name is not there.
    #[error("blob {digest} is missing")]
    MissingBlob {
        /// The blob.
        digest: String,
    },
    /// A blob's content is not what its digest says.
    #[error("blob {digest} is damaged: {reason}")]
    Damaged {
        /// The blob.
        digest: String,
        /// How it differs.
        reason: String,
    },
    /// A layer cannot be applied.
    #[error("layer {digest} cannot be unpacked: {source}")]
    Layer {
        /// The layer.
        digest: String,
        /// Why.
        source: ArchiveError,
    },
    /// The place for unpacked images cannot be used.
    #[error("cannot write {}: {source}", path.display())]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ImageError {
    /// What the operator can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "give a directory that holds a root file system, an OCI image layout, or a tar archive of one"
            }
            Self::Empty { .. } => "unpack a root file system into it first",
            Self::HostRoot => "leave the option out: the machine's own programs are used without it",
            Self::TagWithoutLayout { .. } => "leave the tag out, or give the directory of an image layout",
            Self::NotAnArchive { .. } => {
                "make one with `docker save` (version 25 or later), `podman save --format oci-archive` or \
                 `skopeo copy docker://IMAGE oci:DIRECTORY`"
            }
            Self::UnknownTag { .. } | Self::Ambiguous { .. } => "choose one with PATH:TAG",
            Self::WrongPlatform { .. } => "pull the image for this machine's platform",
            Self::Document { .. }
            | Self::MediaType { .. }
            | Self::Digest(_)
            | Self::MissingBlob { .. }
            | Self::Damaged { .. }
            | Self::Layer { .. } => "make the image layout again, for example with `skopeo copy`",
            Self::Store { .. } => "free some space, or choose another directory with --data",
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
