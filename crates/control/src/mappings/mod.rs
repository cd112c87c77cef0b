//! Event source mappings: what they may be, and what clients see of them.
//!
//! Nothing is polled yet: a mapping is a setting that is kept. So a transition has nothing to wait for. The answer to
//! a change shows the state that AWS shows then (`Creating`, `Updating`, `Enabling`, `Disabling`, `Deleting`) beside
//! what was in force before; from the next request on it is over.

mod filters;
mod kind;
mod model;
mod rules;

use lambd_api::mappings::{EventSourceMappingConfiguration, MappingOrigin, MappingSettings};
use lambd_api::{ApiError, Violations};
use lambd_store::mappings::MappingRow;
use lambd_types::{Partition, Scope, function_arn};

pub(crate) use kind::Kind;
pub(crate) use model::source as check_source;

/// Said of a mapping that would be polled.
const NOT_POLLED: &str =
    "lambd does not poll event sources yet: nothing is read and the function is not invoked";

/// What a mapping says of itself, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    pub(crate) origin: MappingOrigin,
    pub(crate) settings: MappingSettings,
}

/// Checks both parts against the API's model, reporting all violations at once.
pub(crate) fn check_model(origin: &MappingOrigin, settings: &MappingSettings, violations: &mut Violations) {
    model::origin(origin, violations);
    model::settings(settings, violations);
}

/// Checks a new mapping against the rules of its kind and fills in what it does not say. `now` is in seconds.
pub(crate) fn create(
    origin: MappingOrigin,
    settings: MappingSettings,
    uuid: &str,
    now: f64,
) -> Result<(Kind, Checked), ApiError> {
    let kind = Kind::of(&origin)?;
    rules::origin(kind, &origin, now)?;
    let mut settings = rules::tidy(settings);
    rules::settings(kind, &settings)?;
    rules::required(kind, &settings)?;
    rules::fill(kind, &mut settings, uuid);
    rules::together(kind, &settings)?;
    Ok((kind, Checked { origin, settings }))
}

/// Applies a change to a mapping: what is left out stays.
pub(crate) fn update(before: &Checked, change: MappingSettings, uuid: &str) -> Result<Checked, ApiError> {
    let kind = Kind::of(&before.origin)?;
    rules::settings(kind, &rules::tidy(change.clone()))?;
    let mut settings = rules::tidy(rules::merge(before.settings.clone(), change));
    rules::required(kind, &settings)?;
    rules::fill(kind, &mut settings, uuid);
    rules::together(kind, &settings)?;
    Ok(Checked { origin: before.origin.clone(), settings })
}

/// What no two mappings of an account and region share: source, topic or queue, and function.
pub(crate) fn identity(origin: &MappingOrigin, function_arn: &str) -> String {
    let servers = origin.self_managed_event_source.as_ref().and_then(|source| source.endpoints.as_ref());
    let mut servers: Vec<&str> =
        servers.into_iter().flatten().flat_map(|(_, all)| all).map(String::as_str).collect();
    servers.sort_unstable();
    let first = |list: &Option<Vec<String>>| list.iter().flatten().next().cloned().unwrap_or_default();
    [
        origin.event_source_arn.clone().unwrap_or_default(),
        servers.join(","),
        first(&origin.topics),
        first(&origin.queues),
        function_arn.to_owned(),
    ]
    .join("\n")
}

/// The refusal of a mapping that is there already, in AWS's words for its kind.
pub(crate) fn conflict(kind: Kind, origin: &MappingOrigin, function: &str, existing: &str) -> ApiError {
    let source = origin.event_source_arn.as_deref().unwrap_or_default();
    let end = format!("already exists. Please update or delete the existing mapping with UUID {existing}");
    let topic = || origin.topics.iter().flatten().next().cloned().unwrap_or_default();
    ApiError::ResourceConflict(match kind {
        Kind::Sqs { .. } => format!(
            "An event source mapping with SQS arn (\" {source} \") and function (\" {function} \") {end}"
        ),
        Kind::Kinesis | Kind::DynamoDb => format!(
            "The event source arn (\" {source} \") and function (\" {function} \") provided mapping {end}"
        ),
        Kind::ManagedKafka => format!(
            "An event source mapping with event source arn (\"{source}\"), function (\"{function}\") and topics \
             (\"{}\") {end}",
            topic()
        ),
        Kind::SelfManagedKafka => format!(
            "An event source mapping with the same bootstrap servers, function (\"{function}\") and topics (\"{}\") \
             {end}",
            topic()
        ),
        Kind::Mq | Kind::DocumentDb => format!(
            "An event source mapping with event source arn (\"{source}\") and function (\"{function}\") {end}"
        ),
    })
}

/// ARN of a mapping itself (CORE-130).
pub(crate) fn arn(scope: &Scope, uuid: &str) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:lambda:{}:{}:event-source-mapping:{uuid}", scope.region, scope.account)
}

/// The ARN of the function that a mapping is for, qualifier included.
pub(crate) fn target_arn(row: &MappingRow) -> String {
    let arn = function_arn(&row.scope, &row.function);
    match &row.qualifier {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    }
}

/// The state of a mapping in an answer (API-089).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Creating,
    Updating,
    Enabling,
    Disabling,
    Deleting,
    /// As it is: enabled or disabled.
    Settled,
}

impl Shown {
    /// What an update shows that changes whether the mapping is enabled, or does not.
    pub(crate) fn update(before: bool, after: bool) -> Self {
        match (before, after) {
            (false, true) => Self::Enabling,
            (true, false) => Self::Disabling,
            (true, true) | (false, false) => Self::Updating,
        }
    }
}

/// What was stored of a mapping.
pub(crate) fn read(row: &MappingRow) -> Result<Checked, ApiError> {
    let damaged =
        |e: serde_json::Error| ApiError::Service(format!("the stored mapping {} is damaged: {e}", row.uuid));
    Ok(Checked {
        origin: serde_json::from_str(&row.origin).map_err(damaged)?,
        settings: serde_json::from_str(&row.settings).map_err(damaged)?,
    })
}

/// What the client sees of a row (API-155).
pub(crate) fn describe(row: &MappingRow, shown: Shown) -> Result<EventSourceMappingConfiguration, ApiError> {
    let Checked { origin, settings } = read(row)?;
    let kind = Kind::of(&origin)?;
    let (state, truth) = match (shown, row.enabled) {
        (Shown::Creating, _) => ("Creating", None),
        (Shown::Updating, _) => ("Updating", None),
        (Shown::Enabling, _) => ("Enabling", None),
        (Shown::Disabling, _) => ("Disabling", None),
        (Shown::Deleting, _) => ("Deleting", None),
        (Shown::Settled, true) => ("Enabled", Some(NOT_POLLED)),
        (Shown::Settled, false) => ("Disabled", None),
    };
    let who = if kind.is_stream() { "User action" } else { "USER_INITIATED" };
    Ok(EventSourceMappingConfiguration {
        uuid: row.uuid.clone(),
        event_source_mapping_arn: arn(&row.scope, &row.uuid),
        function_arn: target_arn(row),
        last_modified: row.last_modified.0 as f64 / 1000.0,
        last_processing_result: (!matches!(kind, Kind::Sqs { .. })).then_some("No records processed"),
        state,
        state_transition_reason: truth.map_or(who.to_owned(), |truth| format!("{who}; {truth}")),
        origin,
        settings,
    })
}

#[cfg(test)]
mod tests;
