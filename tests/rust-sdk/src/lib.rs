//! A real daemon for the tests that use the AWS SDK for Rust.
//!
//! The tests see lambd as any client does, so this crate depends on none of lambd's. It needs two
//! things that `cargo xtask test` builds and names in the environment: `LAMBD_BIN`, the daemon, and
//! `LAMBD_RUST_ECHO_ZIP`, the package of a test function.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that is not ready after this time will not be.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file that a variable names, or a panic that says how to get it.
pub fn given(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set: run this suite with `cargo xtask test --only rust-sdk`"),
    }
}

/// A running daemon with a data directory of its own; ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon on a free port and waits until it serves.
    ///
    /// # Panics
    /// If it does not.
    pub fn start() -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = probe.local_addr().expect("the address of a listener");
        drop(probe);
        let data =
            tempfile::Builder::new().prefix("lambd-rust-sdk-").tempdir().expect("a temporary directory");
        let process = Command::new(given("LAMBD_BIN"))
            .args(["serve", "--listen", &address.to_string(), "--data"])
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("LAMBD_BIN starts");
        let mut daemon = Self { process, address, _data: data };
        let start = Instant::now();
        while http(address, "GET", "/_lambd/health", "", "")
            .is_none_or(|answer| !answer.starts_with("HTTP/1.1 200"))
        {
            let ended = daemon.process.try_wait().expect("the daemon's status");
            assert!(ended.is_none(), "the daemon ended: {ended:?}");
            assert!(start.elapsed() < PATIENCE, "the daemon did not become ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    /// What SDKs call the endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls IAM, whose SDK is too large to build for three calls: the answer's text.
    ///
    /// # Panics
    /// If the answer is not a success.
    pub fn iam(&self, form: &str) -> String {
        let headers = "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
            Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=00\r\n";
        let answer = http(self.address, "POST", "/", headers, form).expect("an answer of IAM");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Downloads a link, body only.
    ///
    /// # Panics
    /// If the link is not of this daemon or does not work.
    pub fn download(&self, link: &str) -> Vec<u8> {
        let path = link.strip_prefix(&self.url()).expect("a link to this daemon");
        let answer = exchange(self.address, "GET", path, "", "").expect("an answer");
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..head]));
        answer[head + 4..].to_vec()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; the test has noticed.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn http(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
    exchange(address, method, path, headers, body).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}

/// One request on a connection that the server closes.
fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}
