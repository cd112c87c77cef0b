//! Naming functions, and turning stored rows into what the engine and the client see.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lambd_api::responses::layers::Layer;
use lambd_api::responses::{
    DeadLetterConfigResponse, EnvironmentResponse, EphemeralStorageResponse, FunctionConfiguration,
    FunctionState, SnapStartResponse, TracingConfigResponse,
};
use lambd_api::{ApiError, Violations, patterns};
use lambd_http::RequestHead;
use lambd_store::attached::Holder;
use lambd_store::functions::{FunctionRow, InForce};
use lambd_types::{
    Condition, EphemeralStorage, FunctionKey, FunctionName, FunctionRef, FunctionRefError, FunctionSnapshot,
    FunctionTarget, MemorySize, NameError, Qualifier, RevisionId, Scope, State, Timeout, UpdateStatus,
    Version, function_arn,
};

use crate::{logging, tags};

/// A function as a request names it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) scope: Scope,
    pub(crate) name: FunctionName,
    pub(crate) qualifier: Option<Qualifier>,
}

impl Target {
    /// From the path and the `Qualifier` parameter (API-005, API-006).
    pub(crate) fn of(head: &RequestHead, function_name: &str) -> Result<Self, ApiError> {
        Self::parse(&head.caller.scope, function_name)?.with_qualifier_of(head)
    }

    /// The same for operations in which a name may have dots.
    pub(crate) fn namespaced(head: &RequestHead, function_name: &str) -> Result<Self, ApiError> {
        Self::parse_namespaced(&head.caller.scope, function_name)?.with_qualifier_of(head)
    }

    fn with_qualifier_of(self, head: &RequestHead) -> Result<Self, ApiError> {
        let mut target = self;
        let Some(text) = head.query.get("Qualifier") else { return Ok(target) };
        let qualifier = Qualifier::parse(text).map_err(|error| {
            let mut violations = Violations::default();
            match error {
                NameError::Pattern(text) => violations.pattern(&text, "qualifier", patterns::QUALIFIER),
                NameError::TooLong(text, max) => violations.too_long(&text, "qualifier", max),
            }
            violation(violations)
        })?;
        // A version's ARN together with the same qualifier is what Terraform sends (API-714).
        if target.qualifier.as_ref().is_some_and(|q| *q != qualifier) {
            let text = "The derived qualifier from the function name does not match the specified qualifier.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
        target.qualifier = Some(qualifier);
        Ok(target)
    }

    /// From a name or ARN alone.
    pub(crate) fn parse(scope: &Scope, function_name: &str) -> Result<Self, ApiError> {
        let parsed = FunctionRef::parse(function_name).map_err(|error| {
            let mut violations = Violations::default();
            match error {
                FunctionRefError::Name(NameError::TooLong(text, max)) => {
                    violations.too_long(&text, "functionName", max);
                }
                FunctionRefError::Form(_) | FunctionRefError::Name(NameError::Pattern(_)) => {
                    violations.pattern(function_name, "functionName", patterns::FUNCTION_NAME);
                }
            }
            violation(violations)
        })?;
        if let Some(region) = parsed.region.filter(|r| *r != scope.region) {
            return Err(ApiError::ResourceNotFound(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                scope.region
            )));
        }
        if parsed.account.is_some_and(|account| account != scope.account) {
            return Err(ApiError::ResourceNotFound(format!("Function not found: {function_name}")));
        }
        Ok(Self { scope: scope.clone(), name: parsed.name, qualifier: parsed.qualifier })
    }

