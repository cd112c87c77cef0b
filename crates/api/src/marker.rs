//! Opaque paging markers (API-007).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where a listing goes on, as the client carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Name of the last item of the page before.
    pub name: String,
    /// Its version; empty where items have none.
    pub version: String,
}

impl Marker {
    /// The text for the client.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{}", self.name, self.version))
    }

    /// Reads what [`Self::encode`] wrote, `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (name, version) = plain.split_once('\n')?;
        Some(Self { name: name.to_owned(), version: version.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        let marker = Marker { name: "f".into(), version: "$LATEST".into() };
        assert_eq!(Marker::decode(&marker.encode()), Some(marker));
        assert_eq!(Marker::decode("!!"), None);
        assert_eq!(Marker::decode("Zg"), None);
    }
}
