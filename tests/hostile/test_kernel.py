"""Calls that escapes have used, and other doors of the kernel."""

import socket
import time

import pytest

from tools import *  # noqa: F403 - what attacks use is defined there

#: Calls with arguments as good as can be, so that a refusal is not about them. Each must be refused for want
#: of a right (EPERM) or as if the kernel had no such call (ENOSYS).
CALLS = {
    "mount tmpfs": lambda: syscall("mount", b"none", b"/tmp", b"tmpfs", 0, 0),
    "mount proc": lambda: syscall("mount", b"proc", b"/tmp", b"proc", 0, 0),
    "mount bind": lambda: syscall("mount", b"/usr", b"/tmp", 0, 4096, 0),
    "mount overlay": lambda: syscall("mount", b"o", b"/tmp", b"overlay", 0, b"lowerdir=/usr:/var"),
    "remount writable": lambda: syscall("mount", b"none", b"/", 0, 32, 0),
    "remount code writable": lambda: syscall("mount", b"none", b"/var/task", 0, 32 | 4096, 0),
    "make shared": lambda: syscall("mount", b"none", b"/", 0, 1 << 20 | 16384, 0),
    "umount": lambda: syscall("umount2", b"/tmp", 0),
    "umount what covers": lambda: syscall("umount2", b"/proc/keys", 2),
    "pivot_root": lambda: syscall("pivot_root", b"/tmp", b"/tmp"),
    "chroot": lambda: syscall("chroot", b"/tmp"),
    "open_tree": lambda: syscall("open_tree", -100, b"/", 1),
    "open_tree_attr": lambda: syscall("open_tree_attr", -100, b"/", 1, 0, 0),
    "move_mount": lambda: syscall("move_mount", -100, b"/tmp", -100, b"/mnt", 0),
    "mount_setattr": lambda: syscall("mount_setattr", -100, b"/", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32),
    "fsopen": lambda: syscall("fsopen", b"tmpfs", 0),
    "fsconfig": lambda: syscall("fsconfig", 0, 6, 0, 0, 0),
    "fsmount": lambda: syscall("fsmount", 0, 0, 0),
    "fspick": lambda: syscall("fspick", -100, b"/", 0),
    "statmount": lambda: syscall("statmount", struct.pack("IIQQ", 24, 0, 1, 1), bytes(512), 512, 0),
    "listmount": lambda: syscall("listmount", struct.pack("IIQQ", 24, 0, 2**64 - 1, 0), bytes(512), 64, 0),
    "swapon": lambda: syscall("swapon", b"/tmp/swap", 0),
    "swapoff": lambda: syscall("swapoff", b"/tmp/swap"),
    "quotactl": lambda: syscall("quotactl", 0x800001 << 8, b"/dev/null", 0, 0),
    "quotactl_fd": lambda: syscall("quotactl_fd", 0, 0x800001 << 8, 0, 0),
    "acct": lambda: syscall("acct", b"/tmp/acct"),
    "init_module": lambda: syscall("init_module", b"\x7fELF", 4, b""),
    "finit_module": lambda: syscall("finit_module", 0, b"", 0),
    "delete_module": lambda: syscall("delete_module", b"dummy", 0),
    "kexec_load": lambda: syscall("kexec_load", 0, 0, 0, 0),
    "kexec_file_load": lambda: syscall("kexec_file_load", 0, 0, 0, 0, 0),
    "reboot": lambda: syscall("reboot", 0xFEE1DEAD, 672274793, 0, 0),
    "settimeofday": lambda: syscall("settimeofday", struct.pack("qq", int(time.time()), 0), 0),
    "clock_settime": lambda: syscall("clock_settime", 0, struct.pack("qq", int(time.time()), 0)),
    "clock_adjtime": lambda: syscall("clock_adjtime", 0, struct.pack("I", 1) + bytes(252)),
    "adjtimex": lambda: syscall("adjtimex", struct.pack("I", 1) + bytes(252)),
    "sethostname": lambda: syscall("sethostname", b"mine", 4),
    "setdomainname": lambda: syscall("setdomainname", b"mine", 4),
    "kernel log": lambda: syscall("syslog", 3, ctypes.create_string_buffer(4096), 4096),
    "clear kernel log": lambda: syscall("syslog", 5, 0, 0),
    "vhangup": lambda: syscall("vhangup"),
    "iopl": lambda: syscall("iopl", 3),
    "ioperm": lambda: syscall("ioperm", 0x378, 1, 1),
    "modify_ldt": lambda: syscall("modify_ldt", 0, ctypes.create_string_buffer(64), 64),
    "bpf map": lambda: syscall("bpf", 0, struct.pack("IIIII", 1, 4, 4, 1, 0) + bytes(100), 120),
    "bpf program": lambda: syscall("bpf", 5, bytes(120), 120),
    "perf_event_open": lambda: syscall("perf_event_open", struct.pack("IIQ", 1, 112, 1) + bytes(96), 0, -1, -1, 0),
    "userfaultfd": lambda: syscall("userfaultfd", 1),
    "io_uring_setup": lambda: syscall("io_uring_setup", 8, bytes(120)),
    "io_uring_enter": lambda: syscall("io_uring_enter", 0, 1, 0, 0, 0, 0),
    "io_uring_register": lambda: syscall("io_uring_register", -1, 8, 0, 0),
    "add_key": lambda: syscall("add_key", b"user", b"key", b"value", 5, -3),
    "request_key": lambda: syscall("request_key", b"user", b"key", 0, -3),
    "keyctl": lambda: syscall("keyctl", 0, -3, 1),
    "keyctl session": lambda: syscall("keyctl", 1, 0),
    "fanotify_init": lambda: syscall("fanotify_init", 0x200, 0),
    "fanotify_mark": lambda: syscall("fanotify_mark", 0, 1, 1, -100, b"/"),
    "lookup_dcookie": lambda: syscall("lookup_dcookie", 1, ctypes.create_string_buffer(64), 64),
    "process_madvise": lambda: syscall("process_madvise", 0, bytes(16), 1, 21, 0),
    "process_mrelease": lambda: syscall("process_mrelease", 0, 0),
    "kcmp": lambda: syscall("kcmp", os.getpid(), os.getpid(), 0, 0, 0),
    "move_pages": lambda: syscall("move_pages", 0, 0, 0, 0, 0, 0),
    "migrate_pages": lambda: syscall("migrate_pages", 0, 8, bytes(8), bytes(8)),
    "mbind": lambda: syscall("mbind", 0, 0, 0, 0, 0, 0),
    "set_mempolicy": lambda: syscall("set_mempolicy", 0, 0, 0),
    "memfd_secret": lambda: syscall("memfd_secret", 0),
    "cachestat": lambda: syscall("cachestat", 0, bytes(16), bytes(40), 0),
    "lsm_set_self_attr": lambda: syscall("lsm_set_self_attr", 100, bytes(32), 32, 0),
    "a call of the future": lambda: syscall(600),
    "a negative call": lambda: syscall(-1),
}


