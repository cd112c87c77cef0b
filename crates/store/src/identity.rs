//! IAM roles and policies.

mod policies;
mod roles;
#[cfg(test)]
#[path = "identity/tests.rs"]
mod tests;

use std::collections::BTreeMap;

use sqlx::sqlite::SqlitePool;

pub use policies::{PolicyDeletion, PolicyRow, PolicyVersionRow, VersionDeletion};
pub use roles::{InlinePolicyRow, RoleDeletion, RoleRow};

use crate::{Store, StoreError};

/// The IAM tables.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pool: &'a SqlitePool,
}

impl Store {
    /// The IAM tables.
    pub fn identity(&self) -> Identity<'_> {
        Identity { pool: &self.main }
    }
}

/// One page of a listing in the order of names.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Begin after this name; empty for the first page.
    pub after: &'a str,
    /// At most this many.
    pub limit: u32,
}

fn tags_to_json(tags: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(tags)
        .map_err(|error| StoreError::Damaged { what: "tag", detail: error.to_string() })
}

fn tags_of_json(text: &str, what: &'static str) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what, detail: error.to_string() })
}
