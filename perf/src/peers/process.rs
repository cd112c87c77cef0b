//! A peer as a process: started on free ports, ended with all that it has started.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::daemon::family;
use crate::error::Error;

/// Time after which a peer is taken not to start. Some look at all of a workspace first.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that it has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// What of its output is shown when it fails, in bytes.
const SAID: usize = 600;
/// In arguments and variables: the port of its invocations, and others that it may need.
const PORTS: [&str; 4] = ["{port}", "{port2}", "{port3}", "{port4}"];

/// How a peer is started and asked.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Of its function: `rust`, `python` or `node`.
    pub(crate) language: String,
    program: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    directory: String,
    /// Where its function is invoked.
    pub(crate) path: String,
    /// Whether it takes more than one request at a time.
    pub(crate) concurrent: bool,
}

impl Peer {
    /// Reads `{"name", "language", "program", "arguments", "environment", "directory", "path", "concurrent"}`.
    pub(crate) fn read(document: &Value) -> Result<Self, Error> {
        let read = || {
            let text = |key: &str| document[key].as_str().map(str::to_owned);
            let strings = |list: &Vec<Value>| -> Option<Vec<String>> {
                list.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            };
            let environment = document["environment"].as_object()?;
            let environment = environment.iter().map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())));
            Some(Self {
                name: text("name")?,
                language: text("language")?,
                program: text("program")?,
                arguments: strings(document["arguments"].as_array()?)?,
                environment: environment.collect::<Option<_>>()?,
                directory: text("directory")?,
                path: text("path")?,
                concurrent: document["concurrent"].as_bool()?,
            })
        };
        read().ok_or_else(|| Error::Usage(format!("no peer: {document}")))
    }
}

/// A peer that takes requests; ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
    /// From starting the process until it accepts connections.
    pub(crate) listening_after: Duration,
    output: NamedTempFile,
}

impl Running {
    /// Starts a peer on ports that nobody has, and waits until it accepts connections.
    pub(crate) fn start(peer: &Peer) -> Result<Self, Error> {
        let held = PORTS.map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut ports = Vec::with_capacity(PORTS.len());
        for listener in held {
            ports.push(listener?.local_addr()?);
        }
        let filled = |text: &str| {
            PORTS.iter().zip(&ports).fold(text.to_owned(), |text, (name, address)| {
                text.replace(name, &address.port().to_string())
            })
        };
        let output = NamedTempFile::new()?;
        let writer = || File::options().append(true).open(output.path());
        let mut command = Command::new(&peer.program);
        command.args(peer.arguments.iter().map(|argument| filled(argument))).current_dir(&peer.directory);
        command.envs(peer.environment.iter().map(|(name, value)| (name, filled(value))));
        command.stdin(Stdio::null()).stdout(writer()?).stderr(writer()?);
        let start = Instant::now();
        let process = command.spawn().map_err(|e| Error::file(peer.program.as_ref(), e))?;
        let mut running = Self { process, address: ports[0], listening_after: Duration::ZERO, output };
        while TcpStream::connect(running.address).is_err() {
            let ended = running.process.try_wait()?;
            if start.elapsed() > PATIENCE || ended.is_some() {
                let how =
                    ended.map_or_else(|| "does not listen".to_owned(), |status| format!("ended: {status}"));
                return Err(Error::Process(format!("it {how}\n{}", running.said())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        running.listening_after = start.elapsed();
        Ok(running)
    }

    /// The end of what it wrote.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read(self.output.path()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SAID)..]).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Some of them put functions into process groups of their own, so each is ended by its number.
        let all = family(self.process.id()).unwrap_or_default();
        let signal = |name: &str, process: u32| {
            let mut kill = Command::new("kill");
            kill.args([name, &process.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
            let _it_may_have_ended = kill.status();
        };
        signal("-TERM", self.process.id());
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for process in all.into_iter().filter(|process| *process != self.process.id()) {
            signal("-KILL", process);
        }
        let _it_may_have_ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
