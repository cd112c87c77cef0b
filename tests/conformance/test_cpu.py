"""CPU time in proportion to memory."""

import pytest

from harness.clients import boto
from harness.daemon import Daemon
from harness.functions import Functions

# How much CPU time a second of wall-clock time brings, in the init phase and in the handler.
SOURCE = """
import time

def share(seconds):
    wall, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - wall < seconds:
        pass
    return (time.process_time() - cpu) / (time.monotonic() - wall)

AT_INIT = share(0.5)

def handler(event, context):
    return [AT_INIT, share(1)]
"""


@pytest.fixture
def proportional(tmp_path):
    """Functions of a daemon as it is by default in production."""
    daemon = Daemon(tmp_path, arguments=["--cpu", "proportional"]).start()
    yield Functions(boto(daemon.url, "lambda"))
    assert daemon.stop() == 0, daemon.output()


def test_cpu_is_in_proportion_to_memory_after_init(proportional):
    """1792 MB are one CPU (AWS: "Configure Lambda function memory"); the init phase has all there is."""
    proportional.python("small", SOURCE, MemorySize=256, Timeout=30)
    proportional.invoke("small").good()
    at_init, share = proportional.invoke("small").good()
    assert 0.5 * 256 / 1792 < share < 1.5 * 256 / 1792
    # More than twice its share, on however busy a machine.
    assert at_init > 2 * 256 / 1792


def test_cpu_can_be_left_unlimited(functions, name):
    """As `lambd dev` does: more than the share of the smallest function."""
    functions.python(name, SOURCE, MemorySize=128, Timeout=30)
    _, share = functions.invoke(name).good()
    assert share > 2 * 128 / 1792
