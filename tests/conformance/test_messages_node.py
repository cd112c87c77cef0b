"""SQS and SNS by AWS's SDK for Node.js, whose requests are not boto3's. What is done is in messages.cjs."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("messages.cjs")


@pytest.mark.parametrize("scenario", ["standard", "longPoll", "fifo", "redrive", "errors", "topic", "fifoTopic"])
def test_the_sdk_for_node(daemon, name, scenario):
    modules = Path(os.environ["LAMBD_SDKS"]) / "node" / "node_modules"
    done = subprocess.run(
        ["node", str(SCRIPT), scenario, daemon.url, name],
        capture_output=True, text=True, env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
