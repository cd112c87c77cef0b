//! Extensions: programs beside the runtime, or parts of it, that follow an environment's life.
//!
//! | module     | idea                                                                        |
//! |------------|-----------------------------------------------------------------------------|
//! | `external` | which files of layers or of a root file system are extensions               |
//! | `registry` | who is registered and in which state: the machine, without time and tasks   |
//! | `crew`     | the meeting point of the engine, the Extensions API and the processes       |
//! | `shutdown` | the end of an environment that has extensions                               |

mod crew;
mod external;
mod registry;
mod shutdown;

pub(crate) use crew::Crew;
pub(crate) use external::{companions, find};
pub(crate) use registry::{Failure, Invoked, Notice, Refused, Registered, ShutdownReason, State};
pub(crate) use shutdown::shut_down;
