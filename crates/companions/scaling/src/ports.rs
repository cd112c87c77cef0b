//! What is scaled.

use futures_util::future::BoxFuture;
use lambd_types::FunctionTarget;

/// The provisioned concurrency of a version or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Executions asked for; 0 when there is no configuration.
    pub requested: u32,
    /// Executions that are ready.
    pub allocated: u32,
    /// Why there are not as many as were asked for.
    pub failure: Option<String>,
}

/// How much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Most executions that were in use at once since this was asked last.
    pub peak: u32,
    /// Executions in use now.
    pub in_use: u32,
    /// Executions that are ready.
    pub allocated: u32,
}

/// Why a capacity could not be read or set, in words for the one who scales it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CapacityError(pub String);

/// The provisioned concurrency of functions.
pub trait Capacities: Send + Sync + 'static {
    /// What a version or an alias has. `None` when it does not exist or can have none.
    fn capacity<'a>(
        &'a self,
        target: &'a FunctionTarget,
    ) -> BoxFuture<'a, Result<Option<Capacity>, CapacityError>>;

    /// Asks for that many executions; with 0, gives up all. It resolves before they are ready.
    fn set<'a>(
        &'a self,
        target: &'a FunctionTarget,
        executions: u32,
    ) -> BoxFuture<'a, Result<(), CapacityError>>;

    /// How much is used, and was since this was asked last. `None` when there is nothing to be used.
    fn usage<'a>(&'a self, target: &'a FunctionTarget)
    -> BoxFuture<'a, Result<Option<Usage>, CapacityError>>;
}
