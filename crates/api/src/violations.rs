//! Constraint violations, with the texts that AWS gives them.

use std::fmt::Display;

use crate::ApiError;

/// Patterns as they appear in error texts (API-050..058).
pub mod patterns {
    /// Function name or ARN, dots not allowed.
    pub const FUNCTION_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
    /// The same with dots (API-051).
    pub const NAMESPACED_FUNCTION_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
    /// Bucket of a package in S3.
    pub const S3_BUCKET: &str = r"[0-9A-Za-z\.\-_]*(?<!\.)";
    /// Version or alias.
    pub const QUALIFIER: &str = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";
    /// Name of an alias.
    pub const ALIAS: &str = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)";
    /// Version that an alias may lead to.
    pub const VERSION: &str = r"(\$LATEST(\.PUBLISHED)?|[0-9]+)";
    /// ARN of something that can have tags.
    pub const TAGGABLE: &str = r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)";
    /// Layer name or ARN.
    pub const LAYER_NAME: &str =
        r"(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+";
    /// ARN of a layer version.
    pub const LAYER_VERSION_ARN: &str =
        r"arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+";
    /// What a layer policy can allow.
    pub const LAYER_ACTION: &str = "lambda:GetLayerVersion";
    /// Whom a layer policy can allow it.
    pub const LAYER_PRINCIPAL: &str = r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root";
    /// Organisation.
    pub const ORGANIZATION: &str = "o-[a-z0-9]{10,32}";
    /// Statement of a layer policy.
    pub const LAYER_STATEMENT: &str = "([a-zA-Z0-9-_]+)";
    /// Execution role.
    pub const ROLE: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
    /// Handler.
    pub const HANDLER: &str = r"[^\s]+";
    /// Key of an environment variable.
    pub const ENVIRONMENT_KEY: &str = r"[a-zA-Z]([a-zA-Z0-9_])+";
    /// Name of a statement of a policy (API-063).
    pub const STATEMENT: &str = r"([a-zA-Z0-9-_]+)";
    /// The same where one is removed (API-626).
    pub const NAMESPACED_STATEMENT: &str = r"([a-zA-Z0-9-_.]+)";
    /// Action of a function's policy (API-064).
    pub const ACTION: &str = r"(lambda:[*]|lambda:[a-zA-Z]+|[*])";
    /// Principal of a function's policy (API-625).
    pub const PRINCIPAL: &str = r"[^\s]+";
    /// Any ARN (API-057).
    pub const ARN: &str =
        r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    /// ARN of a key or a queue, or none (API-059).
    pub const ARN_OR_EMPTY: &str = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    /// Account (API-067).
    pub const ACCOUNT: &str = r"\d{12}";
    /// Token of an event source (API-066).
    pub const EVENT_SOURCE_TOKEN: &str = r"[a-zA-Z0-9._\-]+";
    /// Organisation (API-070).
    pub const ORGANISATION: &str = r"o-[a-z0-9]{10,32}";
    /// Destination of outcomes (API-074, API-618).
    pub const DESTINATION: &str = r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    /// Alias that a URL leads to.
    pub const URL_QUALIFIER: &str = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)";
    /// Code signing configuration.
    pub const CODE_SIGNING: &str = r"arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:code-signing-config:csc-[a-z0-9]{17}";
    /// Version of a runtime.
    pub const RUNTIME_VERSION: &str =
        r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}::runtime:.+";
    /// Region of the function that one is a replica of (API-077).
    pub const MASTER_REGION: &str = r"ALL|[a-z]{2}(-gov)?-[a-z]+-\d{1}";
    /// Log group.
    pub const LOG_GROUP: &str = r"[\.\-_/#A-Za-z0-9]+";
}

/// Collects violations, because AWS reports all of a request at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<String>);

impl Violations {
    fn add(&mut self, value: impl Display, at: &str, constraint: impl Display) {
        self.0.push(format!("Value '{value}' at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// The value breaks a constraint with a text of its own.
    pub fn custom(&mut self, value: &str, at: &str, constraint: &str) {
        self.add(value, at, constraint);
    }

    /// The value does not match a pattern.
    pub fn pattern(&mut self, value: &str, at: &str, pattern: &str) {
        self.add(value, at, format_args!("Member must satisfy regular expression pattern: {pattern}"));
    }

    /// The value must be one of a set.
    pub fn enumeration(&mut self, value: &str, at: &str, set: &[&str]) {
        self.add(value, at, format_args!("Member must satisfy enum value set: [{}]", set.join(", ")));
    }

    /// The text is longer than `max` characters.
    pub fn too_long(&mut self, value: &str, at: &str, max: usize) {
        self.add(value, at, format_args!("Member must have length less than or equal to {max}"));
    }

    /// The text is shorter than `min` characters.
    pub fn too_short(&mut self, value: &str, at: &str, min: usize) {
        self.add(value, at, format_args!("Member must have length greater than or equal to {min}"));
    }

    /// Checks an inclusive range.
    pub fn range(&mut self, value: i64, at: &str, min: i64, max: i64) {
        if value < min {
            self.add(value, at, format_args!("Member must have value greater than or equal to {min}"));
        } else if value > max {
            self.add(value, at, format_args!("Member must have value less than or equal to {max}"));
        }
    }

    /// A required member is absent.
    pub fn missing(&mut self, at: &str) {
        self.0.push(format!("Value null at '{at}' failed to satisfy constraint: Member must not be null"));
    }

    /// `Ok` when there are none, else the one error that lists them.
    pub fn into_result(self) -> Result<(), ApiError> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(ApiError::Validation(format!("1 validation error detected: {}", self.0[0]))),
            n => Err(ApiError::Validation(format!("{n} validation errors detected: {}", self.0.join("; ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_violations_become_one_error() {
        let mut v = Violations::default();
        v.range(127, "memorySize", 128, 10240);
        v.missing("role");
        assert_eq!(
            v.into_result().unwrap_err().to_string(),
            "2 validation errors detected: Value '127' at 'memorySize' failed to satisfy constraint: Member must \
             have value greater than or equal to 128; Value null at 'role' failed to satisfy constraint: Member \
             must not be null"
        );
        assert!(Violations::default().into_result().is_ok());
    }
}
