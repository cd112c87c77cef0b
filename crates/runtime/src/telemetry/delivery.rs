//! The way to one subscriber.
//!
//! There is no limit on how long a subscriber may take for a batch: it may be frozen together with its environment.
//! What comes meanwhile waits in the queue, or is dropped there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lambd_types::{Clock, SystemClock};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Category;
use super::queue::{Batch, Queue};
use super::record::logs_dropped;
use super::subscription::{Destination, Subscription};

/// Opens a connection to a port inside the environment.
pub(crate) type Connect = Arc<dyn Fn(u16) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// How often a batch is tried, and how long the first pause is; each following one is twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Delivers batches until the queue is closed and empty.
pub(super) async fn run(queue: Arc<Queue>, subscription: Subscription, connect: Connect) {
    let mut line = Line { destination: subscription.destination, connect, connection: None };
    let tells_of_loss = subscription.types.contains(&Category::Platform);
    while let Some(batch) = queue.batch().await {
        let mut records = batch.records.clone();
        if let Some(dropped) = batch.dropped.filter(|_| tells_of_loss) {
            records.insert(0, logs_dropped(SystemClock.now(), dropped));
        }
        if !records.is_empty() && deliver(&mut line, &records, &queue).await.is_err() {
            queue.lost(&Batch { records: batch.records, dropped: batch.dropped });
        }
    }
}

/// Tries a batch several times; the last of an environment, which is about to end, only once.
async fn deliver(line: &mut Line, records: &[String], queue: &Queue) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match line.send(records).await {
            Err(_) if !queue.is_closed() => {}
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    line.send(records).await
}

struct Line {
    destination: Destination,
    connect: Connect,
    connection: Option<Connection>,
}

enum Connection {
    Http(SendRequest<Full<Bytes>>),
    Tcp(TcpStream),
}

impl Line {
    /// Over the connection of the time before, if that still works.
    async fn send(&mut self, records: &[String]) -> io::Result<()> {
        let (mut connection, is_old) = match self.connection.take() {
            Some(connection) => (connection, true),
            None => (self.open().await?, false),
        };
        let mut sent = self.send_over(&mut connection, records).await;
        // A subscriber may have closed it after the batch before.
        if sent.is_err() && is_old {
            connection = self.open().await?;
            sent = self.send_over(&mut connection, records).await;
        }
        if sent.is_ok() {
            self.connection = Some(connection);
        }
        sent
    }

    async fn open(&self) -> io::Result<Connection> {
        match &self.destination {
            Destination::Tcp { port } => Ok(Connection::Tcp((self.connect)(*port).await?)),
            Destination::Http { port, .. } => {
                let stream = (self.connect)(*port).await?;
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
                tokio::spawn(connection);
                Ok(Connection::Http(sender))
            }
        }
    }

    async fn send_over(&self, connection: &mut Connection, records: &[String]) -> io::Result<()> {
        match (connection, &self.destination) {
            (Connection::Http(sender), Destination::Http { port, path, method }) => {
                let body = Bytes::from(format!("[{}]", records.join(",")));
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(HOST, format!("sandbox.localdomain:{port}"))
                    .header(CONTENT_TYPE, "application/json")
                    .body(Full::new(body))
                    .map_err(io::Error::other)?;
                sender.ready().await.map_err(io::Error::other)?;
                let mut response = sender.send_request(request).await.map_err(io::Error::other)?;
                // Whatever it says; the connection is free when it is read.
                while let Some(frame) = response.frame().await {
                    frame.map_err(io::Error::other)?;
                }
                let status = response.status();
                if status.is_success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
            }
            (Connection::Tcp(stream), _) => {
                let mut text = records.join("\n");
                text.push('\n');
                stream.write_all(text.as_bytes()).await
            }
            (Connection::Http(_), Destination::Tcp { .. }) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
