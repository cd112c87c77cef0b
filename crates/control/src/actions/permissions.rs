//! What the actions on policies share: what a policy hangs on, and under which revision.

use lambd_api::ApiError;
use lambd_store::aliases::AliasKey;
use lambd_store::attached::{self, Holder};
use lambd_types::{FunctionKey, Qualifier, RevisionId, Version};

use crate::Control;
use crate::context::{service_error, store_error};
use crate::functions::Target;
use crate::policy::Policy;

/// What a policy hangs on, which must exist.
pub(super) struct Held {
    pub(super) holder: Holder,
    /// The holder's; a policy has none of its own.
    pub(super) revision: RevisionId,
    /// `None` without any statement.
    pub(super) policy: Option<Policy>,
}

/// The policy of a function, a version or an alias.
pub(super) async fn held(control: &Control, target: &Target) -> Result<Held, ApiError> {
    let revision = match &target.qualifier {
        Some(Qualifier::Alias(alias)) => {
            let key =
                AliasKey { scope: target.scope.clone(), name: target.name.clone(), alias: alias.clone() };
            let row = control.store().alias(&key).await.map_err(store_error)?;
            let missing = || ApiError::ResourceNotFound(format!("Cannot find alias arn: {}", target.arn()));
            row.ok_or_else(missing)?.revision
        }
        other => {
            let version = match other {
                Some(Qualifier::Version(version)) => *version,
                _ => Version::Latest,
            };
            let key = FunctionKey { version, ..target.latest() };
            let row = control.store().function(&key).await.map_err(store_error)?;
            row.ok_or_else(|| target.not_found())?.revision
        }
    };
    let holder = target.holder();
    let stored = control.store().attached::<attached::Policy>(&holder).await.map_err(store_error)?;
    let policy = stored.map(|stored| Policy::parse(&stored.0)).transpose().map_err(|e| service_error(&e))?;
    Ok(Held { holder, revision, policy })
}

/// Refuses a change that is for another revision.
pub(super) fn check_revision(expected: Option<&str>, current: &RevisionId) -> Result<(), ApiError> {
    match expected {
        Some(revision) if !revision.is_empty() && revision != current.as_str() => {
            Err(ApiError::PreconditionFailed(
                "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve \
                 the latest Revision Id"
                    .to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

/// Stores a policy after a change; one without statements is none.
pub(super) async fn replace(control: &Control, holder: &Holder, policy: &Policy) -> Result<(), ApiError> {
    let document = match policy.is_empty() {
        true => None,
        false => Some(attached::Policy(policy.text().map_err(|e| service_error(&e))?)),
    };
    let revision = RevisionId::random();
    control.store().replace_policy(holder, document.as_ref(), &revision).await.map_err(store_error)
}
