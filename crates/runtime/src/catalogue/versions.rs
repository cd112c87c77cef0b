//! What version a program says it has.

use std::path::Path;
use std::process::Stdio;

use super::trial::{Outcome, PATIENCE, Trial};
use super::{Family, LanguageVersion};
use crate::layout::Layout;
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
    command.arg(question(family)).stdin(Stdio::null()).kill_on_drop(true);
    let mut output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    // JVMs answer there.
    output.stdout.append(&mut output.stderr);
    parse(family, &String::from_utf8_lossy(&output.stdout))
}

/// Asks a program of another root file system.
pub(super) async fn inside(
    family: Family,
    root: &Path,
    program: &Path,
    sandboxes: &dyn Sandboxes,
) -> Result<Told, Silent> {
    let args = |_: &Layout| vec![question(family).to_owned()];
    let trial = Trial { root: Some(root), program, args: &args, output_max: ANSWER_MAX, ..Trial::default() };
    let Outcome { exit, output } = trial.run(sandboxes).await.map_err(Silent::Sandbox)?;
    let text = String::from_utf8_lossy(&output);
    match (parse(family, &text), exit) {
        (Some(told), _) => Ok(told),
        (None, Some(exit)) => Err(Silent::Broken(complaint(&exit, &text))),
        (None, None) => Err(Silent::Broken(format!("it gave no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// `--version` came with Java 9.
fn question(family: Family) -> &'static str {
    if family == Family::Java { "-version" } else { "--version" }
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

/// `Python 3.12.4`, `v20.11.1`, `ruby 3.1.7p261 (2025-03-26 revision 0a3704f218) [x86_64-linux-gnu]`,
/// `openjdk version "17.0.15" 2025-04-15`.
fn parse(family: Family, text: &str) -> Option<Told> {
    let prefix = match family {
        Family::Python => "Python ",
        Family::NodeJs => "v",
        Family::Ruby => "ruby ",
        // Its directories tell, so it is not asked.
        Family::DotNet => return None,
        Family::Java => return text.lines().find_map(java),
    };
    let mut exact = text.lines().find_map(|line| line.trim().strip_prefix(prefix))?;
    if family == Family::Ruby {
        exact = exact.split(['p', ' ']).next()?;
    }
    let mut numbers = exact.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    let version = match family {
        Family::Python | Family::Ruby | Family::DotNet => LanguageVersion(major, minor),
        Family::NodeJs | Family::Java => LanguageVersion(major, 0),
    };
    Some(Told { version, exact: exact.to_owned() })
}

fn java(line: &str) -> Option<Told> {
    let (_, quoted) = line.split_once(" version \"")?;
    java_version(quoted.split('"').next()?)
}

/// `17.0.15` is Java 17, and `1.8.0_392` is Java 8.
pub(super) fn java_version(exact: &str) -> Option<Told> {
    let counted = exact.strip_prefix("1.").unwrap_or(exact);
    let major = counted.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Told { version: LanguageVersion(major, 0), exact: exact.to_owned() })
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
        let java =
            "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime";
        assert_eq!(told(Family::Java, java), Some((LanguageVersion(17, 0), "17.0.15".into())));
        let java = "java version \"1.8.0_392\"\nJava(TM) SE Runtime Environment";
        assert_eq!(told(Family::Java, java), Some((LanguageVersion(8, 0), "1.8.0_392".into())));
        assert_eq!(
            told(Family::Java, "openjdk version \"26-ea\" 2026-03-17"),
            Some((LanguageVersion(26, 0), "26-ea".into()))
        );
        for nothing in ["", "Python\n", "error while loading shared libraries", "v\n"] {
            assert_eq!(told(Family::Python, nothing), None, "{nothing}");
            assert_eq!(told(Family::NodeJs, nothing), None, "{nothing}");
            assert_eq!(told(Family::Ruby, nothing), None, "{nothing}");
            assert_eq!(told(Family::Java, nothing), None, "{nothing}");
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
