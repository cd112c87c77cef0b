//! A keep-alive HTTP/1.1 client that costs next to nothing.
//!
//! One blocking connection, one request at a time, buffers that are reused: what is measured is
//! the server. Only what servers of this benchmark send is understood: bodies with a length or
//! in chunks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::error::Error;

/// A credential that any lambd accepts; the signature is not checked on a fresh daemon.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00";

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    host: SocketAddr,
    received: Vec<u8>,
}

/// One answer; the body stays in the client's buffer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
    /// From the first byte out to the last byte in.
    pub(crate) took: Duration,
}

/// A response in chunks that was thrown away as it came.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// From the first byte out to the first byte of the body in.
    pub(crate) first: Duration,
    /// To its last.
    pub(crate) whole: Duration,
    /// Bytes that came, with those around the chunks.
    pub(crate) bytes: usize,
}

impl Client {
    /// Connects; small requests are sent at once.
    pub(crate) fn connect(host: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, host, received: Vec::with_capacity(64 * 1024) })
    }

    /// The bytes of a request, so that they can be made once and sent often.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {AUTHORIZATION}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// Sends prepared bytes and waits for the whole answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, Error> {
        let start = Instant::now();
        self.stream.write_all(request)?;
        self.received.clear();
        let head_end = loop {
            let from = self.received.len().saturating_sub(3);
            self.read_more()?;
            if let Some(at) = find(&self.received, from, b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.received[..head_end])
            .map_err(|_| Error::Protocol("a head that is not text"))?;
        let status = head.get(9..12).and_then(|s| s.parse().ok()).ok_or(Error::Protocol("no status"))?;
        let length = match header(head, "content-length") {
            Some(length) => {
                Some(length.parse::<usize>().map_err(|_| Error::Protocol("a length that is no number"))?)
            }
            None if header(head, "transfer-encoding").is_some() => None,
            None => Some(0),
        };
        let body_end = match length {
            Some(length) => {
                while self.received.len() < head_end + length {
                    self.read_more()?;
                }
                head_end + length
            }
            None => self.read_chunks(head_end)?,
        };
        let took = start.elapsed();
        let (head, body) = self.received.split_at(head_end);
        let head = std::str::from_utf8(head).map_err(|_| Error::Protocol("a head that is not text"))?;
        Ok(Answer { status, head, body: &body[..body_end - head_end], took })
    }

    /// Sends prepared bytes and reads a response in chunks, of any length.
    pub(crate) fn stream(&mut self, request: &[u8]) -> Result<Streamed, Error> {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let start = Instant::now();
        self.stream.write_all(request)?;
        self.received.clear();
        let head_end = loop {
            if let Some(at) = find(&self.received, 0, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        if !self.received.starts_with(b"HTTP/1.1 200 ") {
            return Err(Error::Answer(String::from_utf8_lossy(&self.received).into_owned()));
        }
        while self.received.len() == head_end {
            self.read_more()?;
        }
        let first = start.elapsed();
        let mut bytes = self.received.len() - head_end;
        let mut buffer = vec![0; 256 * 1024];
        // The end is recognised in the last few bytes, whatever pieces they come in.
        let mut last = self.received.split_off(self.received.len().saturating_sub(END.len()));
        while !last.ends_with(END) {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(Error::Protocol("the connection was closed"));
            }
            bytes += count;
            last.extend_from_slice(&buffer[count.saturating_sub(END.len())..count]);
            last.drain(..last.len().saturating_sub(END.len()));
        }
        Ok(Streamed { first, whole: start.elapsed(), bytes })
    }

    /// Reads a chunked body and moves its pieces together. Returns where the body ends.
    fn read_chunks(&mut self, head_end: usize) -> Result<usize, Error> {
        let (mut write, mut read) = (head_end, head_end);
        loop {
            let line_end = loop {
                match find(&self.received, read, b"\r\n") {
                    Some(at) => break at,
                    None => self.read_more()?,
                }
            };
            let digits = std::str::from_utf8(&self.received[read..line_end]).unwrap_or_default();
            let size = digits.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).map_err(|_| Error::Protocol("a chunk without a size"))?;
            let start = line_end + 2;
            while self.received.len() < start + size + 2 {
                self.read_more()?;
            }
            self.received.copy_within(start..start + size, write);
            write += size;
            read = start + size + 2;
            if size == 0 {
                return Ok(write);
            }
        }
    }

    fn read_more(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(Error::Protocol("the connection was closed"));
        }
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

impl Answer<'_> {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// Refuses everything but success.
    pub(crate) fn good(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) && self.header("x-amz-function-error").is_none() {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(self.body);
        Err(Error::Answer(format!("status {}: {body}", self.status)))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::Client;

    fn answer(pieces: &'static [&'static str]) -> (u16, String, Option<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let _request = stream.read(&mut [0; 4096]).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
                std::thread::yield_now();
            }
        });
        let mut client = Client::connect(address).unwrap();
        let request = client.request("POST", "/", b"{}");
        let answer = client.send(&request).unwrap();
        let result = (
            answer.status,
            String::from_utf8_lossy(answer.body).into_owned(),
            answer.header("X-Amzn-RequestId").map(str::to_owned),
        );
        server.join().unwrap();
        result
    }

    #[test]
    fn bodies_with_a_length() {
        let pieces =
            &["HTTP/1.1 202 Accepted\r\ncontent-le", "ngth: 5\r\nx-amzn-requestid: r\r\n\r", "\nhel", "lo"];
        assert_eq!(answer(pieces), (202, "hello".into(), Some("r".into())));
    }

    #[test]
    fn bodies_in_chunks() {
        let pieces = &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "lo\r\n1;x=y\r\n!\r\n0\r",
            "\n\r\n",
        ];
        assert_eq!(answer(pieces), (200, "hello!".into(), None));
    }

    #[test]
    fn streams_end_wherever_they_are_cut() {
        for pieces in [
            &["HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n0\r\n\r\n"][..],
            &["HTTP/1.1 200 OK\r\n\r\n", "5\r\nhello\r\n0", "\r", "\n\r\n"][..],
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let _request = stream.read(&mut [0; 4096]).unwrap();
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                    std::thread::yield_now();
                }
            });
            let mut client = Client::connect(address).unwrap();
            let request = client.request("POST", "/", b"");
            let streamed = client.stream(&request).unwrap();
            assert_eq!(streamed.bytes, 15);
            assert!(streamed.first <= streamed.whole);
            server.join().unwrap();
        }
    }

    #[test]
    fn no_body() {
        assert_eq!(answer(&["HTTP/1.1 204 No Content\r\n\r\n"]), (204, String::new(), None));
    }
}
