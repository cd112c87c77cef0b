//! Sandboxes that are connected to the daemon's network: what they reach and what not.

use std::process::Stdio;

use lambd_sandbox::{Base, ExitStatus, NatOptions, Network, SandboxSpec, SpawnerOptions, find_pasta};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{children, eventually, exited, is_alive, script, start_with, tree};
use crate::world::{HOST, Held, INTERNAL, METADATA, OUTSIDE, OUTSIDE_V6, World, output};

/// Python with functions that try an address in one way each and print how it ended.
const TRY: &str = r#"
import socket, struct, sys
PORT = 7000
TAP = socket.if_nametoindex("eth0")
def family(address): return socket.AF_INET6 if ":" in address else socket.AF_INET
def end(name, action):
    try: print(name, action(), flush=True)
    except OSError as error: print(name, error.strerror or error, flush=True)
def tcp(address, port=PORT, bound=False, wait=5):
    def action():
        with socket.socket(family(address)) as s:
            s.settimeout(wait)
            if bound: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            s.connect((address, port))
            return s.recv(99).decode().strip()
    return action
def udp(address, port=PORT, how="plain", wait=5):
    def action():
        v4 = family(address) == socket.AF_INET
        with socket.socket(family(address), socket.SOCK_DGRAM) as s:
            s.settimeout(wait)
            extra = []
            index = struct.pack("!I", TAP)
            if how == "device": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            if how == "unicast_if": s.setsockopt(*((0, 50) if v4 else (41, 76)), index)
            if how == "multicast_if" and v4: s.setsockopt(0, 32, struct.pack("4s4si", b"", b"", TAP))
            if how == "multicast_if" and not v4: s.setsockopt(41, 17, TAP)
            if how == "dontroute": s.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
            if how == "pktinfo" and v4: extra = [(0, 8, struct.pack("i4s4s", TAP, b"", b""))]
            if how == "pktinfo" and not v4: extra = [(41, 50, struct.pack("16si", b"", TAP))]
            s.sendmsg([b"?"], extra, 0, (address, port))
            return s.recv(99).decode()
    return action
WAYS = ["plain", "device", "unicast_if", "multicast_if", "dontroute", "pktinfo"]
"#;

/// A shell script that says `up` when it has reached the outside, upon which its uplink is started, and then does this.
fn up_and(then: &str) -> String {
    format!("exec 5<>/dev/tcp/{OUTSIDE}/7000; read <&5; echo up; {then}")
}

/// A shell script that runs Python in a sandbox.
fn python(text: &str) -> String {
    format!("exec /usr/bin/python3 - <<'END'\n{TRY}\n{text}\nEND\n")
}

#[test]
fn the_outside_is_reached_by_tcp_and_udp() {
    let world = World::new();
    world.serve_outside();
    let text = format!(
        "for a in {:?}: end('tcp', tcp(a)); end('udp', udp(a)); end('bound', tcp(a, bound=True))",
        [OUTSIDE, OUTSIDE_V6]
    );
    assert_eq!(
        world.nat(&python(&text), &[]),
        format!(
            "tcp tcp {OUTSIDE}\nudp udp {OUTSIDE}\nbound tcp {OUTSIDE}\n\
             tcp tcp {OUTSIDE_V6}\nudp udp {OUTSIDE_V6}\nbound tcp {OUTSIDE_V6}\n"
        )
    );
}

