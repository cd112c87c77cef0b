//! The layers that versions of functions use. A version refers to their packages, not to the layers: these may be
//! deleted (CORE-209).

use lambd_types::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// A layer version as a function uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedLayer {
    /// Its ARN.
    pub arn: String,
    /// Digest of its package.
    #[serde(with = "digest")]
    pub code: Sha256Digest,
    /// Bytes of its package.
    pub code_size: u64,
    /// Bytes of all its files.
    pub unpacked_size: u64,
}

/// Digests in base64.
mod digest {
    use lambd_types::Sha256Digest;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &Sha256Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.to_base64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sha256Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Sha256Digest::from_base64(&text).ok_or_else(|| D::Error::custom("not a digest"))
    }
}

impl Store {
    /// The packages of the layers of each version, in their order, and of what runs while an update is in progress.
    pub(super) async fn layer_lists(&self) -> Result<Vec<Vec<Sha256Digest>>, StoreError> {
        let sql =
            "SELECT json_extract(configuration, '$.layers') AS layers FROM function WHERE layers IS NOT NULL
                   UNION SELECT json_extract(in_force, '$.configuration.layers') AS layers FROM function
                   WHERE layers IS NOT NULL";
        let lists: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.main).await?;
        let read = |text: &String| {
            let used: Vec<UsedLayer> =
                serde_json::from_str(text).map_err(|e| super::damaged(e.to_string()))?;
            Ok(used.into_iter().map(|layer| layer.code).collect())
        };
        lists.iter().map(read).collect()
    }
}
