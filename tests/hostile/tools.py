"""What attacks are made of: shipped with the attacking function, and importable by the tests.

Attacks are written as functions inside the tests. Their source is sent into the sandbox and runs there with
the names of this module, so a test can be read from top to bottom.
"""

import array
import ctypes
import errno
import fcntl
import glob
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

#: Where a function may write, and where its code and the bootstrap are. At the level `process` these are
#: paths of the host.
TMP = os.environ.get("TMPDIR", "/tmp")
TASK = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
RUNTIME = os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")

#: Ports of its two endpoints on 127.0.0.1, see `runtime_api` and `aws`.
API = int(os.environ.get("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").rpartition(":")[2])
ENDPOINT = int(os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566").rpartition(":")[2])

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

#: Numbers of system calls on x86-64. Attacks pass no C library, which might refuse by itself.
NUMBERS = {
    "mprotect": 10, "getpid": 39, "clone": 56, "fork": 57, "vfork": 58, "semget": 64, "msgget": 68,
    "shmget": 29, "shmat": 30, "ptrace": 101, "syslog": 103, "setuid": 105, "setgid": 106, "setgroups": 116,
    "setresuid": 117, "setresgid": 119, "capset": 126, "mknod": 133, "personality": 135, "vhangup": 153,
    "modify_ldt": 154, "pivot_root": 155, "prctl": 157, "adjtimex": 159, "setrlimit": 160, "chroot": 161,
    "sync": 162, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237,
    "set_mempolicy": 238, "mq_open": 240, "mq_unlink": 241, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "ioprio_set": 251, "migrate_pages": 256, "mknodat": 259, "unshare": 272,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "fanotify_mark": 301, "prlimit64": 302,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "syncfs": 306, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "seccomp": 317,
    "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "pidfd_send_signal": 424,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434,
    "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "memfd_secret": 447, "process_mrelease": 448, "cachestat": 451, "statmount": 457, "listmount": 458,
    "lsm_set_self_attr": 460, "open_tree_attr": 467,
}  # fmt: skip


def syscall(name, *arguments):
    """A system call by name (or number). Whole numbers are passed as words. Raises OSError."""
    number = name if isinstance(name, int) else NUMBERS[name]
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *words)
    if value == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return value


def outcome(action):
    """The name of the error that an action fails with, or "ok"."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "ok"


def outcomes(actions):
    """The outcome of each of several actions, given by name."""
    return {name: outcome(action) for name, action in actions.items()}


def read(path, limit=4096):
    """The beginning of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.read(limit)


def write(path, content=b"x"):
    """Writes to a file that need not exist."""
    with open(path, "wb", buffering=0) as file:
        file.write(content)


def write_existing(path, content):
    """Writes to a file that is there, as it stands: nothing is truncated or made."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def readable(paths):
    """Those of several paths that show anything: files with content, folders with entries."""

    def shows(path):
        try:
            return bool(os.listdir(path) if os.path.isdir(path) else read(path, 64))
        except OSError:
            return False

    return [path for path in paths if shows(path)]


def processes():
    """Numbers of all processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def family():
    """Processes of this sandbox but its init: this one, its children, and orphans, which the init has adopted."""
    parents = {os.getpid(), os.getppid()}
    found = []
    for pid in processes():
        try:
            fields = read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in parents:
            found.append(pid)
    return sorted(found)


def in_child(action):
    """Runs an action in a child process and tells how it ended: its exit status, or minus a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it was, this process must end here
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sleeper(mark=""):
    """A child process that sleeps and, for the host's eyes, has ``mark`` in its command line."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mark])


def await_sign(name, patience=60):
    """Waits until the test has made a function of that name, see `Stage.give_sign`."""
    until = time.monotonic() + patience
    while aws(f"/2015-03-31/functions/{name}")[0] != 200:
        if time.monotonic() > until:
            raise TimeoutError(f"nobody gave the sign {name}")
        time.sleep(0.05)


def machine_code(code):
    """A function of no arguments made of machine code."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    function.memory = memory
    return function


def exchange(port, request, patience=10, host="127.0.0.1"):
    """Sends bytes to a port and returns what comes back until the other side closes or falls silent."""
    with socket.create_connection((host, port), timeout=patience) as connection:
        connection.settimeout(patience)
        answer = b""
        try:
            connection.sendall(request)
            while True:
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
                if complete(answer):
                    break
        except (TimeoutError, ConnectionError):
            pass
    return answer.decode("latin-1")


def complete(answer):
    """Whether an HTTP answer with a Content-Length has arrived."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def status(answer):
    """The status of an HTTP answer, zero if there is none."""
    words = answer.split(" ", 2)
    return int(words[1]) if answer.startswith("HTTP/1.1 ") and words[1].isdigit() else 0


def runtime_api(method, path, body=b"", headers=(), patience=10):
    """One call of the Runtime API by hand: the status."""
    lines = [f"{method} /2018-06-01/runtime/{path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, *headers, "", ""]).encode()
    return status(exchange(API, head + body, patience))


def aws(path, body=None, credential="000000000000", service="lambda", method=None, headers=()):
    """One call through the AWS endpoint inside: status and body."""
    scope = f"{credential}/20260101/us-east-1/{service}/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    request = urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL"] + path, data=body, headers={**signed, **dict(headers)}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return [answer.status, answer.read().decode(errors="replace")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode(errors="replace")]
