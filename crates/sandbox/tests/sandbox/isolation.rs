//! What a program in a sandbox cannot see, change or call.

use lambd_sandbox::{Bind, ExitStatus};

use crate::support::{Finished, MIB, finish, output_of, run, script, start};

#[tokio::test]
async fn identity_is_that_of_aws() {
    let lines = output_of("id -u; id -ru; id -g; id -un; id -G; hostname; umask").await;
    assert_eq!(lines, "993\n993\n990\nsbx_user1051\n990\nlambd\n0022\n");
}

#[tokio::test]
async fn no_capability_is_left_and_the_filter_is_on() {
    let status = output_of("cat /proc/self/status").await;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "SigIgn:\t0000000000000000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} not in {status}");
    }
}

#[tokio::test]
async fn nothing_of_the_host_is_visible_beyond_the_system() {
    let home = tempfile::tempdir().expect("temporary directory");
    std::fs::write(home.path().join("secret"), "x").expect("write");
    let text = format!(
        "cat /etc/shadow; ls -A /root; ls {}; ls /sys; ls -A /home /boot /srv /run; true",
        home.path().display()
    );
    let output = output_of(&text).await;
    let nothing = |line: &str| line.contains("No such file") || line.contains("/root': Permission denied");
    assert!(output.lines().all(|line| nothing(line) || line == "/run:"), "{output}");
    let processes = output_of("ls /proc | grep -c '^[0-9]'").await;
    // Init, shell, ls, grep.
    assert!(processes.trim().parse::<u32>().expect("a number") <= 4, "{processes}");
}

