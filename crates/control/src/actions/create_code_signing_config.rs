//! `CreateCodeSigningConfig` (API-401).

use http::StatusCode;
use lambd_api::requests::{self, attached};
use lambd_api::responses::attached::OneCodeSigningConfig;
use lambd_api::{ApiError, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::code_signing::CodeSigningConfig;
use lambd_types::random;

use super::{signing, tagging};
use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(control: &Control, request: AwsRequest) -> Result<AwsResponse, ApiError> {
    let body: attached::CodeSigningConfig = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    checks::required(&mut violations, "allowedPublishers", body.allowed_publishers.as_ref());
    signing::check(&body, &mut violations);
    violations.into_result()?;
    let tags = body.tags.clone().unwrap_or_default();
    tagging::check_limits(&tags)?;
    let scope = &request.head.caller.scope;
    let name = signing::named(scope, format!("csc-{}", &random::hex(&random::bytes::<9>())[..17]));
    let mut config = CodeSigningConfig {
        description: None,
        publishers: Vec::new(),
        untrusted: "Warn".to_owned(),
        last_modified: 0,
        tags,
    };
    signing::apply(body, &mut config, control.clock().now().0);
    let _changes = control.changes().await;
    control.store().put_code_signing_config(scope, &name.id, &config).await.map_err(store_error)?;
    let code_signing_config = signing::describe(&name, config);
    success(StatusCode::CREATED, &OneCodeSigningConfig { code_signing_config })
}