@pytest.mark.parametrize("call", CALLS)
def test_refused_call(stage, call):
    """A call that is not for functions does not get as far as its arguments."""

    def run(source, name):
        # The table above, as it stands in this file.
        table = eval(source, globals())
        return outcome(table[name])

    assert stage.attack(run, table_source(), call) in {"EPERM", "ENOSYS"}


def table_source() -> str:
    """The source text of the table of calls, to be read inside."""
    with open(__file__) as file:
        text = file.read()
    start = text.index("CALLS = {") + len("CALLS = ")
    return text[start : text.index("\n}\n", start) + 2]


def test_calls_of_the_32_bit_interface(stage):
    """A call through the interrupt of 32-bit programs, whose numbers are others, ends the process."""

    def run():
        # mov eax, 20 (getpid there); int 0x80; ret
        interrupt = machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        # The same through the instruction that this machine's calls use, to show that the code is good.
        syscall_instruction = machine_code(b"\xb8\x27\x00\x00\x00\x0f\x05\xc3")
        return [in_child(interrupt), in_child(syscall_instruction), syscall_instruction() == os.getpid()]

    assert stage.attack(run) == [-int(signal.SIGSYS), 0, True]


def test_calls_of_the_x32_interface(stage):
    """Calls with the mark of the x32 interface, for which no list was made, do not exist."""

    def run():
        mark = 0x40000000
        wanted = {"getpid": 39, "unshare": 272, "mount": 165, "ptrace": 521, "execve": 520, "ioctl": 514}
        return outcomes({name: lambda n=number: syscall(mark | n, 0, 0, 0, 0, 0) for name, number in wanted.items()})

    found = stage.attack(run)
    assert set(found.values()) == {"ENOSYS"}, found


