//! How the state of a version changes, and what it allows (CORE-295..298).

use lambd_api::ApiError;
use lambd_types::{Condition, Reason, ReasonCode, State, UpdateStatus};

/// The service's words, for updates too.
fn creating() -> Option<Reason> {
    Some(Reason { code: ReasonCode::Creating, text: "The function is being created.".to_owned() })
}

/// A version whose package is still to be unpacked.
pub(crate) fn created() -> Condition {
    Condition { state: State::Pending, state_reason: creating(), update: None, update_reason: None }
}

/// A version that is to get another package. One that never ran is being created once more.
pub(crate) fn updating(before: &Condition) -> Condition {
    match before.state {
        State::Active => Condition {
            update: Some(UpdateStatus::InProgress),
            update_reason: creating(),
            ..Condition::active()
        },
        State::Pending | State::Failed => created(),
    }
}

/// An unsettled version after its work.
pub(crate) fn settled(before: &Condition, outcome: Result<(), Reason>) -> Condition {
    let Err(reason) = outcome else { return Condition::active() };
    let failed = Condition {
        update: Some(UpdateStatus::Failed),
        update_reason: Some(reason.clone()),
        ..Condition::active()
    };
    match before.state {
        State::Active => failed,
        State::Pending | State::Failed => {
            Condition { state: State::Failed, state_reason: Some(reason), ..failed }
        }
    }
}

/// What a change does to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Gives it other code.
    Code,
    /// Gives it other settings, or makes a version of it.
    Other,
}

/// Refuses a change of a version that is not ready for it (CORE-297, CORE-298). Other code repairs a version that
/// could not be created.
pub(crate) fn check_change(condition: &Condition, change: Change, arn: &str) -> Result<(), ApiError> {
    match (condition.state, condition.update) {
        (State::Active, Some(UpdateStatus::InProgress)) => Err(ApiError::ResourceConflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
        ))),
        (State::Active, _) => Ok(()),
        (State::Failed, _) if change == Change::Code => Ok(()),
        (state @ (State::Pending | State::Failed), _) => Err(not_ready(state)),
    }
}

/// The refusal of an invocation: a package that could not be unpacked has an error of its own (API-321).
pub(crate) fn not_invocable(condition: Condition) -> ApiError {
    match condition.state_reason {
        Some(Reason { code: ReasonCode::InvalidZipFileException, text }) => ApiError::InvalidZipFile(text),
        Some(_) | None => not_ready(condition.state),
    }
}

/// The refusal of everything that needs an active version.
pub(crate) fn not_ready(state: State) -> ApiError {
    ApiError::ResourceConflict(format!(
        "The operation cannot be performed at this time. The function is currently in the following state: {}",
        state.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Result<(), Reason> {
        Err(Reason { code: ReasonCode::InvalidZipFileException, text: "bad".into() })
    }

    fn shown(c: &Condition) -> (&str, Option<&str>) {
        (c.state.as_str(), c.update.map(UpdateStatus::as_str))
    }

    /// CORE-295, CORE-296, API-083: from Pending to Active or Failed, with reasons.
    #[test]
    fn creation_ends_active_or_failed() {
        assert_eq!(shown(&created()), ("Pending", None));
        assert_eq!(created().state_reason.unwrap().text, "The function is being created.");
        assert_eq!(settled(&created(), Ok(())), Condition::active());
        let failed = settled(&created(), broken());
        assert_eq!(shown(&failed), ("Failed", Some("Failed")));
        assert_eq!(failed.state_reason.as_ref().unwrap().code, ReasonCode::InvalidZipFileException);
        assert_eq!(shown(&updating(&failed)), ("Pending", None));
    }

    /// CORE-298: an update leaves the version active, whatever comes of it.
    #[test]
    fn updates_keep_the_state() {
        let updating = updating(&Condition::active());
        assert_eq!(shown(&updating), ("Active", Some("InProgress")));
        assert_eq!(settled(&updating, Ok(())), Condition::active());
        let failed = settled(&updating, broken());
        assert_eq!(shown(&failed), ("Active", Some("Failed")));
        assert_eq!(failed.state_reason, None);
        assert_eq!(shown(&super::updating(&failed)), ("Active", Some("InProgress")));
    }

    #[test]
    fn changes_wait_for_each_other() {
        let refused = |c: &Condition, change| check_change(c, change, "ARN").map_err(|e| e.to_string());
        let in_progress =
            Err("The operation cannot be performed at this time. An update is in progress for \
                               resource: ARN"
                .to_owned());
        let in_state = |state| {
            Err(format!(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 {state}"
            ))
        };
        let failed = settled(&created(), broken());
        for change in [Change::Code, Change::Other] {
            assert_eq!(refused(&created(), change), in_state("Pending"));
            assert_eq!(refused(&updating(&Condition::active()), change), in_progress);
            assert_eq!(refused(&Condition::active(), change), Ok(()));
            assert_eq!(refused(&settled(&updating(&Condition::active()), broken()), change), Ok(()));
        }
        assert_eq!(refused(&failed, Change::Code), Ok(()));
        assert_eq!(refused(&failed, Change::Other), in_state("Failed"));
    }
}
