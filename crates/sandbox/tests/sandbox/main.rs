//! Real sandboxes on the real kernel. No test skips itself: on a machine that cannot make a sandbox
//! each of them fails and names the remedy.

mod host;
mod isolation;
mod lifecycle;
mod limits;
mod network;
mod support;
mod world;
