//! The other end of a function's process: a Runtime API without anything behind it, or the peer of a bare echo.
//!
//! The thread of a connection hands out events and takes the times by itself, so that no change of threads of this
//! program is measured. Between two events it rests: an instance whose next event comes is asleep.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// What every event carries, and every answer must bring back.
pub(crate) const PAYLOAD: &[u8] = br#"{"name":"Ada","numbers":[1,2,3]}"#;
/// Time between an answer and the next event.
const REST: Duration = Duration::from_micros(200);
/// Time after which a process is taken to hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the process speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The Runtime API.
    Runtime,
    /// None: it sends back what comes.
    Echo,
}

/// A server for one process.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    protocol: Protocol,
    shared: Arc<Shared>,
}

/// Times of events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// From the event to its whole answer.
    pub(crate) answered: Vec<Duration>,
    /// From the event to the request for the next one.
    pub(crate) ready: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Events that are still to be handed out.
    left: usize,
    /// When the latest one was.
    sent: Option<Instant>,
    answered: Vec<(Instant, Duration)>,
    ready: Vec<Duration>,
    /// The connection that waits for an event while none is left.
    waiting: Option<TcpStream>,
    /// Why nothing more is to be expected.
    failed: Option<String>,
    closed: bool,
}

impl RuntimeApi {
    /// Listens; the first process that asks is given `events` events without rest between them.
    pub(crate) fn start(protocol: Protocol, events: usize) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.lock().left = events;
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || of_listener.accept(&listener, protocol));
        Ok(Self { address, protocol, shared })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the first answer: when it was there.
    pub(crate) fn first_answer(&self) -> Result<Instant, Error> {
        let state = self.shared.wait(|state| !state.answered.is_empty())?;
        state.answered.first().map(|(at, _)| *at).ok_or(Error::Protocol("no answer"))
    }

    /// Hands out so many events to a process that waits for them, one after the other.
    pub(crate) fn repeat(&self, events: usize) -> Result<Events, Error> {
        let waiting = {
            let mut state = self.shared.wait(|state| state.waiting.is_some())?;
            state.answered.clear();
            state.ready.clear();
            state.sent = None;
            state.left = events;
            state.waiting.take()
        };
        if let Some(mut connection) = waiting {
            self.shared.hand_out(&mut connection, self.protocol)?;
        }
        let state = self.shared.wait(|state| state.waiting.is_some())?;
        if state.answered.len() != events {
            return Err(Error::Answer(format!("{} of {events} events were answered", state.answered.len())));
        }
        let answered = state.answered.iter().map(|(_, took)| *took).collect();
        Ok(Events { answered, ready: state.ready.clone() })
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        // Wakes the listener, which then ends.
        let _it_has_ended_already = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, Error> {
        let goes_on = |state: &mut State| state.failed.is_none() && !until(state);
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, goes_on)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &state.failed {
            Some(why) => Err(Error::Answer(why.clone())),
            None if waited.timed_out() => Err(Error::Answer("it did not answer in 20 seconds".to_owned())),
            None => Ok(state),
        }
    }

    /// Tells whoever waits that the process is of no use.
    fn fail(&self, why: String) {
        self.lock().failed.get_or_insert(why);
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, protocol: Protocol) {
        for connection in listener.incoming().map_while(Result::ok) {
            if self.lock().closed {
                return;
            }
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let served =
                    connection.set_nodelay(true).map_err(Error::from).and_then(|()| match protocol {
                        Protocol::Runtime => shared.serve(connection),
                        Protocol::Echo => shared.echo(connection),
                    });
                if let Err(error) = served {
                    shared.fail(error.to_string());
                }
            });
        }
    }

    /// Serves a connection of a Runtime API until it is closed.
    fn serve(&self, mut connection: TcpStream) -> Result<(), Error> {
        let mut received = Vec::with_capacity(8192);
        while let Some(request) = Request::read(&mut connection, &mut received)? {
            let now = Instant::now();
            if request.is_next {
                self.next(&mut connection, Protocol::Runtime, now)?;
            } else if request.is_response {
                self.answer(&request.body, now)?;
                connection.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n")?;
            } else {
                return Err(Error::Answer(String::from_utf8_lossy(&request.body).into_owned()));
            }
        }
        Ok(())
    }

    /// The same for a process that sends back what comes.
    fn echo(&self, mut connection: TcpStream) -> Result<(), Error> {
        let mut received = [0_u8; 64];
        self.next(&mut connection, Protocol::Echo, Instant::now())?;
        loop {
            let mut size = 0;
            while size < PAYLOAD.len() {
                match connection.read(&mut received[size..]) {
                    Ok(0) => return Ok(()),
                    Ok(more) => size += more,
                    Err(error) => return ended(&error).then_some(()).ok_or(Error::Net(error)),
                }
            }
            let now = Instant::now();
            self.answer(&received[..size], now)?;
            self.next(&mut connection, Protocol::Echo, now)?;
        }
    }

    fn answer(&self, body: &[u8], now: Instant) -> Result<(), Error> {
        // A runtime may write JSON with other spaces.
        if !body.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(PAYLOAD) {
            return Err(Error::Answer(format!("the echo is {:?}", String::from_utf8_lossy(body))));
        }
        let mut state = self.lock();
        let sent = state.sent.ok_or(Error::Protocol("an answer without an event"))?;
        state.answered.push((now, now - sent));
        if state.answered.len() == 1 {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// The process is ready for an event.
    fn next(&self, connection: &mut TcpStream, protocol: Protocol, now: Instant) -> Result<(), Error> {
        let mut state = self.lock();
        let is_first = state.sent.is_none();
        if let Some(sent) = state.sent {
            state.ready.push(now - sent);
        }
        if state.left == 0 {
            state.waiting = Some(connection.try_clone()?);
            self.changed.notify_all();
            return Ok(());
        }
        drop(state);
        if !is_first {
            thread::sleep(REST);
        }
        self.hand_out(connection, protocol)
    }

    fn hand_out(&self, connection: &mut TcpStream, protocol: Protocol) -> Result<(), Error> {
        let event = match protocol {
            Protocol::Echo => PAYLOAD.to_vec(),
            Protocol::Runtime => event(),
        };
        {
            let mut state = self.lock();
            state.left -= 1;
            state.sent = Some(Instant::now());
        }
        Ok(connection.write_all(&event)?)
    }
}

fn event() -> Vec<u8> {
    let deadline =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis())
            + 60_000;
    let mut event = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-000000000001\r\n\
         Lambda-Runtime-Deadline-Ms: {deadline}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:bench\r\n\
         Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1\r\n\
         Content-Length: {}\r\n\r\n",
        PAYLOAD.len()
    )
    .into_bytes();
    event.extend_from_slice(PAYLOAD);
    event
}

