//! File descriptors: passing them over a Unix socket, and closing what a process must not keep.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::sys;

/// Most file descriptors in one packet. The kernel's own limit is 253 (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 32;

/// Sends one packet with file descriptors (`SCM_RIGHTS`, see unix(7)).
///
/// # Errors
/// `EINVAL` for more than [`MAX_FDS`] descriptors, else those of sendmsg(2).
pub fn send_packet(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // NOSIGNAL: a peer that died is an error to report, not a reason to die of SIGPIPE.
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one packet and its file descriptors, all of them close-on-exec. Length zero means the
/// end of the connection.
///
/// # Errors
/// `EPROTO` when the packet or its descriptors did not fit, else those of recvmsg(2).
pub fn receive_packet(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let socket = socket.as_fd();
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    }
    Ok((received.bytes, fds))
}

/// Closes every file descriptor from 3 on except those given.
///
/// Close-on-exec alone would not do: the init of a sandbox never execs, and must not hold the
/// sockets of the spawner or of another sandbox.
pub(crate) fn close_all_except(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd >= 3).collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep {
        if fd > from {
            sys::close_range(from, fd - 1)?;
        }
        from = fd + 1;
    }
    sys::close_range(from, RawFd::MAX)
}

/// Makes one open file the standard input, output and error of this process.
pub(crate) fn replace_stdio(input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<()> {
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(output)?;
    Ok(())
}
