"""Packages on their way out: large ones, and clients that do not take all of them."""

import hashlib
import http.client
import os
import urllib.parse

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions, python_runtime
from harness.processes import memory_peak

MB = 1024 * 1024
SOURCE = "def handler(event, context):\n    return 1\n"


@pytest.fixture(scope="module")
def large() -> bytes:
    return packages.package({"app.py": SOURCE, "data": os.urandom(45 * MB)})


def requested(link: str):
    """A connection on which the download was asked for, and the head of its answer; no part of the body is read."""
    parts = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "application/zip"
    return connection, answer


def digest_of(answer) -> str:
    found = hashlib.sha256()
    while part := answer.read(MB):
        found.update(part)
    return found.hexdigest()


def opened(daemon: Daemon) -> list:
    """Packages that the daemon has open."""
    folder = f"/proc/{daemon.process.pid}/fd"
    links = []
    for name in os.listdir(folder):
        try:
            links.append(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue  # closed meanwhile
    return [link for link in links if ".zip" in link]


def test_large_downloads(own_daemon, large):
    """API-116.3: what was uploaded comes back, of a length told beforehand, and costs no memory; whoever goes
    away leaves nothing open; and what is being read stays whole although it is deleted."""
    lambda_ = boto(own_daemon.url, "lambda")
    digest = hashlib.sha256(large).hexdigest()
    Functions(lambda_).create("large", large, python_runtime())
    link = lambda_.get_function(FunctionName="large")["Code"]["Location"]

    before = memory_peak(own_daemon.process.pid)
    connection, answer = requested(link)
    assert int(answer.getheader("Content-Length")) == len(large)
    assert digest_of(answer) == digest
    connection.close()
    slow = [requested(link) for _ in range(8)]
    grown = memory_peak(own_daemon.process.pid) - before
    assert grown < 20 * MB, f"{grown / MB:.0f} MB"

    assert len(opened(own_daemon)) == len(slow)
    for connection, _answer in slow[1:]:
        connection.close()
    wait_for(lambda: len(opened(own_daemon)) == 1, "the packages of those who went away to be closed")
    stored = opened(own_daemon)[0]
    lambda_.delete_function(FunctionName="large")
    # As the next start does with packages that nothing refers to.
    os.unlink(stored)
    connection, answer = slow[0]
    assert digest_of(answer) == digest
    connection.close()
    wait_for(lambda: not opened(own_daemon), "the package to be closed")
    parts = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", f"{parts.path}?{parts.query}")
    assert connection.getresponse().status == 404