def test_socket_families(stage):
    """Of the families of sockets only Unix, IPv4, IPv6 and routing questions exist."""

    def run():
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW)
        opened = []
        for family in range(64):
            for kind in kinds:
                for protocol in (0, 1, 3):
                    try:
                        socket.socket(family, kind, protocol).close()
                        opened.append(family)
                    except OSError:
                        pass
        pairs = [family for family in range(64) if family != 1 and outcome(lambda f=family: socket.socketpair(f)) == "ok"]
        return [sorted(set(opened)), pairs]

    families = [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16]
    if (stage.level, stage.user) == ("process", "rootless"):
        # Services of the host would take the function for the user who runs lambd. Pairs are always possible.
        families.remove(socket.AF_UNIX)
    assert stage.attack(run) == [families, []]


def test_socket_protocols(stage):
    """Of the protocols of IPv4 and IPv6 only TCP and UDP: asking for another would load a module of the host."""

    def run():
        opened = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, 6, 10):
                for protocol in (*range(256), 256, 261, 262):
                    try:
                        with socket.socket(family, kind, protocol) as made:
                            opened.append(made.getsockopt(socket.SOL_SOCKET, 38))
                    except OSError:
                        pass
        return sorted(set(opened))

    # Landlock limits TCP only, so where the network is the host's there is nothing else.
    assert stage.attack(run) == [socket.IPPROTO_TCP, *([socket.IPPROTO_UDP] if stage.own_view else [])]


def test_netlink_changes(stage):
    """Over netlink nothing can be changed, and nothing but routes and addresses can be asked for."""

    def run():
        opened = [n for n in range(32) if outcome(lambda n=n: socket.socket(16, socket.SOCK_RAW, n).close()) == "ok"]

        def request(kind, body):
            with socket.socket(16, socket.SOCK_RAW, 0) as route:
                route.settimeout(5)
                route.send(struct.pack("IHHII", 16 + len(body), kind, 5, 1, 0) + body)
                return -struct.unpack_from("i", route.recv(4096), 16)[0]

        loopback_down = struct.pack("BxHiII", 0, 0, 1, 0, 1)
        address = struct.pack("BBBBI", socket.AF_INET, 24, 0, 0, 1) + struct.pack("HH4s", 8, 2, b"\x0a\x00\x00\x01")
        bridge = struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HHHH8s", 16, 18, 12, 1, b"bridge\0\0")
        return [opened, [request(16, loopback_down), request(20, address), request(16, bridge)]]

    opened, errors = stage.attack(run)
    assert opened == [0]
    assert set(errors) == {1}, "EPERM"


def test_raw_sockets(stage):
    """No socket writes or reads packets of its own making."""

    def run():
        return outcomes(
            {
                "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
                "raw icmp": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
                "raw 6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
                "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
                "packet kind": lambda: socket.socket(socket.AF_INET, 10, 0x300),
                "vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM, 0),
            }
        )

    found = stage.attack(run)
    assert set(found.values()) <= {"EPERM", "EACCES", "EPROTONOSUPPORT"}, found


