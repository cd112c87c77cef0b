//! `ListFunctions` (API-130).

use http::StatusCode;
use lambd_api::responses::ListFunctions;
use lambd_api::{ApiError, Marker, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::functions::ListPosition;
use lambd_types::limits;

use crate::Control;
use crate::context::store_error;
use crate::functions;
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let query = &head.query;
    let mut violations = Violations::default();
    let max_items = match query.get("MaxItems") {
        None => limits::LIST_FUNCTIONS_PAGE as i64,
        Some(text) => text.parse().map_err(|_| {
            ApiError::Serialization(format!("{text:?} can not be converted to an Integer for MaxItems"))
        })?,
    };
    violations.range(max_items, "maxItems", 1, 10_000);
    let all_versions = match query.get("FunctionVersion") {
        None => false,
        Some("ALL") => true,
        Some(other) => {
            violations.enumeration(other, "functionVersion", &["ALL"]);
            false
        }
    };
    violations.into_result()?;
    if query.get("MasterRegion").is_some() {
        if !all_versions {
            let text = "FunctionVersion must be set to ALL when MasterRegion is specified.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
        // lambd has no edge locations, so no function here is the replica of one elsewhere.
        return success(StatusCode::OK, &ListFunctions { functions: Vec::new(), next_marker: None });
    }
    let after = match query.get("Marker").filter(|m| !m.is_empty()) {
        None => None,
        Some(text) => {
            let invalid = || ApiError::InvalidParameterValue(format!("Invalid Marker: {text}"));
            let marker = Marker::decode(text).ok_or_else(invalid)?;
            Some(ListPosition { name: marker.name, version: marker.version })
        }
    };
    let page = usize::try_from(max_items).unwrap_or(1).min(limits::LIST_FUNCTIONS_PAGE);
    let scope = &head.caller.scope;
    // One more than the page tells whether there is another.
    let listed = control.store().list_functions(scope, all_versions, after.as_ref(), page + 1).await;
    let mut rows = listed.map_err(store_error)?;
    let more = rows.len() > page;
    rows.truncate(page);
    let next_marker = rows.last().filter(|_| more).map(|last| {
        Marker { name: last.key.name.to_string(), version: last.key.version.to_string() }.encode()
    });
    let functions = rows.iter().map(|row| functions::describe(row, all_versions)).collect();
    success(StatusCode::OK, &ListFunctions { functions, next_marker })
}