#[tokio::test]
async fn only_tmp_can_be_written() {
    let code = tempfile::tempdir().expect("temporary directory");
    // Even a directory that everybody may write to.
    std::fs::set_permissions(code.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("chmod");
    let mut spec = script(
        "for d in / /usr /etc /dev /dev/shm /var /var/task /opt /mnt /root /run /proc/sys/kernel; do \
         touch $d/x 2>/dev/null && echo wrote $d; done; touch /tmp/x && echo wrote /tmp; \
         echo 1 2>/dev/null > /proc/sys/net/ipv4/ip_forward && echo wrote sysctl; \
         echo x 2>/dev/null > /etc/passwd && echo wrote passwd; true",
    );
    spec.binds.push(Bind { source: code.path().into(), target: "/var/task".into() });
    assert_eq!(run(spec).await.output, "wrote /tmp\n");
    assert_eq!(std::fs::read_dir(code.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn tmp_is_private_and_limited() {
    let spawner = start();
    let mut first = script(
        "echo mine > /tmp/file; head -c 3000000 /dev/zero > /tmp/big || echo full; stat -c %s /tmp/big",
    );
    first.tmp_bytes = 2 * MIB;
    let first = finish(spawner.spawn(first).await.expect("spawns")).await;
    assert!(first.output.contains("No space left") && first.output.contains("full"), "{}", first.output);
    let size: u64 = first.output.lines().last().and_then(|line| line.parse().ok()).expect("a size");
    assert!(size <= 2 * MIB && size > MIB, "{size}");
    let second = finish(spawner.spawn(script("ls -A /tmp; stat -c %a /tmp")).await.expect("spawns")).await;
    assert_eq!(second.output, "1777\n", "the other's file is not there");
}

#[tokio::test]
async fn host_processes_and_the_init_cannot_be_touched() {
    let output = output_of(
        "kill -9 1; kill -9 -1; sleep 0.05; cat /proc/1/environ /proc/1/mem /proc/1/maps 2>&1 | head -c 600; \
         ls -l /proc/1/fd /proc/1/cwd; echo alive",
    );
    let output = output.await;
    assert!(output.ends_with("alive\n"), "{output}");
    assert_eq!(
        output.matches("ermission denied").count(),
        output.matches("ermission denied").count().max(4),
        "{output}"
    );
}

/// Calls with the number and arguments given, by Python's ctypes, and prints the error number.
pub(crate) const CALLS: &str = r#"
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    print(name, "allowed" if result >= 0 else os.strerror(ctypes.get_errno()))
EPERM, ENOSYS = 1, 38
def call_x86(name, number, *args): call(name, number, *args)
call("unshare user", 272, 0x10000000)
call("unshare net", 272, 0x40000000)
call("setns", 308, 0, 0)
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount", 166, b"/proc", 0)
call("pivot_root", 155, b"/", b"/")
call("chroot", 161, b"/tmp")
call("ptrace init", 101, 16, 1, 0, 0)
call("bpf", 321, 0, 0, 0)
call("keyctl", 250, 0, 0, 0)
call("add_key", 248, b"user", b"a", b"b", 1, -2)
call("perf_event_open", 298, 0, 0, 0, 0, 0)
call("userfaultfd", 323, 0)
call("io_uring_setup", 425, 1, 0)
call("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
call("open_by_handle_at", 304, 0, 0, 0)
call("init_module", 175, 0, 0, b"")
call("kexec_load", 246, 0, 0, 0, 0)
call("reboot", 169, 0, 0, 0, 0)
call("personality", 135, 0x0400000)
call("clone newuser", 56, 0x10000000 | 17, 0, 0, 0, 0)
call("ioctl TIOCSTI", 16, 0, 0x5412, 0)
print("clone3", end=" "); call("", 435, 0, 0)
print("x32 getpid", end=" "); call("", 0x40000000 + 39)
def sock(name, *args):
    try: socket.socket(*args).close(); print(name, "allowed")
    except OSError as e: print(name, e.strerror)
sock("packet", 17, 3, 0)
sock("vsock", 40, 1, 0)
sock("netlink route", 16, 3, 0)
sock("netlink audit", 16, 3, 9)
sock("raw", socket.AF_INET, socket.SOCK_RAW, 1)
sock("tcp", socket.AF_INET, socket.SOCK_STREAM, 0)
sock("unix", socket.AF_UNIX, socket.SOCK_STREAM, 0)
"#;

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn dangerous_calls_fail() {
    // A Python below /usr: one in a home directory is not visible in a sandbox.
    let mut spec = script("exec /usr/bin/python3 -c \"$CALLS\"");
    assert!(
        std::path::Path::new("/usr/bin/python3").exists(),
        "this test needs /usr/bin/python3; install python3"
    );
    spec.env.push(("CALLS".into(), CALLS.into()));
    assert_calls_are_refused(&run(spec).await);
}

/// What [`CALLS`] must have printed.
#[cfg(target_arch = "x86_64")]
pub(crate) fn assert_calls_are_refused(finished: &Finished) {
    assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
    for line in finished.output.lines() {
        let expected = match line.rsplit_once("  ").map_or(line, |(name, _)| name) {
            name if name.starts_with("clone3") || name.starts_with("x32") => "Function not implemented",
            name if ["netlink route", "tcp", "unix"].iter().any(|free| name.starts_with(free)) => "allowed",
            _ => "Operation not permitted",
        };
        assert!(line.ends_with(expected), "{line}: expected {expected}");
    }
    assert_eq!(finished.output.lines().count(), 31, "{}", finished.output);
}

/// Restricts itself until the kernel's limit of sixteen layers; prints how many there was room for.
const LAYERS: &str = r#"
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
handled = ctypes.c_uint64(1 << 3)
layers = 0
while True:
    rules = libc.syscall(444, ctypes.byref(handled), 8, 0)
    if rules < 0 or libc.syscall(446, rules, 0) != 0: break
    layers += 1
print(layers)
"#;

#[tokio::test]
async fn landlock_is_a_second_line() {
    assert!(lambd_sandbox::probe().landlock_abi.is_some(), "this test needs a kernel with Landlock");
    let mut spec = script("exec /usr/bin/python3 -c \"$LAYERS\"");
    spec.env.push(("LAYERS".into(), LAYERS.into()));
    let finished = run(spec).await;
    assert_eq!(finished.output, "15\n", "one layer is there before a function's own");
}

#[tokio::test]
async fn the_network_is_a_loopback_of_its_own() {
    let output =
        output_of("cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/net/route | tail -n +2").await;
    assert_eq!(output.trim(), "lo");
}

#[tokio::test]
async fn standard_input_is_empty_and_no_other_file_is_open() {
    let output = output_of("cat; ls /proc/self/fd; tty; true").await;
    // Three standard files, and the directory that ls reads.
    assert_eq!(output.lines().take(4).collect::<Vec<_>>(), ["0", "1", "2", "3"], "{output}");
    assert!(output.contains("not a tty"), "{output}");
}
