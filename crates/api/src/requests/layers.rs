//! Requests about layers.

use serde::Deserialize;

use super::{FunctionCode, object};

/// `PublishLayerVersion` (API-136).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublishLayerVersion {
    /// The archive.
    #[serde(deserialize_with = "object")]
    pub content: Option<FunctionCode>,
    /// Free text.
    pub description: Option<String>,
    /// Runtimes that it is for.
    pub compatible_runtimes: Option<Vec<String>>,
    /// Architectures that it is for.
    pub compatible_architectures: Option<Vec<String>>,
    /// An SPDX identifier, an address or the text itself.
    pub license_info: Option<String>,
}

/// `AddLayerVersionPermission` (API-101).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddLayerVersionPermission {
    /// Names the statement within its policy.
    pub statement_id: Option<String>,
    /// `lambda:GetLayerVersion`.
    pub action: Option<String>,
    /// An account, its root, or `*`.
    pub principal: Option<String>,
    /// Only for accounts of this organisation.
    pub organization_id: Option<String>,
}
