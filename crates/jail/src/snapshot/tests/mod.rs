//! Real programs are captured in one sandbox and restored in others.

mod programs;
mod refusals;
mod support;
