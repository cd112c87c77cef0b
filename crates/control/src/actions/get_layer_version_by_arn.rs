//! `GetLayerVersionByArn` (API-121).

use lambd_api::{ApiError, Violations, patterns};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{LayerName, LayerVersionKey};

use super::get_layer_version;
use crate::Control;
use crate::functions::violation;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let Some(arn) = head.query.get("Arn") else {
        let mut violations = Violations::default();
        violations.missing("arn");
        return Err(violation(violations));
    };
    let Some(key) = LayerVersionKey::parse_arn(arn) else {
        let mut violations = Violations::default();
        match arn.len() > LayerName::MAX {
            true => violations.too_long(arn, "arn", LayerName::MAX),
            false => violations.pattern(arn, "arn", patterns::LAYER_VERSION_ARN),
        }
        return Err(violation(violations));
    };
    get_layer_version::answer(control, head, &key).await
}
