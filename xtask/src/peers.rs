//! Other programs that run Lambda functions, installed below the build directory for `cargo xtask bench --peers`.
//!
//! The document that this writes says how each is started, with the benchmark's own functions; `perf` measures it. What
//! cannot be installed is in its notes, with the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::clients::{self, Clients};
use crate::error::Error;
use crate::foreign::installed;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;

/// The emulator's release, and the commit that it is of: its tags are no versions as Go has them.
const EMULATOR: (&str, &str) = ("1.30", "f9bf927dfc8aa709a460577d6f70c79f7822d6c3");
const EMULATOR_PACKAGE: &str = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie";
const EMULATOR_PROGRAM: &str = "aws-lambda-rie";
/// Where the emulator takes events, whatever the function is called.
const EMULATOR_PATH: &str = "/2015-03-31/functions/function/invocations";
/// Lines of an installer's output that tell why it failed.
const REASON: usize = 3;

/// Installs what can be installed and writes the document. `bootstrap` is the function in Rust, as a program.
pub(crate) fn prepare(workspace: &Workspace, bootstrap: &Path) -> Result<PathBuf, Error> {
    let folder = workspace.test_env().join("bench/peers");
    fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
    let python = Environment::ensure(workspace)?;
    let mut found = Found { workspace, folder, peers: Vec::new(), notes: Vec::new() };
    let cargo_lambda = found.cargo_lambda(&python);
    found.take("cargo-lambda", cargo_lambda);
    let serverless = found.serverless_offline();
    found.take("serverless-offline", serverless);
    let clients = Clients::install(workspace, &python)?.ready()?;
    let emulator = found.emulator(bootstrap, &clients);
    found.take("runtime interface emulator", emulator);
    let document = found.folder.join("peers.json");
    let text = format!("{:#}\n", json!({ "peers": found.peers, "notes": found.notes }));
    fs::write(&document, text).map_err(|e| Error::file(&document, e))?;
    Ok(document)
}

struct Found<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    peers: Vec<Value>,
    /// What cannot be measured here, and why.
    notes: Vec<String>,
}

