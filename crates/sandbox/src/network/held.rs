//! An interface whose other end the daemon holds, until the function sends something by it.
//!
//! Then the program that connects it takes the daemon's place. In between, packets would be lost, and the filter
//! lets no first segment of a connection pass twice, so the sandbox is stopped for that moment, which it cannot see.
//! What it had sent before is sent again in its place, by the same interface.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use lambd_jail::protocol::{ConnectRequest, Request};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::{Namespace, filter};
use crate::cgroups::Freezer;
use crate::channel::{self, Requests};
use crate::prepared::output_pipe;

/// A frame has an Ethernet header before a packet of at most 65,520 bytes.
const LARGEST: usize = 65_536;
/// Bytes of frames that are kept; a function may send faster than it can be stopped.
const KEPT: usize = 4 << 20;

/// The interface of one sandbox.
pub(super) struct HeldInterface {
    tap: AsyncFd<OwnedFd>,
    packets: OwnedFd,
    freezer: Arc<Freezer>,
}

impl HeldInterface {
    /// From what the sandbox has handed out.
    pub(super) fn new(tap: OwnedFd, packets: OwnedFd, freezer: Arc<Freezer>) -> io::Result<Self> {
        Ok(Self { tap: channel::register(tap, Interest::READABLE)?, packets, freezer })
    }

    /// Waits until the function sends something, or somebody else wants a connection; what was sent.
    pub(super) async fn needed(&self, wanted: &Notify) -> Vec<Vec<u8>> {
        let sent = async {
            loop {
                match self.tap.async_io(Interest::READABLE, read).await {
                    Ok(frame) if is_for_uplink(&frame) => return vec![frame],
                    Ok(_) => {}
                    // The network is ending.
                    Err(_) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            frames = sent => frames,
            () = wanted.notified() => Vec::new(),
        }
    }

    /// Has the program started that takes over the interface; the read end of what it says.
    pub(super) async fn connect(
        self,
        mut frames: Vec<Vec<u8>>,
        request: ConnectRequest,
        requests: &Requests,
        namespace: Arc<Mutex<Namespace>>,
    ) -> Result<OwnedFd, String> {
        let Self { tap, packets, freezer } = self;
        let tap = tap.into_inner();
        let stopped = tokio::task::spawn_blocking(move || {
            let held = freezer.hold()?;
            let mut kept = 0;
            while let Ok(frame) = read(&tap) {
                kept += frame.len();
                if kept <= KEPT && is_for_uplink(&frame) {
                    frames.push(frame);
                }
            }
            Ok::<_, io::Error>((held, frames))
        });
        let stopped = stopped.await.map_err(|error| error.to_string())?;
        let (held, frames) = stopped.map_err(|error| format!("cannot stop it for a moment: {error}"))?;
        let (log, write) = output_pipe().map_err(|error| format!("create pipe for uplink: {error}"))?;
        let sent = requests.send(&Request::Connect(request), &[write.as_fd()]).await;
        sent.map_err(|error| format!("send request to spawner: {error}"))?;
        drop(write);
        let connected = tokio::task::spawn_blocking(move || {
            let namespace = namespace.lock().unwrap_or_else(PoisonError::into_inner);
            namespace.await_uplink(&log)?;
            for frame in frames {
                // One that does not arrive is as lost as any packet can be.
                let _ = send(&packets, &frame, SendFlags::empty());
            }
            filter::forget(namespace.filter.as_fd()).map_err(|error| error.to_string())?;
            drop(held);
            Ok(log)
        });
        connected.await.map_err(|error| error.to_string())?
    }
}

/// One frame.
fn read(tap: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; LARGEST];
    let length = rustix::io::read(tap, &mut frame)?;
    frame.truncate(length);
    Ok(frame)
}

/// Whether a program at the other end would do anything about it. The kernel itself tells an interface's neighbours
/// which groups of IPv6 it is in.
fn is_for_uplink(frame: &[u8]) -> bool {
    const IPV6: [u8; 2] = [0x86, 0xdd];
    let is_to_group = frame.first().is_some_and(|first| first & 1 == 1);
    !(is_to_group && frame.get(12..14) == Some(&IPV6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_groups_needs_no_uplink() {
        let frame = |first: u8, kind: [u8; 2]| {
            let mut frame = [0; 60];
            frame[0] = first;
            frame[12..14].copy_from_slice(&kind);
            frame
        };
        assert!(!is_for_uplink(&frame(0x33, [0x86, 0xdd])), "a report of groups");
        assert!(is_for_uplink(&frame(0x02, [0x86, 0xdd])), "a packet for the gateway");
        assert!(is_for_uplink(&frame(0x02, [0x08, 0x00])));
        assert!(is_for_uplink(&frame(0xff, [0x08, 0x06])), "who has this address?");
    }
}