#[test]
fn large_transfers_arrive_whole() {
    let world = World::new();
    world.serve_stream();
    let text = "
expected = (bytes(range(251)) * (2 ** 25 // 251 + 1))[:2 ** 25]
with socket.create_connection(('10.99.0.2', 7001), 20) as s:
    received = bytearray()
    while data := s.recv(1 << 16): received += data
print(len(received), received == expected)";
    assert_eq!(world.nat(&python(text), &[]), "33554432 True\n");
}

#[test]
fn names_are_looked_up_by_the_hosts_server() {
    let world = World::new();
    world.serve_names();
    let text = "
print(open('/etc/resolv.conf').read(), end='')
print(sorted({a[4][0] for a in socket.getaddrinfo('service.test', 1)}))
print(len({a[4][0] for a in socket.getaddrinfo('large.test', 1, socket.AF_INET)}))";
    assert_eq!(
        world.nat(&python(text), &[]),
        format!("nameserver 127.0.0.53\nsearch lab.example\n['{OUTSIDE}', '{OUTSIDE_V6}']\n100\n")
    );
}

/// Refused at once and not after minutes, in each of the ways in which a program can choose the interface itself.
#[test]
fn metadata_services_the_host_and_its_loopback_are_out_of_reach() {
    let world = World::new();
    world.serve_outside();
    let asked = world.serve_on_host();
    let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.0.0.1"];
    let groups = ["224.0.0.251", "ff02::fb", "255.255.255.255", "10.99.0.255"];
    let never = [&METADATA[..], &HOST[..], &loopback[..], &groups[..]].concat();
    let text = format!(
        "for a in {never:?}:
    end('tcp ' + a, tcp(a, wait=0.05)); end('tcp bound ' + a, tcp(a, bound=True, wait=0.05))
    for how in WAYS: end(f'udp {{how}} {{a}}', udp(a, how=how, wait=0.05))
for a in {:?}: end('at once ' + a, tcp(a, wait=30))",
        [&METADATA[..], &HOST[..]].concat()
    );
    let started = std::time::Instant::now();
    let output = world.nat(&python(&text), &[]);
    assert!(started.elapsed().as_secs() < 25, "what is refused is refused at once");
    for line in output.lines() {
        let refused = [
            "timed out",
            "Connection refused", // by the sandbox's own loopback
            "No route to host",
            "Network is unreachable",
            "Operation not permitted",
            "Permission denied",
            "Invalid argument",
        ];
        assert!(refused.iter().any(|reason| line.ends_with(reason)), "{line}");
        assert!(!line.starts_with("at once") || line.ends_with("No route to host"), "{line}");
    }
    assert_eq!(output.lines().count(), never.len() * 8 + 5, "{output}");
    assert_eq!(asked.get(), 0, "nothing arrived on the host");
}

#[test]
fn the_operator_can_deny_more() {
    let world = World::new();
    world.serve_outside();
    let text = format!("for a in {:?}: end('tcp', tcp(a))", [INTERNAL, OUTSIDE]);
    assert_eq!(world.nat(&python(&text), &[]), format!("tcp tcp {INTERNAL}\ntcp tcp {OUTSIDE}\n"));
    assert_eq!(
        world.nat(&python(&text), &["10.98.0.0/16"]),
        format!("tcp No route to host\ntcp tcp {OUTSIDE}\n")
    );
}

/// A container bridge that comes up later must be out of reach of the sandboxes that are there already.
#[test]
fn addresses_that_the_host_gets_later_are_denied_too() {
    let world = World::new();
    let text = "
print('first', end=' '); end('', tcp('10.96.0.1', wait=1))
sys.stdout.flush()
import time
while True:
    end('then', tcp('10.96.0.1', wait=1))
    time.sleep(0.01)";
    let mut held = Held::start(&mut world.helper(&["nat", &python(text)]));
    let lines = &mut held.lines;
    let first = lines.find(|line| line.starts_with("first")).expect("it runs");
    // On the way to the outside, where nobody has this address.
    assert!(first.ends_with("timed out"), "{first}");
    world.change_host("addr add 10.96.0.1/24 dev lo\n");
    assert!(lines.any(|line| line.ends_with("No route to host")), "in the end it is denied");
    assert!(lines.by_ref().take(20).all(|line| line.ends_with("No route to host")), "and stays so");
    world.change_host("addr del 10.96.0.1/24 dev lo\n");
    assert!(lines.any(|line| line.ends_with("timed out")), "until the host has lost it");
}

#[test]
fn without_a_connection_there_is_no_way_out() {
    let world = World::new();
    world.serve_outside();
    let text = "for way in tcp udp; do (echo ? >/dev/$way/10.99.0.2/7000) 2>&1 | grep -o 'Network is unreachable' | head -n 1; done; cat /etc/resolv.conf";
    assert_eq!(output(&mut world.helper(&["run", text])), "Network is unreachable\nNetwork is unreachable\n");
}

#[test]
fn in_the_hosts_network_its_names_and_addresses_are_there() {
    let world = World::new();
    world.serve_outside();
    let text = "cat /etc/resolv.conf; grep -c localhost /etc/hosts; exec 5<>/dev/tcp/10.99.0.2/7000; cat <&5";
    let hosts = std::fs::read_to_string("/etc/hosts").expect("readable");
    let count = hosts.lines().filter(|line| line.contains("localhost")).count();
    assert_eq!(
        output(&mut world.helper(&["host", text])),
        format!("nameserver {OUTSIDE}\nsearch lab.example\n{count}\ntcp {OUTSIDE}\n")
    );
}

/// A function that needs no network has the interface, and nobody pays for its other end.
#[tokio::test]
async fn the_uplink_is_started_by_the_first_packet() {
    let world = World::new();
    world.serve_outside();
    let text = format!(
        "print('interface', TAP, flush=True)\nend('refused', tcp({:?}))\n\
         import time; time.sleep(0.2); print('before', flush=True)\n\
         time.sleep(0.5); end('first', udp({OUTSIDE:?})); time.sleep(1000)",
        METADATA[0]
    );
    let mut held = Held::start(&mut world.helper(&["nat", &python(&text)]));
    held.until("interface 2");
    held.until("refused No route to host");
    held.until("before");
    assert!(uplinks(&held).is_empty(), "what is refused needs none either");
    held.until(&format!("first udp {OUTSIDE}"));
    assert_eq!(uplinks(&held).len(), 1);
}

/// The function goes on sending while the uplink starts: datagrams, which nobody repeats, and connections.
#[test]
fn nothing_is_lost_while_the_uplink_starts() {
    let world = World::new();
    world.serve_outside();
    let text = format!(
        "
import select, threading, time
open_ = []
def connect(address):
    end('tcp', tcp(address, wait=20))
threads = []
for number in range(150):
    address = [{OUTSIDE:?}, {OUTSIDE_V6:?}][number % 2]
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.sendto(b'?', (address, PORT))
    open_.append(s)
    if number % 30 == 0:
        threads.append(threading.Thread(target=connect, args=(address,)))
        threads[-1].start()
    time.sleep(0.0002)
answered, until = 0, time.time() + 20
while open_ and time.time() < until:
    for s in select.select(open_, [], [], 1)[0]:
        answered += len(s.recv(99)) > 0
        open_.remove(s)
for thread in threads: thread.join()
print('answered', answered)"
    );
    let output = world.nat(&python(&text), &[]);
    assert_eq!(output.lines().last(), Some("answered 150"), "{output}");
    assert_eq!(output.matches(&format!("tcp tcp {OUTSIDE}\n")).count(), 5, "{output}");
}

/// Of each connected sandbox.
fn uplinks(held: &Held) -> Vec<i32> {
    // Children of the spawner only: an uplink clones itself for a moment to enter the network.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", held.spawner));
    let children = children.expect("the spawner runs");
    let children = children.split_ascii_whitespace().map(|pid| pid.parse().expect("a pid"));
    children.filter(|pid| is_uplink(*pid)).collect()
}

/// The process ids of a connected sandbox's init and uplink.
fn processes(held: &Held) -> [i32; 2] {
    let uplinks = uplinks(held);
    assert_eq!(uplinks.len(), 1, "{uplinks:?}");
    [held.init, uplinks[0]]
}

fn is_uplink(pid: i32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    ["lambd-uplink", "pasta", "passt"].iter().any(|start| name.starts_with(start))
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill -9");
}

#[tokio::test]
async fn the_uplink_ends_with_the_function() {
    let world = World::new();
    world.serve_outside();
    let mut held = Held::start(&mut world.helper(&["nat", &up_and("sleep 0.5")]));
    held.until("up");
    let processes = processes(&held);
    eventually("both are dead", || !processes.iter().any(|pid| is_alive(*pid))).await;
    assert!(held.lines.any(|line| line.starts_with("status: Exited(0)")));
}

#[tokio::test]
async fn the_uplink_ends_with_the_daemon() {
    for ordinary_user in [false, true] {
        let world = World::new();
        world.serve_outside();
        let script = up_and("sleep 1000");
        let mut held = Held::start(&mut world.helper_as(ordinary_user, &["nat", &script]));
        held.until("up");
        let processes = processes(&held);
        held.kill();
        eventually("all are dead", || !processes.iter().any(|pid| is_alive(*pid))).await;
        assert!(!is_alive(held.spawner));
    }
}

#[tokio::test]
async fn the_uplink_ends_with_the_spawner() {
    for ordinary_user in [false, true] {
        let world = World::new();
        world.serve_outside();
        let script = up_and("sleep 1000");
        let mut held = Held::start(&mut world.helper_as(ordinary_user, &["nat", &script]));
        held.until("up");
        let processes = processes(&held);
        kill(held.spawner);
        eventually("both are dead", || !processes.iter().any(|pid| is_alive(*pid))).await;
    }
}

/// Also one that has not become the program yet: a parent that is dead by then sends no signal any more.
#[tokio::test]
async fn an_uplink_that_is_starting_ends_with_the_spawner() {
    let world = World::new();
    for _ in 0..10 {
        let script = format!("echo ? >/dev/udp/{OUTSIDE}/7000; sleep 1000");
        let mut helper = world.helper(&["nat", &script]).stdout(Stdio::null()).spawn().expect("starts");
        let daemon = i32::try_from(helper.id()).expect("a pid");
        let (spawner, uplink) = loop {
            let spawners = children(daemon).into_iter();
            let mut all =
                spawners.flat_map(|spawner| children(spawner).into_iter().map(move |pid| (spawner, pid)));
            if let Some(found) = all.find(|(_, pid)| is_uplink(*pid)) {
                break found;
            }
        };
        // Wherever it is on its way, it goes on when its parent is dead.
        let _ = kill_process(Pid::from_raw(uplink).expect("a pid"), Signal::STOP);
        kill(spawner);
        let _ = kill_process(Pid::from_raw(uplink).expect("a pid"), Signal::CONT);
        eventually("it is dead", || !is_alive(uplink)).await;
        helper.wait().expect("ends");
    }
}

/// Rather than a function that has lost its network for good: its next event gets a sandbox that has one.
#[tokio::test]
async fn the_sandbox_ends_with_its_uplink() {
    let world = World::new();
    world.serve_outside();
    let mut held = Held::start(&mut world.helper(&["nat", &up_and("sleep 1000")]));
    held.until("up");
    let [init, uplink] = processes(&held);
    kill(uplink);
    assert!(held.lines.any(|line| line.starts_with("status: Lost")));
    assert!(!is_alive(init));
}

#[test]
fn an_ordinary_users_sandboxes_are_connected_too() {
    let world = World::new();
    world.serve_outside();
    world.serve_names();
    let asked = world.serve_on_host();
    let text = format!(
        "for a in {:?}: end(a, tcp(a)); end(a + ' bound', tcp(a, bound=True))\n\
         print(len(socket.getaddrinfo('service.test', 1, socket.AF_INET, socket.SOCK_STREAM)))",
        [OUTSIDE, OUTSIDE_V6, METADATA[0], METADATA[1], HOST[0], HOST[1]]
    );
    let output = output(&mut world.helper_as(true, &["nat", &python(&text)]));
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.len(), 13, "{output}");
    for line in &lines[..4] {
        assert!(line.contains(" tcp "), "{output}");
    }
    for line in &lines[4..12] {
        assert!(line.ends_with("No route to host") || line.ends_with("timed out"), "{output}");
    }
    assert_eq!((lines[12], asked.get()), ("1", 0), "{output}");
}

/// What the uplink may do if a function should take it over: nothing that its work does not need.
#[tokio::test]
async fn the_uplink_has_no_right_outside_of_its_sandbox() {
    let world = World::new();
    world.serve_outside();
    let mut held = Held::start(&mut world.helper(&["nat", &up_and("sleep 1000")]));
    held.until("up");
    let [init, uplink] = processes(&held);
    let status = |pid: i32, field: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("readable");
        let value = status.lines().find_map(|line| line.strip_prefix(field)).map(str::trim);
        value.expect("there").to_owned()
    };
    let namespace =
        |pid: i32, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("there");
    assert_eq!(status(uplink, "Uid:"), status(init, "Uid:"), "an id that owns nothing on the host");
    assert!(!status(uplink, "Uid:").starts_with("0\t"));
    assert_eq!(namespace(uplink, "user"), namespace(init, "user"), "its rights end with the sandbox");
    assert_ne!(namespace(uplink, "net"), namespace(init, "net"));
    assert_ne!(namespace(uplink, "mnt"), namespace(held.spawner, "mnt"));
    // It closes itself in before it looks at the first packet.
    let closed = || (status(uplink, "Seccomp:"), status(uplink, "NoNewPrivs:")) == ("2".into(), "1".into());
    eventually("it has a filter of its own", closed).await;
    let allowed = u64::from_str_radix(&status(uplink, "CapBnd:"), 16).expect("a number");
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_SYS_ADMIN.
    assert_eq!(allowed, 1 << 10 | 1 << 12 | 1 << 21);
}

