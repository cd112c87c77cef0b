//! Responses about layers.

use serde::Serialize;

/// A layer as a function uses it (API-216).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Layer {
    /// ARN of its version.
    pub arn: String,
    /// Bytes of the zip.
    pub code_size: u64,
}

/// What lists tell of a layer version (API-220).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersionsListItem {
    /// ARN.
    pub layer_version_arn: String,
    /// Its number.
    pub version: u64,
    /// Free text.
    pub description: String,
    /// `2018-11-27T15:10:45.123+0000`.
    pub created_date: String,
    /// Runtimes that it is for, left out when it names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compatible_runtimes: Vec<String>,
    /// Architectures that it is for, left out when it names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compatible_architectures: Vec<String>,
    /// License, left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_info: Option<String>,
}

/// A layer version (API-159).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersion {
    /// Its archive.
    pub content: LayerVersionContent,
    /// ARN of the layer.
    pub layer_arn: String,
    /// The rest.
    #[serde(flatten)]
    pub version: LayerVersionsListItem,
}

/// The archive of a layer version (API-219).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersionContent {
    /// A link that needs no credential, for 10 minutes.
    pub location: String,
    /// Base64 of the zip's SHA-256.
    pub code_sha256: String,
    /// Bytes of the zip.
    pub code_size: u64,
}

/// A layer with its latest version that was asked for (API-217).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayersListItem {
    /// Name.
    pub layer_name: String,
    /// ARN.
    pub layer_arn: String,
    /// The version.
    pub latest_matching_version: LayerVersionsListItem,
}

/// `ListLayers` (API-131).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListLayers {
    /// One page.
    pub layers: Vec<LayersListItem>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `ListLayerVersions` (API-132).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListLayerVersions {
    /// One page.
    pub layer_versions: Vec<LayerVersionsListItem>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `AddLayerVersionPermission` (API-101).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddLayerVersionPermission {
    /// The new statement, as a document of its own.
    pub statement: String,
    /// Revision of the policy.
    pub revision_id: String,
}

/// `GetLayerVersionPolicy` (API-122).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetLayerVersionPolicy {
    /// The policy's document.
    pub policy: String,
    /// Its revision.
    pub revision_id: String,
}
