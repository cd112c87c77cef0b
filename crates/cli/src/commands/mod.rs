//! One file per command. `lambd dev` has a module of its own.

pub(crate) mod clock;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod functions;
pub(crate) mod invoke;
pub(crate) mod logs;
pub(crate) mod runtimes;
pub(crate) mod serve;
pub(crate) mod toolchains;
