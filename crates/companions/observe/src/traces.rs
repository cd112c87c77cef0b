//! The X-Ray daemon as programs see it: segments as datagrams, questions about sampling over connections.
//!
//! Nothing is kept here yet. With a daemon upstream (the X-Ray daemon, or any collector with its interface)
//! everything is handed on to it; without one segments are counted and shown in the log at the level `debug`,
//! and questions are answered by "there is none", upon which SDKs sample by their own rules.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// Longest datagram over IPv4.
const LONGEST: usize = 65_507;
/// Connections of one program at a time; more wait.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest request that is read before it is refused.
const LONGEST_REQUEST: usize = 16 * 1024;
const NO_DAEMON: &str = r#"{"message":"lambd has no X-Ray daemon to ask: start it with --xray-daemon ADDR"}"#;

/// Takes what programs send to their X-Ray daemon. Clones share everything.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Option<Upstream>,
    segments: AtomicU64,
    told: AtomicBool,
}

#[derive(Debug)]
struct Upstream {
    address: SocketAddr,
    socket: UdpSocket,
    /// Whether the last datagram could not be sent.
    fails: AtomicBool,
}

/// Serves the sockets of one program until dropped.
#[derive(Debug)]
pub struct ServingTraces(AbortHandle);

impl Drop for ServingTraces {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The line before a segment.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

impl Traces {
    /// Hands everything on to the X-Ray daemon at this address, or to none.
    ///
    /// # Errors
    /// When no socket can be had.
    pub async fn start(upstream: Option<SocketAddr>) -> io::Result<Self> {
        let upstream = match upstream {
            Some(address) => Some(Upstream::new(address).await?),
            None => None,
        };
        Ok(Self(Arc::new(Inner { upstream, segments: AtomicU64::new(0), told: AtomicBool::new(false) })))
    }

    /// Datagrams with a segment that have come so far.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.0.segments.load(Ordering::Relaxed)
    }

    /// Serves the sockets of one program; `source` names it in the log. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the sockets cannot be registered.
    pub fn serve(
        &self,
        datagrams: std::net::UdpSocket,
        connections: std::net::TcpListener,
        source: &str,
    ) -> io::Result<ServingTraces> {
        let datagrams = UdpSocket::from_std(datagrams)?;
        let connections = TcpListener::from_std(connections)?;
        let (traces, source) = (self.clone(), source.to_owned());
        let task = tokio::spawn(async move {
            tokio::join!(traces.receive(datagrams, &source), traces.accept(connections));
        });
        Ok(ServingTraces(task.abort_handle()))
    }

    async fn receive(&self, datagrams: UdpSocket, source: &str) {
        while datagrams.readable().await.is_ok() {
            // Only while there is something: most programs never send any.
            let mut buffer = vec![0; LONGEST];
            while let Ok(length) = datagrams.try_recv(&mut buffer) {
                self.take(&buffer[..length], source).await;
                // A flood must not keep others waiting.
                tokio::task::consume_budget().await;
            }
        }
    }

    async fn take(&self, datagram: &[u8], source: &str) {
        let Some(document) = document(datagram) else {
            tracing::debug!(
                source,
                bytes = datagram.len(),
                "a datagram to the X-Ray daemon is not a segment"
            );
            return;
        };
        self.0.segments.fetch_add(1, Ordering::Relaxed);
        match &self.0.upstream {
            Some(upstream) => upstream.send(datagram).await,
            None => {
                if !self.0.told.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        source,
                        "trace segments are counted and not kept: no --xray-daemon is set"
                    );
                }
                tracing::debug!(source, segment = %String::from_utf8_lossy(document), "trace segment");
            }
        }
    }

    async fn accept(&self, connections: TcpListener) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        // Dropped with this future, and all that is under way with it.
        let mut under_way = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((client, _)) = connections.accept().await else { continue };
            let upstream = self.0.upstream.as_ref().map(|upstream| upstream.address);
            under_way.spawn(async move {
                if let Err(error) = answer(client, upstream).await {
                    tracing::debug!(%error, "a question to the X-Ray daemon was not answered");
                }
                drop(place);
            });
            while under_way.try_join_next().is_some() {}
        }
    }
}

