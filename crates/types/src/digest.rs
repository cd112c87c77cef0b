//! SHA-256 digests of code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use crate::random;

/// The SHA-256 of a package, the identity under which its content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// A digest that was computed before.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// `CodeSha256` as the API shows it: base64, 44 characters.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Lower-case hexadecimal, for file names.
    pub fn to_hex(self) -> String {
        random::hex(&self.0)
    }

    /// Reads what [`Self::to_base64`] wrote.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// Hashes content that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trip() {
        let digest = Sha256Digest::of(b"lambd");
        assert_eq!(digest.to_base64().len(), 44);
        assert_eq!(Sha256Digest::from_base64(&digest.to_base64()), Some(digest));
        assert_eq!(Sha256Digest::from_base64("short"), None);
    }
}
