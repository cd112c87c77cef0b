//! Running a program of a root file system once, which happens nowhere but in a sandbox.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lambd_types::NetworkPolicy;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::environment;
use crate::layout::Layout;
use crate::ports::{Base, Blueprint, Exit, Sandboxes, SpawnError, View};

/// A program that takes longer is not one to run functions on.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A program, and what it needs.
pub(super) struct Trial<'a> {
    /// The directory that holds the root file system.
    pub(super) root: &'a Path,
    /// The program's path inside.
    pub(super) program: &'a Path,
    pub(super) args: &'a [&'a str],
    /// Host directories that appear inside: (host path, path inside).
    pub(super) binds: Vec<(PathBuf, PathBuf)>,
    /// No output is longer; the rest is left out.
    pub(super) output_max: u64,
}

/// How a program ended, if it did in time, and what it wrote.
pub(super) struct Outcome {
    pub(super) exit: Option<Exit>,
    pub(super) output: Vec<u8>,
}

impl Trial<'_> {
    /// Runs it to its end, or until [`PATIENCE`] is over.
    pub(super) async fn run(self, sandboxes: &dyn Sandboxes) -> Result<Outcome, SpawnError> {
        let blueprint = Blueprint {
            id: lambd_types::random::hex(&lambd_types::random::bytes::<16>()),
            command: self.program.to_owned(),
            args: self.args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: environment::search_paths(&Layout::new(&View::OwnRoot, &[], &[])).into(),
            cwd: "/".into(),
            root: Some(self.root.to_owned()),
            binds: self.binds,
            memory_bytes: 512 << 20,
            tmp_bytes: 16 << 20,
            ..Blueprint::default()
        };
        let base = Base { network: NetworkPolicy::None, own_root: true };
        let mut sandbox = sandboxes.prepare(base).await?.build(blueprint).await?;
        let mut output = Vec::new();
        let exit = async {
            if let Some(Ok(pipe)) = sandbox.take_output().map(Receiver::from_owned_fd) {
                // What cannot be read is no output; how the program ended tells more.
                let _ = pipe.take(self.output_max).read_to_end(&mut output).await;
            }
            sandbox.exited().await
        };
        let exit = tokio::time::timeout(PATIENCE, exit).await.ok();
        Ok(Outcome { exit, output })
    }
}
