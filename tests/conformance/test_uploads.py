"""Packages on their way in: large ones, broken ones, in whatever JSON encoders make of them."""

import base64
import json
import os
import socket

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import wait_for
from harness.functions import ROLE, Functions, python_runtime
from harness.processes import memory_peak

MB = 1024 * 1024


def test_memory_does_not_grow_with_packages(own_daemon):
    """A package goes to disk while it arrives: 45 MB of it cost the daemon less than half of that."""
    functions = Functions(boto(own_daemon.url, "lambda"))
    functions.python("small", "def handler(event, context):\n    return 1\n")
    assert functions.invoke("small").good() == 1
    code = packages.package({"app.py": "def handler(e, c):\n    return 2\n", "data": os.urandom(45 * MB)})
    before = memory_peak(own_daemon.process.pid)
    functions.recode("small", code)
    assert functions.invoke("small").good() == 2
    grown = memory_peak(own_daemon.process.pid) - before
    assert grown < 20 * MB, f"{grown / MB:.0f} MB"


def test_base64_as_encoders_write_it(wire, functions, name):
    """JSON may escape the slash and the plus of base64; the digest shows that nothing was lost."""
    code = packages.package({"app.py": "def handler(e, c):\n    return 3\n", "data": bytes(range(256)) * 40})
    text = base64.b64encode(code).decode()
    assert "/" in text and "+" in text
    text = text.replace("/", "\\/").replace("+", "\\u002B")
    document = json.dumps({"FunctionName": name, "Runtime": python_runtime(), "Handler": "app.handler", "Role": ROLE})
    body = document[:-1] + ', "Code" : { "ZipFile" : "' + text + '" } }'
    assert wire.json("POST", "/2015-03-31/functions", body.encode()).status == 201
    functions.active(name)
    assert functions.invoke(name).good() == 3


@pytest.mark.parametrize("blob", ["AAA", "A===", "AA=A", "AA AA", "Ö"])
def test_what_is_not_base64(wire, functions, name, blob):
    """The request is refused as one that is not JSON of the right kind, and nothing is left of it."""
    body = {
        "FunctionName": name,
        "Runtime": python_runtime(),
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": blob},
    }
    answer = wire.json("POST", "/2015-03-31/functions", body)
    assert (answer.status, answer.error) == (400, "SerializationException")
    with pytest.raises(functions.client.exceptions.ResourceNotFoundException):
        functions.client.get_function(FunctionName=name)


def test_an_upload_that_breaks_off(own_daemon):
    """Nothing stays of a package whose client went away."""
    files = own_daemon.files()
    head = (
        "POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host, Signature=0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", own_daemon.port)) as client:
        client.sendall(head.encode() + b'{"Code":{"ZipFile":"' + b"A" * 8 * MB)
        wait_for(lambda: own_daemon.files() != files, "some of it to arrive")
    wait_for(lambda: own_daemon.files() == files, "it to be removed")
