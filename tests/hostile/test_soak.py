"""Mixed load for a while: invocations of all kinds, updates, deletions, throttles, hang-ups, kills. No answer is another
request's, and in the end nothing is left.

Every run of all tests has a short soak; `cargo xtask soak` has one of ten minutes."""

import base64
import collections
import json
import os
import random
import re
import signal
import threading
import time
import uuid

from conftest import LEVELS, USERS
from harness import packages
from harness.functions import ROLE, python_runtime
from stage import Stage, cgroups, children, comm, command_line, eventually, occupied, resident
from test_leaks import Client, grown, observe, quiet

SECONDS = float(os.environ.get("SOAK_SECONDS", "15"))
WARM_UP = 4.0
INVOKERS = 4
RUST, PYTHON, LIMITED = ["soak-rust-0", "soak-rust-1"], ["soak-python-0", "soak-python-1"], "soak-limited"
#: Of the function that is throttled.
RESERVED = 1
#: By which the daemon may have grown: caches that fill up, and pages that the allocator keeps. An invocation that left
#: a hundred bytes would leave more in ten minutes.
GROWTH = 24 * 1024 * 1024
#: Part of invocations that are asynchronous, and that are given up.
EVENTS, HANG_UPS = 0.1, 0.02
TOKEN = re.compile(rb"token-[0-9a-f]{32}")

CODE = """import os
import time

def handler(event, context):
    time.sleep(event["pause"])
    return {"token": event["token"], "code": NUMBER, "mark": os.environ.get("MARK")}
"""


