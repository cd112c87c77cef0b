//! Starting other programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::Error;

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command with this terminal as its own and says whether it ended well.
pub(crate) fn passes(command: &mut Command) -> Result<bool, Error> {
    let status = command.stdin(Stdio::null()).status().map_err(|e| not_started(command, &e))?;
    Ok(status.success())
}

/// Runs a command that must end well.
pub(crate) fn must(command: &mut Command) -> Result<(), Error> {
    if passes(command)? { Ok(()) } else { Err(Error::Program(format!("{} failed", shown(command)))) }
}

/// Runs a quiet command for what it prints.
pub(crate) fn text(command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| not_started(command, &e))?;
    if !output.status.success() {
        return Err(Error::Program(format!("{} failed", shown(command))));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Error::Output(format!("{} did not print UTF-8", shown(command))))
}

/// Runs a quiet command that prints JSON.
pub(crate) fn json(command: &mut Command) -> Result<Value, Error> {
    let printed = text(command)?;
    serde_json::from_str(&printed).map_err(|e| Error::Output(format!("{}: {e}", shown(command))))
}

/// Whether a command ends well; prints nothing.
pub(crate) fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The first program of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The error of a command that did not start.
pub(crate) fn not_started(command: &Command, error: &std::io::Error) -> Error {
    Error::Program(format!("{} could not be started: {error}", shown(command)))
}
