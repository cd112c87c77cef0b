//! Requests that carry a package: it goes to disk while it arrives, so that its size costs no memory.

use bytes::Bytes;
use lambd_api::archive::{Path, ScanError, Scanner};
use lambd_http::{BodyError, RequestBody};
use lambd_store::packages::{Arrived, PackageError};

use crate::Control;

/// Bytes of such a request beside its package.
const DOCUMENT_MAX: usize = 1024 * 1024;

/// A request without its package.
pub(crate) struct Upload {
    /// What is left of the body.
    pub(crate) document: Bytes,
    /// The package that was in it.
    pub(crate) package: Option<Arrived>,
}

/// The body could not be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Takes in a body that has a package at `path`. Whatever comes of it, the body has been read to its end then.
pub(crate) async fn receive(
    control: &Control,
    path: Path,
    mut body: RequestBody,
) -> Result<Upload, UploadError> {
    let received = take_in(control, path, &mut body).await;
    if received.is_err() {
        body.discard().await;
    }
    received
}

async fn take_in(control: &Control, path: Path, body: &mut RequestBody) -> Result<Upload, UploadError> {
    let mut scanner = Scanner::new(path, DOCUMENT_MAX);
    let mut arriving = None;
    while let Some(part) = body.part().await? {
        let mut archive = Vec::new();
        scanner.push(&part, &mut archive)?;
        if scanner.had_archive() {
            let arriving = arriving.get_or_insert_with(|| control.store().packages().receive());
            arriving.push(archive.into()).await;
        }
    }
    let package = match arriving {
        Some(arriving) => Some(arriving.finish().await?),
        None => None,
    };
    Ok(Upload { document: scanner.finish().into(), package })
}
