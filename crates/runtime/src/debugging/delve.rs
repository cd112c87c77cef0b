//! Delve, Go's debugger. It attaches to a process from outside: a sandbox lets nobody trace anything inside.
//!
//! One runs for each connection of an editor, and lets go of the process when that ends.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How often it is looked for what is not there yet.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How long it may take to remove its breakpoints.
const GRACE: Duration = Duration::from_secs(10);

/// A running Delve.
pub(super) struct Delve(Child);

impl Delve {
    /// Stops a process and waits for commands on a connection, which are those of JSON-RPC or of the Debug Adapter
    /// Protocol.
    ///
    /// # Errors
    /// Delve is not there, or cannot attach; it has said why on its standard error output.
    pub(super) async fn attach(process: i32) -> io::Result<(Self, TcpStream)> {
        let mut delve = Command::new("dlv")
            .args([
                "attach",
                &process.to_string(),
                "--headless",
                "--api-version=2",
                "--check-go-version=false",
            ])
            .arg("--listen=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let ended = || io::Error::other("dlv has ended");
        let mut lines = BufReader::new(delve.stdout.take().ok_or_else(ended)?).lines();
        let address = loop {
            let line = lines.next_line().await?.ok_or_else(ended)?;
            let address =
                line.rsplit_once("listening at: ").map(|(_, address)| address.parse::<SocketAddr>());
            if let Some(address) = address {
                break address.map_err(io::Error::other)?;
            }
        };
        // It must be able to go on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // It listens before it has stopped all threads.
        while !is_traced(process)? {
            if delve.try_wait()?.is_some() {
                return Err(ended());
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok((Self(delve), TcpStream::connect(address).await?))
    }

    /// Waits until it has let go of the process, which it does when its connection has ended.
    pub(super) async fn leave(mut self) {
        let _ = tokio::time::timeout(GRACE, self.0.wait()).await;
    }
}

/// Whether a connection comes from root or from the user of this process. Delve does what it is told with this process's
/// rights, also beside the function: it writes core dumps wherever it is asked to.
pub(super) fn may_command(connection: &TcpStream) -> bool {
    let name = |address: io::Result<SocketAddr>| match address {
        // As proc_pid_net(5) writes them.
        Ok(SocketAddr::V4(address)) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
        }
        _ => None,
    };
    let (Some(theirs), Some(ours)) = (name(connection.peer_addr()), name(connection.local_addr())) else {
        return false;
    };
    let own = std::fs::metadata("/proc/self").map(|about| about.uid()).ok();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let user = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = fields.next() == Some(theirs.as_str()) && fields.next() == Some(ours.as_str());
        is_it.then(|| fields.nth(4)?.parse::<u32>().ok())?
    });
    user.is_some_and(|user| user == 0 || Some(user) == own)
}

/// The child of a sandbox's init that runs a program.
pub(super) fn process_of(init: i32, program: &Path) -> Option<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{init}/task")).ok()?.flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let runs = |process: &i32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(program.as_os_str().as_encoded_bytes())
    };
    let ids = children.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    ids.filter_map(|id| id.parse().ok()).find(runs)
}

/// Whether somebody traces all threads of a process.
fn is_traced(process: i32) -> io::Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        if status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", "0"])) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_of_ones_own_may_command() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(may_command(&listener.accept().await.unwrap().0));
        let listener = tokio::net::TcpListener::bind("[::1]:0").await;
        if let Ok(listener) = listener {
            let _other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            assert!(!may_command(&listener.accept().await.unwrap().0), "whose it is cannot be told");
        }
    }

    #[test]
    fn the_program_is_told_from_other_children() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start = |path: &str| std::process::Command::new(path).arg("60").spawn().unwrap();
        let (mut other, mut program) = (start("sleep"), start("/bin/sleep"));
        let (tries, wanted) = (0..500, i32::try_from(program.id()).unwrap());
        let found = tries.into_iter().find_map(|_| {
            std::thread::yield_now();
            process_of(own, Path::new("/bin/sleep"))
        });
        assert!(!is_traced(wanted).unwrap());
        for child in [&mut other, &mut program] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found, Some(wanted));
        assert_eq!(process_of(own, Path::new("/bin/sleep")), None);
    }
}