def test_programs_for_sockets(stage):
    """No program of the packet filter can be hung on a socket: each takes kernel memory that nobody counts."""

    def run():
        instructions = struct.pack("HBBI", 6, 0, 0, 0xFFFF)
        buffer = ctypes.create_string_buffer(instructions)
        program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(buffer))
        found = {}
        for name, option in {"filter": 26, "bpf": 50, "reuseport": 51, "reuseport bpf": 52}.items():
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
                found[name] = outcome(lambda one=one, option=option: one.setsockopt(socket.SOL_SOCKET, option, program))
        return found

    found = stage.attack(run)
    assert set(found.values()) == {"EPERM"}, found


def test_flood_of_filters(stage):
    """A function cannot fill the memory that all of the machine has for system call filters."""

    def run():
        many = [struct.pack("HBBI", 0x20, 0, 0, 0)] * 4000 + [struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)]
        buffer = ctypes.create_string_buffer(b"".join(many))
        program = struct.pack("HxxxxxxQ", len(many), ctypes.addressof(buffer))

        def status(action):
            # In a child: a filter would stay for good.
            return in_child(action)

        found = {
            "seccomp": status(lambda: syscall("seccomp", 1, 0, program)),
            "listener": status(lambda: syscall("seccomp", 1, 8, program)),
            "prctl": status(lambda: syscall("prctl", 22, 2, program, 0, 0)),
        }
        found["error"] = outcome(lambda: syscall("seccomp", 1, 0, program))
        return found

    found = stage.attack(run)
    assert found == {"seccomp": 99, "listener": 99, "prctl": 99, "error": "EINVAL"}


def test_input_of_terminals(stage):
    """There is no terminal, none can be made, and no input can be pushed into one."""

    def run():
        pushes = outcomes(
            {
                "TIOCSTI": lambda: fcntl.ioctl(0, 0x5412, b"x"),
                "hidden": lambda: syscall(16, 0, 0x5412 | 1 << 32, b"x"),
                "TIOCLINUX": lambda: fcntl.ioctl(0, 0x541C, b"\x03"),
            }
        )
        terminals = outcomes(
            {path: lambda path=path: os.close(os.open(path, os.O_RDWR)) for path in ("/dev/tty", "/dev/ptmx", "/dev/console", "/dev/tty0", "/dev/pts/0")}
        )
        return [pushes, terminals]

    pushes, terminals = stage.attack(run)
    assert set(pushes.values()) == {"EPERM"}, pushes
    assert set(terminals.values()) <= {"ENOENT", "EACCES", "ENXIO"}, terminals


def test_settings_of_the_kernel(stage):
    """No setting of the kernel can be written, not even one of its own namespaces."""

    def run():
        names = ["kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/sysrq", "kernel/randomize_va_space"]
        names += ["kernel/poweroff_cmd", "kernel/shmmax", "kernel/msgmax", "kernel/ns_last_pid", "kernel/domainname"]
        names += ["fs/file-max", "fs/suid_dumpable", "fs/mqueue/queues_max", "fs/binfmt_misc/register"]
        names += ["vm/overcommit_memory", "vm/drop_caches", "vm/panic_on_oom", "user/max_user_namespaces"]
        names += ["net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start", "net/core/somaxconn", "net/ipv4/ping_group_range"]
        paths = [f"/proc/sys/{name}" for name in names]
        paths += ["/proc/sysrq-trigger", "/proc/mtrr", "/proc/irq/0/smp_affinity", "/proc/irq/default_smp_affinity"]
        paths += ["/proc/fs/ext4", "/proc/bus/pci", "/proc/timer_list", "/proc/kcore", "/proc/pressure/cpu"]
        return outcomes({path: lambda path=path: os.close(os.open(path, os.O_WRONLY)) for path in paths})

    found = stage.attack(run)
    found.pop("/proc/timer_list"), found.pop("/proc/kcore"), found.pop("/proc/sysrq-trigger")  # covered by /dev/null
    allowed = {"EROFS", "EACCES", "EPERM", "ENOENT", "EISDIR", "EOPNOTSUPP"}
    assert {path: error for path, error in found.items() if error not in allowed} == {}


