"""Each test is one case, played at isolation levels that promise it (see `promises`)."""

import itertools
import os
import re

import pytest

import promises
from promises import PROMISES
from stage import Stage

#: All isolation levels.
LEVELS = list(promises.LEVELS)

#: Who starts the daemon. Only root can try both.
USERS = ["root", "rootless"] if os.geteuid() == 0 else ["rootless"]

_numbers = itertools.count(1)


def case_of(function) -> str:
    """The case that a test function plays."""
    return function.__name__.removeprefix("test_")


def pytest_generate_tests(metafunc):
    if "stage" not in metafunc.fixturenames:
        return
    case = case_of(metafunc.function)
    if case not in PROMISES:
        raise pytest.UsageError(f"{case} has no line in promises.py: which levels promise it?")
    stages = [(level, user) for level in LEVELS for user in USERS if PROMISES[case].is_played(level, user, USERS)]
    metafunc.parametrize(("level", "user"), stages, ids=map("-".join, stages), scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """One stage after the other; on each, the look at what is left comes last."""
    order = [(level, user) for level in LEVELS for user in USERS]

    def place(item):
        parameters = getattr(item, "callspec", None)
        if parameters is None or "level" not in parameters.params:
            return (-1, 0)
        stage = (parameters.params["level"], parameters.params["user"])
        return (order.index(stage), case_of(item.function).startswith("aftermath"))

    items.sort(key=place)


@pytest.fixture(scope="session")
def stage(level, user):
    """A daemon at one level, started by one user, that all cases share."""
    stage = Stage(level, user)
    yield stage
    stage.close()


@pytest.fixture(autouse=True)
def others_unharmed(request):
    """After each case the daemon serves, and the victim has noticed nothing."""
    yield
    if "stage" in request.fixturenames:
        request.getfixturevalue("stage").unharmed()


@pytest.fixture
def name(request):
    """A function name that no other test uses."""
    stem = re.sub(r"[^a-zA-Z0-9-_]", "-", request.node.originalname.removeprefix("test_"))[:40]
    return f"{stem}-{next(_numbers)}"
