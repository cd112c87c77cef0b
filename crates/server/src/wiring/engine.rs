//! `control`'s engine: `invoke`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_control::ports::{Engine, EngineError, Limit, Provision, ProvisionFailure, Provisioned};
use lambd_invoke::{Allocation, AsyncQueue, Failure, InvokeError, Invoker, Wanted};
use lambd_types::invocation::{Event, Outcome, Wants};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, Scope};

pub(crate) struct InvokeEngine {
    pub(crate) invoker: Invoker,
    pub(crate) queue: Arc<AsyncQueue>,
}

impl Engine for InvokeEngine {
    fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
    ) -> BoxFuture<'_, Result<Outcome, EngineError>> {
        Box::pin(async move { self.invoker.invoke(function, event, wants).await.map_err(translate) })
    }

    fn enqueue(
        &self,
        target: FunctionTarget,
        event: Event,
        caller: String,
    ) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move {
            self.invoker.accept(&target.scope).map_err(translate)?;
            self.queue
                .push(target, event, caller)
                .await
                .map_err(|error| EngineError::Fault(error.to_string()))
        })
    }

    fn supersede(&self, function: &FunctionSnapshot) {
        self.invoker.supersede(function);
    }

    fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<u32>) {
        self.invoker.reserve(scope, name, executions.map(|n| n as usize));
    }

    fn provision(&self, scope: &Scope, name: &FunctionName, wanted: Vec<Provision>) {
        let wanted = wanted.into_iter().map(|Provision { key, executions, function }| Wanted {
            key,
            executions: executions as usize,
            function,
        });
        self.invoker.provision(scope, name, wanted.collect());
    }

    fn provisioned(&self, key: &FunctionKey) -> Option<Provisioned> {
        let Allocation { allocated, available, failure } = self.invoker.provisioned(key)?;
        let failure = failure.map(|failure| match failure {
            Failure::Initialisation => ProvisionFailure::Initialisation,
            Failure::Environment(text) => ProvisionFailure::Environment(text),
        });
        Some(Provisioned { allocated: allocated as u32, available: available as u32, failure })
    }

    fn optimise(&self, function: Arc<FunctionSnapshot>) -> BoxFuture<'_, ()> {
        Box::pin(self.invoker.optimise(function))
    }

    fn remove_version(&self, key: &FunctionKey) {
        self.invoker.remove_version(key);
    }

    fn remove(&self, scope: &Scope, name: &FunctionName) {
        self.invoker.remove(scope, name);
    }
}

fn translate(error: InvokeError) -> EngineError {
    let retry_after = error.retry_after().unwrap_or_default();
    let limit = match error {
        InvokeError::Throttled { .. } | InvokeError::Scaling { .. } => Limit::Account,
        InvokeError::Reserved { .. } => Limit::Function,
        InvokeError::TooFast { reserved: false, .. } => Limit::Requests,
        InvokeError::TooFast { reserved: true, .. } => Limit::FunctionRequests,
        InvokeError::EventsTooFast { .. } => Limit::Events,
        InvokeError::MachineFull { reason } => Limit::Machine(reason),
        InvokeError::Runtime(text) => return EngineError::Runtime(text),
        InvokeError::Environment(text) => return EngineError::Fault(text),
    };
    EngineError::Throttled { limit, retry_after }
}
