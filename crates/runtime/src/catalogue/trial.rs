//! Running a program of a root file system once, which happens nowhere but in a sandbox.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lambd_types::NetworkPolicy;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::environment;
use crate::layout::Layout;
use crate::ports::{Base, Blueprint, Exit, Sandboxes, SpawnError};

/// A program that takes longer is not one to run functions on.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A program, and what it needs.
pub(super) struct Trial<'a> {
    /// The directory that holds the root file system; without one, the host's programs and libraries.
    pub(super) root: Option<&'a Path>,
    /// The program's path inside.
    pub(super) program: &'a Path,
    /// Its arguments where files are as the layout says.
    pub(super) args: &'a (dyn Fn(&Layout) -> Vec<String> + Sync),
    /// Host directories that appear inside: (host path, path inside).
    pub(super) binds: Vec<(PathBuf, PathBuf)>,
    /// No output is longer; the rest is left out.
    pub(super) output_max: u64,
    /// It is ended after this time.
    pub(super) patience: Duration,
    /// What it may write to `/tmp`, in bytes.
    pub(super) tmp_bytes: u64,
}

impl Default for Trial<'_> {
    fn default() -> Self {
        Self {
            root: None,
            program: Path::new("/"),
            args: &|_| Vec::new(),
            binds: Vec::new(),
            output_max: 0,
            patience: PATIENCE,
            tmp_bytes: 16 << 20,
        }
    }
}

/// How a program ended, if it did in time, and what it wrote.
pub(super) struct Outcome {
    pub(super) exit: Option<Exit>,
    pub(super) output: Vec<u8>,
}

impl Trial<'_> {
    /// Runs it to its end, or until its time is over.
    pub(super) async fn run(self, sandboxes: &dyn Sandboxes) -> Result<Outcome, SpawnError> {
        let base = Base { network: NetworkPolicy::None, own_root: self.root.is_some() };
        let prepared = sandboxes.prepare(base).await?;
        let layout = Layout::new(&prepared.view(), &self.binds, &[]);
        let blueprint = Blueprint {
            id: lambd_types::random::hex(&lambd_types::random::bytes::<16>()),
            command: self.program.to_owned(),
            args: (self.args)(&layout),
            env: environment::search_paths(&layout).into(),
            cwd: "/".into(),
            root: self.root.map(Path::to_owned),
            binds: self.binds,
            memory_bytes: 512 << 20,
            tmp_bytes: self.tmp_bytes,
            ..Blueprint::default()
        };
        let mut sandbox = prepared.build(blueprint).await?;
        let mut output = Vec::new();
        let exit = async {
            if let Some(Ok(pipe)) = sandbox.take_output().map(Receiver::from_owned_fd) {
                // What cannot be read is no output; how the program ended tells more.
                let _ = pipe.take(self.output_max).read_to_end(&mut output).await;
            }
            sandbox.exited().await
        };
        let exit = tokio::time::timeout(self.patience, exit).await.ok();
        Ok(Outcome { exit, output })
    }
}
