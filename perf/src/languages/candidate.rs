//! What is measured: programs of one language that do the same, each with more around it than the one before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::runtime_api::{Events, Protocol, RuntimeApi};
use crate::error::Error;

/// A process that does not connect in this time will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// A language, as `cargo xtask bench` has prepared it.
#[derive(Debug)]
pub(crate) struct Language {
    /// With its version.
    pub(crate) name: String,
    /// In the order in which they take turns.
    pub(crate) candidates: Vec<Candidate>,
}

/// A way to serve events.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) role: Role,
    /// What the report calls it.
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Beside those that all functions have.
    environment: BTreeMap<String, String>,
    /// The function's.
    directory: PathBuf,
}

/// What a candidate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An empty program: it starts and ends.
    Start,
    /// The least program that connects and sends back what comes.
    Echo,
    /// lambd's own bootstrap, or its way to start another's.
    Lambd,
    /// AWS's client.
    Official,
}

impl Role {
    const ALL: [(&str, Self); 4] =
        [("start", Self::Start), ("echo", Self::Echo), ("lambd", Self::Lambd), ("official", Self::Official)];

    /// Its name in documents.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }

    fn protocol(self) -> Protocol {
        if self == Self::Echo { Protocol::Echo } else { Protocol::Runtime }
    }
}

impl Language {
    /// Reads `{"name": …, "candidates": [{"role", "name", "program", "arguments", "environment", "directory"}]}`.
    pub(crate) fn read(document: &Value) -> Result<Self, Error> {
        let all = document["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
        let candidates = all.iter().map(Candidate::read).collect::<Option<Vec<_>>>();
        let name = document["name"].as_str().map(str::to_owned);
        match (name, candidates) {
            (Some(name), Some(candidates)) => Ok(Self { name, candidates }),
            _ => Err(Error::Usage(format!("no language: {document}"))),
        }
    }
}

impl Candidate {
    fn read(document: &Value) -> Option<Self> {
        let text = |key: &str| document[key].as_str().map(str::to_owned);
        let role = text("role")?;
        let environment = document["environment"].as_object()?;
        Some(Self {
            role: Role::ALL.iter().find(|(name, _)| *name == role)?.1,
            name: text("name")?,
            program: text("program")?.into(),
            arguments: document["arguments"]
                .as_array()?
                .iter()
                .map(|argument| argument.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            environment: environment
                .iter()
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
            directory: text("directory")?.into(),
        })
    }

    /// From starting the process to its end, if it is empty, else to its first answer.
    pub(crate) fn cold(&self) -> Result<Duration, Error> {
        if self.role != Role::Start {
            return self.start().map(|running| running.cold);
        }
        let start = Instant::now();
        let status = self.command("127.0.0.1:9")?.status().map_err(|e| Error::file(&self.program, e))?;
        let took = start.elapsed();
        if status.success() { Ok(took) } else { Err(Error::Process(format!("{}: {status}", self.name))) }
    }

    /// Starts the process and waits for its first answer.
    pub(crate) fn start(&self) -> Result<Running, Error> {
        let api = RuntimeApi::start(self.role.protocol(), 1)?;
        let said = tempfile::NamedTempFile::new()?;
        let mut command = self.command(&api.address().to_string())?;
        command.stderr(File::create(said.path())?);
        let start = Instant::now();
        let process = command.spawn().map_err(|e| Error::file(&self.program, e))?;
        let mut running = Running { process, api, cold: Duration::ZERO };
        match running.api.first_answer() {
            Ok(answered) => running.cold = answered - start,
            Err(error) => {
                let said = std::fs::read_to_string(said.path()).unwrap_or_default();
                return Err(Error::Process(format!("{}: {error}\n{said}", self.name)));
            }
        }
        Ok(running)
    }

    /// Starts a bare echo and waits until it has connected.
    pub(crate) fn connected(&self) -> Result<Connected, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let process = self.command(&listener.local_addr()?.to_string())?.spawn();
        let process = process.map_err(|e| Error::file(&self.program, e))?;
        let mut connected = Connected { process, stream: None };
        listener.set_nonblocking(true)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE && connected.process.try_wait()?.is_none() {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    connected.stream = Some(stream);
                    return Ok(connected);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Process(format!("{} did not connect", self.name)))
    }

    fn command(&self, api: &str) -> Result<Command, Error> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env_clear().envs([
            ("AWS_LAMBDA_RUNTIME_API", api),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ]);
        command.env("LAMBDA_TASK_ROOT", &self.directory).envs(&self.environment);
        Ok(command)
    }
}

/// A bare echo with its connection; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    process: Child,
    stream: Option<TcpStream>,
}

impl Connected {
    /// Sends bytes and waits until as many are back.
    pub(crate) fn echo(&mut self, bytes: &[u8], back: &mut [u8]) -> Result<(), Error> {
        let stream = self.stream.as_mut().ok_or(Error::Protocol("no connection"))?;
        stream.write_all(bytes)?;
        stream.read_exact(&mut back[..bytes.len()])?;
        Ok(())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _it_has_ended_already = self.process.kill();
        let _its_status_does_not_matter = self.process.wait();
    }
}

/// A process that serves; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    api: RuntimeApi,
    cold: Duration,
}

impl Running {
    /// So many events, one after the other.
    pub(crate) fn repeat(&self, events: usize) -> Result<Events, Error> {
        self.api.repeat(events)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_has_ended_already = self.process.kill();
        let _its_status_does_not_matter = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Language, Role};

    fn language(candidate: &serde_json::Value) -> serde_json::Value {
        json!({ "name": "Shell", "candidates": [candidate] })
    }

    #[test]
    fn a_language_is_read_whole_or_not_at_all() {
        let mut candidate = json!({
            "role": "start", "name": "sh", "program": "/bin/sh", "arguments": ["-c", "exit $STATUS"],
            "environment": { "STATUS": "0" }, "directory": "/",
        });
        let read = Language::read(&language(&candidate)).unwrap();
        assert_eq!((read.name.as_str(), read.candidates[0].role.name()), ("Shell", Role::Start.name()));
        assert!(read.candidates[0].cold().is_ok());
        candidate["environment"]["STATUS"] = json!("3");
        let failing = Language::read(&language(&candidate)).unwrap();
        assert!(failing.candidates[0].cold().unwrap_err().to_string().contains('3'));
        candidate["role"] = json!("other");
        assert!(Language::read(&language(&candidate)).is_err());
    }
}
