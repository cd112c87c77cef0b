//! What version a program says it has.

use std::path::Path;
use std::process::Stdio;

use super::trial::{Outcome, PATIENCE, Trial};
use super::{Family, LanguageVersion};
use crate::ports::{Exit, Sandboxes, SpawnError};

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

/// Asks a program of another root file system.
pub(super) async fn inside(
    family: Family,
    root: &Path,
    program: &Path,
    sandboxes: &dyn Sandboxes,
) -> Result<Told, Silent> {
    let trial = Trial { root, program, args: &["--version"], binds: Vec::new(), output_max: ANSWER_MAX };
    let Outcome { exit, output } = trial.run(sandboxes).await.map_err(Silent::Sandbox)?;
    let text = String::from_utf8_lossy(&output);
    match (parse(family, &text), exit) {
        (Some(told), _) => Ok(told),
        (None, Some(exit)) => Err(Silent::Broken(complaint(&exit, &text))),
        (None, None) => Err(Silent::Broken(format!("it gave no answer within {} s", PATIENCE.as_secs()))),
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

/// `Python 3.12.4`, `v20.11.1`, `ruby 3.1.7p261 (2025-03-26 revision 0a3704f218) [x86_64-linux-gnu]`.
fn parse(family: Family, text: &str) -> Option<Told> {
    let prefix = match family {
        Family::Python => "Python ",
        Family::NodeJs => "v",
        Family::Ruby => "ruby ",
        // Its directories tell, so it is not asked.
        Family::DotNet => return None,
    };
    let mut exact = text.lines().find_map(|line| line.trim().strip_prefix(prefix))?;
    if family == Family::Ruby {
        exact = exact.split(['p', ' ']).next()?;
    }
    let mut numbers = exact.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    let version = match family {
        Family::Python | Family::Ruby | Family::DotNet => LanguageVersion(major, minor),
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
        let ruby = "ruby 3.1.7p261 (2025-03-26 revision 0a3704f218) [x86_64-linux-gnu]\n";
        assert_eq!(told(Family::Ruby, ruby), Some((LanguageVersion(3, 1), "3.1.7".into())));
        let ruby = "ruby 4.0.0preview2 (2025-11-17 master 4fa6e9938c) +PRISM [x86_64-linux]\n";
        assert_eq!(told(Family::Ruby, ruby), Some((LanguageVersion(4, 0), "4.0.0".into())));
        for nothing in ["", "Python\n", "error while loading shared libraries", "v\n"] {
            assert_eq!(told(Family::Python, nothing), None, "{nothing}");
            assert_eq!(told(Family::NodeJs, nothing), None, "{nothing}");
            assert_eq!(told(Family::Ruby, nothing), None, "{nothing}");
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
