//! A runtime's connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that can be asked to acknowledge at once what it gets.
///
/// The kernel waits up to 40 ms for an answer to send an acknowledgement with. There is none while a response is
/// streamed, and a client that has not switched Nagle's algorithm off (lambda_runtime's) holds its next part back for
/// as long.
pub(super) struct Connection {
    stream: TcpStream,
    eager: Eager,
}

/// Whether what arrives is acknowledged at once.
#[derive(Clone, Default)]
pub(super) struct Eager(Arc<AtomicBool>);

impl Eager {
    pub(super) fn set(&self, eager: bool) {
        self.0.store(eager, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, eager: Eager) -> Self {
        Self { stream, eager }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.eager.0.load(Ordering::Relaxed) {
            // It sends what is due, and holds for a while only. Without it the response is late, not wrong.
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, true);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
