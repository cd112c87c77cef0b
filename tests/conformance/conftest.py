"""Fixtures: one daemon for the tests that only use it, fresh ones for those that hurt it."""

import itertools
import re
import time

import pytest

from harness.clients import Cli, Wire, boto
from harness.daemon import Daemon
from harness.functions import Functions

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory):
    """The daemon that most tests share. It must outlive all of them and stop cleanly."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon")).start()
    yield daemon
    assert daemon.alive(), f"the daemon died:\n{daemon.output()}"
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture
def daemon(shared_daemon):
    """The shared daemon, which must still serve when the test is over."""
    yield shared_daemon
    assert shared_daemon.healthy(), f"the daemon no longer serves:\n{shared_daemon.output()}"


@pytest.fixture
def own_daemon(tmp_path):
    """A daemon of this test's own."""
    daemon = Daemon(tmp_path).start()
    yield daemon
    if daemon.alive():
        assert daemon.stop() == 0, daemon.output()


@pytest.fixture(scope="session")
def shared_lambda(shared_daemon):
    """One boto3 client is enough: making one takes longer than most calls."""
    return boto(shared_daemon.url, "lambda")


@pytest.fixture(scope="session")
def shared_logs(shared_daemon):
    """The same for the logs."""
    return boto(shared_daemon.url, "logs")


@pytest.fixture
def lambda_(daemon, shared_lambda):
    """The Lambda API of the shared daemon."""
    return shared_lambda


@pytest.fixture
def logs(daemon, shared_logs):
    """The logs of the shared daemon."""
    return shared_logs


@pytest.fixture
def functions(lambda_):
    """Functions of the shared daemon."""
    return Functions(lambda_)


@pytest.fixture
def wire(daemon):
    """Plain HTTP to the shared daemon."""
    return Wire(daemon.port)


@pytest.fixture
def cli(daemon, tmp_path):
    """The aws command, talking to the shared daemon."""
    return Cli(daemon.url, tmp_path)


@pytest.fixture
def name(request):
    """A function name that no other test uses."""
    stem = re.sub(r"[^a-zA-Z0-9-_]", "-", request.node.name.removeprefix("test_"))[:40]
    return f"{stem}-{next(_numbers)}"


@pytest.fixture
def stopwatch():
    """Seconds since the fixture was made."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
