//! The checks that a service makes on the fields of a request, with the messages that AWS gives.
//!
//! A service states the constraints of its model one by one; all violations are reported together.

use std::fmt::Display;

/// Collects violated constraints.
#[derive(Debug, Default)]
pub struct Checks(Vec<String>);

impl Checks {
    /// No violation so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// A required member is there. Returns its value, or the default so that checking can go on.
    pub fn required<T: Default>(&mut self, at: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.0
                .push(format!("Value null at '{at}' failed to satisfy constraint: Member must not be null"));
            T::default()
        })
    }

    /// A text has between `min` and `max` characters.
    pub fn length(&mut self, at: &str, value: &str, min: usize, max: usize) {
        self.size(at, value, value.chars().count(), min, max);
    }

    /// A list or map has between `min` and `max` members.
    pub fn members(&mut self, at: &str, count: usize, min: usize, max: usize) {
        self.size(at, format_args!("[{count} members]"), count, min, max);
    }

    fn size(&mut self, at: &str, value: impl Display, size: usize, min: usize, max: usize) {
        if size < min {
            self.fail(at, value, format_args!("Member must have length greater than or equal to {min}"));
        } else if size > max {
            self.fail(at, value, format_args!("Member must have length less than or equal to {max}"));
        }
    }

    /// A text consists of characters that `pattern` (shown to the caller) allows.
    pub fn pattern(&mut self, at: &str, value: &str, pattern: &str, allowed: impl Fn(char) -> bool) {
        if !value.chars().all(allowed) {
            self.fail(at, value, format_args!("Member must satisfy regular expression pattern: {pattern}"));
        }
    }

    /// A number is between `min` and `max`.
    pub fn range(&mut self, at: &str, value: i64, min: i64, max: i64) {
        if value < min {
            self.fail(at, value, format_args!("Member must have value greater than or equal to {min}"));
        } else if value > max {
            self.fail(at, value, format_args!("Member must have value less than or equal to {max}"));
        }
    }

    /// A text is one of `allowed`.
    pub fn one_of(&mut self, at: &str, value: &str, allowed: &[&str]) {
        if !allowed.contains(&value) {
            self.fail(
                at,
                value,
                format_args!("Member must satisfy enum value set: [{}]", allowed.join(", ")),
            );
        }
    }

    fn fail(&mut self, at: &str, value: impl Display, constraint: impl Display) {
        self.0.push(format!("Value '{value}' at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// The message of all violations, if there is one.
    pub fn finish(self) -> Result<(), String> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(format!("1 validation error detected: {}", self.0[0])),
            n => Err(format!("{n} validation errors detected: {}", self.0.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_violation_reads_as_aws_writes_it() {
        let mut checks = Checks::new();
        let name: String = checks.required("logGroupName", None);
        assert!(name.is_empty());
        assert_eq!(
            checks.finish().unwrap_err(),
            "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: \
             Member must not be null"
        );
    }

    #[test]
    fn violations_are_reported_together() {
        let mut checks = Checks::new();
        checks.range("limit", 0, 1, 50);
        checks.pattern("name", "a b", "[a-z]+", |c| c.is_ascii_lowercase());
        checks.one_of("orderBy", "x", &["A", "B"]);
        checks.length("ok", "abc", 1, 3);
        let message = checks.finish().unwrap_err();
        assert!(
            message.starts_with("3 validation errors detected: Value '0' at 'limit' failed"),
            "{message}"
        );
        assert!(
            message.contains(
                "; Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular"
            )
        );
        assert!(message.ends_with("enum value set: [A, B]"));
    }
}
