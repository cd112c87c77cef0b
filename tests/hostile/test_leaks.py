"""Hundreds of instances made, used, killed and removed: nothing adds up."""

import base64
import http.client
import json
import os
import random
import signal
import threading
import time

import pytest

from conftest import LEVELS, USERS
from harness.functions import ROLE
from stage import Stage, cgroups, children, descendants, eventually, mounts, occupied, open_files, resident

#: Rounds of create, invoke and delete: many at one stage, where memory is measured; elsewhere fewer are enough for
#: what is counted.
MANY = int(os.environ.get("HOSTILE_CYCLES", "2000"))
FEW = 120
#: The containers of `oci` are in the sandboxes of `namespaces`; once is enough.
STAGES = [(level, user) for level in LEVELS for user in USERS if level != "oci" or user == USERS[0]]
#: So many at a time: more than this machine's processors, so that steps of different instances meet.
WORKERS = 6
#: Functions whose names are used again and again.
NAMES = 40
KB = 1024
#: So many sockets and pipes a daemon may have whatever happened to it: fewer than instances were made.
CLIENTS = 60


class Client:
    """Lambda's API without signing or retries, fast enough to be no bottleneck."""

    credential = "test/20260101/us-east-1/lambda/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}

    def __init__(self, port: int):
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: bytes = b""):
        """One call: status, name of the function error, body."""
        self.connection.request(method, f"/2015-03-31/functions{path}", body, self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers.get("X-Amz-Function-Error"), answer.read()

    def hang_up(self, name: str):
        """Starts an invocation and goes away before it is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}", self.headers)
        connection.close()


class Run:
    """All cycles of one test."""

    def __init__(self, stage, cycles: int, seed: int):
        self.stage, self.cycles = stage, cycles
        self.chance = random.Random(seed)
        self.spawner = stage.spawner()
        # The stage's own instances, which are to be as they were.
        self.spared = set(children(self.spawner))
        self.lock = threading.Lock()
        self.started = self.done = self.killed = self.failed = 0
        self.samples = []
        self.errors = []
        with open(os.environ["LAMBD_RUST_ECHO_ZIP"], "rb") as zipped:
            self.code = base64.b64encode(zipped.read()).decode()

    def play(self):
        """Plays all cycles, while a killer goes round."""
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]
        killer = threading.Thread(target=self._kill)
        for thread in [*workers, killer]:
            thread.start()
        for thread in [*workers, killer]:
            thread.join()
        assert not self.errors, self.errors[:5]

    def _next(self):
        with self.lock:
            if self.started >= self.cycles or self.errors:
                return None
            self.started += 1
            return self.chance.random()

    def _work(self, worker: int):
        client = Client(self.stage.daemon.port)
        try:
            count = 0
            while (chance := self._next()) is not None:
                count += 1
                self._cycle(client, f"leak-{worker}-{count % (NAMES // WORKERS)}", chance)
                with self.lock:
                    self.done += 1
                    if self.done % 20 == 0:
                        self.samples.append((self.done, resident(self.stage.pid), resident(self.spawner)))
        except Exception as error:  # noqa: BLE001 - shown by the test, which a thread cannot fail
            self.errors.append(repr(error))

    def _cycle(self, client: Client, name: str, chance: float):
        document = {
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": ROLE,
            "Code": {"ZipFile": self.code},
        }  # fmt: skip
        status, _, body = client.call("POST", "", json.dumps(document).encode())
        assert status == 201, body
        while json.loads(body)["State"] == "Pending":
            status, _, body = client.call("GET", f"/{name}/configuration")
            assert status == 200, body
        for number in range(1 + int(chance * 3)):
            status, failed, body = client.call("POST", f"/{name}/invocations", b'{"n":%d}' % number)
            assert status == 200 or b"execution environment" in body, (status, body)
            if failed or status != 200:
                with self.lock:
                    self.failed += 1
        if chance < 0.1:
            client.hang_up(name)
        status, _, body = client.call("DELETE", f"/{name}")
        assert status == 204, body

    def _kill(self):
        """Every few milliseconds, kills an instance: its pid 1 or one of its other processes."""
        chance = random.Random(self.chance.random())
        while self.done < self.cycles and not self.errors:
            time.sleep(chance.uniform(0.0, 0.06))
            try:
                living = [pid for pid in children(self.spawner) if pid not in self.spared]
                if living:
                    target = chance.choice(living)
                    inner = children(target)
                    os.kill(chance.choice(inner) if inner and chance.random() < 0.5 else target, signal.SIGKILL)
                    self.killed += 1
            except (ProcessLookupError, FileNotFoundError):
                continue

    def growth(self, column: int) -> float:
        """Bytes for each cycle by which memory grew in the second half: the slope of the best line."""
        points = [(sample[0], sample[column]) for sample in self.samples if sample[0] > self.cycles / 2]
        middle_x = sum(x for x, _ in points) / len(points)
        middle_y = sum(y for _, y in points) / len(points)
        rise = sum((x - middle_x) * (y - middle_y) for x, y in points)
        return rise / sum((x - middle_x) ** 2 for x, _ in points)


def namespaces(pids) -> set:
    """Namespaces that processes are in."""
    found = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/ns")
            found |= {os.readlink(f"/proc/{pid}/ns/{name}") for name in names}
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("level", "user"), STAGES, ids=map("-".join, STAGES))
def test_nothing_is_left_of_hundreds_of_instances(level, user):
    """Create, invoke and delete, with instances killed at random moments; then look everywhere."""
    cycles = MANY if (level, user) == STAGES[0] else FEW
    stage = Stage(level, user)
    try:
        play(stage, cycles)
    finally:
        stage.close()
    eventually(lambda: not cgroups(stage.pid), "the daemon's cgroups to be gone")


def play(stage, cycles: int):
    """Many instances come and go, and all is as before."""
    seed = random.SystemRandom().randrange(1 << 32)
    seed = int(os.environ.get("HOSTILE_SEED", seed))
    print(f"HOSTILE_SEED={seed} repeats this run")
    warm_up = Run(stage, 60, seed)
    warm_up.play()
    quiet(stage)
    before = observe(stage)
    run = Run(stage, cycles, seed)
    start = time.monotonic()
    run.play()
    took = time.monotonic() - start
    print(f"{run.cycles} cycles, {run.killed} kills, {run.failed} failed invocations in {took:.0f} s")
    print(f"memory grew by {run.growth(1):.0f} (daemon) and {run.growth(2):.0f} (spawner) bytes a cycle")
    assert run.killed > run.cycles / 20, "a test of kills that kills nothing"
    quiet(stage)
    left = {}

    def settled():
        left.clear()
        left.update(grown(before, observe(stage)))
        return not left

    try:
        eventually(settled, "all to be as before")
    except AssertionError as error:
        raise AssertionError(f"left over: {left}") from error
    if cycles >= MANY:
        # A forgotten instance is a task or two, its mailbox, log and connections: ten kilobytes and more. Pages that
        # the allocator and the database keep move the line by up to five either way. The spawner has no such noise.
        assert run.growth(1) < 8 * KB
        assert run.growth(2) < KB / 4
    stage.unharmed()


def quiet(stage):
    """Waits until no instance is left but those of the stage."""
    # Attacker and victim, each with a pid 1 and a program, and the spawner.
    eventually(lambda: len(occupied(stage.pid)) == 5, "all instances to be removed")


def grown(before: dict, now: dict) -> dict:
    """What there is more of, and by how much."""
    more = {what: now[what] - before[what] for what in before if what != "files" and now[what] > before[what]}
    new = now["files"] - before["files"]
    return more | ({"files": sorted(new)} if new else {})


def observe(stage) -> dict:
    """All that must not grow, counted: without the sandboxes that wait for a function, of which there are some."""
    below = occupied(stage.pid)
    waiting = len(descendants(stage.pid)) - len(below)
    tmp = stage.shared / "tmp"
    return {
        "processes": len(below),
        "namespaces": len(namespaces(below)),
        "descriptors of the spawner": open_files(stage.spawner()),
        # Six for each that waits; and connections of this suite's clients and of the database come and go.
        "sockets and pipes of the daemon": max(kinds(stage.pid) - 6 * waiting, CLIENTS),
        "mounts": len(mounts() - stage.mounts_before),
        "cgroups": len(cgroups(stage.pid)),
        # Two instances and four that wait; one that was killed while it waited goes when its turn comes.
        "directories for temporary files": max(len(list(tmp.iterdir())) if tmp.exists() else 0, 6),
        "files": {path for path in stage.daemon.files() if not path.startswith("tmp/")},
    }


def kinds(pid: int) -> int:
    """Descriptors of a process that are no files: sockets, pipes, processes."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += not os.readlink(f"/proc/{pid}/fd/{name}").startswith("/")
        except OSError:
            continue
    return count
