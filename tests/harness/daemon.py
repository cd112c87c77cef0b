"""A lambd daemon as a process: started, asked, killed, started again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

HEALTH = "/_lambd/health"
PATIENCE = 30.0


def program() -> str:
    """The daemon under test, named by LAMBD_BIN."""
    path = os.environ.get("LAMBD_BIN")
    if not path:
        raise RuntimeError("LAMBD_BIN must name the lambd program; `cargo xtask test` sets it")
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"LAMBD_BIN names {path}, which is not a program")
    return os.path.abspath(path)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment() -> dict:
    """The environment of a daemon: this one's, without what would configure AWS clients or lambd.

    Functions have all of the CPU unless a test asks for their share: most tests are not about how slow a
    function of 128 MB is.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LAMBD_", "PYTHON"))}
    return {**kept, "LAMBD_CPU": "unlimited"}


def wait_for(condition, what: str, patience: float = PATIENCE):
    """Waits until ``condition()`` gives something true, and returns it."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)


class Daemon:
    """One daemon with its data directory. It keeps its port over restarts."""

    def __init__(self, folder: Path, data: Path | None = None, prefix=(), arguments=(), binary=None):
        self.folder = folder
        self.program = str(binary or program())
        self.data = data or folder / "data"
        self.port = free_port()
        self.log = folder / "daemon.log"
        self.prefix = list(prefix)
        self.arguments = list(arguments)
        self.process = None

    @property
    def url(self) -> str:
        """What clients call the endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def spawn(self):
        """Starts the process without waiting for it."""
        command = [*self.prefix, self.program, "serve", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--data", str(self.data), *self.arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd=self.folder
            )
        return self

    def start(self):
        """Starts the daemon and waits until it serves."""
        self.spawn()
        wait_for(self._ready_or_dead, "the daemon to be ready")
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.output()}")
        return self

    def _ready_or_dead(self) -> bool:
        return self.process.poll() is not None or self.healthy()

    def healthy(self) -> bool:
        """Whether the health endpoint answers."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", HEALTH)
            status = connection.getresponse().status
            connection.close()
            return status == 200
        except OSError:
            return False

    def started_ahead(self) -> dict:
        """What it says of interpreters that it started ahead of demand."""
        with urllib.request.urlopen(self.url + "/_lambd/instances", timeout=PATIENCE) as answer:
            return json.load(answer)["started_ahead"]

    def kill(self):
        """SIGKILL: what a crash or a power cut of the process looks like."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, as an operator does it. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def restart_after_kill(self):
        """Kills the daemon without warning and starts it again."""
        self.kill()
        return self.start()

    def wait_for_exit(self) -> int:
        """For a daemon that is expected to refuse to start."""
        return self.process.wait(PATIENCE)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def output(self) -> str:
        """Everything that the daemon wrote to its terminal."""
        return self.log.read_text(errors="replace")

    def files(self) -> set:
        """The data directory's files, without what changes by itself: the database and caches of bytecode."""
        found = set()
        for folder, folders, names in os.walk(self.data):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in folders + names:
                if not name.endswith((".db", ".db-wal", ".db-shm")):
                    found.add(os.path.relpath(os.path.join(folder, name), self.data))
        return found
