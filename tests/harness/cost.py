"""What warm invocations cost a daemon, counted and not timed: a busy machine counts as an idle one does.

Run as a program it prints what one invocation of the Rust function costs, with the threads and the system calls that
it consists of:

    cd tests && LAMBD_BIN=... LAMBD_RUST_ECHO_ZIP=... python3 -m harness.cost
"""

import collections
import ctypes
import errno
import http.client
import os
import platform
import re
import signal
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .clients import boto
from .daemon import Daemon
from .functions import Functions

#: 100 bytes of JSON.
PAYLOAD = b'{"name":"Ada","numbers":[1,2,3],"text":"' + b"x" * 58 + b'"}'
#: In a row; what happens once or now and then is little for each of them.
INVOCATIONS = 600
#: Under strace each system call stops the daemon twice.
TRACED = 200
#: The least of so many is taken: whatever happens beside adds to it.
TIMES = 2
#: Slots of the counter, see count_allocations.c: process, thread, allocations, bytes.
SLOTS, SLOT = 4096, struct.Struct("=QQQQ")
#: Numbers of perf_event_open(2).
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}


#: The name of the threads that run the event loop, and how those of the database's begin.
EVENT_LOOP, DATABASE = "lambd", "sqlx"


@dataclass
class Cost:
    """Of one invocation."""

    #: By thread name.
    allocations: dict
    #: By thread name and name of the call.
    system_calls: dict
    #: In user space; `None` where the machine has no counter for them.
    instructions: float | None
    #: Why not.
    no_instructions: str = ""

    def counted(self) -> dict:
        """What a budget limits. The database writes logs for many invocations at once, more of them on a slow machine."""

        def of(parts, threads):
            return round(sum(count for name, count in parts.items() if name.startswith(threads)), 1)

        return {
            "allocations of the event loop": of(self.allocations, EVENT_LOOP),
            "system calls of the event loop": of(self.system_calls, EVENT_LOOP),
            "system calls of the database": of(self.system_calls, DATABASE),
            "instructions": self.instructions and round(self.instructions),
        }

    def table(self) -> str:
        """All that was counted, for people."""
        lines = []
        for what, parts in (("allocations", self.allocations), ("system calls", self.system_calls)):
            lines.append(f"{sum(parts.values()):8.1f} {what} for each invocation")
            lines += [f"{count:12.2f} {name}" for name, count in parts.items() if count >= 0.05]
        instructions = "no" if self.instructions is None else f"{self.instructions:.0f}"
        lines.append(f"{instructions:>8} instructions {self.no_instructions}".rstrip())
        return "\n".join(lines)


def of_rust_function() -> Cost:
    """Counts with a daemon of its own, whose functions have no network."""
    with tempfile.TemporaryDirectory(prefix="lambd-cost-") as folder:
        folder = Path(folder)
        # Those of the build and of the tests are not the daemon's.
        library, counts = folder / "count.so", folder / "counts"
        source = Path(__file__).with_name("count_allocations.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        counts.write_bytes(bytes(SLOTS * SLOT.size))
        setting = ["env", f"LD_PRELOAD={library}", f"COUNT_ALLOCATIONS={counts}"]
        daemon = Daemon(folder, prefix=setting, arguments=["--network", "none"]).start()
        try:
            return _count(daemon, counts)
        finally:
            daemon.stop()


def _count(daemon: Daemon, counts: Path) -> Cost:
    functions = Functions(boto(daemon.url, "lambda"))
    code = Path(os.environ["LAMBD_RUST_ECHO_ZIP"]).read_bytes()
    functions.create("cost", code, "provided.al2023", "bootstrap", MemorySize=1792)
    pid = daemon.process.pid
    caller = Caller(daemon.port, "cost")
    caller.invoke(INVOCATIONS)
    allocations = min(
        (_difference(lambda: _allocations(counts, pid), lambda: caller.invoke(INVOCATIONS)) for _ in range(TIMES)),
        key=_sum,
    )
    instructions, why = _instructions(pid, lambda: caller.invoke(INVOCATIONS))
    calls = min((_system_calls(pid, lambda: caller.invoke(TRACED)) for _ in range(TIMES)), key=_sum)
    return Cost(
        allocations={name: count / INVOCATIONS for name, count in allocations.most_common()},
        system_calls={name: count / TRACED for name, count in calls.most_common()},
        instructions=instructions and instructions / INVOCATIONS,
        no_instructions=why,
    )


class Caller:
    """One connection, one request after the other."""

    def __init__(self, port: int, name: str):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.path = f"/2015-03-31/functions/{name}/invocations"
        credential = "test/20260101/us-east-1/lambda/aws4_request"
        self.headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}

    def invoke(self, times: int):
        """So many times; each answer must be the event."""
        for _ in range(times):
            self.connection.request("POST", self.path, PAYLOAD, self.headers)
            answer = self.connection.getresponse()
            body = answer.read()
            assert (answer.status, body) == (200, PAYLOAD), (answer.status, body)


def _sum(parts) -> int:
    return sum(parts.values())


def _difference(look, act) -> collections.Counter:
    before = look()
    act()
    now = look()
    now.subtract(before)
    return +now


def _names(pid: int) -> dict:
    names = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            names[int(thread)] = Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
        except OSError:
            continue  # it ended meanwhile
    return names


def _allocations(counts: Path, pid: int) -> collections.Counter:
    """Of a process so far, by thread name."""
    names = _names(pid)
    found = collections.Counter()
    for process, thread, count, _ in SLOT.iter_unpack(counts.read_bytes()):
        if process == pid:
            found[names.get(thread, "ended")] += count
    assert found, "the daemon counts no allocations"
    return found


def _system_calls(pid: int, act) -> collections.Counter:
    """Calls of a process while something is done, by thread name and call."""
    with tempfile.NamedTemporaryFile("r", prefix="lambd-strace-") as log:
        command = ["strace", "-f", "-e", "signal=none", "-s", "0", "-o", log.name, "-p", str(pid)]
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = tracer.stderr.readline()
        assert "attached" in said, f"strace cannot look at the daemon: {said}"
        act()
        names = _names(pid)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
        calls = re.findall(r"^(\d+) +([a-z_0-9]+)\(", log.read(), re.M)
    return collections.Counter(f"{names.get(int(thread), 'ended')} {call}" for thread, call in calls)


def _instructions(pid: int, act) -> tuple:
    """Instructions in user space of a process while something is done; or `None` and why not."""
    number = PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        return None, f"not known how to count them on {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    # Kind hardware, the size of the first version, instructions; inherited by later threads, without kernel and hypervisor.
    flags = 1 << 1 | 1 << 5 | 1 << 6
    attributes = struct.pack("=IIQQQQQII", 0, 64, 1, 0, 0, 0, flags, 0, 0) + bytes(8)
    counters = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            counter = libc.syscall(number, attributes, int(thread), -1, -1, 0)
            if counter < 0:
                return None, f"perf_event_open: {errno.errorcode.get(ctypes.get_errno())}"
            counters.append(counter)
        counts = []
        for _ in range(TIMES):
            before = _read(counters)
            act()
            counts.append(_read(counters) - before)
        return min(counts), ""
    finally:
        for counter in counters:
            os.close(counter)


def _read(counters) -> int:
    return sum(int.from_bytes(os.read(counter, 8), "little") for counter in counters)


def main():
    """Prints what was counted."""
    start = time.monotonic()
    print(of_rust_function().table())
    print(f"counted in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
