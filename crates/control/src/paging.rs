//! Pages of lists (API-007, API-008).

use lambd_api::{ApiError, Marker, Violations};
use lambd_http::QueryPairs;

/// What a client asked for of a list.
#[derive(Debug)]
pub(crate) struct Paging {
    /// Items of this page at most.
    pub(crate) size: usize,
    /// Where it goes on.
    pub(crate) after: Option<Marker>,
}

/// Reads `MaxItems`, from 1 to 10,000 by the model; a page is never longer than `page`.
pub(crate) fn size(query: &QueryPairs, page: usize, violations: &mut Violations) -> Result<usize, ApiError> {
    size_of(query, page, 10_000, violations)
}

/// The same for lists whose `MaxItems` has another `max` by the model.
pub(crate) fn size_of(
    query: &QueryPairs,
    page: usize,
    max: i64,
    violations: &mut Violations,
) -> Result<usize, ApiError> {
    let asked = match query.get("MaxItems") {
        None => page as i64,
        Some(text) => text.parse().map_err(|_| {
            ApiError::Serialization(format!("{text:?} can not be converted to an Integer for MaxItems"))
        })?,
    };
    violations.range(asked, "maxItems", 1, max);
    Ok(usize::try_from(asked).unwrap_or(1).min(page))
}

/// Reads `Marker`.
pub(crate) fn after(query: &QueryPairs) -> Result<Option<Marker>, ApiError> {
    match query.get("Marker").filter(|marker| !marker.is_empty()) {
        None => Ok(None),
        Some(text) => match Marker::decode(text) {
            Some(marker) => Ok(Some(marker)),
            None => Err(ApiError::InvalidParameterValue(format!("Invalid Marker: {text}"))),
        },
    }
}

impl Paging {
    /// Both, for lists that take nothing else.
    pub(crate) fn of(query: &QueryPairs, page: usize) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let size = size(query, page, &mut violations)?;
        violations.into_result()?;
        Ok(Self { size, after: after(query)? })
    }

    /// Cuts a list, of which one more than the page was read, and makes the marker of the next page.
    pub(crate) fn cut<T>(&self, rows: &mut Vec<T>, marker: impl Fn(&T) -> Marker) -> Option<String> {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        rows.last().filter(|_| more).map(|last| marker(last).encode())
    }
}
