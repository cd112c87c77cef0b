"""What a function cannot do, tried from inside."""

import os
import uuid

import pytest

from harness import packages
from harness.functions import Functions, python_runtime

#: Runs whatever Python it is sent; the worst function that anybody can deploy.
PROBE = """import ctypes, errno, glob, os, re, resource, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    value = libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if value == -1 else "ok"
def attempt(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def handler(event, context):
    scope = dict(globals())
    exec(event, scope)
    return scope["result"]
"""


@pytest.fixture(scope="module")
def prober(shared_lambda):
    """Runs Python inside a sandbox: ``prober(code)`` gives the ``result`` that the code sets."""
    functions = Functions(shared_lambda)
    functions.python("prober", PROBE, Timeout=30, MemorySize=512)
    return lambda code: functions.invoke("prober", code).good()


def test_no_privileges(daemon, prober):
    """CORE-005: no capability in any set, no way to gain one, a system call filter."""
    status = dict(
        line.split(":\t")
        for line in prober("result = open('/proc/self/status').read()").splitlines()
        if ":\t" in line
    )
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_secrets_of_the_host(daemon, prober, tmp_path):
    """CORE-005: neither the host's files nor the daemon's data can be read."""
    canary = tmp_path / "canary"
    canary.write_text("host")
    canary.chmod(0o644)
    paths = [
        "/etc/shadow",
        "/root",
        "/home",
        str(canary),
        str(daemon.data),
        str(daemon.log),
        "/proc/kcore",
        "/dev/mem",
    ]
    for path in paths:
        code = f"""path = {path!r}
try:
    result = os.listdir(path) if os.path.isdir(path) else [open(path, 'rb').read(1).decode()]
except OSError:
    result = []"""
        assert prober(code) == [], path


def test_no_way_to_the_data_directory_through_descriptors(daemon, prober):
    """CORE-005: no descriptor or mount of the daemon is left open in the sandbox."""
    found = prober("result = [os.readlink(p) for p in glob.glob('/proc/self/fd/*') if os.path.exists(p)]")
    for target in found:
        assert not target.startswith(str(daemon.folder)), target
        assert target.startswith(("/dev/", "pipe:", "socket:", "anon_inode:", "/proc/", "/tmp/", "/var/")), target


def test_root_is_read_only(daemon, prober):
    """LANG1-029: code and system are read-only; only /tmp can be written."""
    for folder in ("/", "/var/task", "/var/runtime", "/usr", "/usr/bin", "/etc", "/opt", "/lib", "/var"):
        code = f"result = attempt(lambda: open(os.path.join({folder!r}, 'intruder'), 'w'))"
        assert prober(code) in ("EROFS", "EACCES", "EPERM", "ENOENT"), folder
    assert prober("result = attempt(lambda: os.chmod('/var/task/app.py', 0o777))") in ("EROFS", "EPERM", "EACCES")
    assert prober("result = attempt(lambda: open('/tmp/mine', 'w').write('x'))") == "ok"


