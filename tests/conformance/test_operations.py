"""Every operation of today's API is known by its name, whether lambd offers it or not."""

import re
from pathlib import Path

import boto3
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/compatibility.md"
MODEL = boto3.client("lambda", region_name="us-east-1").meta.service_model
LABELS = {"FunctionName": "no-such-function", "VersionNumber": "1"}


def documented() -> dict:
    """Operation to state, as the documentation has it."""
    table = PAGE.read_text().split("## Lambda")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))


def test_the_table_is_the_model():
    """CORE-001: no operation of the SDK's model is missing from the documentation."""
    assert sorted(documented()) == sorted(MODEL.operation_names)


@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_no_operation_is_unknown(wire, operation):
    """API-707, API-602: one that is not offered says so by name; the others are found on their path."""
    http = MODEL.operation_model(operation).http
    path = re.sub(r"\{(\w+)\+?\}", lambda label: LABELS.get(label[1], "x"), http["requestUri"])
    state = documented()[operation]
    for form in (path, path.replace("?", "/?") if "?" in path else path + "/"):
        reply = wire.send(http["method"], form, b"{}", {"Content-Type": "application/json"})
        if state.startswith("not offered: "):
            reason = state.removeprefix("not offered: ")
            assert (reply.status, reply.error) == (501, "OperationNotOffered")
            assert reply.message == (
                f"lambd does not offer the operation {operation}: {reason}; see docs/compatibility.md"
            )
        else:
            assert reply.error not in ("OperationNotOffered", "UnknownOperationException"), reply
