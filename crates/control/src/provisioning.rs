//! Which versions are to have instances ready (CORE-172..180): told to the engine for a function as a whole, whenever
//! something that it depends on has changed.

use std::collections::BTreeMap;

use lambd_api::ApiError;
use lambd_store::StoreError;
use lambd_store::aliases::AliasKey;
use lambd_store::attached::ProvisionedConcurrency;
use lambd_types::{FunctionKey, FunctionName, FunctionTarget, Qualifier, Scope, State, Version};

use crate::context::service_error;
use crate::ports::Provision;
use crate::{Control, Found};

impl Control {
    /// Tells the engine what the versions of a function are to have. A failure is told in the log; what the engine
    /// does then stays as it is. The caller holds [`Self::changes`].
    pub(crate) async fn publish_provisioned(&self, scope: &Scope, name: &FunctionName) {
        // Without an engine nothing runs; it is told everything when it is there.
        let Ok(engine) = self.engine() else { return };
        match self.provisions(scope, name).await {
            Ok(wanted) => engine.provision(scope, name, wanted),
            Err(error) => {
                service_error(&error);
            }
        }
    }

    /// Tells the engine of all functions, at the start of the daemon.
    pub async fn provision_all(&self) -> Result<(), StoreError> {
        for (scope, name) in self.store().provisioned_functions().await? {
            let _changes = self.changes().await;
            self.publish_provisioned(&scope, &name).await;
        }
        Ok(())
    }

    async fn provisions(&self, scope: &Scope, name: &FunctionName) -> Result<Vec<Provision>, StoreError> {
        let mut executions = BTreeMap::<Version, u32>::new();
        for (version, _, config) in self.provisioned_versions(scope, name).await? {
            *executions.entry(version).or_default() += config.executions;
        }
        let mut wanted = Vec::with_capacity(executions.len());
        for (version, executions) in executions {
            let qualifier = Qualifier::Version(version);
            let target = FunctionTarget { scope: scope.clone(), name: name.clone(), qualifier };
            let function = match self.resolve(&target).await {
                Ok(Some(Found::Ready(function))) => Ok(Some(function)),
                Ok(Some(Found::NotReady(condition))) if condition.state == State::Failed => {
                    Err("the version could not be created".to_owned())
                }
                Ok(Some(Found::NotReady(_)) | None) => Ok(None),
                Err(error) => {
                    service_error(&error);
                    Err(error.to_string())
                }
            };
            let key = FunctionKey { scope: scope.clone(), name: name.clone(), version };
            wanted.push(Provision { key, executions, function });
        }
        Ok(wanted)
    }

    /// The provisioned concurrency of a function: the version that it is for, what it hangs on, and its settings.
    pub(crate) async fn provisioned_versions(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<Vec<(Version, Qualifier, ProvisionedConcurrency)>, StoreError> {
        let mut found = Vec::new();
        for (qualifier, config) in self.store().list_attached(scope, name, None, i64::MAX as usize).await? {
            let Some(qualifier) = qualifier else { continue };
            if let Some(version) = self.version_of(scope, name, &qualifier).await? {
                found.push((version, qualifier, config));
            }
        }
        Ok(found)
    }

    /// The version that a qualifier names: of an alias with two, the first, which alone has provisioned concurrency.
    async fn version_of(
        &self,
        scope: &Scope,
        name: &FunctionName,
        qualifier: &Qualifier,
    ) -> Result<Option<Version>, StoreError> {
        match qualifier {
            Qualifier::Version(version) => Ok(Some(*version)),
            Qualifier::Alias(alias) => {
                let key = AliasKey { scope: scope.clone(), name: name.clone(), alias: alias.clone() };
                Ok(self.store().alias(&key).await?.map(|row| row.version))
            }
        }
    }
}

/// Refuses a version that cannot have instances of its own.
pub(crate) fn check_published(version: Version) -> Result<(), ApiError> {
    match version {
        Version::Published(_) => Ok(()),
        Version::Latest => Err(ApiError::InvalidParameterValue(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions.".to_owned(),
        )),
    }
}
