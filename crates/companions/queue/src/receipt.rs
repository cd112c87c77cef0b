//! Receipt handles: opaque to clients, and made so that one that was made up, or belongs to another queue, is noticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambd_store::queues::{QueueId, Receipt};

use crate::digests;
use crate::error::{Kind, SqsError};

/// Version, a digest of the queue's ARN and of the rest, content id, message id, number of the receive.
const LENGTH: usize = 1 + 8 + 8 + 8 + 8;
const VERSION: u8 = 1;

/// The handle of a receive.
pub(crate) fn encode(arn: &str, receipt: &Receipt) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.push(VERSION);
    bytes.extend(seal(arn, receipt));
    for number in [receipt.queue.0, receipt.id, receipt.receives] {
        bytes.extend(number.to_be_bytes());
    }
    STANDARD.encode(bytes)
}

/// The receive that a handle names.
pub(crate) fn decode(arn: &str, handle: &str) -> Result<Receipt, SqsError> {
    parse(arn, handle).ok_or_else(|| {
        SqsError::new(
            Kind::RECEIPT_INVALID,
            format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
        )
    })
}

fn parse(arn: &str, handle: &str) -> Option<Receipt> {
    let bytes = STANDARD.decode(handle).ok().filter(|bytes| bytes.len() == LENGTH)?;
    let number = |at: usize| Some(i64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
    let receipt = Receipt { queue: QueueId(number(9)?), id: number(17)?, receives: number(25)? };
    (bytes[0] == VERSION && bytes[1..9] == seal(arn, &receipt)).then_some(receipt)
}

fn seal(arn: &str, receipt: &Receipt) -> [u8; 8] {
    let text = format!("{arn} {} {} {}", receipt.queue.0, receipt.id, receipt.receives);
    let mut seal = [0; 8];
    seal.copy_from_slice(&digests::md5(text.as_bytes())[..8]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_good_for_their_queue_alone() {
        let receipt = Receipt { queue: QueueId(3), id: 1 << 40, receives: 2 };
        let handle = encode("arn:a", &receipt);
        assert_eq!(decode("arn:a", &handle), Ok(receipt));
        let error = decode("arn:b", &handle).unwrap_err();
        assert_eq!(error.kind, Kind::RECEIPT_INVALID);
        let mut other = handle.clone().into_bytes();
        other[30] = if other[30] == b'A' { b'B' } else { b'A' };
        for bad in ["", "garbage", &handle[4..], &String::from_utf8(other).unwrap()] {
            assert!(decode("arn:a", bad).is_err(), "{bad}");
        }
    }
}
