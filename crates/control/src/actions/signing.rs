//! What the actions on code signing share (API-401..409). Signatures are not verified: no code counts as signed.

use lambd_api::requests::attached as requests;
use lambd_api::responses::attached as responses;
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::RequestHead;
use lambd_store::attached::{CodeSigning, Holder};
use lambd_store::code_signing::CodeSigningConfig;
use lambd_types::{Partition, Scope, UnixMillis, iso8601_millis};

use crate::checks::{self, all};
use crate::context::store_error;
use crate::functions::violation;
use crate::{Control, settings};

/// The name of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigName {
    pub(super) arn: String,
    pub(super) id: String,
    scope_matches: bool,
}

/// The name of a configuration of this account and region.
pub(super) fn named(scope: &Scope, id: String) -> ConfigName {
    let arn = format!("{}{id}", prefix(scope));
    ConfigName { arn, id, scope_matches: true }
}

fn prefix(scope: &Scope) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:lambda:{}:{}:code-signing-config:", scope.region, scope.account)
}

/// Reads the ARN of a configuration.
pub(super) fn parse(scope: &Scope, arn: &str) -> Result<ConfigName, ApiError> {
    let parts: Vec<&str> = arn.split(':').collect();
    let id = match parts[..] {
        ["arn", partition, "lambda", region, account, "code-signing-config", id]
            if partition.starts_with("aws") && checks::is_region(region) && checks::is_account(account) =>
        {
            id.strip_prefix("csc-")
                .filter(|id| id.len() == 17 && all(id, |b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        }
        _ => None,
    };
    match id {
        Some(id) => Ok(ConfigName {
            arn: arn.to_owned(),
            id: format!("csc-{id}"),
            scope_matches: arn.starts_with(&prefix(scope)),
        }),
        None => {
            let mut violations = Violations::default();
            violations.pattern(arn, "codeSigningConfigArn", patterns::CODE_SIGNING);
            Err(violation(violations))
        }
    }
}

/// The configuration of a path, if there is one.
pub(super) async fn find(
    control: &Control,
    scope: &Scope,
    name: &ConfigName,
) -> Result<Option<CodeSigningConfig>, ApiError> {
    if !name.scope_matches {
        return Ok(None);
    }
    control.store().code_signing_config(scope, &name.id).await.map_err(store_error)
}

/// The configuration of a path, which must exist.
pub(super) async fn of_path(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<(ConfigName, CodeSigningConfig), ApiError> {
    let scope = &head.caller.scope;
    let name = parse(scope, route.label("CodeSigningConfigArn"))?;
    match find(control, scope, &name).await? {
        Some(config) => Ok((name, config)),
        None => Err(not_found(&name)),
    }
}

/// The refusal of a path that leads to no configuration.
pub(super) fn not_found(name: &ConfigName) -> ApiError {
    ApiError::ResourceNotFound(format!(
        "The Lambda code signing configuration {} can not be found.",
        name.arn
    ))
}

/// The configuration that a function is to have, which must exist.
pub(super) async fn for_function(
    control: &Control,
    scope: &Scope,
    arn: &str,
) -> Result<(CodeSigning, CodeSigningConfig), ApiError> {
    let name = parse(scope, arn)?;
    match find(control, scope, &name).await? {
        Some(config) => Ok((CodeSigning(name.arn), config)),
        None => Err(ApiError::CodeSigningConfigNotFound(format!(
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: \
             {arn}."
        ))),
    }
}

/// Refuses to deploy code, which nobody has verified, to a function that enforces signatures.
pub(super) async fn check_deployment(control: &Control, function: &Holder) -> Result<(), ApiError> {
    let found = control.store().attached::<CodeSigning>(function).await.map_err(store_error)?;
    let Some(CodeSigning(arn)) = found else { return Ok(()) };
    let name = parse(&function.scope, &arn)?;
    match find(control, &function.scope, &name).await? {
        Some(config) => check_policy(&config),
        None => Ok(()),
    }
}

/// The same for a function that is being created.
pub(super) fn check_policy(config: &CodeSigningConfig) -> Result<(), ApiError> {
    match config.untrusted.as_str() {
        "Enforce" => Err(ApiError::CodeVerificationFailed(
            "The code signature failed one or more of the validation checks for signature mismatch or expiry, and the \
             code signing policy is set to ENFORCE. Lambda blocks the deployment."
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The constraints of the API model.
pub(super) fn check(body: &requests::CodeSigningConfig, violations: &mut Violations) {
    settings::check_description(body.description.as_deref(), violations);
    if let Some(publishers) = &body.allowed_publishers {
        let at = "allowedPublishers.signingProfileVersionArns";
        match &publishers.signing_profile_version_arns {
            None => violations.missing(at),
            Some(arns) => {
                let shown = format!("[{}]", arns.join(", "));
                if arns.is_empty() {
                    violations.too_short(&shown, at, 1);
                }
                if arns.len() > 20 {
                    violations.too_long(&shown, at, 20);
                }
                if !arns.iter().all(|arn| checks::is_arn(arn)) {
                    let text = format!(
                        "Member must satisfy constraint: [Member must satisfy regular expression pattern: {}]",
                        patterns::ARN
                    );
                    violations.custom(&shown, at, &text);
                }
            }
        }
    }
    let policies = body.code_signing_policies.as_ref();
    checks::one_of(
        violations,
        "codeSigningPolicies.untrustedArtifactOnDeployment",
        policies.and_then(|policies| policies.untrusted_artifact_on_deployment.as_ref()),
        &["Warn", "Enforce"],
    );
}

/// Applies what a request says.
pub(super) fn apply(body: requests::CodeSigningConfig, config: &mut CodeSigningConfig, now: i64) {
    if let Some(description) = body.description {
        config.description = Some(description);
    }
    if let Some(arns) = body.allowed_publishers.and_then(|p| p.signing_profile_version_arns) {
        config.publishers = arns;
    }
    if let Some(policy) = body.code_signing_policies.and_then(|p| p.untrusted_artifact_on_deployment) {
        config.untrusted = policy;
    }
    config.last_modified = now;
}

/// What the client sees.
pub(super) fn describe(name: &ConfigName, config: CodeSigningConfig) -> responses::CodeSigningConfig {
    responses::CodeSigningConfig {
        code_signing_config_id: name.id.clone(),
        code_signing_config_arn: name.arn.clone(),
        description: config.description,
        allowed_publishers: responses::AllowedPublishers { signing_profile_version_arns: config.publishers },
        code_signing_policies: responses::CodeSigningPolicies {
            untrusted_artifact_on_deployment: config.untrusted,
        },
        last_modified: iso8601_millis(UnixMillis(config.last_modified)),
    }
}
