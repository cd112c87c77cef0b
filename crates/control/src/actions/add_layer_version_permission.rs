//! `AddLayerVersionPermission` (API-101).

use http::StatusCode;
use lambd_api::requests;
use lambd_api::responses::layers::AddLayerVersionPermission;
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::functions::Updated;
use lambd_types::{AccountId, limits};

use super::layering;
use crate::Control;
use crate::context::store_error;
use crate::layer_policy::{self, Grant, Unchanged};
use crate::service::success;

/// Longest id of a statement (API-063).
const STATEMENT_ID_MAX: usize = 100;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: requests::layers::AddLayerVersionPermission = requests::parse(&request.body)?;
    let head = &request.head;
    let id = body.statement_id.as_deref().unwrap_or_default();
    let principal = body.principal.as_deref().unwrap_or_default();
    let organization = body.organization_id.as_deref();
    check(&body)?;
    loop {
        let row = layering::of_policy(control, head, route, "AddLayerVersionPermission").await?;
        layering::check_revision(head, &row)?;
        let resource = row.key.arn();
        let statement = layer_policy::statement(&Grant { id, principal, organization, resource: &resource });
        let policy =
            layer_policy::add(row.policy.as_ref(), id, statement.clone()).map_err(|why| refusal(&why, id))?;
        let before = row.policy.as_ref().map(|policy| &policy.revision);
        let updated = control.store().update_layer_policy(&row.key, before, Some(&policy)).await;
        // Somebody else may have been faster: theirs is kept, and looked at again.
        if updated.map_err(store_error)? == Updated::Yes {
            let answer = AddLayerVersionPermission { statement, revision_id: policy.revision.to_string() };
            return success(StatusCode::CREATED, &answer);
        }
    }
}

/// The constraints of the API model.
fn check(body: &requests::layers::AddLayerVersionPermission) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    match body.statement_id.as_deref() {
        None => violations.missing("statementId"),
        Some(id) => check_statement_id(id, &mut violations),
    }
    match body.action.as_deref() {
        None => violations.missing("action"),
        Some(layer_policy::ACTION) => {}
        Some(action) => violations.pattern(action, "action", patterns::LAYER_ACTION),
    }
    match body.principal.as_deref() {
        None => violations.missing("principal"),
        Some(principal) if is_principal(principal) => {}
        Some(principal) => violations.pattern(principal, "principal", patterns::LAYER_PRINCIPAL),
    }
    if let Some(organization) = &body.organization_id
        && !is_organization(organization)
    {
        violations.pattern(organization, "organizationId", patterns::ORGANIZATION);
    }
    violations.into_result()
}

/// Checks the id of a statement.
pub(super) fn check_statement_id(id: &str, violations: &mut Violations) {
    if id.len() > STATEMENT_ID_MAX {
        violations.too_long(id, "statementId", STATEMENT_ID_MAX);
    }
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        violations.pattern(id, "statementId", patterns::LAYER_STATEMENT);
    }
}

/// `123456789012`, `*` or `arn:aws:iam::123456789012:root` (API-069).
fn is_principal(text: &str) -> bool {
    if text == "*" || AccountId::parse(text).is_some() {
        return true;
    }
    let fields: Vec<&str> = text.split(':').collect();
    match fields.as_slice() {
        ["arn", partition, "iam", "", account, "root"] => {
            let rest = partition.strip_prefix("aws");
            rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
                && AccountId::parse(account).is_some()
        }
        _ => false,
    }
}

/// `o-t194hfs8cz` (API-070).
fn is_organization(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|id| {
        (10..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn refusal(why: &Unchanged, id: &str) -> ApiError {
    match why {
        Unchanged::TooLong(length) => ApiError::PolicyLengthExceeded(format!(
            "The final policy size ({length}) is bigger than the limit ({}).",
            limits::POLICY
        )),
        Unchanged::Taken | Unchanged::NoStatement => ApiError::ResourceConflict(format!(
            "The statement id ({id}) provided already exists. Please provide a new statement id, or remove the \
             existing statement."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-069, API-070.
    #[test]
    fn principals_and_organisations() {
        for good in
            ["*", "123456789012", "arn:aws:iam::123456789012:root", "arn:aws-cn:iam::123456789012:root"]
        {
            assert!(is_principal(good), "{good}");
        }
        for bad in
            ["", "**", "12345", "arn:aws:iam::123456789012:user/x", "arn:aws:iam::1:root", "s3.amazonaws.com"]
        {
            assert!(!is_principal(bad), "{bad}");
        }
        for (text, good) in
            [("o-t194hfs8cz", true), ("o-short", false), ("t194hfs8cz", false), ("o-T194HFS8CZ", false)]
        {
            assert_eq!(is_organization(text), good, "{text}");
        }
    }
}
