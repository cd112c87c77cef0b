//! `runtime`'s sandboxes: `sandbox`.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use lambd_runtime::ports::{self, Addresses, Blueprint, Exit, Gate, Image, Origin, SpawnError, View};
use lambd_sandbox::{
    Ahead, Base, BaseRoot, Bind, Captured, CompanionEnd, Companions, ExecError, ExitStatus, Listener,
    ListenerSocket, Network, SandboxError, SandboxSpec, Spawner, Transport,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::network;

pub(crate) struct Sandboxes(pub(crate) Spawner);

/// Endpoints of a sandbox in the order in which [`Sandboxes`] takes them. The ports are those of the
/// service's environment and of local AWS tools.
pub(crate) fn listeners() -> Vec<Listener> {
    use Transport::{Tcp, Udp};
    let on = |(transport, port)| {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Listener { transport, address }
    };
    [(Tcp, 9001), (Tcp, 4566), (Udp, 2000), (Tcp, 2000)].map(on).into()
}

impl ports::Sandboxes for Sandboxes {
    fn prepare(&self, wanted: ports::Base) -> BoxFuture<'_, Result<Box<dyn ports::Prepared>, SpawnError>> {
        Box::pin(async move { prepared(self.0.prepare(base(wanted)).await) })
    }

    fn prepare_for(
        &self,
        wanted: ports::Base,
        program: &ports::Ahead,
    ) -> BoxFuture<'_, Result<Box<dyn ports::Prepared>, SpawnError>> {
        let program = ahead(program);
        Box::pin(async move { prepared(self.0.prepare_for(base(wanted), &program).await) })
    }

    fn expect(&self, wanted: ports::Base, program: &ports::Ahead) {
        self.0.expect(base(wanted), &ahead(program));
    }

    fn takes_images(&self) -> bool {
        self.0.takes_images()
    }
}

fn base(base: ports::Base) -> Base {
    let root = if base.own_root { BaseRoot::Directory } else { BaseRoot::Host };
    Base { network: network::of_sandbox(base.network), root }
}

fn ahead(program: &ports::Ahead) -> Arc<Ahead> {
    let ports::Ahead { command, args, env, binds, symlinks, tmp_bytes, directories, can_be_captured } =
        program.clone();
    let binds = binds.into_iter().map(bind).collect();
    Arc::new(Ahead { command, args, env, binds, symlinks, tmp_bytes, directories, can_be_captured })
}

fn bind((source, target): (PathBuf, PathBuf)) -> Bind {
    Bind { source, target }
}

fn prepared(
    made: Result<lambd_sandbox::Prepared, SandboxError>,
) -> Result<Box<dyn ports::Prepared>, SpawnError> {
    let prepared = made.map_err(spawn_error)?;
    let &[runtime_api, aws, xray_udp, xray_tcp] = prepared.addresses() else {
        return Err(SpawnError("the sandbox lacks a listener".into()));
    };
    let addresses = Addresses { runtime_api, aws, xray_udp, xray_tcp };
    Ok(Box::new(Prepared { prepared, addresses }))
}

struct Prepared {
    prepared: lambd_sandbox::Prepared,
    addresses: Addresses,
}

impl ports::Prepared for Prepared {
    fn addresses(&self) -> Addresses {
        self.addresses
    }

    fn view(&self) -> View {
        self.prepared.tmp().map_or(View::OwnRoot, |tmp| View::Host { tmp: tmp.to_owned() })
    }

    fn build(
        self: Box<Self>,
        blueprint: Blueprint,
    ) -> BoxFuture<'static, Result<Box<dyn ports::Sandbox>, SpawnError>> {
        Box::pin(async move {
            let network = self.prepared.base().network;
            let origin = blueprint.origin.clone();
            let spec = spec(blueprint, network);
            let built = match &origin {
                Origin::Program | Origin::ToBeCaptured { .. } => self.prepared.build(spec).await,
                Origin::Image(image) => match image.handle.downcast_ref::<Captured>() {
                    Some(image) => self.prepared.restore(spec, image).await,
                    None => return Err(SpawnError("the image is of another kind".into())),
                },
            };
            let mut sandbox = built.map_err(spawn_error)?;
            let gate = sandbox.shares_network().then(|| {
                let peers = sandbox.peers();
                Gate::new(move |peer, local| peers.include(peer, local))
            });
            let listeners = endpoints(sandbox.take_listeners(), gate);
            let output = Some(sandbox.take_output());
            Ok(Box::new(Sandbox { sandbox, listeners, output }) as Box<dyn ports::Sandbox>)
        })
    }
}

