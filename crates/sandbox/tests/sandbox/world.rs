//! A network for a daemon to be in: a host of its own, and a world outside of it.
//!
//! Both are network namespaces that live as long as the value: nothing of this machine's network is touched,
//! and tests run beside each other. The host has a default route to the outside, where a few servers are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::helper;

/// Addresses of the world outside.
pub(crate) const OUTSIDE: &str = "10.99.0.2";
pub(crate) const OUTSIDE_V6: &str = "fd99::2";
/// Another network out there, for operators to deny.
pub(crate) const INTERNAL: &str = "10.98.0.1";
/// Metadata services of clouds.
pub(crate) const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
/// Addresses of the host: to the outside, and on another interface, as of a bridge for containers.
pub(crate) const HOST: [&str; 3] = ["10.99.0.1", "fd99::1", "10.97.0.1"];
/// The port of the servers.
const PORT: u16 = 7000;

pub(crate) struct World {
    host: Holder,
    outside: Holder,
    directory: tempfile::TempDir,
}

/// A process that keeps namespaces, and ends with its standard input.
struct Holder(Child);

impl Holder {
    fn start(unshare: &[&str], script: &str) -> Self {
        let mut child = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c", &format!("set -e; {script}; echo ready; exec cat")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (package util-linux) runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("it says that it is ready");
        assert_eq!(line, "ready\n", "these tests make network namespaces: run them as root");
        Self(child)
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net", "--mount"]);
        command
    }

