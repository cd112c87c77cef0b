//! `AddPermission` (API-102).

use http::StatusCode;
use lambd_api::requests::{self, attached::AddPermission};
use lambd_api::{ApiError, Route, Violations, patterns, responses};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_types::{Qualifier, Version};

use super::permissions;
use crate::Control;
use crate::checks::{self, all};
use crate::context::service_error;
use crate::functions::Target;
use crate::policy::{Grant, Policy, Statement};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: AddPermission = requests::parse(&request.body)?;
    check(&body)?;
    let target = Target::namespaced(&request.head, route.function_name())?;
    if target.qualifier == Some(Qualifier::Version(Version::Latest)) {
        let text = "We currently do not support adding policies for $LATEST.";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    let action = body.action.as_deref().unwrap_or_default();
    if body.function_url_auth_type.is_some() && action != "lambda:InvokeFunctionUrl" {
        let text = "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    let statement = Statement::of(Grant {
        sid: body.statement_id.as_deref().unwrap_or_default(),
        action,
        principal: body.principal.as_deref().unwrap_or_default(),
        resource: &target.arn(),
        organisation: body.principal_org_id.as_deref(),
        source_account: body.source_account.as_deref(),
        source_arn: body.source_arn.as_deref(),
        event_source_token: body.event_source_token.as_deref(),
        url_auth_type: body.function_url_auth_type.as_deref(),
        via_url: body.invoked_via_function_url,
    })
    .ok_or_else(|| {
        let text = "The provided principal was invalid. Please check the principal and try again.";
        ApiError::InvalidParameterValue(text.to_owned())
    })?;

    let _changes = control.changes().await;
    let held = permissions::held(control, &target).await?;
    permissions::check_revision(body.revision_id.as_deref(), &held.revision)?;
    let mut policy = held.policy.unwrap_or_else(Policy::empty);
    let answer = statement.text().map_err(|e| service_error(&e))?;
    policy.add(statement)?;
    permissions::replace(control, &held.holder, &policy).await?;
    success(StatusCode::CREATED, &responses::attached::AddPermission { statement: answer })
}

/// The constraints of the API model.
fn check(body: &AddPermission) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;
    checks::required(v, "statementId", body.statement_id.as_ref());
    if let Some(sid) = &body.statement_id {
        permission_name(v, sid, patterns::STATEMENT, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    }
    checks::required(v, "action", body.action.as_ref());
    checks::pattern(v, "action", body.action.as_ref(), patterns::ACTION, |text| {
        matches!(text, "*" | "lambda:*")
            || text
                .strip_prefix("lambda:")
                .is_some_and(|name| !name.is_empty() && all(name, |b| b.is_ascii_alphabetic()))
    });
    checks::required(v, "principal", body.principal.as_ref());
    checks::pattern(v, "principal", body.principal.as_ref(), patterns::PRINCIPAL, |text| {
        !text.is_empty() && !text.contains(char::is_whitespace)
    });
    checks::arn(v, "sourceArn", body.source_arn.as_ref());
    checks::pattern(v, "sourceAccount", body.source_account.as_ref(), patterns::ACCOUNT, checks::is_account);
    if let Some(token) = body.event_source_token.as_ref().filter(|token| token.len() > 256) {
        v.too_long(token, "eventSourceToken", 256);
    }
    let token = body.event_source_token.as_ref();
    checks::pattern(v, "eventSourceToken", token, patterns::EVENT_SOURCE_TOKEN, |text| {
        !text.is_empty() && all(text, |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    let organisation = body.principal_org_id.as_ref();
    checks::pattern(v, "principalOrgID", organisation, patterns::ORGANISATION, |text| {
        text.strip_prefix("o-").is_some_and(|id| {
            (10..=32).contains(&id.len()) && all(id, |b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
    });
    checks::one_of(v, "functionUrlAuthType", body.function_url_auth_type.as_ref(), &["NONE", "AWS_IAM"]);
    violations.into_result()
}

/// Checks the name of a statement (API-063, API-626).
pub(super) fn permission_name(
    violations: &mut Violations,
    sid: &str,
    pattern: &str,
    allowed: impl Fn(u8) -> bool,
) {
    if sid.chars().count() > 100 {
        violations.too_long(sid, "statementId", 100);
    }
    if sid.is_empty() {
        violations.too_short(sid, "statementId", 1);
    }
    if sid.is_empty() || !all(sid, allowed) {
        violations.pattern(sid, "statementId", pattern);
    }
}
