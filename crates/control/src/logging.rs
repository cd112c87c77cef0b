//! The form of a function's log (API-503, API-523): what a client may ask for, and what it gets.

use lambd_api::requests::LoggingConfig;
use lambd_api::responses::LoggingConfigResponse;
use lambd_api::{ApiError, Violations};
use lambd_store::functions::{Configuration, JsonLog};
use lambd_types::{LogFormat, LogLevel};

use crate::checks;
use crate::settings::check_log_group;

/// The levels that the service's model has for the function's own records.
const APPLICATION: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
/// The same for the platform's.
const SYSTEM: [&str; 3] = ["DEBUG", "INFO", "WARN"];
/// What both are when nobody says.
const DEFAULT: &str = "INFO";

/// Checks a request against the service's model.
pub(crate) fn check(logging: &LoggingConfig, violations: &mut Violations) {
    let of = |name: &str| format!("loggingConfig.{name}");
    if let Some(format) = &logging.log_format
        && !matches!(format.as_str(), "Text" | "JSON")
    {
        violations.enumeration(format, &of("logFormat"), &["JSON", "Text"]);
    }
    let application = logging.application_log_level.as_ref();
    checks::one_of(violations, &of("applicationLogLevel"), application, &APPLICATION);
    checks::one_of(violations, &of("systemLogLevel"), logging.system_log_level.as_ref(), &SYSTEM);
    if let Some(group) = &logging.log_group {
        check_log_group(group, violations);
    }
}

/// Applies a checked request; what it leaves out stays.
///
/// # Errors
/// Levels are refused while the format is `Text`, which has none.
pub(crate) fn apply(logging: &LoggingConfig, to: &mut Configuration) -> Result<(), ApiError> {
    if let Some(group) = &logging.log_group {
        to.log_group.clone_from(group);
    }
    match logging.log_format.as_deref() {
        Some("JSON") if to.json_log.is_none() => {
            to.json_log = Some(JsonLog { application: DEFAULT.to_owned(), system: DEFAULT.to_owned() });
        }
        Some("Text") => to.json_log = None,
        _ => {}
    }
    let (application, system) = (&logging.application_log_level, &logging.system_log_level);
    match &mut to.json_log {
        Some(levels) => {
            levels.application = application.as_ref().unwrap_or(&levels.application).clone();
            levels.system = system.as_ref().unwrap_or(&levels.system).clone();
            Ok(())
        }
        None if application.is_none() && system.is_none() => Ok(()),
        None => Err(ApiError::InvalidParameterValue(
            "LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from your request or \
             change the LogFormat to \"JSON\" and try again."
                .to_owned(),
        )),
    }
}

/// What the client sees of it.
pub(crate) fn describe(configuration: &Configuration) -> LoggingConfigResponse {
    let levels = configuration.json_log.clone();
    LoggingConfigResponse {
        log_format: if levels.is_some() { "JSON" } else { "Text" },
        application_log_level: levels.as_ref().map(|levels| levels.application.clone()),
        system_log_level: levels.map(|levels| levels.system),
        log_group: configuration.log_group.clone(),
    }
}

/// What the engine makes of it.
pub(crate) fn format(configuration: &Configuration) -> LogFormat {
    let level = |name: &str| LogLevel::of_record(name).unwrap_or(LogLevel::Info);
    configuration.json_log.as_ref().map_or(LogFormat::Text, |levels| LogFormat::Json {
        application: level(&levels.application),
        system: level(&levels.system),
    })
}
