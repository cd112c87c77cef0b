"""SIGKILL at random moments: every event that got its 202 runs, and hardly any twice."""

import collections
import http.client
import json
import os
import random
import re
import threading
import time

from harness.clients import boto
from harness.daemon import wait_for
from harness.events import shown
from harness.functions import Functions

#: A hundred in the nightly form.
ROUNDS = int(os.environ.get("LAMBD_CRASH_ROUNDS", "10"))
NOTE = "def handler(event, context):\n    print('got', event['id'])\n"
#: Events that are accepted at least before each kill.
ACCEPTED = 20
#: The signature is not verified.
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
)
#: Seconds before a kill in which an event that ran may run again.
WINDOW = 0.5


class Load:
    """Sends events with ids of their own, one after the other, whatever becomes of the daemon."""

    def __init__(self, port, name, worker):
        self.port, self.name, self.worker = port, name, worker
        self.accepted = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        path = f"/2015-03-31/functions/{self.name}/invocations"
        number = 0
        while not self.stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                while not self.stopped.is_set():
                    number += 1
                    identity = f"{self.worker}-{number}"
                    body = json.dumps({"id": identity})
                    headers = {"X-Amz-Invocation-Type": "Event", "Authorization": AUTHORIZATION}
                    connection.request("POST", path, body, headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 202:
                        self.accepted.append(identity)
                    # A few hundred a second: functions keep up, and few wait when the daemon is killed.
                    self.stopped.wait(0.02)
            except (OSError, http.client.HTTPException):
                self.stopped.wait(0.02)
            finally:
                connection.close()

    def stop(self):
        self.stopped.set()
        self.thread.join(30)


def test_no_accepted_event_is_lost_by_kills(own_daemon, name):
    """CORE-253: at least once across kills at any point, and once outside of them."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.python(name, NOTE)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    loads = [Load(own_daemon.port, name, worker) for worker in range(4)]
    kills = []
    for _ in range(ROUNDS):
        before = sum(len(load.accepted) for load in loads)
        wait_for(lambda: sum(len(load.accepted) for load in loads) >= before + ACCEPTED, "events to be accepted")
        time.sleep(chance.uniform(0, 0.3))
        kills.append(time.time())
        own_daemon.restart_after_kill()
    for load in loads:
        load.stop()
    accepted = {identity for load in loads for identity in load.accepted}

    def drained():
        queue = shown(own_daemon, name)
        return queue["queued"] == 0 and queue["inFlight"] == 0

    wait_for(drained, "all events to run", patience=60)
    logs = boto(own_daemon.url, "logs")
    runs = collections.defaultdict(list)
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}"):
        for event in page["events"]:
            got = re.fullmatch(r"got (\S+)\n", event["message"])
            if got:
                runs[got[1]].append(event["timestamp"] / 1000)
    assert not accepted - runs.keys(), "accepted and never run"

    def by_a_kill(times):
        return any(0 <= kill - first <= WINDOW for first in times[:-1] for kill in kills)

    unexplained = [identity for identity, times in runs.items() if len(times) > 1 and not by_a_kill(times)]
    assert len(unexplained) < len(accepted) / 100, unexplained
