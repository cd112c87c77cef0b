//! The floor: a hyper server that echoes request bodies and does nothing else.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::error::Error;

/// The argument with which this program becomes the floor.
pub(crate) const TASK: &str = "floor";

/// The floor in a process of its own, ended with its owner.
#[derive(Debug)]
pub(crate) struct Floor {
    process: Child,
    address: SocketAddr,
}

impl Floor {
    pub(crate) fn start() -> Result<Self, Error> {
        let program = std::env::current_exe()?;
        let mut process =
            Command::new(program).arg(TASK).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line
            .trim()
            .parse()
            .map_err(|_| Error::Process("the floor did not say where it listens".to_owned()))?;
        Ok(Self { process, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Serves until killed, on a free port that is printed first.
pub(crate) fn serve() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away ends its connection; that is all there is to it.
                let _closed = connection.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
            });
        }
    })
}

async fn echo(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Parts>>, Infallible> {
    let parts = Parts::of(request.uri().path());
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::new(parts.map_or_else(|| Either::Left(Full::new(body)), Either::Right)))
}

/// The path that streams so many parts of so many bytes.
pub(crate) fn stream_path(parts: usize, bytes: usize) -> String {
    format!("/stream/{parts}/{bytes}")
}

/// A body in chunks.
struct Parts {
    left: usize,
    part: Bytes,
}

impl Parts {
    fn of(path: &str) -> Option<Self> {
        let (parts, bytes) = path.strip_prefix("/stream/")?.split_once('/')?;
        Some(Self { left: parts.parse().ok()?, part: vec![b'x'; bytes.parse().ok()?].into() })
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(self.part.clone()))))
    }
}