impl Upstream {
    async fn new(address: SocketAddr) -> io::Result<Self> {
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        Ok(Self { address, socket: UdpSocket::bind(any).await?, fails: AtomicBool::new(false) })
    }

    async fn send(&self, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, self.address).await;
        let failed_before = self.fails.swap(sent.is_err(), Ordering::Relaxed);
        if let Err(error) = sent
            && !failed_before
        {
            tracing::warn!(%error, address = %self.address, "cannot reach the X-Ray daemon");
        }
    }
}

/// What follows the header line; `None` when there is no such header.
fn document(datagram: &[u8]) -> Option<&[u8]> {
    let end = datagram.iter().position(|byte| *byte == b'\n')?;
    let header: Header = serde_json::from_slice(&datagram[..end]).ok()?;
    let document = &datagram[end + 1..];
    (header.format == "json" && header.version == 1 && !document.is_empty()).then_some(document)
}

/// Hands a connection on, or says that there is nobody to ask.
async fn answer(mut client: TcpStream, upstream: Option<SocketAddr>) -> io::Result<()> {
    let Some(address) = upstream else {
        return in_time(refuse(client)).await;
    };
    let mut daemon = in_time(TcpStream::connect(address)).await?;
    tokio::io::copy_bidirectional(&mut client, &mut daemon).await?;
    Ok(())
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn refuse(mut client: TcpStream) -> io::Result<()> {
    // To the end of the request's head, so that the client has nothing unread when the answer comes.
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < LONGEST_REQUEST {
        if client.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{NO_DAEMON}", NO_DAEMON.len());
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    // What is left of the body; closing with something unread would break the connection.
    while client.read_buf(&mut request).await? != 0 && request.len() < LONGEST_REQUEST {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &[u8] = b"{\"format\": \"json\", \"version\": 1}\n{\"name\": \"f\"}";

    async fn served(upstream: Option<SocketAddr>) -> (Traces, ServingTraces, SocketAddr, SocketAddr) {
        let traces = Traces::start(upstream).await.unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (to_udp, to_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let serving = traces.serve(udp, tcp, "test").unwrap();
        (traces, serving, to_udp, to_tcp)
    }

    async fn ask(address: SocketAddr) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"POST /GetSamplingRules HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn a_segment_follows_its_header() {
        assert_eq!(document(SEGMENT), Some(b"{\"name\": \"f\"}".as_slice()));
        for bad in [
            "",
            "{}",
            "{}\nx",
            "{\"format\":\"json\",\"version\":2}\nx",
            "{\"format\":\"json\",\"version\":1}\n",
        ] {
            assert_eq!(document(bad.as_bytes()), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn segments_and_questions_are_handed_on() {
        let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = daemon.local_addr().unwrap();
        let questions = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move {
            let (mut client, _) = questions.accept().await.unwrap();
            let mut head = [0; 27];
            client.read_exact(&mut head).await.unwrap();
            client.write_all(&[b"rules for ", &head[..]].concat()).await.unwrap();
        });
        let (traces, _serving, udp, tcp) = served(Some(address)).await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"not a segment", udp).await.unwrap();
        client.send_to(SEGMENT, udp).await.unwrap();
        let mut buffer = [0; 128];
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], SEGMENT);
        assert_eq!(traces.segments(), 1);
        assert_eq!(ask(tcp).await, "rules for POST /GetSamplingRules HTTP");
    }

    #[tokio::test]
    async fn without_a_daemon_segments_are_counted_and_questions_refused() {
        let (traces, serving, udp, tcp) = served(None).await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(SEGMENT, udp).await.unwrap();
        let answer = ask(tcp).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with(NO_DAEMON), "{answer}");
        while traces.segments() == 0 {
            tokio::task::yield_now().await;
        }
        drop(serving);
        while TcpStream::connect(tcp).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