    fn ip(&self, batch: &str) {
        let mut ip = self.enter().args(["ip", "-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip runs");
        ip.stdin.take().expect("piped").write_all(batch.as_bytes()).expect("writes");
        assert!(ip.wait().expect("ends").success(), "package iproute2: {batch}");
    }

    /// Calls a function on a thread in this network; sockets that it makes stay there.
    fn inside<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let path = format!("/proc/{}/ns/net", self.0.id());
        std::thread::scope(|scope| {
            let on_thread = || {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let namespace = rustix::fs::open(path, flags, Mode::empty()).expect("opens");
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )
                .expect("enters");
                call()
            };
            scope.spawn(on_thread).join().expect("no panic")
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    pub(crate) fn new() -> Self {
        // As nearly everywhere: everybody may make network interfaces, in networks of their own.
        Self::with_tun("0666")
    }

    /// A host on which only root may make network interfaces.
    pub(crate) fn without_tun() -> Self {
        Self::with_tun("0600")
    }

    fn with_tun(mode: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        // By cp(1), not by this process: a child that another test forks while the file is open for writing
        // here would keep it open, and the kernel executes no such file.
        let copied = Command::new("cp").arg(helper()).arg(directory.path().join("helper")).status();
        assert!(copied.expect("cp runs").success(), "copy the helper to where every user can read it");
        let tun = directory.path().join("tun");
        let resolv = directory.path().join("resolv.conf");
        std::fs::write(&resolv, format!("nameserver {OUTSIDE}\nsearch lab.example\n")).expect("writes");
        let mounts = format!(
            "mount --bind {} /etc/resolv.conf; mknod -m {mode} {tun} c 10 200; mount --bind {tun} /dev/net/tun",
            resolv.display(),
            tun = tun.display(),
        );
        let host = Holder::start(&["--net", "--mount"], &mounts);
        let outside = Holder::start(&["--net"], "true");
        let [own, own_v6, other] = HOST;
        host.ip(&format!(
            "link set lo up\n\
             link add outer type veth peer name inner netns {}\n\
             addr add {own}/24 dev outer\n\
             addr add {own_v6}/64 dev outer nodad\n\
             addr add {other}/32 dev lo\n\
             link set outer up\n",
            outside.0.id()
        ));
        let [metadata, metadata_v6] = METADATA;
        outside.ip(&format!(
            "link set lo up\n\
             addr add {OUTSIDE}/24 dev inner\n\
             addr add {OUTSIDE_V6}/64 dev inner nodad\n\
             addr add {INTERNAL}/32 dev inner\n\
             addr add {metadata} dev inner\n\
             addr add {metadata_v6} dev inner nodad\n\
             link set inner up\n"
        ));
        host.ip(&format!("route add default via {OUTSIDE}\nroute add default via {OUTSIDE_V6}\n"));
        Self { host, outside, directory }
    }

    /// Changes the host's network while it is in use.
    pub(crate) fn change_host(&self, batch: &str) {
        self.host.ip(batch);
    }

    /// Servers for TCP and UDP at every address outside: they answer with the address they were asked at.
    pub(crate) fn serve_outside(&self) {
        let addresses = [OUTSIDE, OUTSIDE_V6, INTERNAL, METADATA[0], METADATA[1]];
        self.outside.inside(|| addresses.iter().for_each(|address| serve(address)));
    }

    /// A server outside that sends 32 MiB on port 7001: the numbers from 0 to 250 over and over.
    pub(crate) fn serve_stream(&self) {
        let listener = self.outside.inside(|| TcpListener::bind((OUTSIDE, 7001)).expect("binds"));
        std::thread::spawn(move || {
            let block: Vec<u8> = (0..=250).cycle().take(32 << 20).collect();
            for mut connection in listener.incoming().flatten() {
                let _ = connection.write_all(&block);
            }
        });
    }

    /// Such servers on the host, at every address, loopback and a multicast group included. Returns how often it was asked.
    pub(crate) fn serve_on_host(&self) -> Counted {
        self.host.inside(|| {
            let counted = Counted::default();
            for address in ["0.0.0.0", "::"] {
                serve_counting(address, &counted);
            }
            counted
        })
    }

    /// A name server outside: every name has the addresses of the outside, and `large` has so many that they
    /// fit into no datagram.
    pub(crate) fn serve_names(&self) {
        self.outside.inside(|| {
            let socket = UdpSocket::bind((OUTSIDE, 53)).expect("binds");
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&answer(&buffer[..length], false), client);
                }
            });
            let listener = TcpListener::bind((OUTSIDE, 53)).expect("binds");
            std::thread::spawn(move || {
                for mut connection in listener.incoming().flatten() {
                    let mut length = [0; 2];
                    while connection.read_exact(&mut length).is_ok() {
                        let mut question = vec![0; u16::from_be_bytes(length).into()];
                        connection.read_exact(&mut question).expect("a question");
                        let answer = answer(&question, true);
                        let length = u16::try_from(answer.len()).expect("short").to_be_bytes();
                        connection.write_all(&[&length[..], &answer].concat()).expect("answers");
                    }
                }
            });
        });
    }

    /// The helper as a daemon on this host.
    pub(crate) fn helper(&self, arguments: &[&str]) -> Command {
        self.helper_as(false, arguments)
    }

    /// The same as root or as an ordinary user.
    pub(crate) fn helper_as(&self, ordinary_user: bool, arguments: &[&str]) -> Command {
        let mut command = self.host.enter();
        if ordinary_user {
            command.args(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
        command.arg(self.directory.path().join("helper")).args(arguments);
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// What a script in a connected sandbox writes.
    pub(crate) fn nat(&self, script: &str, denied: &[&str]) -> String {
        output(&mut self.helper(&[&["nat", script], denied].concat()))
    }
}

/// A helper that runs a sandbox in the background; ends with the value.
pub(crate) struct Held {
    process: Child,
    /// Process ids.
    pub(crate) spawner: i32,
    pub(crate) init: i32,
    /// What it writes.
    pub(crate) lines: Box<dyn Iterator<Item = String>>,
}

impl Held {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the helper starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut lines = Box::new(lines.map_while(Result::ok));
        let line = lines.find(|line| line.starts_with("pids: ")).expect("it announces the sandbox");
        let pids: Vec<i32> = line.split(' ').skip(1).map(|word| word.parse().expect("a pid")).collect();
        Self { process, spawner: pids[0], init: pids[1], lines }
    }

    pub(crate) fn until(&mut self, line: &str) {
        assert!(self.lines.any(|found| found == line), "{line}");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The output of a script that the helper ran: all that it wrote itself is taken away.
pub(crate) fn output(command: &mut Command) -> String {
    let done = command.output().expect("the helper runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    let of_helper =
        |line: &&str| ["limits: ", "pids: ", "status: "].iter().any(|start| line.starts_with(start));
    text.lines().filter(|line| !of_helper(line)).flat_map(|line| [line, "\n"]).collect()
}

/// How often servers were asked.
#[derive(Clone, Default)]
pub(crate) struct Counted(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Counted {
    pub(crate) fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn one(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn serve(address: &str) {
    serve_counting(address, &Counted::default());
}

/// Threads end with the test process.
fn serve_counting(address: &str, counted: &Counted) {
    let address: IpAddr = address.parse().expect("an address");
    let listener = TcpListener::from(bound(SocketAddr::new(address, PORT), true));
    let asked = counted.clone();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            asked.one();
            let at = connection.local_addr().expect("connected").ip();
            let _ = connection.write_all(format!("tcp {at}\n").as_bytes());
        }
    });
    let socket = UdpSocket::from(bound(SocketAddr::new(address, PORT), false));
    if address.is_unspecified() && address.is_ipv4() {
        let [group, interface] = ["224.0.0.251", HOST[0]].map(|text| text.parse().expect("an address"));
        socket.join_multicast_v4(&group, &interface).expect("joins");
    }
    count(socket, counted);
}

fn count(socket: UdpSocket, counted: &Counted) {
    let asked = counted.clone();
    std::thread::spawn(move || {
        let at = socket.local_addr().expect("bound").ip();
        while let Ok((_, client)) = socket.recv_from(&mut [0; 64]) {
            asked.one();
            let _ = socket.send_to(format!("udp {at}").as_bytes(), client);
        }
    });
}

/// A socket that is bound for its own kind of address only, so that one for each kind fits on a port.
fn bound(address: SocketAddr, stream: bool) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if stream { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).expect("socket");
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).expect("v6only");
    }
    bind(&socket, &address).unwrap_or_else(|error| panic!("bind {address}: {error}"));
    if stream {
        listen(&socket, 64).expect("listens");
    }
    socket
}

/// The answer to a question, RFC 1035.
fn answer(question: &[u8], over_tcp: bool) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    let is_v6 = question[end - 3] == 28;
    let is_large = question[13..].starts_with(b"large");
    let is_cut = is_large && !over_tcp;
    let records = if is_large { 100 } else { 1 };
    let mut answer = question[..2].to_vec();
    answer.extend([
        if is_cut { 0x86 } else { 0x84 },
        0,
        0,
        1,
        0,
        if is_cut { 0 } else { records },
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&question[12..end]);
    if !is_cut {
        for number in 0..records {
            answer.extend([0xc0, 12, 0, if is_v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 9, 0]);
            match (is_v6, is_large) {
                (true, _) => {
                    answer.push(16);
                    answer.extend(OUTSIDE_V6.parse::<std::net::Ipv6Addr>().expect("an address").octets());
                }
                (false, false) => answer.extend([4, 10, 99, 0, 2]),
                (false, true) => answer.extend([4, 10, 99, 1, number]),
            }
        }
    }
    answer
}
