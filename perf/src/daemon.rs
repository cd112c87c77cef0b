//! A daemon under measurement: its start, its memory, its end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::error::Error;

/// Answers as soon as the daemon takes requests.
const HEALTH: &str = "/_lambd/health";
/// A daemon that is not ready after this time will not be.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Of the daemon and its processes.
    pub(crate) own: u64,
    /// Of the programs that connect sandboxes, which are not ours.
    pub(crate) uplinks: u64,
}

/// A running daemon with a data directory of its own.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    address: SocketAddr,
    started_in: Duration,
    data: TempDir,
}

impl Daemon {
    /// Starts a daemon on a free port and waits until it is ready.
    pub(crate) fn start(program: &Path) -> Result<Self, Error> {
        Self::start_with(program, &[])
    }

    /// The same with further options.
    pub(crate) fn start_with(program: &Path, further: &[&str]) -> Result<Self, Error> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = tempfile::Builder::new().prefix("lambd-bench-").tempdir()?;
        let log = data.path().join("daemon.log");
        let output = fs::File::create(&log).map_err(|e| Error::file(&log, e))?;
        let errors = output.try_clone().map_err(|e| Error::file(&log, e))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &address.to_string(), "--data"]).arg(data.path().join("data"));
        // What is measured is the daemon, not limits that it is to keep.
        command.args(["--scaling", "off", "--requests-per-execution", "off"]).args(further);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let start = Instant::now();
        let mut process = command.spawn()?;
        loop {
            if healthy(address) {
                break;
            }
            if start.elapsed() > PATIENCE || process.try_wait()?.is_some() {
                let log = fs::read_to_string(&log).unwrap_or_default();
                // What matters is why it is not ready.
                let _ended = process.kill().and_then(|()| process.wait());
                return Err(Error::Process(format!("{} did not become ready:\n{log}", program.display())));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Self { process, address, started_in: start.elapsed(), data })
    }

    /// Whether the program's help on `serve` has an option.
    pub(crate) fn has_option(program: &Path, option: &str) -> Result<bool, Error> {
        let help = Command::new(program).args(["serve", "--help"]).stdin(Stdio::null()).output();
        let help = help.map_err(|e| Error::file(program, e))?;
        Ok(String::from_utf8_lossy(&help.stdout).split_ascii_whitespace().any(|word| word == option))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// From starting the process to the first good answer.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Memory of the daemon and of every process that it started, shared pages counted in part.
    pub(crate) fn memory(&self) -> Result<Memory, Error> {
        let mut memory = Memory::default();
        for process in family(self.process.id())? {
            let rollup = Path::new("/proc").join(process.to_string()).join("smaps_rollup");
            let text = match fs::read_to_string(&rollup) {
                Ok(text) => text,
                // It ended meanwhile.
                Err(_) if !rollup.exists() => continue,
                Err(error) => return Err(Error::file(&rollup, error)),
            };
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib = line
                .and_then(|line| line.trim().strip_suffix(" kB"))
                .and_then(|kib| kib.trim().parse::<u64>().ok());
            let bytes = 1024 * kib.ok_or(Error::Protocol("no Pss in smaps_rollup"))?;
            let name = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("comm"));
            let is_uplink = name.is_ok_and(|name| name.starts_with("pasta") || name.starts_with("passt"));
            *if is_uplink { &mut memory.uplinks } else { &mut memory.own } += bytes;
        }
        Ok(memory)
    }

    /// Asks the daemon to stop, as an operator would, and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        let status = Command::new("kill").arg(self.process.id().to_string()).status()?;
        if !status.success() {
            return Err(Error::Process("the daemon had already ended".to_owned()));
        }
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                return Err(Error::Process("the daemon does not stop on SIGTERM".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What the daemon wrote to its terminal.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a stop there is nothing left to end.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn healthy(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::connect(address) else { return false };
    let request = client.request("GET", HEALTH, b"");
    client.send(&request).is_ok_and(|answer| answer.status == 200)
}

/// A process and all its descendants.
pub(crate) fn family(root: u32) -> Result<Vec<u32>, Error> {
    let mut parents = Vec::new();
    let folder = Path::new("/proc");
    for entry in fs::read_dir(folder).map_err(|e| Error::file(folder, e))? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while the list is read.
        let Ok(stat) = fs::read_to_string(folder.join(process.to_string()).join("stat")) else { continue };
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        if let Some(parent) = after_name.split(' ').nth(1).and_then(|p| p.parse::<u32>().ok()) {
            parents.push((process, parent));
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(process, _)| *process));
        at += 1;
    }
    Ok(family)
}
