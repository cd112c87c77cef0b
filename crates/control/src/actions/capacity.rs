//! Provisioned concurrency as what scales it sees it: by the rules of the API's actions (API-112, API-140).

use lambd_api::ApiError;
use lambd_types::{FunctionKey, FunctionTarget, Qualifier, Version};

use super::provisioning::{self, Place};
use super::{delete_provisioned_concurrency_config, put_provisioned_concurrency_config};
use crate::Control;
use crate::functions::Target;
use crate::ports::Provisioned;

/// The provisioned concurrency of a version or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedCapacity {
    /// The version that it is for.
    pub version: FunctionKey,
    /// Executions asked for; 0 when there is no configuration.
    pub requested: u32,
    /// What the engine has of them.
    pub provisioned: Provisioned,
}

impl Control {
    /// What a version or an alias has. `None` when it does not exist or can have none.
    ///
    /// # Errors
    /// As the API's.
    pub async fn provisioned_capacity(
        &self,
        target: &FunctionTarget,
    ) -> Result<Option<ProvisionedCapacity>, ApiError> {
        let target = named(target);
        let place = match Place::of(self, &target).await {
            Err(ApiError::ResourceNotFound(_)) => return Ok(None),
            place => place?,
        };
        let version = place.row.key;
        if version.version == Version::Latest {
            return Ok(None);
        }
        let config = provisioning::config(self, &target).await?;
        let provisioned = self.engine()?.provisioned(&version).unwrap_or_default();
        let requested = config.map_or(0, |config| config.executions);
        Ok(Some(ProvisionedCapacity { version, requested, provisioned }))
    }

    /// Does what `PutProvisionedConcurrencyConfig` does, or with 0 what `DeleteProvisionedConcurrencyConfig` does.
    ///
    /// # Errors
    /// As those of the two actions.
    pub async fn set_provisioned_capacity(
        &self,
        target: &FunctionTarget,
        executions: u32,
    ) -> Result<(), ApiError> {
        let target = named(target);
        match executions {
            0 => delete_provisioned_concurrency_config::remove(self, &target).await,
            some => put_provisioned_concurrency_config::put(self, &target, some).await.map(drop),
        }
    }
}

fn named(target: &FunctionTarget) -> Target {
    let FunctionTarget { scope, name, qualifier } = target.clone();
    let qualifier = match qualifier {
        Qualifier::Version(Version::Latest) => None,
        other => Some(other),
    };
    Target { scope, name, qualifier }
}
