//! `ListFunctions` (API-130).

use http::StatusCode;
use lambd_api::responses::ListFunctions;
use lambd_api::{ApiError, Marker, Violations, patterns};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::functions::ListPosition;
use lambd_types::limits;

use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::functions::{self, Named};
use crate::paging::{self, Paging};
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let query = &head.query;
    let mut violations = Violations::default();
    let size = paging::size(query, limits::LIST_FUNCTIONS_PAGE, &mut violations)?;
    let all_versions = match query.get("FunctionVersion") {
        None => false,
        Some("ALL") => true,
        Some(other) => {
            violations.enumeration(other, "functionVersion", &["ALL"]);
            false
        }
    };
    let region = query.get("MasterRegion").map(str::to_owned);
    let known = |region: &str| region == "ALL" || checks::is_region(region);
    checks::pattern(&mut violations, "masterRegion", region.as_ref(), patterns::MASTER_REGION, known);
    violations.into_result()?;
    if region.is_some() {
        if !all_versions {
            let text = "FunctionVersion must be set to ALL when MasterRegion is specified.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
        // lambd has no edge locations, so no function here is the replica of one elsewhere.
        return success(StatusCode::OK, &ListFunctions { functions: Vec::new(), next_marker: None });
    }
    let paging = Paging { size, after: paging::after(query)? };
    let after =
        paging.after.clone().map(|marker| ListPosition { name: marker.name, version: marker.version });
    let scope = &head.caller.scope;
    // One more than the page tells whether there is another.
    let listed = control.store().list_functions(scope, all_versions, after.as_ref(), paging.size + 1).await;
    let mut rows = listed.map_err(store_error)?;
    let next_marker = paging.cut(&mut rows, |last| Marker {
        name: last.key.name.to_string(),
        version: last.key.version.to_string(),
    });
    let named = if all_versions { Named::Version } else { Named::Unqualified };
    let functions = rows.iter().map(|row| functions::list_item(row, named)).collect();
    success(StatusCode::OK, &ListFunctions { functions, next_marker })
}
