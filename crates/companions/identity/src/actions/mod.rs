//! What the API can be asked: one file per kind of resource.

mod attachments;
mod inline_policies;
mod policies;
mod policy_versions;
mod role_tags;
mod roles;

use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;

macro_rules! operations {
    ($($name:ident => $module:ident :: $function:ident,)+) => {
        /// The operations of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)+
        }

        impl Operation {
            /// The operation of that name.
            pub(crate) fn parse(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Performs it.
            pub(crate) async fn run(self, cx: &Context<'_>, input: Input<'_>) -> Result<Reply, IamError> {
                match self {
                    $(Self::$name => $module::$function(cx, input).await,)+
                }
            }
        }
    };
}

operations! {
    AttachRolePolicy => attachments::attach,
    CreatePolicy => policies::create,
    CreatePolicyVersion => policy_versions::create,
    CreateRole => roles::create,
    DeletePolicy => policies::delete,
    DeletePolicyVersion => policy_versions::delete,
    DeleteRole => roles::delete,
    DeleteRolePolicy => inline_policies::delete,
    DetachRolePolicy => attachments::detach,
    GetPolicy => policies::get,
    GetPolicyVersion => policy_versions::get,
    GetRole => roles::get,
    GetRolePolicy => inline_policies::get,
    ListAttachedRolePolicies => attachments::list,
    ListInstanceProfilesForRole => roles::list_instance_profiles,
    ListPolicies => policies::list,
    ListPolicyVersions => policy_versions::list,
    ListRolePolicies => inline_policies::list,
    ListRoles => roles::list,
    ListRoleTags => role_tags::list,
    PutRolePolicy => inline_policies::put,
    SetDefaultPolicyVersion => policy_versions::set_default,
    TagRole => role_tags::tag,
    UntagRole => role_tags::untag,
    UpdateAssumeRolePolicy => roles::update_trust_policy,
    UpdateRole => roles::update,
}
