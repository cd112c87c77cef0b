//! Netlink messages, see netlink(7): just what it takes to configure an interface and a filter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags, recv, sendto};

/// Flags of a message, and where they are in its header.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
pub(super) const DUMP: u16 = 0x300;
pub(super) const CREATE: u16 = 0x400;
pub(super) const REPLACE: u16 = 0x100;
const FLAGS: usize = 6;

/// Types of messages that every protocol has.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const HEADER: usize = 16;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// The kernel answers at once; one that does not after this is sick.
const PATIENCE: Duration = Duration::from_secs(10);

/// Several messages that are sent together. The kernel answers those that it refuses, and the last one.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// What each message is for, by sequence number from 1.
    purposes: Vec<&'static str>,
    /// Where the last message begins that takes an acknowledgement, and its sequence number.
    last: Option<(usize, u32)>,
}

impl Batch {
    /// Adds a message; `purpose` names it in errors.
    pub(super) fn request(
        &mut self,
        purpose: &'static str,
        kind: u16,
        flags: u16,
        header: &[u8],
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.purposes.push(purpose);
        self.last = Some((self.bytes.len(), self.purposes.len() as u32));
        self.message(kind, flags, header, attributes);
    }

    /// Adds a message that only stands around others, which the kernel does not acknowledge.
    pub(super) fn bracket(&mut self, kind: u16, header: &[u8]) {
        self.purposes.push("begin or end netlink messages");
        self.message(kind, 0, header, |_| {});
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        header: &[u8],
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend((self.purposes.len() as u32).to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(header);
        pad(&mut self.bytes);
        attributes(&mut Attributes(&mut self.bytes));
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends the messages and waits until all are done.
    ///
    /// # Errors
    /// What the kernel answered to the first message that it refused, and what that message was for.
    pub(super) fn send(mut self, socket: BorrowedFd<'_>) -> Result<(), Refused> {
        let failed = |purpose| move |source| Refused { purpose, source };
        let Some((start, last)) = self.last else { return Ok(()) };
        for (byte, flag) in self.bytes[start + FLAGS..].iter_mut().zip(ACKNOWLEDGE.to_ne_bytes()) {
            *byte |= flag;
        }
        self.write(socket).map_err(failed("send netlink messages"))?;
        loop {
            let packet = receive(socket).map_err(failed("receive from netlink"))?;
            for message in messages(&packet) {
                let Some(error) = message.error() else { continue };
                if error != 0 {
                    let purpose = self.purposes.get((message.sequence as usize).wrapping_sub(1));
                    let purpose = purpose.copied().unwrap_or("send netlink messages");
                    return Err(Refused { purpose, source: io::Error::from_raw_os_error(-error) });
                }
                if message.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Sends one request for a list, and returns each of its elements.
    pub(super) fn dump(&self, socket: BorrowedFd<'_>) -> io::Result<Vec<(u16, Vec<u8>)>> {
        self.write(socket)?;
        let mut found = Vec::new();
        loop {
            let packet = receive(socket)?;
            for message in messages(&packet) {
                match message.kind {
                    // News of a change, which nobody asked for.
                    _ if message.sequence == 0 => {}
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => {
                        return Err(io::Error::from_raw_os_error(-message.error().unwrap_or(0)));
                    }
                    kind => found.push((kind, message.body.to_vec())),
                }
            }
        }
    }

    fn write(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        sendto(socket, &self.bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }
}

/// A message that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {purpose}: {source}")]
pub(super) struct Refused {
    /// What it was for.
    pub(super) purpose: &'static str,
    /// What the kernel answered.
    pub(super) source: io::Error,
}

/// The attributes of a message, or within an attribute.
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        pad(self.0);
    }

    /// A number as rtnetlink has it.
    pub(super) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// A number as netfilter has it.
    pub(super) fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(super) fn put_be64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(super) fn put_text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    pub(super) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        inner(&mut Attributes(self.0));
        // Beyond 65535 bytes it could not be said; callers keep below.
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Messages and attributes start at multiples of four bytes.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A message as it was received.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    sequence: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    /// The error number, negative, of an acknowledgement; zero for success.
    fn error(&self) -> Option<i32> {
        (self.kind == NLMSG_ERROR).then(|| i32_at(self.body, 0).unwrap_or(0))
    }
}

/// The messages of a packet.
pub(super) fn messages(packet: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let length = usize::try_from(i32_at(rest, 0)?).ok()?;
        let body = rest.get(HEADER..length)?;
        let message = Message { kind: u16_at(rest, 4)?, sequence: i32_at(rest, 8)? as u32, body };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes behind a header of this size: kind and value of each.
pub(super) fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(header..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        let kind = u16_at(rest, 2)? & !NESTED;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// The number at this offset.
pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

/// Waits for one packet.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    wait(socket, PATIENCE)?;
    // The kernel makes packets of a list as large as the buffer that is offered, up to this.
    let mut buffer = vec![0; 32 * 1024];
    let (length, whole) = recv(socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
    if whole > length {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// Waits until there is something to read.
fn wait(socket: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    let timeout = Timespec { tv_sec: patience.as_secs() as _, tv_nsec: 0 };
    loop {
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut batch = Batch::default();
        batch.request("one", 20, CREATE, &[1, 2, 3], |a| {
            a.put_text(7, "eth0");
            a.nest(8, |inner| inner.put_be32(1, 5));
        });
        batch.bracket(21, &[]);
        let read: Vec<_> = messages(&batch.bytes).collect();
        assert_eq!(read.iter().map(|m| (m.kind, m.sequence)).collect::<Vec<_>>(), [(20, 1), (21, 2)]);
        let found: Vec<_> = attributes(read[0].body, 4).collect();
        assert_eq!(found[0], (7, b"eth0\0".as_slice()));
        assert_eq!(found[1].0, 8);
        assert_eq!(attributes(found[1].1, 0).collect::<Vec<_>>(), [(1, [0, 0, 0, 5].as_slice())]);
    }

    #[test]
    fn cut_packets_end_the_reading() {
        let mut batch = Batch::default();
        batch.request("one", 20, 0, &[0; 12], |a| a.put_u32(1, 1));
        for length in 0..batch.bytes.len() {
            assert_eq!(messages(&batch.bytes[..length]).count(), 0);
        }
        assert_eq!(attributes(&[9, 0, 1, 0, 0], 0).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
    }
}