def test_dangerous_system_calls(daemon, prober):
    """CORE-005: mounting, new namespaces, tracing, modules, keys, bpf, reboot are refused."""
    calls = {
        "mount": (165, "b'none'", "b'/tmp'", "b'tmpfs'", 0, 0),
        "umount2": (166, "b'/tmp'", 2),
        "unshare user": (272, 0x10000000),
        "unshare mount": (272, 0x00020000),
        "setns": (308, 0, 0),
        "pivot_root": (155, "b'/'", "b'/tmp'"),
        "chroot": (161, "b'/tmp'"),
        "ptrace": (101, 16, 1, 0, 0),
        "init_module": (175, 0, 0, "b''"),
        "kexec_load": (246, 0, 0, 0, 0),
        "bpf": (321, 0, 0, 0),
        "keyctl": (250, 0, 0, 0, 0, 0),
        "add_key": (248, "b'user'", "b'k'", "b'v'", 1, -3),
        "perf_event_open": (298, 0, 0, -1, -1, 0),
        "reboot": (169, 0xFEE1DEAD, 672274793, 0, 0),
        "swapon": (167, "b'/tmp/x'", 0),
        "settimeofday": (164, 0, 0),
        "sethostname": (170, "b'x'", 1),
        "io_uring_setup": (425, 1, 0),
        "userfaultfd": (323, 0),
        "open_by_handle_at": (304, 0, 0, 0),
        "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    }
    code = "result = {" + ", ".join(f"{n!r}: call({', '.join(map(str, a))})" for n, a in calls.items()) + "}"
    allowed = {n: e for n, e in prober(code).items() if e not in ("EPERM", "EACCES", "ENOSYS")}
    # settimeofday without arguments does nothing and may be allowed to.
    allowed.pop("settimeofday", None)
    assert allowed == {}
    assert prober("result = call(272, 0x7E020000)") in ("EPERM", "ENOSYS")


def test_own_processes_only(daemon, prober):
    """CORE-005: a function sees and can signal only its own processes."""
    pids = prober("result = [int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert len(pids) < 10, pids
    host = os.getpid()
    assert (
        prober(f"result = os.path.exists('/proc/{host}/environ') and {host} not in (os.getpid(), os.getppid(), 1)")
        is False
    )


def test_network_is_its_own(daemon, prober):
    """CORE-005: the host's loopback, with the daemon on it, is not the function's."""
    code = (
        f"s = socket.socket()\ns.settimeout(2)\nresult = attempt(lambda: s.connect(('127.0.0.1', {daemon.port})))"
    )
    assert prober(code) == "ECONNREFUSED"
    # The second leads outside, and to nothing of this machine: see test_network.py.
    assert prober("result = [name for _, name in socket.if_nameindex()]") == ["lo", "eth0"]
    assert (
        prober("s = socket.socket(socket.AF_UNIX)\nresult = attempt(lambda: s.connect('/run/docker.sock'))")
        != "ok"
    )


def test_functions_do_not_see_each_other(functions, daemon, prober, name):
    """RT-30, CORE-005: code, /tmp and processes of another function are out of sight."""
    mark = uuid.uuid4().hex
    code = packages.package(
        {"app.py": f"import time\n# {mark}\ndef handler(event, context):\n    open('/tmp/{mark}', 'w').close()\n"}
    )
    functions.create(name, code, python_runtime())
    functions.invoke(name).good()
    assert not os.path.exists(f"/tmp/{mark}")
    search = f"""found = []
for root in ("/tmp", "/var", "/opt", "/run", "/mnt", "/srv", "/dev/shm"):
    for folder, _, names in os.walk(root):
        for n in names:
            path = os.path.join(folder, n)
            try:
                if n == {mark!r} or {mark!r} in open(path, errors="replace").read(100000):
                    found.append(path)
            except OSError:
                pass
result = found"""
    assert prober(search) == []


def test_memory_limit(functions, daemon, name):
    """CORE-074, CORE-313: more than MemorySize ends the instance, not the machine; the next one works."""
    functions.python(
        name, "def handler(event, context):\n    return len(bytearray(event * 1024 * 1024))\n", MemorySize=128
    )
    assert functions.invoke(name, 40).good() == 40 * 1024 * 1024
    result = functions.invoke(name, 600)
    # The service has used both names for it; the guide says only that the function fails.
    assert result.value["errorType"] in ("Runtime.ExitError", "Runtime.OutOfMemory")
    assert "signal: killed" in result.failed(result.value["errorType"])["errorMessage"]
    assert functions.invoke(name, 40).good() == 40 * 1024 * 1024


def test_memory_limit_counts_children(functions, daemon, name):
    """CORE-074: processes that the function starts share its limit."""
    source = (
        "import subprocess, sys\n"
        "def handler(event, context):\n"
        "    code = 'x = bytearray(90 * 1024 * 1024); import time; time.sleep(1); print(len(x))'\n"
        "    children = [subprocess.Popen([sys.executable, '-c', code]) for _ in range(4)]\n"
        "    return [child.wait() for child in children]\n"
    )
    functions.python(name, source, MemorySize=128, Timeout=20)
    result = functions.invoke(name)
    assert result.error == "Unhandled" or any(code != 0 for code in result.value), result


def test_files_and_processes_are_limited(daemon, prober):
    """CORE-087, CORE-088: 1,024 descriptors, 1,024 processes or threads."""
    assert prober("result = resource.getrlimit(resource.RLIMIT_NOFILE)") == [1024, 1024]
    code = """threading.stack_size(65536)
stop = threading.Event()
count = 0
try:
    for count in range(1, 1200):
        threading.Thread(target=stop.wait, daemon=True).start()
except RuntimeError:
    pass
finally:
    stop.set()
result = count"""
    assert 900 < prober(code) <= 1024


def test_devices(daemon, prober):
    """CORE-005: only harmless devices exist."""
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "shm", "pts", "ptmx", "mqueue", "core"}  # fmt: skip
    assert set(prober("result = os.listdir('/dev')")) <= harmless
    assert prober("result = attempt(lambda: os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0)))") in (
        "EPERM",
        "EACCES",
    )


def test_host_name_and_kernel_settings(daemon, prober):
    """CORE-005: kernel settings cannot be written; the host's name is not told."""
    assert prober("result = attempt(lambda: open('/proc/sys/kernel/hostname', 'w').write('x'))") in (
        "EROFS",
        "EACCES",
        "EPERM",
    )
    assert prober("result = attempt(lambda: open('/proc/sysrq-trigger', 'w').write('h'))") in (
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOENT",
    )
    assert prober("result = os.uname().nodename") != os.uname().nodename
    assert prober("result = os.path.exists('/sys/kernel') and os.access('/sys/kernel', os.W_OK)") is False
