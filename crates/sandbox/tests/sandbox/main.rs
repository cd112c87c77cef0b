//! Real sandboxes on the real kernel. No test skips itself: on a machine that cannot make a sandbox
//! each of them fails and names the remedy. What depends on the cgroups that are in force asks the
//! spawner's `limits()` and expects accordingly; `tests/vm` runs all of them in each situation.

mod ahead;
mod cgroups;
mod host;
mod images;
mod isolation;
mod lifecycle;
mod limits;
mod network;
mod oci;
mod process;
mod roots;
mod support;
mod tmp;
mod world;
