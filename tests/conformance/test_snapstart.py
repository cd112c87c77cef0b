"""SnapStart: the setting, and the runtime hooks of functions, which run although there is no snapshot."""

import json

import pytest
from botocore.exceptions import ClientError

from harness import packages

#: The oldest Python whose functions can have it; what runs it here may be another.
PYTHON = "python3.12"
ON = {"ApplyOn": "PublishedVersions"}

HOOKS = """import os
from snapshot_restore_py import register_after_restore, register_before_snapshot

ran = ["init"]

@register_before_snapshot
def first():
    ran.append("before 1")

register_before_snapshot(ran.append, "before 2")

@register_after_restore
def third():
    if os.environ.get("FAIL"):
        raise ValueError("cannot restore")
    ran.append("after 1")

register_after_restore(lambda *args, more: ran.append(f"after {args} {more}"), 2, more="x")

def handler(event, context):
    return ran, os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


@pytest.fixture
def hooks(functions, name):
    """A Python function with hooks and SnapStart."""
    return functions.create(name, packages.package({"app.py": HOOKS}), PYTHON, SnapStart=ON)


def test_hooks_of_published_versions_run_around_a_snapshot_that_is_none(functions, lambda_, name, hooks):
    """Before a snapshot the last one comes first, after it the first; `$LATEST` runs none, as on AWS."""
    assert hooks["SnapStart"] == {**ON, "OptimizationStatus": "Off"}
    version = lambda_.publish_version(FunctionName=name)
    assert version["SnapStart"] == {**ON, "OptimizationStatus": "On"}
    assert lambda_.get_function_configuration(FunctionName=name)["SnapStart"]["OptimizationStatus"] == "Off"
    for _ in range(2):
        ran = functions.invoke(name, Qualifier=version["Version"]).good()
        assert ran == [["init", "before 2", "before 1", "after 1", "after (2,) x"], "snap-start"]
    assert functions.invoke(name).good() == [["init"], "on-demand"]


def test_a_hook_that_fails_fails_the_initialisation(functions, lambda_, name, hooks):
    functions.configure(name, Environment={"Variables": {"FAIL": "1"}})
    version = lambda_.publish_version(FunctionName=name)["Version"]
    assert functions.invoke(name, Qualifier=version).failed("ValueError")["errorMessage"] == "cannot restore"


def test_the_setting(functions, lambda_, name, hooks):
    """API-503, API-523: it comes and goes like any other, and is refused where AWS has none."""
    version = lambda_.publish_version(FunctionName=name)["Version"]
    functions.configure(name, SnapStart={"ApplyOn": "None"})
    off = {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert lambda_.get_function_configuration(FunctionName=name)["SnapStart"] == off
    kept = lambda_.get_function_configuration(FunctionName=name, Qualifier=version)["SnapStart"]
    assert kept == {**ON, "OptimizationStatus": "On"}
    for runtime in ("python3.11", "nodejs22.x", "provided.al2023"):
        with pytest.raises(ClientError) as refused:
            functions.configure(name, Runtime=runtime, SnapStart=ON)
        error = refused.value.response["Error"]
        assert error["Code"] == "InvalidParameterValueException"
        assert error["Message"] == f"{runtime} is not supported for SnapStart enabled functions."


def test_custom_runtimes_ask_for_their_restoration(functions, name):
    """`/runtime/restore/next`, which AWS's clients call between their hooks, answers at once."""
    script = '  curl -sS -o /dev/null -w "%{http_code}" "$URL/restore/next" | curl -sS -d @- "$URL/invocation/$ID/response"'
    functions.custom(name, packages.bash(script))
    assert json.loads(functions.invoke(name).payload) == 200