#[test]
fn an_uplink_that_cannot_work_says_why() {
    let world = World::without_tun();
    let done =
        world.helper_as(true, &["nat", "true"]).stderr(Stdio::piped()).output().expect("the helper runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success());
    assert!(said.contains("cannot connect the sandbox's network: pasta has ended: "), "{said}");
    assert!(said.contains("/dev/net/tun"), "{said}");
}

#[test]
fn twenty_at_once_are_connected() {
    let world = World::new();
    world.serve_outside();
    let script = python(&format!("end('tcp', tcp({OUTSIDE:?}, wait=30))"));
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let one = || world.nat(&script, &[]);
        let running: Vec<_> = (0..20).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(outputs.iter().all(|output| *output == format!("tcp tcp {OUTSIDE}\n")), "{outputs:?}");
}

/// A frozen process of cgroup v1 does not end by a signal alone.
#[tokio::test]
async fn a_frozen_sandbox_ends_with_its_uplink() {
    let program = find_pasta().expect("these tests need pasta, in Debian the package passt");
    let nat = Some(NatOptions { program, denied: Vec::new() });
    let spawner = start_with(SpawnerOptions { nat, ..SpawnerOptions::default() });
    let spec = SandboxSpec { network: Network::Nat, ..script("sleep 1000") };
    let base = Base { network: Network::Nat, ..Base::default() };
    let prepared = spawner.prepare(base).await.expect("an empty sandbox");
    prepared.connect().await.expect("is connected");
    let sandbox = prepared.build(spec).await.expect("spawns");
    sandbox.freeze().expect("freezes");
    let children = tree(i32::try_from(spawner.pid()).expect("pid fits"));
    kill(children.into_iter().find(|pid| is_uplink(*pid)).expect("it is connected"));
    assert_eq!(exited(&sandbox).await, ExitStatus::Lost);
    spawner.shutdown().await;
}