impl Found<'_> {
    /// Keeps a peer's ways to run functions, or why there are none.
    fn take(&mut self, name: &str, found: Result<Vec<Value>, Error>) {
        match found {
            Ok(peers) => self.peers.extend(peers),
            Err(error) => self.notes.push(format!("{name}: {error}")),
        }
    }

    fn cargo_lambda(&self, python: &Environment) -> Result<Vec<Value>, Error> {
        let pins = self.workspace.root().join("perf/peers/cargo-lambda.txt");
        let folder = self.folder.join("cargo-lambda");
        installed(&folder, &[&pins, python.stamp()], || {
            let mut pip = python.python();
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            pip.args(["--only-binary", ":all:", "--requirement"]).arg(&pins).arg("--target").arg(&folder);
            attempt(&mut pip)
        })?;
        // By itself it has other features of its libraries than beside other packages.
        let function = self.workspace.root().join("tests/functions/rust-echo");
        let mut cargo = process::cargo();
        cargo.current_dir(&function).args(["build", "--quiet", "--release", "--package", "lambd-rust-echo"]);
        process::must(cargo.args(["--bin", "rust-echo"]))?;
        let program = folder.join("bin/cargo-lambda");
        let version = process::text(Command::new(&program).args(["lambda", "--version"]))?;
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        Ok(vec![json!({
            "name": format!("cargo-lambda watch {version}, Rust"),
            "language": "rust",
            "program": program,
            // It runs the function by `cargo run`, which finds it built.
            "arguments": [
                "lambda", "watch", "--ignore-changes", "--wait", "--release", "--package", "lambd-rust-echo",
                "--invoke-address", "127.0.0.1", "--invoke-port", "{port}",
            ],
            "environment": { "CARGO_TARGET_DIR": self.workspace.target() },
            "directory": function,
            "path": "/2015-03-31/functions/rust-echo/invocations",
            "concurrent": true,
        })])
    }

    fn serverless_offline(&self) -> Result<Vec<Value>, Error> {
        let sources = self.workspace.root().join("perf/peers/node");
        let folder = self.folder.join("node");
        let files = ["package.json", "package-lock.json", "serverless.yml"].map(|file| sources.join(file));
        installed(&folder, &[&files[0], &files[1], &files[2]], || {
            for file in &files {
                let copy = folder.join(file.file_name().unwrap_or_default());
                fs::copy(file, copy).map_err(|e| Error::file(file, e))?;
            }
            let mut npm = Command::new("npm");
            npm.current_dir(&folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
            attempt(npm.args(["--loglevel", "error"]))
        })?;
        let handler = self.workspace.root().join("perf/functions/index.js");
        fs::copy(&handler, folder.join("index.js")).map_err(|e| Error::file(&handler, e))?;
        let version = |package: &str| -> Result<String, Error> {
            let file = folder.join("node_modules").join(package).join("package.json");
            let text = fs::read(&file).map_err(|e| Error::file(&file, e))?;
            let manifest: Value = serde_json::from_slice(&text)
                .map_err(|e| Error::Output(format!("{}: {e}", file.display())))?;
            Ok(manifest["version"].as_str().unwrap_or_default().to_owned())
        };
        // The program itself: a version manager's shim would be started as well.
        let program = process::text(Command::new("node").args(["-p", "process.execPath"]))?;
        Ok(vec![json!({
            "name": format!("serverless-offline {}, Node.js", version("serverless-offline")?),
            "language": "node",
            "program": program.trim(),
            "arguments": [
                "node_modules/serverless/bin/serverless.js", "offline", "--host", "127.0.0.1",
                "--lambdaPort", "{port}", "--httpPort", "{port2}", "--websocketPort", "{port3}", "--albPort", "{port4}",
            ],
            "environment": {
                "SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off",
                "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            },
            "directory": folder,
            "path": "/2015-03-31/functions/bench-dev-hello/invocations",
            "concurrent": true,
        })])
    }

    /// The emulator on `PATH`, as its makers distribute it, else built by Go.
    fn emulator(&self, bootstrap: &Path, clients: &Path) -> Result<Vec<Value>, Error> {
        let (release, commit) = EMULATOR;
        let (program, version) = match process::on_path(EMULATOR_PROGRAM) {
            Some(program) => (program, "as installed".to_owned()),
            None => (self.built_emulator(commit)?, release.to_owned()),
        };
        let functions = self.workspace.root().join("perf/functions");
        let started = |language: &str, shown: &str, runtime: &[&str], environment: Value| {
            let mut arguments = vec!["--log-level", "error"];
            arguments.extend(["--runtime-interface-emulator-address", "127.0.0.1:{port}"]);
            arguments.extend(["--runtime-api-address", "127.0.0.1:{port2}"]);
            arguments.extend(runtime);
            json!({
                "name": format!("interface emulator {version}, {shown}"),
                "language": language,
                "program": program,
                "arguments": arguments,
                "environment": environment,
                "directory": functions,
                "path": EMULATOR_PATH,
                // It has one instance, and refuses a second event while one runs.
                "concurrent": false,
            })
        };
        let client = json!({ "PYTHONPATH": clients.join("python") });
        let bootstrap = bootstrap.display().to_string();
        Ok(vec![
            started("rust", "Rust", &[&bootstrap], json!({})),
            started(
                "python",
                "Python (awslambdaric)",
                &[clients::PYTHON, "-m", "awslambdaric", "app.handler"],
                client,
            ),
        ])
    }

    fn built_emulator(&self, commit: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.join("emulator");
        let program = folder.join(EMULATOR_PROGRAM);
        let stamp = self.folder.join("emulator.stamp");
        if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == commit) {
            return Ok(program);
        }
        let mut go = Command::new("go");
        go.env("GOBIN", &folder).env("CGO_ENABLED", "0").current_dir(&self.folder);
        attempt(go.arg("install").arg(format!("{EMULATOR_PACKAGE}@{commit}")))?;
        fs::write(&stamp, commit).map_err(|e| Error::file(&stamp, e))?;
        Ok(program)
    }
}

/// Runs an installer, and keeps the end of what it says when it fails.
fn attempt(command: &mut Command) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| process::not_started(command, &e))?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let program = command.get_program().to_string_lossy().into_owned();
    Err(Error::Program(format!("{program} could not install it: {}", reason(&said))))
}

/// The last lines of an output, as one.
fn reason(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(REASON)..].join("; ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{attempt, reason};

    #[test]
    fn why_an_installation_failed_is_kept() {
        assert_eq!(reason("a\n\n b \nc\nd\n"), "b; c; d");
        assert_eq!(reason(""), "");
        assert!(attempt(&mut Command::new("true")).is_ok());
        let mut command = Command::new("sh");
        let error = attempt(command.args(["-c", "echo too old >&2; exit 1"])).unwrap_err();
        assert_eq!(error.to_string(), "sh could not install it: too old");
        assert!(attempt(&mut Command::new("/no/such/program")).is_err());
    }
}
