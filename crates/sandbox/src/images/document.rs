//! The JSON documents of an image layout, as far as they matter here, and the digests in them.
//!
//! See the OCI image specification: image-layout.md, image-index.md, manifest.md, descriptor.md, config.md. The
//! types of Docker's own registry, which differ in name only, are taken as well.

use std::collections::BTreeMap;
use std::fmt;

use lambd_archives::Compression;
use serde::Deserialize;

use super::error::ImageError;

/// Annotation with the tag of an image in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Where a blob is, and what.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    digest: String,
    pub(super) size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    pub(super) platform: Option<Platform>,
}

/// What an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
}

/// `index.json`, or an index within it.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A SHA-256 digest in an image's documents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest {
    hex: String,
}

/// What a descriptor of an index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Manifest,
    /// Something else that an index may list, such as a signature.
    Other,
}

impl Descriptor {
    /// Its digest, checked to be one.
    pub(super) fn digest(&self) -> Result<Digest, ImageError> {
        Digest::parse(&self.digest).ok_or_else(|| ImageError::Digest(self.digest.clone()))
    }

    /// How it is compressed, if it is a layer.
    pub(super) fn compression(&self) -> Option<Compression> {
        let media_type = &self.media_type;
        let kind = media_type
            .strip_prefix("application/vnd.oci.image.layer.v1.")
            .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1."))
            .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.diff."))
            .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff."))?;
        match kind {
            "tar" => Some(Compression::None),
            "tar+gzip" | "tar.gzip" => Some(Compression::Gzip),
            "tar+zstd" | "tar.zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str)
    }

    pub(super) fn kind(&self) -> Kind {
        match self.media_type.as_str() {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Kind::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Kind::Manifest,
            _ => Kind::Other,
        }
    }
}

impl Platform {
    /// This machine, in the words of images.
    pub(super) fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

impl Digest {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let good = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (hex.len() == 64 && hex.bytes().all(good)).then(|| Self { hex: hex.to_owned() })
    }

    /// The 64 digits: safe as a file name.
    pub(super) fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_in_lower_case_is_a_digest() {
        let good = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(Digest::parse(&good).expect("a digest").to_string(), good);
        for bad in [
            "sha256:",
            &"0f".repeat(32),
            &good.to_uppercase(),
            &good[..70],
            &format!("sha512:{}", "0f".repeat(64)),
            &format!("sha256:{}", "../".repeat(22)),
        ] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
