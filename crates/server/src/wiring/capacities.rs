//! `scaling`'s capacities: provisioned concurrency, whose rules are `control`'s and whose use `invoke` measures.

use std::sync::OnceLock;

use futures_util::future::BoxFuture;
use lambd_api::ApiError;
use lambd_control::Control;
use lambd_control::ports::{ProvisionFailure, Provisioned};
use lambd_invoke::Invoker;
use lambd_scaling::ports::{Capacities, Capacity, CapacityError, Usage};
use lambd_types::FunctionTarget;

/// Without an invoker, which comes to be after the listener's services, nothing is measured.
pub(crate) struct ProvisionedCapacities {
    control: Control,
    invoker: OnceLock<Invoker>,
}

impl ProvisionedCapacities {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, invoker: OnceLock::new() }
    }

    /// Tells what measures the use.
    pub(crate) fn attach(&self, invoker: Invoker) {
        // There is one only; a second one would measure the same.
        let _ = self.invoker.set(invoker);
    }
}

impl Capacities for ProvisionedCapacities {
    fn capacity<'a>(
        &'a self,
        target: &'a FunctionTarget,
    ) -> BoxFuture<'a, Result<Option<Capacity>, CapacityError>> {
        Box::pin(async move {
            let found = self.control.provisioned_capacity(target).await.map_err(error)?;
            Ok(found.map(|found| {
                let Provisioned { allocated, failure, .. } = found.provisioned;
                let failure = failure.map(|failure| match failure {
                    ProvisionFailure::Initialisation => "FUNCTION_ERROR_INIT_FAILURE".to_owned(),
                    ProvisionFailure::Environment(text) => text,
                });
                Capacity { requested: found.requested, allocated, failure }
            }))
        })
    }

    fn set<'a>(
        &'a self,
        target: &'a FunctionTarget,
        executions: u32,
    ) -> BoxFuture<'a, Result<(), CapacityError>> {
        Box::pin(
            async move { self.control.set_provisioned_capacity(target, executions).await.map_err(error) },
        )
    }

    fn usage<'a>(
        &'a self,
        target: &'a FunctionTarget,
    ) -> BoxFuture<'a, Result<Option<Usage>, CapacityError>> {
        Box::pin(async move {
            let found = self.control.provisioned_capacity(target).await.map_err(error)?;
            let Some(found) = found else { return Ok(None) };
            let usage = self.invoker.get().and_then(|i| i.take_provisioned_usage(&found.version));
            Ok(usage.map(|usage| Usage {
                peak: usage.peak as u32,
                in_use: usage.busy as u32,
                allocated: found.provisioned.allocated,
            }))
        })
    }
}

/// As AWS tells what a service said to it.
fn error(error: ApiError) -> CapacityError {
    let (status, code) = (error.status().as_u16(), error.code());
    CapacityError(format!("{error} (Service: AWSLambda; Status Code: {status}; Error Code: {code})"))
}
