//! What can go wrong, and how the API says it.

use http::StatusCode;
use lambd_http::protocol::query::QueryError;
use lambd_store::StoreError;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IamError {
    #[error("The role with name {0} cannot be found.")]
    NoRole(String),
    #[error("Role with name {0} already exists.")]
    RoleExists(String),
    #[error("The role policy with name {0} cannot be found.")]
    NoRolePolicy(String),
    #[error("Policy {0} was not found.")]
    NoPolicy(String),
    #[error("Policy {0} does not exist or is not attachable.")]
    NotAttachable(String),
    #[error("Policy {0} version {1} does not exist or is not attachable.")]
    NoPolicyVersion(String, String),
    #[error("lambd knows the policy {0} by its name only, not its document.")]
    NoDocument(String),
    #[error("A policy called {0} already exists. Duplicate names are not allowed.")]
    PolicyExists(String),
    #[error("Cannot delete entity, must detach all policies first.")]
    HasAttachments,
    #[error("Cannot delete entity, must delete policies first.")]
    HasInlinePolicies,
    #[error("Cannot delete a policy attached to entities.")]
    PolicyAttached,
    #[error(
        "This policy has more than one version. Before you delete a policy, you must delete the policy's \
         versions. The default version is deleted with the policy."
    )]
    PolicyHasVersions,
    #[error("Cannot delete the default version of a policy.")]
    DefaultVersion,
    #[error(
        "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."
    )]
    TooManyVersions,
    #[error("The number of tags has reached the maximum limit.")]
    TooManyTags,
    #[error("ARN {0} is not valid.")]
    InvalidArn(String),
    /// The message says what is wrong.
    #[error("{0}")]
    MalformedDocument(&'static str),
    /// The message says which member and why.
    #[error("{0}")]
    Validation(String),
    #[error("the identity store failed")]
    Store(#[from] StoreError),
}

impl From<IamError> for QueryError {
    fn from(error: IamError) -> Self {
        let (status, code) = match &error {
            IamError::NoRole(_)
            | IamError::NoRolePolicy(_)
            | IamError::NoPolicy(_)
            | IamError::NotAttachable(_)
            | IamError::NoPolicyVersion(..)
            | IamError::NoDocument(_) => (StatusCode::NOT_FOUND, "NoSuchEntity"),
            IamError::RoleExists(_) | IamError::PolicyExists(_) => {
                (StatusCode::CONFLICT, "EntityAlreadyExists")
            }
            IamError::HasAttachments
            | IamError::HasInlinePolicies
            | IamError::PolicyAttached
            | IamError::PolicyHasVersions
            | IamError::DefaultVersion => (StatusCode::CONFLICT, "DeleteConflict"),
            IamError::TooManyVersions | IamError::TooManyTags => (StatusCode::CONFLICT, "LimitExceeded"),
            IamError::InvalidArn(_) => (StatusCode::BAD_REQUEST, "InvalidInput"),
            IamError::MalformedDocument(_) => (StatusCode::BAD_REQUEST, "MalformedPolicyDocument"),
            IamError::Validation(_) => (StatusCode::BAD_REQUEST, "ValidationError"),
            IamError::Store(source) => {
                tracing::error!(error = source as &dyn std::error::Error, "the identity store failed");
                return Self::internal();
            }
        };
        Self::new(status, code, error.to_string())
    }
}
