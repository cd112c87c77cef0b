//! Whether a toolchain runs, and what version it says it has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::ToolchainError;
use crate::recipe::{Family, Wanted};

/// No language takes longer to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program of a toolchain, below its directory, if it is there.
pub(crate) fn program(wanted: &Wanted, directory: &Path) -> Option<PathBuf> {
    let line: Vec<String> = wanted.line.iter().map(ToString::to_string).collect();
    let names: Vec<String> = match wanted.family {
        Family::NodeJs => vec!["bin/node".into()],
        Family::Java => vec!["bin/java".into()],
        Family::Dotnet => vec!["bin/dotnet".into(), "dotnet".into()],
        Family::Python => vec![format!("bin/python{}", line.join(".")), "bin/python3".into()],
        Family::Ruby => vec!["bin/ruby".into()],
    };
    names.into_iter().map(PathBuf::from).find(|name| directory.join(name).is_file())
}

/// Runs the program of a toolchain, and returns its version if that is one of the line wanted.
pub(crate) async fn version(
    wanted: &Wanted,
    directory: &Path,
    program: &Path,
) -> Result<String, ToolchainError> {
    let args: &[&str] = match wanted.family {
        Family::NodeJs => &["--version"],
        Family::Java => &["-version"],
        Family::Dotnet => &["--list-runtimes"],
        Family::Python => &["-I", "-c", "import platform, json; print(platform.python_version())"],
        Family::Ruby => &["-e", "require 'json'; puts RUBY_VERSION; puts $LOAD_PATH"],
    };
    let shown = program.display().to_string();
    let broken = |reason: String| ToolchainError::Broken { program: shown.clone(), reason };
    let mut command = tokio::process::Command::new(directory.join(program));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true).env_clear().env("PATH", "/usr/bin:/bin");
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(output) => output.map_err(|error| broken(error.to_string()))?,
        Err(_) => return Err(broken(format!("it has not ended within {} s", PATIENCE.as_secs()))),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if !output.status.success() {
        let said = err.lines().chain(out.lines()).next().unwrap_or_default();
        return Err(broken(format!("{}: {said}", output.status)));
    }
    if wanted.family == Family::Ruby
        && !out.lines().skip(1).any(|path| Path::new(path).starts_with(directory))
    {
        let built_for = out.lines().nth(1).unwrap_or_default();
        return Err(broken(format!(
            "its libraries are built to be at {built_for}; leave it there, lambd finds it"
        )));
    }
    let found = told(wanted, &format!("{out}\n{err}"));
    let found = found.ok_or_else(|| broken(format!("it tells no version: {out}{err}")))?;
    // A Java 8 calls itself 1.8.
    let compared =
        if wanted.family == Family::Java { found.strip_prefix("1.").unwrap_or(&found) } else { &found };
    let numbers: Vec<u64> =
        compared.split(['.', '_', '+', '-']).map_while(|part| part.parse().ok()).collect();
    if numbers.starts_with(&wanted.line) {
        return Ok(found);
    }
    let line: Vec<String> = wanted.line.iter().map(ToString::to_string).collect();
    Err(ToolchainError::WrongVersion { id: wanted.runtime.clone(), line: line.join("."), found })
}

/// What the answer of a program says.
fn told(wanted: &Wanted, text: &str) -> Option<String> {
    let version = match wanted.family {
        Family::NodeJs => text.lines().find_map(|line| line.strip_prefix('v'))?,
        Family::Java => text.lines().find(|line| line.contains(" version \""))?.split('"').nth(1)?,
        // The newest stands last.
        Family::Dotnet => {
            let mut of_line = text.lines().filter_map(|line| line.strip_prefix("Microsoft.NETCore.App "));
            of_line.next_back()?.split(' ').next()?
        }
        Family::Python | Family::Ruby => text.lines().next()?,
    };
    let version = version.trim();
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_each_language_writes_them() {
        let told = |id: &str, text: &str| told(&Wanted::of(id).unwrap(), text);
        assert_eq!(told("nodejs22.x", "v22.1.0\n").as_deref(), Some("22.1.0"));
        let java =
            "Picked up JAVA_TOOL_OPTIONS: x\nopenjdk version \"21.0.8\" 2025-07-15 LTS\nOpenJDK Runtime";
        assert_eq!(told("java21", java).as_deref(), Some("21.0.8"));
        let dotnet =
            "Microsoft.AspNetCore.App 3.1.23 [/x]\nMicrosoft.NETCore.App 3.1.23 [/x/Microsoft.NETCore.App]";
        assert_eq!(told("dotnetcore3.1", dotnet).as_deref(), Some("3.1.23"));
        assert_eq!(told("python3.12", "3.12.4\n").as_deref(), Some("3.12.4"));
        for nothing in ["", "v", "hello"] {
            assert_eq!(told("nodejs22.x", nothing), None, "{nothing}");
        }
    }
}
