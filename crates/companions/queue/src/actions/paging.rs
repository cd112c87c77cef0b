//! Pages of queues, in the order of names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::SqsError;

/// Largest page, and what there is when the caller says nothing.
const LARGEST: i64 = 1000;

/// Queues of a page.
pub(super) fn limit(max_results: Option<i64>) -> Result<usize, SqsError> {
    match max_results {
        None => Ok(LARGEST as usize),
        Some(limit @ 1..=LARGEST) => Ok(limit as usize),
        Some(other) => {
            Err(SqsError::value(other, "MaxResults", "MaxResults must be an integer between 1 and 1000."))
        }
    }
}

/// The token of the page behind the queue of that name.
pub(super) fn token(name: &str) -> String {
    STANDARD.encode(name)
}

/// The name behind which a page begins.
pub(super) fn after(token: Option<&str>) -> Result<Option<String>, SqsError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let name = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.map(Some).ok_or_else(|| SqsError::invalid("Invalid or expired next token."))
}
