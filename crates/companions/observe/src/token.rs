//! Event ids and paging tokens.
//!
//! An event id is a decimal number of 56 digits, the event's timestamp times 2^144 plus a number that
//! orders the events of a millisecond (CORE-060). The tokens of `GetLogEvents` are the id of the first
//! or last event of a page with a direction in front; other tokens are opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambd_store::logs::{Direction, EventPosition};

const DIGITS: usize = 56;

/// 32-bit limbs, the lowest first; the timestamp begins at limb 4, bit 16.
type Limbs = [u32; 7];

/// The id of the event at `position`.
pub(crate) fn event_id(position: EventPosition) -> String {
    let (time, id) = (position.timestamp.max(0) as u128, position.id.max(0) as u64);
    let high = time << 16;
    let mut limbs: Limbs =
        [id as u32, (id >> 32) as u32, 0, 0, high as u32, (high >> 32) as u32, (high >> 64) as u32];
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + divide_by_ten(&mut limbs);
    }
    digits.iter().map(|d| char::from(*d)).collect()
}

/// Reads what [`event_id`] wrote; `None` for anything that it could not have written.
pub(crate) fn parse_event_id(text: &str) -> Option<EventPosition> {
    if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut limbs: Limbs = [0; 7];
    for digit in text.bytes() {
        multiply_by_ten_and_add(&mut limbs, u32::from(digit - b'0'));
    }
    let id = u64::from(limbs[0]) | u64::from(limbs[1]) << 32;
    let high = u128::from(limbs[4]) | u128::from(limbs[5]) << 32 | u128::from(limbs[6]) << 64;
    Some(EventPosition { timestamp: i64::try_from(high >> 16).ok()?, id: i64::try_from(id).ok()? })
}

fn divide_by_ten(limbs: &mut Limbs) -> u8 {
    let mut rest = 0;
    for limb in limbs.iter_mut().rev() {
        let value = rest << 32 | u64::from(*limb);
        *limb = (value / 10) as u32;
        rest = value % 10;
    }
    rest as u8
}

fn multiply_by_ten_and_add(limbs: &mut Limbs, digit: u32) {
    let mut carry = u64::from(digit);
    for limb in limbs.iter_mut() {
        let value = u64::from(*limb) * 10 + carry;
        *limb = value as u32;
        carry = value >> 32;
    }
}

/// A token of `GetLogEvents`: go on from `position` in `direction`.
pub(crate) fn page_token(direction: Direction, position: EventPosition) -> String {
    let letter = match direction {
        Direction::Ascending => 'f',
        Direction::Descending => 'b',
    };
    format!("{letter}/{}", event_id(position))
}

/// Reads what [`page_token`] wrote.
pub(crate) fn parse_page_token(token: &str) -> Option<(Direction, EventPosition)> {
    let (letter, id) = token.split_once('/')?;
    let direction = match letter {
        "f" => Direction::Ascending,
        "b" => Direction::Descending,
        _ => return None,
    };
    Some((direction, parse_event_id(id)?))
}

/// Text as an opaque token.
pub(crate) fn opaque(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads what [`opaque`] wrote.
pub(crate) fn parse_opaque(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_timestamp_times_two_to_the_144() {
        // Two tokens of AWS (EX-8) hold the timestamps of the events that they come from.
        for (id, timestamp) in [
            ("34783877304859518393868359594929986069206639495374241795", 1_559_763_003_218),
            ("34783877303811383369537420289090800615709599058929582080", 1_559_763_003_171),
        ] {
            let position = EventPosition { timestamp, id: 0 };
            assert_eq!(event_id(position)[..13], id[..13]);
            // The low bits of AWS's ids are larger than any of ours.
            assert_eq!(parse_event_id(id).map_or(timestamp, |p| p.timestamp), timestamp);
        }
    }

    #[test]
    fn ids_come_back_and_sort_like_positions() {
        let positions = [
            (0, 0),
            (0, 1),
            (5, 0),
            (1_559_763_003_171, 7),
            (1_559_763_003_171, i64::MAX),
            (4_000_000_000_000, 1),
        ];
        let mut previous = String::new();
        for (timestamp, id) in positions {
            let position = EventPosition { timestamp, id };
            let text = event_id(position);
            assert_eq!(text.len(), 56);
            assert!(text > previous);
            assert_eq!(parse_event_id(&text), Some(position));
            previous = text;
        }
    }

    #[test]
    fn tokens_name_their_direction() {
        let position = EventPosition { timestamp: 12, id: 3 };
        let token = page_token(Direction::Descending, position);
        assert!(token.starts_with("b/0"));
        assert_eq!(parse_page_token(&token), Some((Direction::Descending, position)));
        for bad in ["", "f/", "x/1", "f/123", "f/-4783877304859518393868359594929986069206639495374241795"] {
            assert_eq!(parse_page_token(bad), None, "{bad}");
        }
        assert_eq!(parse_opaque(&opaque("a/ü")).as_deref(), Some("a/ü"));
        assert_eq!(parse_opaque("*"), None);
    }
}
