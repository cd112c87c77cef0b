//! The sockets to spawner and sandboxes in the event loop.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use lambd_jail::protocol::{self, Event, Order, Request};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A connected pair: the daemon's end, non-blocking, and the other side's, blocking. Both are
/// close-on-exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    set_nonblocking(&ours)?;
    Ok((ours, theirs))
}

/// Makes reads and writes through this descriptor's open file return instead of wait.
pub(crate) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}

/// Registers a descriptor with the event loop.
#[expect(
    deprecated,
    reason = "its sound successor is an unsafe function, which this crate forbids; the danger, a type whose \
              descriptor changes or closes early, does not exist with OwnedFd"
)]
pub(crate) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}

/// The daemon's end of the request socket.
pub(crate) struct Requests(AsyncFd<OwnedFd>);

impl Requests {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        register(socket, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    pub(crate) async fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |socket| protocol::send(socket, request, fds)).await
    }

    /// Ends the connection, upon which the spawner ends.
    pub(crate) fn close(&self) {
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Both);
    }
}

/// The daemon's end of one sandbox's control socket.
pub(crate) struct Control(AsyncFd<OwnedFd>);

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        register(socket, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    /// The next event with the descriptors that came along; `None` when the sandbox is gone.
    pub(crate) async fn receive(&self) -> io::Result<Option<(Event, Vec<OwnedFd>)>> {
        self.0.async_io(Interest::READABLE, |socket| protocol::receive(socket)).await
    }

    /// Sends an order that waits for nothing; `EAGAIN` when too many are on their way.
    pub(crate) fn try_send(&self, order: &Order) -> io::Result<()> {
        protocol::send(self.0.get_ref(), order, &[])
    }

    /// Ends our side of the connection, which tells the init to end; its last words still arrive.
    pub(crate) fn close_our_side(&self) {
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Write);
    }

    pub(crate) async fn send(&self, order: &Order) -> io::Result<()> {
        self.send_with(order, &[]).await
    }

    /// The same with descriptors.
    pub(crate) async fn send_with(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |socket| protocol::send(socket, order, fds)).await
    }
}
