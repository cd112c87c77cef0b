//! Taking code out of a request.

use bytes::Bytes;
use lambd_api::ApiError;
use lambd_api::requests::{Blob, FunctionCode};
use lambd_store::packages::{PackageError, StoredPackage};
use lambd_types::Scope;

use crate::Control;
use crate::context::{disk_full, service_error, store_error};
use crate::unsupported;

/// The zip of a request, within the limit for direct uploads.
pub(super) fn zip_of(control: &Control, code: FunctionCode) -> Result<Bytes, ApiError> {
    unsupported::code(&code)?;
    let Some(Blob(zip)) = code.zip_file else {
        return Err(ApiError::InvalidParameterValue("Please provide a source for function code.".to_owned()));
    };
    let limit = control.options().code_size_zipped;
    if zip.len() as u64 > limit {
        // LANG2-182: the limit is told in terms of the request.
        return Err(ApiError::RequestEntityTooLarge(format!(
            "Zipped size must be smaller than {limit} bytes; this lambd takes larger packages in no other way yet"
        )));
    }
    Ok(zip.into())
}

/// Refuses what the account's storage has no room for.
pub(super) async fn check_storage(control: &Control, scope: &Scope, size: u64) -> Result<(), ApiError> {
    let stored = control.store().code_size(scope).await.map_err(store_error)?;
    if stored + size > control.options().total_code_size {
        return Err(ApiError::CodeStorageExceeded("Code storage limit exceeded.".to_owned()));
    }
    Ok(())
}

/// Inspects and stores a package for an account; it is unpacked later.
pub(super) async fn store(control: &Control, scope: &Scope, zip: Bytes) -> Result<StoredPackage, ApiError> {
    check_storage(control, scope, zip.len() as u64).await?;
    control.store().packages().add(zip, control.options().unpack).await.map_err(package_error)
}

/// Verifies a package and keeps nothing.
pub(super) async fn check(control: &Control, zip: Bytes) -> Result<(), ApiError> {
    let checked = control.store().packages().check(zip, control.options().unpack).await;
    checked.map(|_| ()).map_err(package_error)
}

fn package_error(error: PackageError) -> ApiError {
    match error {
        PackageError::NotAZip(detail) => ApiError::InvalidParameterValue(format!(
            "Could not unzip uploaded file. Please check your file, then try to upload again. ({detail})"
        )),
        PackageError::TooLarge { limit } => {
            ApiError::InvalidParameterValue(format!("Unzipped size must be smaller than {limit} bytes"))
        }
        PackageError::UnsafePath { .. }
        | PackageError::UnsafeLink { .. }
        | PackageError::TooManyEntries { .. } => {
            ApiError::InvalidParameterValue(format!("Could not unzip uploaded file: {error}"))
        }
        PackageError::Io { ref source, .. } => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => disk_full(),
            _ => service_error(&error),
        },
    }
}
