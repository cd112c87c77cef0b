//! States as stored: JSON that SQL does not look into.

use lambd_types::{Condition, Reason, ReasonCode, State, UpdateStatus};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Stored {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_reason: Option<StoredReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update_reason: Option<StoredReason>,
}

#[derive(Serialize, Deserialize)]
struct StoredReason {
    code: String,
    text: String,
}

pub(super) fn encode(condition: &Condition) -> Result<String, serde_json::Error> {
    let reason = |reason: &Option<Reason>| {
        let reason = reason.as_ref()?;
        Some(StoredReason { code: reason.code.as_str().to_owned(), text: reason.text.clone() })
    };
    serde_json::to_string(&Stored {
        state: condition.state.as_str().to_owned(),
        state_reason: reason(&condition.state_reason),
        update: condition.update.map(|update| update.as_str().to_owned()),
        update_reason: reason(&condition.update_reason),
    })
}

/// `None` for what no lambd writes.
pub(super) fn decode(text: &str) -> Option<Condition> {
    let stored: Stored = serde_json::from_str(text).ok()?;
    let reason = |stored: Option<StoredReason>| match stored {
        None => Some(None),
        Some(r) => Some(Some(Reason { code: ReasonCode::parse(&r.code)?, text: r.text })),
    };
    Some(Condition {
        state: State::parse(&stored.state)?,
        state_reason: reason(stored.state_reason)?,
        update: match stored.update {
            None => None,
            Some(update) => Some(UpdateStatus::parse(&update)?),
        },
        update_reason: reason(stored.update_reason)?,
    })
}
