//! `invoke`'s instances: `runtime`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_invoke::InvokeError;
use lambd_invoke::ports::{Delivery, Instance, Instances};
use lambd_runtime::StartError;
use lambd_types::invocation::{Event, InitializationType, Wants};
use lambd_types::{FunctionKey, FunctionSnapshot};
use tokio::sync::SetOnce;

/// Until it is known what instances are made of, whoever wants one waits.
#[derive(Clone, Default)]
pub(crate) struct RuntimeInstances(pub(crate) Arc<SetOnce<lambd_runtime::Instances>>);

impl Instances for RuntimeInstances {
    fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        initialization: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>> {
        Box::pin(async move {
            let instances = self.0.wait().await;
            let instance = instances.start(function, initialization).await.map_err(translate)?;
            Ok(Arc::new(RuntimeInstance(instance)) as Arc<dyn Instance>)
        })
    }

    fn expect(&self, function: &FunctionSnapshot) {
        match self.0.get() {
            Some(instances) => instances.expect(function),
            None => {
                let (instances, function) = (self.0.clone(), function.clone());
                tokio::spawn(async move { instances.wait().await.expect(&function) });
            }
        }
    }

    fn optimise(&self, function: Arc<FunctionSnapshot>) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.wait().await.take_image(function).await })
    }

    fn forget(&self, is_gone: &dyn Fn(&FunctionKey) -> bool) {
        // As long as nobody can start instances there are no images.
        if let Some(instances) = self.0.get() {
            instances.forget_images(is_gone);
        }
    }
}

struct RuntimeInstance(lambd_runtime::Instance);

impl Instance for RuntimeInstance {
    fn deliver(&self, event: Event, wants: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>> {
        Box::pin(async move {
            let delivered = self.0.deliver(event, wants).await.map_err(translate)?;
            let lambd_runtime::Delivery { outcome, reusable } = delivered;
            Ok(Delivery { outcome, reusable })
        })
    }

    fn finish(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.0.finish())
    }

    fn initialise(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.0.initialise().await.is_ok() })
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        self.0.ended()
    }

    fn freeze(&self) {
        self.0.freeze();
    }

    fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.retire())
    }
}

fn translate(error: StartError) -> InvokeError {
    match error {
        StartError::Runtime(error) => InvokeError::Runtime(error.to_string()),
        StartError::Sandbox(_) | StartError::Network(_) | StartError::Machine(_) => {
            InvokeError::Environment(error.to_string())
        }
    }
}
