//! A file with its checksum.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256, Sha512};

use crate::ToolchainError;

/// Largest document of a registry; npm's for the packages of Node.js have some hundred kilobytes.
const DOCUMENT_MAX: usize = 32 << 20;

/// What a file's content must add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-512 in base64, as npm writes it after `sha512-`.
    Sha512(String),
    /// SHA-256 in hexadecimal digits.
    Sha256(String),
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its version.
    pub version: String,
    /// Where it is.
    pub url: String,
    /// What its content must add up to.
    pub checksum: Checksum,
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha512(base64) => write!(f, "sha512-{base64}"),
            Self::Sha256(hex) => write!(f, "sha256:{hex}"),
        }
    }
}

/// A small document.
pub(crate) async fn document(url: &str, accept: &str) -> Result<(String, Vec<u8>), ToolchainError> {
    let response = get(url, accept).await?;
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = response.into_body();
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        let received = content.len() as u64;
        let frame = frame.map_err(|_| ToolchainError::BrokenOff { url: url.into(), received })?;
        if let Ok(data) = frame.into_data() {
            content.extend_from_slice(&data);
        }
        if content.len() > DOCUMENT_MAX {
            return Err(ToolchainError::NotARegistry { url: url.into(), reason: "it is too long".into() });
        }
    }
    Ok((kind, content))
}

/// Downloads a file, holds it to its checksum, and returns it at its beginning. It has no name: nothing is left of
/// it whatever happens. `progress` is told how many bytes came, and of how many if the server says.
///
/// # Errors
/// It cannot be had, is not what it should be, or cannot be written below `directory`.
pub async fn file(
    published: &Published,
    directory: &Path,
    progress: &(dyn Fn(u64, Option<u64>) + Sync),
) -> Result<File, ToolchainError> {
    let failed = |source| ToolchainError::Store { path: directory.to_owned(), source };
    let url = &published.url;
    let mut file = tempfile::tempfile_in(directory).map_err(failed)?;
    let response = get(url, "*/*").await?;
    let length = response.headers().get(http::header::CONTENT_LENGTH);
    let total: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = response.into_body();
    let (mut sha512, mut sha256) = (Sha512::new(), Sha256::new());
    let mut received = 0;
    progress(0, total);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ToolchainError::BrokenOff { url: url.clone(), received })?;
        let Ok(data) = frame.into_data() else { continue };
        file.write_all(&data).map_err(failed)?;
        match published.checksum {
            Checksum::Sha512(_) => sha512.update(&data),
            Checksum::Sha256(_) => sha256.update(&data),
        }
        received += data.len() as u64;
        progress(received, total);
    }
    let found = match published.checksum {
        Checksum::Sha512(_) => Checksum::Sha512(STANDARD.encode(sha512.finalize())),
        Checksum::Sha256(_) => Checksum::Sha256(hex(&sha256.finalize())),
    };
    if found != published.checksum {
        let expected = published.checksum.to_string();
        return Err(ToolchainError::Checksum { url: url.clone(), expected, found: found.to_string() });
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

async fn get(url: &str, accept: &str) -> Result<http::Response<Incoming>, ToolchainError> {
    let response = lambd_outbound::fetch(url, accept).await?;
    match response.status().as_u16() {
        200 => Ok(response),
        status => Err(ToolchainError::Refused { url: url.to_owned(), status }),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