fn endpoints(sockets: Vec<ListenerSocket>, gate: Option<Gate>) -> Option<ports::Listeners> {
    use ListenerSocket::{Tcp, Udp};
    match <[ListenerSocket; 4]>::try_from(sockets) {
        Ok([Tcp(runtime_api), Tcp(aws), Udp(xray_udp), Tcp(xray_tcp)]) => {
            Some(ports::Listeners { runtime_api, aws, xray_udp, xray_tcp, gate })
        }
        _ => None,
    }
}

fn spec(blueprint: Blueprint, network: Network) -> SandboxSpec {
    let Blueprint {
        id,
        command,
        args,
        env,
        cwd,
        root,
        binds,
        symlinks,
        memory_bytes,
        tmp_bytes,
        companions: ports::Companions { commands, env: companion_env, cwd: companion_cwd },
        origin,
    } = blueprint;
    let door = match origin {
        Origin::ToBeCaptured { door } => Some(door),
        Origin::Program | Origin::Image(_) => None,
    };
    let binds = binds.into_iter().map(bind).collect();
    let companions = Companions { commands, env: companion_env, cwd: companion_cwd };
    SandboxSpec {
        id,
        command,
        args,
        env,
        cwd,
        root,
        binds,
        symlinks,
        memory_bytes,
        tmp_bytes,
        network,
        companions,
        door,
    }
}

fn spawn_error(error: SandboxError) -> SpawnError {
    SpawnError(with_causes(&error))
}

struct Sandbox {
    sandbox: lambd_sandbox::Sandbox,
    listeners: Option<ports::Listeners>,
    output: Option<OwnedFd>,
}

impl ports::Sandbox for Sandbox {
    fn take_listeners(&mut self) -> Option<ports::Listeners> {
        self.listeners.take()
    }

    fn take_output(&mut self) -> Option<OwnedFd> {
        self.output.take()
    }

    fn take_companion_output(&mut self) -> Option<OwnedFd> {
        self.sandbox.take_companion_output()
    }

    fn take_companion_ends(&mut self) -> Option<BoxStream<'static, (usize, Exit)>> {
        let ends = self.sandbox.take_companion_ends()?;
        let translated = |end: CompanionEnd| (end.index, translate(end.status));
        let next =
            |mut ends: UnboundedReceiver<CompanionEnd>| async move { Some((ends.recv().await?, ends)) };
        Some(Box::pin(stream::unfold(ends, next).map(translated)))
    }

    fn launch(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sandbox.launch())
    }

    fn exited(&self) -> BoxFuture<'static, Exit> {
        let exited = self.sandbox.exited();
        Box::pin(async move { translate(exited.await) })
    }

    fn init(&self) -> Option<i32> {
        Some(self.sandbox.pid())
    }

    fn gone(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.sandbox.gone())
    }

    fn capture(&self) -> BoxFuture<'_, Result<Image, String>> {
        Box::pin(async move {
            let image = self.sandbox.capture().await?;
            let bytes = image.snapshot.image_bytes;
            Ok(Image { handle: Arc::new(image), bytes })
        })
    }

    fn terminate_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sandbox.terminate_program())
    }

    fn kill_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.sandbox.kill_program())
    }

    fn connect(&self, port: u16) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(self.sandbox.connect(port))
    }

    fn freeze(&self) -> io::Result<()> {
        self.sandbox.freeze()
    }

    fn thaw(&self) -> io::Result<()> {
        self.sandbox.thaw()
    }

    fn limit_cpu(&self) -> io::Result<()> {
        self.sandbox.limit_cpu()
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
        ExitStatus::NotStarted(error) => Exit::NotStarted(not_started(&error)),
        ExitStatus::Lost => Exit::Lost,
    }
}

/// The kernel's words where it refused the program; else with what was tried.
fn not_started(error: &ExecError) -> String {
    let text = || error_text(io::Error::from_raw_os_error(error.errno));
    match (error.step.as_str(), error.errno) {
        ("execve", _) => text(),
        (step, 0) => step.to_owned(),
        (step, _) => format!("{step}: {}", text()),
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