    /// From a name or ARN alone, in an operation whose model allows dots in the name (API-051, API-619, API-620).
    /// The model of `CreateFunction` does not, so such a function is never there.
    pub(crate) fn parse_namespaced(scope: &Scope, function_name: &str) -> Result<Self, ApiError> {
        if !function_name.contains('.') {
            return Self::parse(scope, function_name);
        }
        let (prefix, rest) = function_name.rsplit_once("function:").unwrap_or(("", function_name));
        let (name, qualifier) = rest.split_once(':').unwrap_or((rest, ""));
        if !name.contains('.') || prefix.contains('.') || qualifier.contains('.') {
            return Self::parse(scope, function_name);
        }
        match Self::parse(scope, &function_name.replace('.', "_")) {
            Ok(_) => {
                let text = format!("Function not found: {}", function_arn(scope, &name));
                Err(ApiError::ResourceNotFound(text))
            }
            Err(ApiError::Validation(_)) => {
                let mut violations = Violations::default();
                violations.pattern(function_name, "functionName", patterns::NAMESPACED_FUNCTION_NAME);
                Err(violation(violations))
            }
            Err(other) => Err(other),
        }
    }

    /// Refuses a qualifier, for operations on the function as a whole.
    pub(crate) fn unqualified(self) -> Result<Self, ApiError> {
        match &self.qualifier {
            None | Some(Qualifier::Version(Version::Latest)) => Ok(self),
            Some(_) => Err(ApiError::InvalidParameterValue(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
                 operation. Please specify either a function name or an unqualified function ARN."
                    .to_owned(),
            )),
        }
    }

    /// The ARN as named, qualifier included.
    pub(crate) fn arn(&self) -> String {
        let arn = function_arn(&self.scope, &self.name);
        match &self.qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        }
    }

    /// `$LATEST` of the function.
    pub(crate) fn latest(&self) -> FunctionKey {
        FunctionKey { scope: self.scope.clone(), name: self.name.clone(), version: Version::Latest }
    }

    /// What documents hang on: the function, or the version or alias that is named.
    pub(crate) fn holder(&self) -> Holder {
        Holder { scope: self.scope.clone(), name: self.name.clone(), qualifier: self.qualifier.clone() }
    }

    /// What documents of the function as a whole hang on.
    pub(crate) fn unqualified_holder(&self) -> Holder {
        Holder { qualifier: None, ..self.holder() }
    }

    /// What an event is for.
    pub(crate) fn function(&self) -> FunctionTarget {
        let qualifier = self.qualifier.clone().unwrap_or(Qualifier::Version(Version::Latest));
        FunctionTarget { scope: self.scope.clone(), name: self.name.clone(), qualifier }
    }

    /// The same function with another qualifier.
    pub(crate) fn qualified(&self, qualifier: Qualifier) -> Self {
        Self { qualifier: Some(qualifier), ..self.clone() }
    }

    /// The ARN of the function itself.
    pub(crate) fn unqualified_arn(&self) -> String {
        function_arn(&self.scope, &self.name)
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::ResourceNotFound(format!("Function not found: {}", self.arn()))
    }
}

pub(crate) fn violation(violations: Violations) -> ApiError {
    match violations.into_result() {
        Err(error) => error,
        Ok(()) => ApiError::Service("a violation was expected".to_owned()),
    }
}

/// What runs when a version is invoked: what the row says, or what it said before an update in progress. `None`
/// when there is nothing yet.
pub(crate) fn running(row: &FunctionRow) -> Option<InForce> {
    if let Some(in_force) = &row.in_force {
        return Some(in_force.clone());
    }
    (row.condition.state == State::Active).then(|| as_it_is(row))
}

/// Code and configuration of a row.
pub(crate) fn as_it_is(row: &FunctionRow) -> InForce {
    InForce {
        build: row.build.clone(),
        code: row.code,
        code_size: row.code_size,
        configuration: row.configuration.clone(),
    }
}

/// Only published versions have it, `$LATEST` never.
pub(crate) fn has_snap_start(
    version: Version,
    configuration: &lambd_store::functions::Configuration,
) -> bool {
    configuration.snap_start && version != Version::Latest
}

