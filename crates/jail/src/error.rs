//! The one error of this crate: which step failed, and the kernel's reason.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// A step of building a sandbox that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// What was tried, for example `mount /proc`.
    pub step: Cow<'static, str>,
    /// The error number of the system call, see errno(3).
    pub errno: i32,
}

impl StepError {
    pub(crate) fn new(step: impl Into<Cow<'static, str>>, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        // Errors without a number are made by the standard library for unusable input only.
        Self { step: step.into(), errno: error.raw_os_error().unwrap_or(libc::EINVAL) }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for StepError {}

/// Names the step a system call belongs to.
pub(crate) trait Step<T> {
    /// Names the step with a fixed text.
    fn step(self, step: &'static str) -> Result<T, StepError>;
    /// Names the step with a text that is built only on failure.
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step, error))
    }

    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step(), error))
    }
}
