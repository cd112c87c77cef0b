"""ListFunctions over several pages."""

import concurrent.futures
import threading

import pytest

from harness import packages
from harness.clients import Wire, boto
from harness.daemon import Daemon
from harness.functions import ROLE, python_runtime

COUNT = 60
FUNCTIONS = "/2015-03-31/functions"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A daemon with 60 functions and nothing else."""
    daemon = Daemon(tmp_path_factory.mktemp("crowd")).start()
    lambda_ = boto(daemon.url, "lambda")
    code = packages.package({"app.py": "def handler(event, context): pass\n"})
    for number in range(COUNT):
        lambda_.create_function(
            FunctionName=f"f-{number * 37 % COUNT:02}", Runtime=python_runtime(), Handler="app.handler", Role=ROLE,
            Code={"ZipFile": code}, Description="same code, sixty names",
        )  # fmt: skip
    yield daemon
    assert daemon.stop() == 0, daemon.output()


def names(page):
    """The names of one page."""
    return [function["FunctionName"] for function in page["Functions"]]


def test_fifty_a_page(crowd):
    """API-008, API-130.3: 50 items at most whatever MaxItems says, the rest behind NextMarker."""
    lambda_ = boto(crowd.url, "lambda")
    for parameters in ({}, {"MaxItems": 10_000}, {"MaxItems": 51}):
        first = lambda_.list_functions(**parameters)
        assert len(first["Functions"]) == 50
        second = lambda_.list_functions(Marker=first["NextMarker"], **parameters)
        assert len(second["Functions"]) == COUNT - 50
        assert not second.get("NextMarker")
        assert sorted(names(first) + names(second)) == [f"f-{number:02}" for number in range(COUNT)]


def test_small_pages(crowd):
    """API-007: every page size gives every function exactly once, in the same order."""
    lambda_ = boto(crowd.url, "lambda")
    paginator = lambda_.get_paginator("list_functions")
    orders = [
        [name for page in paginator.paginate(PaginationConfig={"PageSize": size}) for name in names(page)]
        for size in (7, 50, 13)
    ]
    assert orders[0] == orders[1] == orders[2]
    assert len(set(orders[0])) == COUNT
    assert len(names(lambda_.list_functions(MaxItems=1))) == 1


def test_exact_page_has_no_further_marker(crowd):
    """API-007: NextMarker only when more results exist."""
    lambda_ = boto(crowd.url, "lambda")
    first = lambda_.list_functions(MaxItems=30)
    second = lambda_.list_functions(MaxItems=30, Marker=first["NextMarker"])
    assert len(second["Functions"]) == 30
    assert not second.get("NextMarker")


def test_pages_stay_whole_while_functions_come_and_go(crowd):
    """API-007: a marker stays good when the function that it stood at is deleted."""
    lambda_ = boto(crowd.url, "lambda")
    first = names(lambda_.list_functions(MaxItems=20))
    marker = lambda_.list_functions(MaxItems=20)["NextMarker"]
    everything = names(lambda_.list_functions()) + names(
        lambda_.list_functions(Marker=lambda_.list_functions()["NextMarker"])
    )
    victims = [first[-1], everything[20]]
    for victim in victims:
        lambda_.delete_function(FunctionName=victim)
    rest = names(lambda_.list_functions(MaxItems=50, Marker=marker))
    assert rest == [name for name in everything[20:] if name not in victims]
    code = packages.package({"app.py": "def handler(event, context): pass\n"})
    for victim in victims:
        lambda_.create_function(
            FunctionName=victim, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": code}
        )


def test_pages_stay_whole_while_others_race(crowd):
    """API-007, API-008: those who page through the list while others create and delete see what stays exactly once,
    in order."""
    lambda_, other = boto(crowd.url, "lambda"), boto(crowd.url, "lambda")
    code = packages.package({"app.py": "def handler(event, context): pass\n"})
    staying = [f["FunctionName"] for page in lambda_.get_paginator("list_functions").paginate() for f in page["Functions"]]
    stop, churned = threading.Event(), []

    def churn():
        while not stop.is_set():
            # Among those that stay, so that pages shift under the reader.
            passing = [f"{name}-passing" for name in staying[:: len(staying) // 6]]
            for name in passing:
                other.create_function(
                    FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": code}
                )
            for name in passing:
                other.delete_function(FunctionName=name)
            churned.append(len(passing))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        racing = pool.submit(churn)
        try:
            passes = 0
            while passes < 10 or (len(churned) < 3 and not racing.done()):
                pages = lambda_.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3})
                seen = [f["FunctionName"] for page in pages for f in page["Functions"]]
                assert [name for name in seen if not name.endswith("-passing")] == staying
                assert seen == sorted(set(seen))
                passes += 1
        finally:
            stop.set()
        racing.result()


@pytest.mark.parametrize(
    "query",
    ["MaxItems=0", "MaxItems=10001", "MaxItems=-1", "MaxItems=ten", "FunctionVersion=SOME", "Marker=nonsense%21"],
)
def test_bad_queries(crowd, query):
    """API-007, API-091, API-706: values out of range, of the wrong type, or not ours are a 400."""
    reply = Wire(crowd.port).send("GET", f"{FUNCTIONS}?{query}")
    assert reply.status == 400, reply
    assert reply.error in ("InvalidParameterValueException", "ValidationException", "SerializationException"), (
        reply
    )


def test_the_order_survives_a_restart(crowd):
    """API-130: the same list in the same order after SIGKILL."""
    lambda_ = boto(crowd.url, "lambda")
    before = lambda_.list_functions()
    crowd.restart_after_kill()
    after = lambda_.list_functions()
    assert after["Functions"] == before["Functions"]
    assert len(lambda_.list_functions(Marker=before["NextMarker"])["Functions"]) == COUNT - 50