/// What the engine needs of a row and what runs of it. Stored numbers were checked when they were stored; should
/// a limit have been lowered since, the default stands in.
pub(crate) fn snapshot(
    row: &FunctionRow,
    running: &InForce,
    tags: &BTreeMap<String, String>,
    code_dir: PathBuf,
    layers_dir: Option<PathBuf>,
) -> FunctionSnapshot {
    let configuration = &running.configuration;
    let network = tags::network(tags);
    let environment = configuration.environment.clone().unwrap_or_default();
    FunctionSnapshot {
        key: row.key.clone(),
        // A tag is no part of a build, but an instance has one network for all of its life.
        revision: match network {
            None => running.build.clone(),
            Some(network) => RevisionId::from_stored(format!("{}/{network}", running.build)),
        },
        arn: function_arn(&row.key.scope, &row.key.name),
        runtime: configuration.runtime.clone(),
        handler: configuration.handler.clone(),
        memory: MemorySize::new(configuration.memory_size.into()).unwrap_or_default(),
        timeout: Timeout::new(configuration.timeout.into()).unwrap_or_default(),
        ephemeral_storage: EphemeralStorage::new(configuration.ephemeral_storage.into()).unwrap_or_default(),
        network,
        snap_start: has_snap_start(row.key.version, configuration),
        environment: environment.into_iter().collect::<Vec<_>>().into(),
        code: running.code,
        code_dir,
        layers_dir,
        log_group: configuration.log_group.clone(),
        log_format: logging::format(configuration),
        dead_letter: configuration.dead_letter.clone(),
    }
}

/// How a version is named in an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// By the function's ARN.
    Unqualified,
    /// By its own version.
    Version,
    /// As it was asked for.
    By(&'a Qualifier),
}

impl<'a> Named<'a> {
    /// As the client named it.
    pub(crate) fn as_asked(target: &'a Target) -> Self {
        target.qualifier.as_ref().map_or(Self::Unqualified, Self::By)
    }
}

/// What the client sees of a row.
pub(crate) fn describe(row: &FunctionRow, named: Named<'_>) -> FunctionConfiguration {
    let c = &row.configuration;
    let arn = function_arn(&row.key.scope, &row.key.name);
    FunctionConfiguration {
        function_name: row.key.name.to_string(),
        function_arn: match named {
            Named::Unqualified => arn,
            Named::Version => format!("{arn}:{}", row.key.version),
            Named::By(qualifier) => format!("{arn}:{qualifier}"),
        },
        runtime: c.runtime.clone(),
        role: c.role.clone(),
        handler: c.handler.clone(),
        code_size: row.code_size,
        description: row.published_description.as_ref().unwrap_or(&c.description).clone(),
        timeout: c.timeout,
        memory_size: c.memory_size,
        last_modified: row.last_modified.lambda_iso8601(),
        code_sha256: row.code.to_base64(),
        version: row.key.version.to_string(),
        environment: c.environment.clone().map(|variables| EnvironmentResponse { variables }),
        tracing_config: TracingConfigResponse { mode: "PassThrough" },
        revision_id: row.revision.to_string(),
        state: Some(state(row)),
        package_type: "Zip",
        architectures: [c.architecture.clone()],
        ephemeral_storage: EphemeralStorageResponse { size: c.ephemeral_storage },
        snap_start: SnapStartResponse {
            apply_on: if c.snap_start { "PublishedVersions" } else { "None" },
            optimization_status: if has_snap_start(row.key.version, c) { "On" } else { "Off" },
        },
        logging_config: logging::describe(c),
        layers: c.layers.iter().map(|l| Layer { arn: l.arn.clone(), code_size: l.code_size }).collect(),
        dead_letter_config: c.dead_letter.clone().map(|target_arn| DeadLetterConfigResponse { target_arn }),
    }
}

/// An item of a list, which says nothing of states (API-629).
pub(crate) fn list_item(row: &FunctionRow, named: Named<'_>) -> FunctionConfiguration {
    FunctionConfiguration { state: None, ..describe(row, named) }
}

fn state(row: &FunctionRow) -> FunctionState {
    let Condition { state, state_reason, update, update_reason } = row.condition.clone();
    FunctionState {
        state: state.as_str(),
        state_reason_code: state_reason.as_ref().map(|reason| reason.code.as_str()),
        state_reason: state_reason.map(|reason| reason.text),
        last_update_status: update.map(UpdateStatus::as_str),
        last_update_status_reason_code: update_reason.as_ref().map(|reason| reason.code.as_str()),
        last_update_status_reason: update_reason.map(|reason| reason.text),
    }
}
