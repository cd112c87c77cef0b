//! Random identifiers in the shapes that AWS uses.

use std::cell::RefCell;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes that are asked for ahead of their use.
const AHEAD: usize = 512;

/// `N` bytes from the kernel's random number generator.
///
/// # Panics
/// When the kernel has no entropy source, which on Linux after boot does not happen.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the kernel's random number generator answers");
    out
}

/// The same for names, of which every event needs some: the kernel is asked for many at a time, which stay in memory until
/// they are used. Not for secrets.
///
/// # Panics
/// As [`bytes()`].
pub fn of_name<const N: usize>() -> [u8; N] {
    thread_local! {
        /// The bytes, and how many of them are left.
        static READY: RefCell<([u8; AHEAD], usize)> = const { RefCell::new(([0; AHEAD], 0)) };
    }
    const { assert!(N <= AHEAD) };
    READY.with_borrow_mut(|(ready, left)| {
        if *left < N {
            (*ready, *left) = (bytes(), AHEAD);
        }
        *left -= N;
        let mut out = [0; N];
        out.copy_from_slice(&ready[*left..*left + N]);
        out
    })
}

/// A random UUID (version 4) in lower case, the form of request and revision ids.
pub fn uuid() -> String {
    with_uuid(str::to_owned)
}

/// Makes something of the text of a random UUID.
pub(crate) fn with_uuid<T>(make: impl FnOnce(&str) -> T) -> T {
    let mut b = of_name::<16>();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let mut text = [b'-'; 36];
    // All but the dashes.
    let places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    let digits = b.iter().flat_map(|b| [b >> 4, b & 15]);
    for ((_, place), digit) in places.zip(digits) {
        *place = DIGITS[usize::from(digit)];
    }
    make(std::str::from_utf8(&text).unwrap_or_default())
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    push_hex(&mut out, bytes);
    out
}

/// Appends lower-case hexadecimal of `bytes`.
pub fn push_hex(out: &mut String, bytes: &[u8]) {
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)] as char);
        out.push(DIGITS[usize::from(b & 15)] as char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_four_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!(matches!(&a[19..20], "8" | "9" | "a" | "b"));
        let dashes: Vec<usize> = a.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(dashes, [8, 13, 18, 23]);
    }

    /// Whatever is asked for together: no two names share their bytes.
    #[test]
    fn names_are_never_given_twice() {
        let names: std::collections::HashSet<[u8; 24]> = (0..1000).map(|_| of_name()).collect();
        assert_eq!(names.len(), 1000);
    }
}
