//! `runtime`'s sandboxes: `sandbox`.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_runtime::ports::{self, Blueprint, Exit, SpawnError};
use lambd_sandbox::{Bind, ExitStatus, SandboxSpec, Spawner};

pub(crate) struct Sandboxes(pub(crate) Spawner);

impl ports::Sandboxes for Sandboxes {
    fn spawn(&self, blueprint: Blueprint) -> BoxFuture<'_, Result<Box<dyn ports::Sandbox>, SpawnError>> {
        Box::pin(async move {
            let spawned = self.0.spawn(spec(blueprint)).await;
            let mut sandbox = spawned.map_err(|error| SpawnError(with_causes(&error)))?;
            let listeners = sandbox.take_listeners();
            let output = Some(sandbox.take_output());
            Ok(Box::new(Sandbox { sandbox, listeners, output }) as Box<dyn ports::Sandbox>)
        })
    }
}

fn spec(blueprint: Blueprint) -> SandboxSpec {
    let Blueprint { id, command, args, env, cwd, binds, symlinks, memory_bytes, tmp_bytes, listeners } =
        blueprint;
    let binds = binds.into_iter().map(|(source, target)| Bind { source, target }).collect();
    SandboxSpec { id, command, args, env, cwd, binds, symlinks, memory_bytes, tmp_bytes, listeners }
}

struct Sandbox {
    sandbox: lambd_sandbox::Sandbox,
    listeners: Vec<TcpListener>,
    output: Option<OwnedFd>,
}

impl ports::Sandbox for Sandbox {
    fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    fn take_output(&mut self) -> Option<OwnedFd> {
        self.output.take()
    }

    fn exited(&self) -> BoxFuture<'static, Exit> {
        let exited = self.sandbox.exited();
        Box::pin(async move { translate(exited.await) })
    }

    fn freeze(&self) -> io::Result<()> {
        self.sandbox.freeze()
    }

    fn thaw(&self) -> io::Result<()> {
        self.sandbox.thaw()
    }

    fn limit_cpu(&self) -> io::Result<()> {
        Ok(())
    }

    fn terminate(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sandbox.terminate(grace))
    }

    fn kill(&self) {
        self.sandbox.kill();
    }

    fn memory_peak_bytes(&self) -> Option<u64> {
        self.sandbox.memory_peak_bytes()
    }
}

fn translate(status: ExitStatus) -> Exit {
    match status {
        ExitStatus::Exited(code) => Exit::Exited(code),
        ExitStatus::Signaled(signal) => Exit::Signaled(signal),
        ExitStatus::OutOfMemory => Exit::OutOfMemory,
        ExitStatus::NotStarted(error) => {
            Exit::NotStarted(error_text(io::Error::from_raw_os_error(error.errno)))
        }
        ExitStatus::Lost => Exit::Lost,
    }
}

/// The kernel's words without the number that the standard library adds.
fn error_text(error: io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
