"""The table of promises and the tests are about the same cases."""

import ast
from pathlib import Path

from conftest import LEVELS, USERS
from promises import PROMISES
from promises import LEVELS as ALL_LEVELS


def cases() -> set:
    """Cases that the tests of this suite play: those that take a stage."""
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                if any(argument.arg == "stage" for argument in node.args.args):
                    found.add(node.name.removeprefix("test_"))
    return found


def test_every_promise_has_a_case_and_every_case_a_promise():
    """A promise that nothing tests is an opinion, and a case that nobody promises says nothing."""
    assert cases() == set(PROMISES)


def test_there_are_enough_cases():
    """At least sixty different cases at the strongest level."""
    promised = [case for case, promise in PROMISES.items() if promise.holds("namespaces", USERS[0])]
    assert len(promised) >= 60
    assert set(LEVELS) <= set(ALL_LEVELS)
