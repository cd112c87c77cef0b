//! Bringing one function into the daemon: build, package, create or update, wait.

use std::process::Stdio;
use std::time::{Duration, Instant};

use lambd_types::Sha256Digest;

use crate::client::{Client, ClientError, Environment, FunctionChange, NewFunction};
use crate::ports::RuntimeFound;
use crate::project::{Code, FunctionSpec, PackageError, package, resolve_runtime};

/// How long a function may take to become active.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a deploy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Updated,
    /// The daemon already had exactly this.
    None,
}

/// A function that the daemon now has.
#[derive(Debug, Clone)]
pub(super) struct Deployed {
    pub(super) change: Change,
    /// The identifier that a family was resolved to.
    pub(super) runtime: String,
    /// Bytes of the package.
    pub(super) size: usize,
    pub(super) took: Duration,
}

/// Why a function was not deployed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeployError {
    #[error("{0}")]
    Runtime(String),
    #[error("build `{command}` failed ({status})\n{output}")]
    Build { command: String, status: std::process::ExitStatus, output: String },
    #[error("build `{command}` cannot run: {source}")]
    BuildStart { command: String, source: std::io::Error },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("packaging was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("not active after {} s", PATIENCE.as_secs())]
    Slow,
}

/// Where to deploy to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) runtimes: Vec<RuntimeFound>,
    pub(super) role: String,
}

impl Target {
    /// Deploys one function and waits until its new code answers.
    pub(super) async fn deploy(&self, spec: &FunctionSpec) -> Result<Deployed, DeployError> {
        let runtime = resolve_runtime(&spec.runtime, &self.runtimes).map_err(DeployError::Runtime)?;
        build(&spec.code).await?;
        let started = Instant::now();
        let code = spec.code.clone();
        let zip = tokio::task::spawn_blocking(move || package(&code)).await??;
        let size = zip.len();
        let wanted = FunctionChange {
            runtime: runtime.clone(),
            handler: spec.handler.clone(),
            role: self.role.clone(),
            description: spec.description.clone(),
            memory_size: spec.memory.get(),
            timeout: spec.timeout.get(),
            environment: Environment { variables: spec.environment.clone() },
        };
        let upload = self.upload(spec, &wanted, zip);
        let change = tokio::time::timeout(PATIENCE, upload).await.map_err(|_| DeployError::Slow)??;
        Ok(Deployed { change, runtime, size, took: started.elapsed() })
    }

    async fn upload(
        &self,
        spec: &FunctionSpec,
        wanted: &FunctionChange,
        zip: Vec<u8>,
    ) -> Result<Change, ClientError> {
        let (client, name) = (&self.client, spec.name.as_str());
        let Some(current) = client.function(name).await? else {
            let new = NewFunction { name, configuration: wanted, tags: &spec.tags, zip: &zip };
            client.create_function(new).await?;
            client.wait_until_ready(name).await?;
            return Ok(Change::Created);
        };
        let mut change = Change::None;
        let tags = client.tags(name).await?;
        if tags != spec.tags {
            client.replace_tags(&current.function_arn, &tags, &spec.tags).await?;
            change = Change::Updated;
        }
        if current.code_sha256 != Sha256Digest::of(&zip).to_base64() {
            client.update_code(name, &zip).await?;
            client.wait_until_ready(name).await?;
            change = Change::Updated;
        }
        if !wanted.is_in(&current) {
            client.update_configuration(name, wanted).await?;
            client.wait_until_ready(name).await?;
            change = Change::Updated;
        }
        Ok(change)
    }
}

async fn build(code: &Code) -> Result<(), DeployError> {
    let Code::Folder { root, build: Some(command), .. } = code else { return Ok(()) };
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| DeployError::BuildStart { command: command.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let both = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&both).trim_end().to_owned();
    Err(DeployError::Build {
        command: command.clone(),
        status: output.status,
        output: last_lines(&output_text, 20),
    })
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_build_shows_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let code = |build: &str| Code::Folder {
            root: dir.path().into(),
            package: dir.path().into(),
            build: Some(build.into()),
        };
        build(&code("echo made > made")).await.unwrap();
        assert!(dir.path().join("made").is_file(), "it runs in the folder");
        let error = build(&code("echo one; echo two >&2; exit 3")).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("one\ntwo"), "{error}");
    }
}
