//! The binary event stream of AWS (`application/vnd.amazon.eventstream`): messages with headers, a payload and two
//! checksums.
//!
//! Written here and not with `aws-smithy-eventstream`: that crate copies each payload into its message and brings
//! `aws-smithy-types`, for what is forty lines with `crc32fast`. AWS's own decoders read it in the tests.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The content type of such a stream.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Payloads up to this size are copied, so that a message is one write.
const SMALL: usize = 4096;
/// Bytes before the headers: length of all, length of the headers, checksum of both.
const PRELUDE: usize = 12;
/// The checksum at the end.
const CHECKSUM: usize = 4;
/// The type of a header's value that is text.
const TEXT: u8 = 7;

/// An event of a stream: its bytes in pieces, with the payload as it is where that is large.
///
/// A type is at most 255 bytes long, a payload 16 MB by the protocol.
pub fn event(
    event_type: &str,
    content_type: &str,
    payload: Bytes,
) -> impl Iterator<Item = Bytes> + Send + use<> {
    let headers = [(":event-type", event_type), (":content-type", content_type), (":message-type", "event")];
    let headers_len: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total = PRELUDE + headers_len + payload.len() + CHECKSUM;
    let is_small = payload.len() <= SMALL;
    let mut head = BytesMut::with_capacity(if is_small { total } else { PRELUDE + headers_len });
    head.put_u32(total as u32);
    head.put_u32(headers_len as u32);
    head.put_u32(crc32fast::hash(&head));
    for (name, value) in headers {
        head.put_u8(name.len() as u8);
        head.put_slice(name.as_bytes());
        head.put_u8(TEXT);
        head.put_u16(value.len() as u16);
        head.put_slice(value.as_bytes());
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&head);
    checksum.update(&payload);
    let checksum = checksum.finalize();
    if is_small {
        head.put_slice(&payload);
        head.put_u32(checksum);
        return [Some(head.freeze()), None, None].into_iter().flatten();
    }
    let end = Bytes::copy_from_slice(&checksum.to_be_bytes());
    [Some(head.freeze()), Some(payload), Some(end)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: Bytes) -> Vec<u8> {
        event("E", "t", payload).flatten().collect()
    }

    /// Byte by byte, checksums from another implementation (zlib's).
    #[test]
    fn a_message_is_laid_out_as_aws_has_it() {
        let mut wanted = b"\0\0\0\x4a\0\0\0\x38\x5f\x63\x27\x1f".to_vec();
        wanted.extend(
            b"\x0b:event-type\x07\0\x01E\x0d:content-type\x07\0\x01t\x0d:message-type\x07\0\x05event",
        );
        wanted.extend(b"hi\x51\x15\xf1\xf2");
        assert_eq!(message(Bytes::from_static(b"hi")), wanted);
    }

    #[test]
    fn large_payloads_are_not_copied() {
        let payload = Bytes::from(vec![7; SMALL + 1]);
        let pieces: Vec<Bytes> = event("E", "t", payload.clone()).collect();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), payload.as_ptr());
        let whole = message(payload);
        assert_eq!(whole[..4], (whole.len() as u32).to_be_bytes());
        let (rest, checksum) = whole.split_at(whole.len() - CHECKSUM);
        assert_eq!(checksum, crc32fast::hash(rest).to_be_bytes());
    }
}
