//! IAM and STS, embedded: roles and policies as deployment tools make them, and who a caller is.
//!
//! Roles and policies are kept and given back; nothing in lambd decides by them. IAM is global, so
//! everything belongs to an account and to no region.
//!
//! This crate must not know what a role is used for.

mod actions;
mod document;
mod error;
mod iam;
mod input;
mod managed;
mod shapes;
mod sts;

pub use iam::IamService;
pub use sts::StsService;
