"""Where attacks are played: a daemon at one isolation level, an attacker, a victim, and the host's view."""

import hashlib
import inspect
import os
import shutil
import tempfile
import textwrap
import uuid
from pathlib import Path

from harness import packages
from harness.clients import Wire, boto
from harness.daemon import Daemon, program, wait_for
from harness.functions import Functions, python_runtime

HERE = Path(__file__).parent

#: Whoever the ordinary user is who starts lambd, it is nobody else on this machine.
ORDINARY_USER = 61234

#: In the daemon's environment, and in nobody else's.
CANARY = "HOSTILE_CANARY"

#: Names of files that attacks try to make outside of their sandbox.
INTRUDERS = {"intruder", "evil", "hostile-evil", "disk", "mem", "direct", "linked"}


class Refused(str):
    """An attack that ended in an error of the system: its name."""

    text = ""


class Stage:
    """One daemon with an attacker and a victim."""

    def __init__(self, level: str, user: str):
        self.level = level
        self.user = user
        # Not below pytest's own folders, which an ordinary user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix=f"hostile-{level}-{user}-"))
        self.folder.chmod(0o755)
        self.canary = uuid.uuid4().hex
        self.secret = uuid.uuid4().hex
        self.mounts_before = mounts()
        #: What makes a command run as the stage's user.
        self.prefix = []
        self.daemon = self._daemon()
        #: Where functions' code is. At the level `process` root's run as users who cannot enter the data directory.
        self.shared = self.daemon.data
        if (level, user) == ("process", "root"):
            digest = hashlib.sha256(bytes(self.daemon.data)).hexdigest()[:16]
            self.shared = Path("/var/cache/lambd") / digest
        self.daemon.start()
        self.pid = self.daemon.process.pid
        self.lambda_ = boto(self.daemon.url, "lambda")
        self.logs = boto(self.daemon.url, "logs")
        self.functions = Functions(self.lambda_)
        self.wire = Wire(self.daemon.port)
        #: Only here, so that the other ways to start are attacked as well.
        self.starts_ahead = (level, user) == ("namespaces", "root")
        self.attacker("attacker")
        self.create("victim", "victim.py", Environment={"Variables": {"SECRET": self.secret}})
        self.victim_instance = self.victim()["instance"]
        self.attack(lambda_warm_up)
        ahead = self.daemon.started_ahead()
        assert (ahead["used"] > 0) == self.starts_ahead, ahead
        self.files_before = open_files(self.pid)
        self.memory_before = resident(self.pid)

    def _daemon(self) -> Daemon:
        # `env` is part of the command so that the canary is in the daemon's environment only.
        setting = [f"{CANARY}={self.canary}", "AWS_ACCESS_KEY_ID=AKIAOPERATOR"]
        # With which lambd would fetch code from S3.
        setting += [f"{name}={self.canary}" for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
        if self.user == "rootless" and os.geteuid() == 0:
            home = self.folder / "home"
            home.mkdir()
            shutil.copy(program(), self.folder / "lambd")
            for path in (self.folder, home):
                os.chown(path, ORDINARY_USER, ORDINARY_USER)
            ids = [f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups"]
            self.prefix = ["setpriv", *ids]
            setting += [f"HOME={home}", "PATH=/usr/local/bin:/usr/bin:/bin"]
        daemon = Daemon(self.folder, prefix=[*self.prefix, "env", *setting], arguments=arguments(self.level))
        if self.prefix:
            daemon.program = str(self.folder / "lambd")
        return daemon

    def create(self, name: str, source: str, **settings):
        """A Python function of one file beside this one, which can import the tools."""
        files = {"app.py": (HERE / source).read_text(), "tools.py": (HERE / "tools.py").read_text()}
        self.functions.create(name, packages.package(files), python_runtime(), **settings)

    def attacker(self, name: str, **settings):
        """A function that runs what it is sent."""
        self.create(name, "attacker.py", **{"MemorySize": 512, "Timeout": 60, **settings})
        self.interpreter_waits()

    def interpreter_waits(self):
        """Where interpreters are started ahead of demand, attackers come to such a one."""
        if self.starts_ahead:
            wait_for(lambda: self.daemon.started_ahead()["waiting"] > 0, "an interpreter to wait")

    def attack(self, action, *arguments, by: str = "attacker"):
        """Runs a function inside the sandbox and returns its value, or a [`Refused`] for an OSError."""
        answer = self.invoke(by, action, *arguments).good()
        if "refused" in answer:
            refused = Refused(answer["refused"])
            refused.text = answer["text"]
            return refused
        return answer["value"]

    def invoke(self, name: str, action, *arguments):
        """The same with the whole answer, whatever it is."""
        source = textwrap.dedent(inspect.getsource(action))
        event = {"source": source, "name": action.__name__, "arguments": list(arguments)}
        return self.functions.invoke(name, event)

    def victim(self) -> dict:
        """What the victim says."""
        return self.functions.invoke("victim", {"n": 1}).good()

    def renew_attacker(self):
        """Replaces the attacker's instances, with all that attacks may have left in them."""
        self.functions.configure("attacker", Description=uuid.uuid4().hex)
        self.interpreter_waits()

    def unharmed(self):
        """The daemon serves, and the victim still runs in the instance that it always had."""
        assert self.daemon.alive(), f"the daemon died:\n{self.daemon.output()}"
        assert self.daemon.healthy(), f"the daemon no longer serves:\n{self.daemon.output()}"
        said = self.victim()
        assert said == {"instance": self.victim_instance, "secret": self.secret, "event": {"n": 1}}
        assert "panicked" not in self.daemon.output()

    def marked(self, mark: str) -> list:
        """Processes of the host with ``mark`` in their command line."""
        return [pid for pid in processes() if mark.encode() in command_line(pid)]

    def victims(self) -> list:
        """The victim's processes, as the host sees them."""
        found = [pid for pid in descendants(self.pid) if comm(pid) == "hostile-victim"]
        assert found, "the victim runs"
        return found

    @property
    def own_view(self) -> bool:
        """Whether functions see files, processes and a network of their own."""
        return self.level != "process"

    def give_sign(self, sign: str):
        """Lets functions that wait for this sign go on, see `tools.await_sign`."""
        self.attacker(sign)

    def spawner(self) -> int:
        """The process that makes sandboxes."""
        (pid,) = [pid for pid in children(self.pid) if comm(pid) == "lambd-spawner"]
        return pid

    def close(self):
        """Stops the daemon, which must be able to do so, and removes all traces of the stage."""
        assert self.daemon.alive(), f"the daemon died:\n{self.daemon.output()}"
        assert self.daemon.stop() == 0, self.daemon.output()
        assert self.shared == self.daemon.data or not self.shared.exists(), "its cache goes with it"
        shutil.rmtree(self.folder)


def lambda_warm_up():
    return "warm"


def arguments(level: str, network: str = "none") -> list:
    """The daemon's options for a level, and for a network of functions."""
    return ["--isolation", level, "--network", network]


def mounts() -> set:
    """Mounts that this process sees, without their numbers."""
    return {line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def processes() -> list:
    """All processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def command_line(pid: int) -> bytes:
    """The arguments of a process; empty when it is gone."""
    return _read(pid, "cmdline")


def comm(pid: int) -> str:
    """The name of a process; empty when it is gone."""
    return _read(pid, "comm").decode().strip()


def children(pid: int) -> list:
    """Direct children of a process, those of all its threads."""
    lists = [_read(pid, f"task/{thread}/children") for thread in os.listdir(f"/proc/{pid}/task")]
    return [int(child) for found in lists for child in found.split()]


def descendants(pid: int) -> list:
    """All processes below a process."""
    try:
        below = children(pid)
    except OSError:
        return []
    return below + [one for child in below for one in descendants(child)]


def awaits_function(pid: int) -> bool:
    """Whether a process is an interpreter that was started ahead: its standard input is the socket to its init."""
    try:
        return os.readlink(f"/proc/{pid}/fd/0").startswith("socket:")
    except OSError:
        return False


def occupied(pid: int) -> list:
    """All processes below a daemon but the sandboxes that wait for a function, empty or with an interpreter."""

    def waiting(one):
        try:
            inside = children(one) if comm(one) == "lambd-init" else [one]
        except OSError:
            return []
        return [one, *inside] if inside != [one] and all(map(awaits_function, inside)) else []

    below = descendants(pid)
    spared = {process for one in below for process in waiting(one)}
    return [one for one in below if one not in spared]


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    (line,) = [line for line in _read(pid, "status").decode().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def cgroups(pid: int) -> list:
    """Directories of cgroups that a daemon made for its instances, in whatever hierarchy."""
    lines = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    tops = [mount.split()[4] for mount, kind in lines if kind.startswith("cgroup")]
    found = set()
    for top in tops:
        # os.walk passes over what vanishes under its feet.
        for folder, names, _ in os.walk(top):
            parent, own = os.path.split(folder)
            if os.path.basename(parent) == "lambd" and own.startswith(f"{pid}-"):
                found |= {os.path.join(folder, name) for name in names}
    return sorted(found)


def eventually(condition, what: str, patience: float = 30.0):
    """Waits for a condition, see `harness.daemon.wait_for`."""
    return wait_for(condition, what, patience)
