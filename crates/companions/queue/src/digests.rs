//! MD5 digests, by which clients check what they sent and received.

use std::collections::BTreeMap;

use lambd_types::random::hex;
use md5::{Digest as _, Md5};

use crate::message::{AttributeValue, Content};

/// The MD5 of some bytes.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The same in hexadecimal.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&md5(bytes))
}

/// The digest of message attributes: of each, in the order of names, name, type, kind of value and value, each with
/// its length in front. `None` when there are no attributes.
pub(crate) fn attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>,
) -> Option<String> {
    let sorted: BTreeMap<_, _> = attributes.into_iter().collect();
    if sorted.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let mut part = |bytes: &[u8], kind: Option<u8>| {
        if let Some(kind) = kind {
            digest.update([kind]);
        }
        digest.update((bytes.len() as u32).to_be_bytes());
        digest.update(bytes);
    };
    for (name, value) in sorted {
        part(name.as_bytes(), None);
        part(value.data_type.as_bytes(), None);
        match &value.content {
            Content::Text(text) => part(text.as_bytes(), Some(1)),
            Content::Binary(bytes) => part(bytes, Some(2)),
        }
    }
    Some(hex(&digest.finalize()))
}
