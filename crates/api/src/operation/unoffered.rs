//! The operations of today's API that lambd does not offer, and why not. They are known all the same, so that
//! a client is told which operation it asked for and what to expect.

/// An operation that is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unoffered {
    /// The name as the API reference has it.
    pub name: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Why it is not offered: the end of a sentence.
    pub reason: &'static str,
}

const FLEET: &str = "lambd runs functions on its own machine, not on a fleet of managed instances";
const DURABLE: &str = "durable executions are not there yet";

const fn row(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    reason: &'static str,
) -> Unoffered {
    Unoffered { name, method, path, reason }
}

/// One line each, in the order of their names.
#[rustfmt::skip]
pub(super) const UNOFFERED: &[Unoffered] = &[
    row("CheckpointDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint", DURABLE),
    row("CreateCapacityProvider", "POST", "/2025-11-30/capacity-providers", FLEET),
    row("DeleteCapacityProvider", "DELETE", "/2025-11-30/capacity-providers/{CapacityProviderName}", FLEET),
    row("GetCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}", FLEET),
    row("GetDurableExecution", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}", DURABLE),
    row("GetDurableExecutionHistory", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/history", DURABLE),
    row("GetDurableExecutionState", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/state", DURABLE),
    row("GetFunctionScalingConfig", "GET", "/2025-11-30/functions/{FunctionName}/function-scaling-config", FLEET),
    row("ListCapacityProviders", "GET", "/2025-11-30/capacity-providers", FLEET),
    row("ListDurableExecutionsByFunction", "GET", "/2025-12-01/functions/{FunctionName}/durable-executions", DURABLE),
    row("ListFunctionVersionsByCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions", FLEET),
    row("PutFunctionScalingConfig", "PUT", "/2025-11-30/functions/{FunctionName}/function-scaling-config", FLEET),
    row("SendDurableExecutionCallbackFailure", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail", DURABLE),
    row("SendDurableExecutionCallbackHeartbeat", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat", DURABLE),
    row("SendDurableExecutionCallbackSuccess", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed", DURABLE),
    row("StopDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/stop", DURABLE),
    row("UpdateCapacityProvider", "PUT", "/2025-11-30/capacity-providers/{CapacityProviderName}", FLEET),
];
