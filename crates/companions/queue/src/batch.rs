//! What the batches of all operations have in common.

use std::collections::HashSet;

use serde::Serialize;

use crate::error::{Kind, SqsError};

/// Most entries of a batch.
const MOST: usize = 10;

/// The outcome of a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<Failed>,
}

impl<T> Default for Output<T> {
    fn default() -> Self {
        Self { successful: Vec::new(), failed: Vec::new() }
    }
}

/// An entry that failed alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Failed {
    id: String,
    sender_fault: bool,
    code: String,
    message: String,
}

impl Failed {
    pub(crate) fn new(id: String, error: SqsError) -> Self {
        let sender_fault = error.is_senders();
        Self { id, sender_fault, code: error.kind.code.to_owned(), message: error.message }
    }
}

/// An entry of which nothing but its name is to be told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Named {
    pub(crate) id: String,
}

/// Checks how many entries there are, and that their ids are ids and differ.
pub(crate) fn check<'a>(entry: &str, ids: impl ExactSizeIterator<Item = &'a str>) -> Result<(), SqsError> {
    let count = ids.len();
    if count == 0 {
        let message = format!("There should be at least one {entry} in the request.");
        return Err(SqsError::new(Kind::EMPTY_BATCH, message));
    }
    if count > MOST {
        let message = format!("Maximum number of entries per request are {MOST}. You have sent {count}.");
        return Err(SqsError::new(Kind::TOO_MANY_IN_BATCH, message));
    }
    let mut seen = HashSet::new();
    for id in ids {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 80 || !id.bytes().all(allowed) {
            return Err(SqsError::new(
                Kind::INVALID_BATCH_ID,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                 It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(SqsError::new(Kind::BATCH_IDS_NOT_DISTINCT, format!("Id {id} repeated.")));
        }
    }
    Ok(())
}
