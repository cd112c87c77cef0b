//! Taking code out of a request.

use lambd_api::requests::FunctionCode;
use lambd_api::{ApiError, Violations, patterns};
use lambd_outbound::Credentials;
use lambd_outbound::s3::{Location, ObjectError, Objects};
use lambd_store::packages::{Arrived, PackageError, StoredPackage};
use lambd_types::Scope;

use crate::Control;
use crate::context::{disk_full, service_error, store_error};
use crate::unsupported;

/// The constraints of a source (API-212); `at` is where it is in its request.
pub(super) fn check(code: &FunctionCode, at: &str, violations: &mut Violations) {
    if let Some(bucket) = &code.s3_bucket {
        let at = format!("{at}s3Bucket");
        match bucket.chars().count() {
            ..3 => violations.too_short(bucket, &at, 3),
            64.. => violations.too_long(bucket, &at, 63),
            _ => {}
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !bucket.chars().all(allowed) || bucket.ends_with('.') {
            violations.pattern(bucket, &at, patterns::S3_BUCKET);
        }
    }
    for (value, name) in [(&code.s3_key, "s3Key"), (&code.s3_object_version, "s3ObjectVersion")] {
        let Some(value) = value else { continue };
        let at = format!("{at}{name}");
        match value.chars().count() {
            0 => violations.too_short(value, &at, 1),
            1025.. => violations.too_long(value, &at, 1024),
            _ => {}
        }
    }
}

/// Refuses what is no source of code, several, or more than may be uploaded directly.
pub(super) fn check_source(
    control: &Control,
    code: &FunctionCode,
    package: Option<&Arrived>,
) -> Result<(), ApiError> {
    unsupported::code(code)?;
    let refused = |text: &str| Err(ApiError::InvalidParameterValue(text.to_owned()));
    let asks_for_s3 =
        [&code.s3_bucket, &code.s3_key, &code.s3_object_version].iter().any(|part| part.is_some());
    let Some(package) = package else {
        return match (code.s3_bucket.is_some() && code.s3_key.is_some(), &control.options().objects) {
            (true, Some(_)) => Ok(()),
            (true, None) => refused(
                "lambd has no object store to read code from; start it with --s3-endpoint URL, or upload the code \
                 as ZipFile",
            ),
            (false, _) => refused("Please provide a source for function code."),
        };
    };
    if asks_for_s3 {
        return refused("Please do not provide other FunctionCode parameters when providing a ZipFile.");
    }
    let limit = control.options().code_size_zipped;
    if package.size() > limit {
        // LANG2-182: the limit is told in terms of the request.
        return Err(ApiError::RequestEntityTooLarge(format!(
            "Zipped size must be smaller than {limit} bytes; larger packages can come from S3"
        )));
    }
    Ok(())
}

/// The package of a source that was checked.
pub(super) async fn obtain(
    control: &Control,
    scope: &Scope,
    code: FunctionCode,
    package: Option<Arrived>,
) -> Result<Arrived, ApiError> {
    match (package, code.s3_bucket, code.s3_key, &control.options().objects) {
        (Some(package), ..) => Ok(package),
        (None, Some(bucket), Some(key), Some(objects)) => {
            let location = Location { bucket, key, version: code.s3_object_version };
            fetch(control, objects, scope, &location).await
        }
        _ => Err(ApiError::Service("a source of code was not checked".to_owned())),
    }
}

async fn fetch(
    control: &Control,
    objects: &Objects,
    scope: &Scope,
    location: &Location,
) -> Result<Arrived, ApiError> {
    let own = || Credentials::of_account(&scope.account);
    let credentials = control.options().objects_credentials.clone().unwrap_or_else(own);
    // A zip is hardly larger than what it unpacks to.
    let limit = control.options().unpack.bytes;
    let arriving = control.store().packages().receive();
    let failed = |error| object_error(&error, location);
    let now = control.clock().now();
    let mut object = objects.get(location, &scope.region, &credentials, limit, now).await.map_err(failed)?;
    while let Some(part) = object.chunk().await.map_err(failed)? {
        arriving.push(part).await;
    }
    arriving.finish().await.map_err(package_error)
}

/// With the store's own code and words, as the service has them (LANG2-183).
fn object_error(error: &ObjectError, location: &Location) -> ApiError {
    match error {
        ObjectError::Refused { code, message } if code == "AccessDenied" => ApiError::AccessDenied(format!(
            "Your access has been denied by S3, please make sure your request credentials have permission to \
             GetObject for {}/{}. S3 Error Code: {code}. S3 Error Message: {message}",
            location.bucket, location.key
        )),
        ObjectError::Refused { code, message } => ApiError::InvalidParameterValue(format!(
            "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
        )),
        ObjectError::TooLarge { limit } => {
            ApiError::InvalidParameterValue(format!("Unzipped size must be smaller than {limit} bytes"))
        }
        ObjectError::Outbound(_) | ObjectError::BrokenOff(_) => service_error(error),
    }
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
pub(super) async fn store(
    control: &Control,
    scope: &Scope,
    package: Arrived,
) -> Result<StoredPackage, ApiError> {
    check_storage(control, scope, package.size()).await?;
    control.store().packages().add(package, control.options().unpack).await.map_err(package_error)
}

/// Verifies a package and keeps nothing.
pub(super) async fn try_out(control: &Control, package: Arrived) -> Result<(), ApiError> {
    let checked = control.store().packages().check(package, control.options().unpack).await;
    checked.map(|_| ()).map_err(package_error)
}

pub(crate) fn package_error(error: PackageError) -> ApiError {
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
