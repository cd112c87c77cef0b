//! A network interface whose other end is a file: TAP of the kernel's `networking/tuntap`.
//!
//! It is there before the program that will be its other end (`uplink`), which costs more than all the rest of a
//! connected network and which many functions never need. It persists without a file, so that this program can take
//! the place of the file that is made here: the kernel lets one alone have it.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::error::{Step, StepError};

/// Where interfaces are made.
const DEVICE: &str = "/dev/net/tun";
/// The first words of what [`make`] fails with; also known to the daemon.
const STEP: &str = crate::protocol::MAKE_INTERFACE;

/// `TUNSETIFF` and `TUNSETPERSIST` of `linux/if_tun.h`.
const SET_INTERFACE: u32 = 0x4004_54ca;
const SET_PERSISTENT: u32 = 0x4004_54cb;

/// Makes an interface in this process's network: the file that is its other end, and a socket to send frames by it.
/// Both are close-on-exec, and reading from the file never waits.
pub(crate) fn make(name: &str) -> Result<[OwnedFd; 2], StepError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(DEVICE, flags, Mode::empty()).step_with(|| format!("{STEP}: open {DEVICE}"))?;
    attach(file.as_fd(), name).step_with(|| format!("{STEP} {name}"))?;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let socket = socket.step_with(|| format!("{STEP}: open packet socket"))?;
    let index = netdevice::name_to_index(&socket, name).step_with(|| format!("{STEP}: look for {name}"))?;
    bind(socket.as_fd(), index).step_with(|| format!("{STEP}: bind packet socket"))?;
    Ok([file, socket])
}

/// Makes the interface, with this file as its other end, so that it stays when the file is closed.
fn attach(file: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: `ifreq` is a plain structure of integers and byte arrays; all zeroes is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let bytes = name.as_bytes_with_nul();
    if bytes.len() > request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // As the program will ask for it.
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request reads and writes an `ifreq`, which lives across the call, with a NUL-terminated name and
    // the flags member of the union set.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_INTERFACE as _, &raw mut request) })?;
    let on: libc::c_ulong = 1;
    // SAFETY: the argument of this request is a number.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_PERSISTENT as _, on) })
}

/// Binds a packet(7) socket to an interface, of which it receives nothing.
fn bind(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: a plain structure of integers; all zeroes is valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_ifindex = index as libc::c_int;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address lives across the call and has the size that is passed along.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