class Soak:
    """The load of one test, which goes on until its time is over or something is wrong."""

    def __init__(self, stage, seed: int):
        self.stage, self.seed = stage, seed
        self.spawner = stage.spawner()
        # The stage's own instances, which are to be as they were.
        self.spared = set(children(self.spawner))
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.errors = []
        self.until = 0.0
        with open(os.environ["LAMBD_RUST_ECHO_ZIP"], "rb") as zipped:
            self.rust = zipped.read()

    def create(self):
        """Makes the functions that live as long as the soak."""
        client = Client(self.stage.daemon.port)
        for name in [*RUST, LIMITED]:
            self._create(client, name, self.rust, "provided.al2023", "bootstrap")
        for name in PYTHON:
            self._create(client, name, code(0), python_runtime(), "app.handler")
        self.stage.lambda_.put_function_concurrency(FunctionName=LIMITED, ReservedConcurrentExecutions=RESERVED)
        for name in RUST:
            # A retry comes after a minute, when this may be over.
            self.stage.lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)

    def delete(self):
        """Removes them."""
        for name in [*RUST, *PYTHON, LIMITED]:
            self.stage.lambda_.delete_function(FunctionName=name)

    def play(self, seconds: float):
        """Plays for so long."""
        self.until = time.monotonic() + seconds
        roles = [self._invoke] * INVOKERS + [self._update, self._come_and_go, self._kill]
        threads = [threading.Thread(target=self._run, args=(role, number)) for number, role in enumerate(roles)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.errors, self.errors[:5]

    def idle(self):
        """Waits until the queues of asynchronous events are empty."""
        for name in RUST:
            eventually(lambda name=name: self._queued(name) == 0, f"the events of {name} to be worked off")

    def _queued(self, name: str) -> int:
        answer = self.stage.wire.send("GET", f"/_lambd/events/{name}?limit=0")
        assert answer.status == 200, answer
        return answer.json()["queued"]

    def _run(self, role, number: int):
        try:
            role(Client(self.stage.daemon.port), random.Random(self.seed * 100 + number), f"soak-own-{number}")
        except Exception as error:  # noqa: BLE001 - shown by the test, which a thread cannot fail
            self.errors.append(f"{role.__name__}: {error!r}")

    def _goes_on(self) -> bool:
        return time.monotonic() < self.until and not self.errors

    def _count(self, what: str):
        with self.lock:
            self.counts[what] += 1

    def _invoke(self, client, chance, _):
        """Invokes whatever is there; sometimes several times, so that instances are needed again and again."""
        while self._goes_on():
            name = chance.choice([*RUST, *RUST, *PYTHON, LIMITED])
            event = self._event(chance)
            if name in RUST and chance.random() < EVENTS:
                status, _, body = self._send(client, name, event, {"X-Amz-Invocation-Type": "Event"})
                assert status == 202, (status, body)
                self._count("events")
            elif chance.random() < HANG_UPS:
                client.hang_up(name)
                self._count("hang-ups")
            else:
                self._checked(client, name, event)

    def _checked(self, client, name: str, event: dict):
        """One invocation: its answer, or nothing if it failed in a way that it may."""
        status, failed, body = self._send(client, name, event)
        strangers = {token.decode() for token in TOKEN.findall(body)} - {event["token"]}
        assert not strangers, f"{name} answered {event['token']} with {body!r}"
        if status == 429:
            assert name == LIMITED, (name, body)
            self._count("throttles")
            return None
        if failed or status != 200:
            # It was killed: nothing else can fail in these functions.
            assert b"Runtime" in body or b"execution environment" in body, (name, status, failed, body)
            self._count("failures")
            return None
        answer = json.loads(body)
        assert answer["token"] == event["token"], (event, answer)
        assert name in PYTHON or name.startswith("soak-own") or answer == event, (event, answer)
        self._count("answers")
        return answer

    def _update(self, client, chance, _):
        """Changes code and configuration of the functions in Python; what is invoked then is the changed one."""
        number = 0
        while self._goes_on():
            number += 1
            name = chance.choice(PYTHON)
            if chance.random() < 0.5:
                document = {"ZipFile": base64.b64encode(code(number)).decode()}
                status, _, body = client.call("PUT", f"/{name}/code", json.dumps(document).encode())
                what = "code"
            else:
                document = {"Environment": {"Variables": {"MARK": str(number)}}}
                status, _, body = client.call("PUT", f"/{name}/configuration", json.dumps(document).encode())
                what = "mark"
            assert status == 200, body
            self._await(client, name, lambda found: found["LastUpdateStatus"] == "Successful")
            answer = self._checked(client, name, self._event(chance))
            assert answer is None or answer[what] == (number if what == "code" else str(number)), (what, number, answer)
            self._count("updates")
            time.sleep(chance.uniform(0.0, 0.2))

    def _come_and_go(self, client, chance, name):
        """Functions that are created, invoked and deleted, at times while they are invoked."""
        while self._goes_on():
            self._create(client, name, code(0), python_runtime(), "app.handler")
            for _ in range(chance.randrange(3)):
                self._checked(client, name, self._event(chance))
            if chance.random() < 0.3:
                client.hang_up(name)
            status, _, body = client.call("DELETE", f"/{name}")
            assert status == 204, body
            self._count("deletions")

    def _kill(self, _, chance, __):
        """Now and then, kills an instance: its pid 1 or one of its other processes."""
        while self._goes_on():
            time.sleep(chance.uniform(0.0, 0.4))
            try:
                living = [pid for pid in children(self.spawner) if pid not in self.spared]
                if living:
                    target = chance.choice(living)
                    inner = children(target)
                    os.kill(chance.choice(inner) if inner and chance.random() < 0.5 else target, signal.SIGKILL)
                    self._count("kills")
            except (ProcessLookupError, FileNotFoundError):
                continue

    def _event(self, chance) -> dict:
        pause = chance.choice([0, 0, 0, 0.01])
        return {"token": f"token-{uuid.uuid4().hex}", "pause": pause, "text": "x" * chance.choice([0, 10, 1000, 100_000])}

    def _send(self, client, name: str, event: dict, headers=None):
        client.connection.request(
            "POST", f"/2015-03-31/functions/{name}/invocations", json.dumps(event).encode(), {**client.headers, **(headers or {})}
        )
        answer = client.connection.getresponse()
        return answer.status, answer.headers.get("X-Amz-Function-Error"), answer.read()

    def _create(self, client, name: str, zipped: bytes, runtime: str, handler: str):
        document = {
            "FunctionName": name, "Runtime": runtime, "Handler": handler, "Role": ROLE, "Timeout": 30,
            "Code": {"ZipFile": base64.b64encode(zipped).decode()},
        }  # fmt: skip
        status, _, body = client.call("POST", "", json.dumps(document).encode())
        assert status == 201, body
        self._await(client, name, lambda found: found["State"] == "Active")

    def _await(self, client, name: str, reached):
        def found():
            status, _, body = client.call("GET", f"/{name}/configuration")
            assert status == 200, body
            return reached(json.loads(body))

        eventually(found, f"{name} to be ready")


def code(number: int) -> bytes:
    """A package that says which one it is."""
    return packages.package({"app.py": CODE.replace("NUMBER", str(number))})


def test_soak_leaves_nothing_and_answers_each_with_its_own():
    """See above; `SOAK_SECONDS` says how long, `HOSTILE_SEED` repeats what was chosen."""
    seed = int(os.environ.get("HOSTILE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HOSTILE_SEED={seed}")
    stage = Stage(LEVELS[0], USERS[0])
    try:
        warm_up = Soak(stage, seed)
        round_of(warm_up, min(WARM_UP, SECONDS))
        before, memory = view(stage), resident(stage.pid)
        soak = Soak(stage, seed + 1)
        round_of(soak, SECONDS)
        print(f"{SECONDS:.0f} s: {dict(soak.counts)}")
        left = {}

        def settled():
            left.clear()
            left.update(grown(before, view(stage)))
            return not left

        try:
            eventually(settled, "all to be as before")
        except AssertionError as error:
            rest = {pid: (comm(pid), command_line(pid)) for pid in occupied(stage.pid)}
            raise AssertionError(f"left over: {left}\nprocesses: {rest}") from error
        growth = resident(stage.pid) - memory
        print(f"memory grew by {growth / 1024:.0f} KB")
        assert growth < GROWTH
        for what in ("answers", "events", "hang-ups", "throttles", "failures", "updates", "deletions", "kills"):
            assert soak.counts[what] > 0, f"a soak without {what}: {soak.counts}"
        stage.unharmed()
    finally:
        stage.close()
    eventually(lambda: not cgroups(stage.pid), "the daemon's cgroups to be gone")


def view(stage) -> dict:
    """All that must not grow. Packages that no function has any more stay until the daemon starts again."""
    seen = observe(stage)
    return {**seen, "files": {path for path in seen["files"] if not path.startswith("code/")}}


def round_of(soak: Soak, seconds: float):
    """Functions are made, used and removed, until no instance of theirs is left."""
    soak.create()
    soak.play(seconds)
    soak.idle()
    soak.delete()
    quiet(soak.stage)
