//! How often functions ran in one chain of requests, kept in the trace header's field `Lineage`.
//!
//! A function is named there by eight digits of its ARN's digest: `Lineage=037bed70:3|fe460cdd:1`. SDKs inside
//! functions hand the header on with what they send; so a function that causes itself is seen to do it.

use std::fmt::Write as _;

use crate::Sha256Digest;

/// Times that a function may run in one chain of requests before the next is stopped.
pub const RECURSION_LIMIT: u32 = 16;
/// Functions that are counted; the one that was entered first is forgotten first.
const FUNCTIONS: usize = 32;
const FIELD: &str = "Lineage=";
/// About as many bytes as an entry has.
const ENTRY: usize = 12;

/// A function is entered: the header that it gets, and how often it ran in this chain before.
#[must_use]
pub fn entered(trace: &str, function_arn: &str) -> (String, u32) {
    let digest = Sha256Digest::of(function_arn.as_bytes()).to_hex();
    let name = &digest[..8];
    let mut others = Vec::new();
    let mut before = 0;
    for (other, count) in lineage(trace) {
        if other == name {
            before = count;
        } else {
            others.push((other, count));
        }
    }
    let first = others.len().saturating_sub(FUNCTIONS - 1);
    let others = &others[first..];
    let mut header = String::with_capacity(trace.len() + (others.len() + 2) * ENTRY);
    for (at, field) in trace.split(';').filter(|field| !field.trim().starts_with(FIELD)).enumerate() {
        header.push_str(if at > 0 { ";" } else { "" });
        header.push_str(field);
    }
    if !header.is_empty() {
        header.push(';');
    }
    header.push_str(FIELD);
    // Writing to a text cannot fail.
    for (other, count) in others {
        let _ = write!(header, "{other}:{count}|");
    }
    let _ = write!(header, "{name}:{}", before.saturating_add(1));
    (header, before)
}

/// What the field says. Some write a number before the name: what counts stands at the end.
fn lineage(trace: &str) -> impl Iterator<Item = (&str, u32)> {
    let field = trace.split(';').find_map(|field| field.trim().strip_prefix(FIELD)).unwrap_or_default();
    field.split('|').filter_map(|entry| {
        let (name, count) = entry.rsplit_once(':')?;
        let name = name.rsplit(':').next()?;
        let is_name = name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
        Some((name, count.parse().ok()?)).filter(|_| is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    #[test]
    fn each_entry_is_counted() {
        let mut header =
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0".to_owned();
        for expected in 0..=RECURSION_LIMIT {
            let (next, before) = entered(&header, ARN);
            assert_eq!(before, expected);
            header = entered(&next, "arn:other").0;
        }
        assert!(
            header.starts_with("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;")
        );
        assert_eq!(header.matches("Lineage=").count(), 1);
    }

    #[test]
    fn headers_of_others_are_understood_and_stay_short() {
        let (header, before) = entered("", ARN);
        let name = header.strip_prefix("Lineage=").unwrap().strip_suffix(":1").unwrap().to_owned();
        assert_eq!((name.len(), before), (8, 0));
        assert_eq!(entered(&format!("Root=1-a;Lineage=1:{name}:4"), ARN).1, 4);
        assert_eq!(entered(&format!("Lineage=a87bd80c:1|{name}:5|c512fbe3:2;Root=1-a"), ARN).1, 5);
        assert_eq!(entered("Lineage=;Root=1-a", ARN).0, format!("Root=1-a;Lineage={name}:1"));
        assert_eq!(entered("Lineage=x:y|zz:1|:|é:1", ARN).0, format!("Lineage={name}:1"));
        let mut long = String::new();
        for number in 0..100 {
            long = entered(&long, &format!("arn:{number}")).0;
        }
        assert!(long.len() < 512, "{}", long.len());
    }
}
