//! What version a program says it has.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::{Family, LanguageVersion};
use crate::environment;
use crate::ports::{Base, Blueprint, Exit, Sandboxes, SpawnError};

/// An interpreter that takes longer to tell its version is not one to run functions on.
const PATIENCE: Duration = Duration::from_secs(5);
/// No answer is longer.
const ANSWER_MAX: u64 = 4096;

/// A version as a program tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) version: LanguageVersion,
    /// All of it, such as `3.12.4`.
    pub(super) exact: String,
}

/// Why a program did not tell its version.
#[derive(Debug)]
pub(super) enum Silent {
    /// The sandbox for it could not be made.
    Sandbox(SpawnError),
    /// It ended in this way, or said this.
    Broken(String),
}

/// Asks a program of this machine.
pub(super) async fn of_host(family: Family, program: &Path) -> Option<Told> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    parse(family, &String::from_utf8_lossy(&output.stdout))
}

/// Asks a program of another root file system, which is run nowhere but in a sandbox.
pub(super) async fn inside(
    family: Family,
    root: &Path,
    program: &Path,
    sandboxes: &dyn Sandboxes,
) -> Result<Told, Silent> {
    let blueprint = Blueprint {
        id: lambd_types::random::hex(&lambd_types::random::bytes::<16>()),
        command: program.to_owned(),
        args: vec!["--version".into()],
        env: environment::search_paths().into(),
        cwd: "/".into(),
        root: Some(root.to_owned()),
        memory_bytes: 512 << 20,
        tmp_bytes: 16 << 20,
        ..Blueprint::default()
    };
    let base = Base { own_root: true, ..Base::default() };
    let prepared = sandboxes.prepare(base).await.map_err(Silent::Sandbox)?;
    let mut sandbox = prepared.build(blueprint).await.map_err(Silent::Sandbox)?;
    let answer = async {
        let mut text = Vec::new();
        if let Some(Ok(output)) = sandbox.take_output().map(Receiver::from_owned_fd) {
            // What cannot be read is no answer; how the program ended tells more.
            let _ = output.take(ANSWER_MAX).read_to_end(&mut text).await;
        }
        (String::from_utf8_lossy(&text).into_owned(), sandbox.exited().await)
    };
    let Ok((text, exit)) = tokio::time::timeout(PATIENCE, answer).await else {
        return Err(Silent::Broken(format!("it gave no answer within {} s", PATIENCE.as_secs())));
    };
    match parse(family, &text) {
        Some(told) => Ok(told),
        None => Err(Silent::Broken(complaint(&exit, &text))),
    }
}

fn complaint(exit: &Exit, text: &str) -> String {
    let said = text.lines().map(str::trim).find(|line| !line.is_empty());
    let ended = match exit {
        Exit::Exited(0) => "no version in its answer".to_owned(),
        Exit::Exited(code) => format!("exit status {code}"),
        Exit::Signaled(signal) => format!("signal {signal}"),
        Exit::OutOfMemory => "out of memory".to_owned(),
        Exit::NotStarted(reason) => reason.clone(),
        Exit::Lost => "it disappeared".to_owned(),
    };
    said.map_or_else(|| ended.clone(), |said| format!("{ended}: {said}"))
}

/// `Python 3.12.4`, `v20.11.1`.
fn parse(family: Family, text: &str) -> Option<Told> {
    let prefix = match family {
        Family::Python => "Python ",
        Family::NodeJs => "v",
    };
    let exact = text.lines().find_map(|line| line.trim().strip_prefix(prefix))?;
    let mut numbers = exact.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    let version = match family {
        Family::Python => LanguageVersion(major, minor),
        Family::NodeJs => LanguageVersion(major, 0),
    };
    Some(Told { version, exact: exact.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let told = |family, text| parse(family, text).map(|told| (told.version, told.exact));
        assert_eq!(told(Family::Python, "Python 3.12.4\n"), Some((LanguageVersion(3, 12), "3.12.4".into())));
        assert_eq!(
            told(Family::Python, "a warning\nPython 3.13.0rc1\n"),
            Some((LanguageVersion(3, 13), "3.13.0rc1".into()))
        );
        assert_eq!(told(Family::NodeJs, "v20.11.1\n"), Some((LanguageVersion(20, 0), "20.11.1".into())));
        for nothing in ["", "Python\n", "error while loading shared libraries", "v\n"] {
            assert_eq!(told(Family::Python, nothing), None, "{nothing}");
            assert_eq!(told(Family::NodeJs, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn complaints_say_how_it_ended_and_what_it_said() {
        assert_eq!(complaint(&Exit::Exited(127), "\n x: no lib\n"), "exit status 127: x: no lib");
        assert_eq!(
            complaint(&Exit::NotStarted("fork/exec: exec format error".into()), ""),
            "fork/exec: exec format error"
        );
        assert_eq!(complaint(&Exit::Exited(0), "hello"), "no version in its answer: hello");
    }
}