def test_own_process_files(stage):
    """A process cannot give itself other ids, groups or a better place by its own files in /proc."""

    def run():
        tries = {
            "uid_map": b"0 0 1",
            "gid_map": b"0 0 1",
            "setgroups": b"allow",
            "timens_offsets": b"monotonic 1000 0",
            "attr/current": b"unconfined",
            "attr/exec": b"exec unconfined",
            "make-it-fail": b"1",
            "oom_adj": b"-17",
        }
        return outcomes({name: lambda n=name, c=content: write_existing(f"/proc/self/{n}", c) for name, content in tries.items()})

    found = stage.attack(run)
    assert "ok" not in found.values(), found


def test_shared_memory_of_system_v(stage, name):
    """A key of System V leads one function to nothing of another's: memory, semaphores or queues."""
    stage.attacker(name)
    key = 0x10BD0001

    def make(key):
        memory = syscall("shmget", key, 4096, 0o1666)
        place = ctypes.c_void_p(syscall("shmat", memory, 0, 0))
        ctypes.memmove(place, b"secret", 6)
        return [memory >= 0, syscall("semget", key, 1, 0o1666) >= 0, syscall("msgget", key, 0o1666) >= 0]

    def find(key):
        found = outcomes(
            {
                "memory": lambda: syscall("shmget", key, 0, 0),
                "semaphores": lambda: syscall("semget", key, 0, 0),
                "queue": lambda: syscall("msgget", key, 0),
            }
        )
        listed = [line for kind in ("shm", "sem", "msg") for line in open(f"/proc/sysvipc/{kind}").readlines()[1:]]
        return [found, listed]

    assert stage.attack(make, key, by=name) == [True, True, True]
    found, listed = stage.attack(find, key)
    assert set(found.values()) == {"ENOENT"}, found
    assert listed == []
    assert f"{key}" not in open("/proc/sysvipc/shm").read()


def test_queues_of_posix(stage, name):
    """A message queue of one function has no name in another's sandbox, nor on the host."""
    stage.attacker(name)

    def make():
        return outcome(lambda: syscall("mq_open", b"hostile-queue", os.O_CREAT | os.O_RDWR, 0o666, 0))

    def find():
        return outcome(lambda: syscall("mq_open", b"hostile-queue", os.O_RDWR, 0, 0))

    # Landlock, where the kernel has it, knows no queues and allows none.
    assert stage.attack(make, by=name) in ("ok", "EACCES")
    assert stage.attack(find) == "ENOENT"
    assert outcome(lambda: syscall("mq_open", b"hostile-queue", os.O_RDWR, 0, 0)) == "ENOENT"


def test_objects_of_the_kernel_that_all_share(stage):
    """Where the kernel's objects are the host's, no memory, semaphore or queue can be made or found."""
    key = 0x10BD0002

    def run(key):
        return outcomes(
            {
                "memory": lambda: syscall("shmget", key, 4096, 0o1666),
                "found memory": lambda: syscall("shmget", key, 0, 0),
                "attached": lambda: syscall("shmat", 0, 0, 0),
                "semaphores": lambda: syscall("semget", key, 1, 0o1666),
                "queue": lambda: syscall("msgget", key, 0o1666),
                "queue of POSIX": lambda: syscall("mq_open", b"hostile-shared", os.O_CREAT | os.O_RDWR, 0o666, 0),
                "its removal": lambda: syscall("mq_unlink", b"hostile-shared"),
            }
        )

    found = stage.attack(run, key)
    assert set(found.values()) == {"EPERM"}, found
    assert f"{key}" not in open("/proc/sysvipc/shm").read()


def test_syncing_the_hosts_disks(stage):
    """Asking again and again to write out all disks of the host costs the host nothing."""

    def run():
        code = os.open(TASK, os.O_RDONLY)
        start = time.monotonic()
        for _ in range(2000):
            syscall("sync")
            syscall("syncfs", code)
        return time.monotonic() - start

    def written():
        (line,) = [line for line in open("/proc/vmstat") if line.startswith("nr_dirtied ")]
        return int(line.split()[1])

    assert stage.attack(run) < 4
    assert written() > 0
