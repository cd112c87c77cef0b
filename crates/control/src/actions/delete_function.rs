//! `DeleteFunction` (API-108): a whole function, or one version. The log group stays (CORE-038).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::functions::VersionDeleted;
use lambd_types::{FunctionKey, Qualifier, Version};

use super::lookup;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    match &target.qualifier {
        None => {}
        Some(Qualifier::Version(version @ Version::Published(_))) => {
            return delete_version(control, &target, *version).await;
        }
        Some(Qualifier::Version(Version::Latest)) => {
            let text = "$LATEST version cannot be deleted without deleting the function.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
        Some(Qualifier::Alias(_)) => {
            let text = "Deletion of aliases is not currently supported.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
    }
    let _changes = control.changes().await;
    if !control.store().delete_function(&target.scope, &target.name).await.map_err(store_error)? {
        return Err(target.not_found());
    }
    control.publish_removal(&target.scope, &target.name);
    control.publish_reservation(&target.scope, &target.name, None);
    control.publish_provisioned(&target.scope, &target.name).await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A version that does not exist is as good as deleted.
async fn delete_version(
    control: &Control,
    target: &Target,
    version: Version,
) -> Result<AwsResponse, ApiError> {
    let function = Target { qualifier: None, ..target.clone() };
    let _changes = control.changes().await;
    lookup::exists(control, &function).await?;
    let key = FunctionKey { version, ..target.latest() };
    match control.store().delete_version(&key).await.map_err(store_error)? {
        VersionDeleted::Yes | VersionDeleted::Absent => {
            control.publish_version_removal(&key);
            control.publish_provisioned(&key.scope, &key.name).await;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        VersionDeleted::Aliased(aliases) => Err(ApiError::ResourceConflict(format!(
            "Unable to delete version because the following aliases reference it: [{}]",
            aliases.join(", ")
        ))),
    }
}
