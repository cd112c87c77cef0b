//! Finding the row that a request names.

use lambd_api::ApiError;
use lambd_store::aliases::AliasKey;
use lambd_store::functions::{DescribedFunction, FunctionRow};
use lambd_types::{FunctionKey, Qualifier, Version};

use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

/// The version that a name leads to: of an alias with two, the first.
pub(super) async fn row(control: &Control, target: &Target) -> Result<FunctionRow, ApiError> {
    let key = key(control, target).await?;
    let row = control.store().function(&key).await.map_err(store_error)?;
    row.ok_or_else(|| target.not_found())
}

/// The same with what belongs to the function as a whole.
pub(super) async fn described(control: &Control, target: &Target) -> Result<DescribedFunction, ApiError> {
    let key = key(control, target).await?;
    let found = control.store().described_function(&key).await.map_err(store_error)?;
    found.ok_or_else(|| target.not_found())
}

async fn key(control: &Control, target: &Target) -> Result<FunctionKey, ApiError> {
    let version = match &target.qualifier {
        None => Version::Latest,
        Some(Qualifier::Version(version)) => *version,
        Some(Qualifier::Alias(alias)) => {
            let key =
                AliasKey { scope: target.scope.clone(), name: target.name.clone(), alias: alias.clone() };
            let row = control.store().alias(&key).await.map_err(store_error)?;
            row.ok_or_else(|| target.not_found())?.version
        }
    };
    Ok(FunctionKey { version, ..target.latest() })
}

/// Refuses a function that does not exist.
pub(super) async fn exists(control: &Control, target: &Target) -> Result<(), ApiError> {
    let row = control.store().function(&target.latest()).await.map_err(store_error)?;
    row.map(drop).ok_or_else(|| target.not_found())
}
