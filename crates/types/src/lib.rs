//! Names, ARNs, qualifiers, limits, quantities and the clock of lambd.
//!
//! The lowest layer: every other crate speaks in these types. A value that exists is valid, because
//! only validating constructors make it. Nothing here knows a wire format: there is no serde, and the
//! `api` crate converts at the edge.

mod arn;
mod cidr;
mod clock;
mod condition;
mod digest;
mod function_ref;
mod ids;
pub mod invocation;
mod layers;
pub mod limits;
pub mod lineage;
mod logging;
mod names;
mod network;
mod quantities;
pub mod random;
mod scaling;
mod snapshot;
pub mod streaming;
mod timestamp;

pub use arn::{Partition, function_arn};
pub use cidr::{Cidr, CidrError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use condition::{Condition, Reason, ReasonCode, State, UpdateStatus};
pub use digest::{Sha256Digest, Sha256Hasher};
pub use function_ref::{FunctionRef, FunctionRefError};
pub use ids::{AccountId, Region, RequestId, RevisionId, Scope};
pub use layers::{LayerKey, LayerName, LayerVersionKey};
pub use logging::{LogFormat, LogLevel};
pub use names::{AliasName, FunctionName, NameError, Qualifier, Version};
pub use network::{NetworkPolicy, NetworkRules};
pub use quantities::{EphemeralStorage, MemorySize, OutOfRange, Timeout};
pub use scaling::{Burst, ScalingRule};
pub use snapshot::{FunctionKey, FunctionSnapshot, FunctionTarget};
pub use timestamp::{UnixMillis, iso8601_millis};