/// Whether a connection has come to its end, as it does with its process.
fn ended(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// A request of a runtime.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    is_next: bool,
    is_response: bool,
    body: Vec<u8>,
}

impl Request {
    /// The next one of a connection; what comes behind it stays in `received`. `None` at the end.
    fn read(connection: &mut TcpStream, received: &mut Vec<u8>) -> Result<Option<Self>, Error> {
        loop {
            if let Some((request, size)) = Self::parse(received)? {
                received.drain(..size);
                return Ok(Some(request));
            }
            let mut more = [0_u8; 8192];
            match connection.read(&mut more) {
                Ok(0) => return Ok(None),
                Ok(size) => received.extend_from_slice(&more[..size]),
                Err(error) if ended(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A request and its size, if all of it is there.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(head_size) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..head_size])
            .map_err(|_| Error::Protocol("a head that is not text"))?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let header = |name: &str| {
            let of_name = |line: &str| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            };
            lines.clone().find_map(of_name)
        };
        let rest = &bytes[head_size..];
        let body = if header("transfer-encoding").is_some() {
            chunks(rest)?
        } else {
            let size = header("content-length").map_or(Ok(0), |size| size.parse());
            let size: usize = size.map_err(|_| Error::Protocol("a length that is no number"))?;
            rest.get(..size).map(|body| (body.to_vec(), size))
        };
        let path = line.split(' ').nth(1).unwrap_or_default();
        Ok(body.map(|(body, size)| {
            let is_next = line.starts_with("GET ") && path.ends_with("/runtime/invocation/next");
            let is_response = line.starts_with("POST ") && path.ends_with("/response");
            (Self { is_next, is_response, body }, head_size + size)
        }))
    }
}

/// A body in chunks and its size as it came, if all of it is there. Trailers are passed over.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n").map(|size| at + size) else { return Ok(None) };
        let size =
            std::str::from_utf8(&bytes[at..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(Error::Protocol("a chunk without a size"))?;
        let start = end + 2;
        if size == 0 {
            // Trailers end with an empty line, which may be all of them.
            let trailers = if bytes[start..].starts_with(b"\r\n") {
                Some(2)
            } else {
                find(&bytes[start..], b"\r\n\r\n").map(|size| size + 4)
            };
            return Ok(trailers.map(|size| (body, start + size)));
        }
        let Some(chunk) = bytes.get(start..start + size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::{PAYLOAD, Protocol, Request, RuntimeApi};

    #[test]
    fn requests_are_read_whole_and_one_by_one() {
        let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let post = "POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\n".to_owned();
        let sized = [post.as_bytes(), b"content-length: 3\r\n\r\n1 2"].concat();
        let chunked =
            [post.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n2\r\n1 \r\n1\r\n2\r\n0\r\n\r\n"].concat();
        for request in [sized, chunked] {
            for size in 0..request.len() {
                assert_eq!(Request::parse(&request[..size]).unwrap(), None, "{size}");
            }
            let (read, size) = Request::parse(&[&request[..], &next[..]].concat()).unwrap().unwrap();
            assert_eq!(size, request.len());
            assert!(read.is_response && !read.is_next && read.body == b"1 2", "{read:?}");
        }
        assert!(Request::parse(&next).unwrap().unwrap().0.is_next);
    }

    #[test]
    fn a_bare_echo_is_timed() {
        let api = RuntimeApi::start(Protocol::Echo, 1).unwrap();
        let address = api.address();
        let peer = std::thread::spawn(move || {
            let mut connection = TcpStream::connect(address).unwrap();
            let mut event = [0_u8; PAYLOAD.len()];
            for _ in 0..4 {
                connection.read_exact(&mut event).unwrap();
                connection.write_all(&event).unwrap();
            }
            connection.read(&mut event).unwrap()
        });
        api.first_answer().unwrap();
        let events = api.repeat(3).unwrap();
        assert_eq!((events.answered.len(), events.ready.len()), (3, 3));
        drop(api);
        drop(peer);
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error() {
        let api = RuntimeApi::start(Protocol::Runtime, 1).unwrap();
        let mut connection = TcpStream::connect(api.address()).unwrap();
        let error = "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 4\r\n\r\noops";
        connection.write_all(error.as_bytes()).unwrap();
        assert_eq!(api.first_answer().unwrap_err().to_string(), "oops");
    }
}
