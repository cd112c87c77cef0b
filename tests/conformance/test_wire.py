"""Facts of the wire that SDKs rely on, tried with requests that no SDK would change."""

import base64
import http.client
import json
import re
import socket
import urllib.parse

import pytest

from harness import packages
from harness.clients import ACCOUNT, KEY, REGION
from harness.functions import ROLE, Functions, arn, python_runtime

FUNCTIONS = "/2015-03-31/functions"
ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def echo(shared_lambda):
    """A function that all of these tests ask for."""
    Functions(shared_lambda).python("wire-echo", ECHO)
    return "wire-echo"


def test_every_form_of_a_name(wire, echo):
    """API-004, API-005, API-701: name, partial ARN, ARN, with $LATEST, encoded and plain."""
    forms = [echo, f"{ACCOUNT}:function:{echo}", arn(echo), f"function:{echo}"]
    for form in forms:
        for suffix in ("", ":$LATEST"):
            for path in (urllib.parse.quote(form + suffix, safe=""), form + suffix):
                reply = wire.send("GET", f"{FUNCTIONS}/{path}/configuration")
                assert reply.status == 200, (path, reply)
                assert reply.json()["FunctionName"] == echo
                assert reply.json()["FunctionArn"] in (arn(echo), arn(echo) + ":$LATEST")
                assert wire.invoke(path, b"[1]").json() == [1], path


def test_qualifier_in_the_query(wire, echo):
    """API-006, API-701: Qualifier=%24LATEST, on every operation that takes one."""
    assert wire.send("GET", f"{FUNCTIONS}/{echo}?Qualifier=%24LATEST").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/{echo}/configuration?Qualifier=$LATEST").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/{echo}:$LATEST?Qualifier=%24LATEST").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/{echo}:1?Qualifier=2").status == 400


def test_trailing_slashes(wire, echo):
    """API-602: old clients send them, new ones do not; both work on every route."""
    assert wire.send("GET", f"{FUNCTIONS}/").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/?MaxItems=1").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/{echo}/").status == 200
    assert wire.send("GET", f"{FUNCTIONS}/{echo}/configuration/").status == 200
    assert wire.send("POST", f"{FUNCTIONS}/{echo}/invocations/", b"1").json() == 1


def test_status_codes(wire, name):
    """API-003, API-601: 201 for a creation, 204 without a body for a deletion."""
    zipped = base64.b64encode(packages.package({"app.py": ECHO})).decode()
    document = {
        "FunctionName": name,
        "Runtime": python_runtime(),
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zipped},
    }
    created = wire.json("POST", FUNCTIONS, document)
    assert created.status == 201
    assert created.headers["Content-Type"] == "application/json"
    deleted = wire.send("DELETE", f"{FUNCTIONS}/{name}")
    assert (deleted.status, deleted.body) == (204, b"")


def test_last_modified(wire, echo):
    """API-009: LastModified is YYYY-MM-DDThh:mm:ss.sss+0000."""
    modified = wire.send("GET", f"{FUNCTIONS}/{echo}/configuration").json()["LastModified"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", modified), modified


def test_errors_can_be_recognised(wire, name):
    """API-707, API-709: header x-amzn-ErrorType, request id, JSON body with Type and the text."""
    reply = wire.send("GET", f"{FUNCTIONS}/{name}")
    assert reply.status == 404
    assert reply.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.headers["x-amzn-RequestId"])
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json() == {"Type": "User", "Message": f"Function not found: {arn(name)}"}


def test_every_answer_has_its_own_request_id(wire, echo):
    """API-709: two answers never share an id."""
    ids = {wire.send("GET", f"{FUNCTIONS}/{echo}").headers["x-amzn-RequestId"] for _ in range(5)}
    assert len(ids) == 5


def test_unsigned_requests_are_refused(wire, echo):
    """API-001: no credential, no answer."""
    for path in (FUNCTIONS, f"{FUNCTIONS}/{echo}"):
        reply = wire.send("GET", path, signed=False)
        assert (reply.status, reply.error) == (403, "MissingAuthenticationTokenException")


FOREIGN_PAGES = {
    "script": {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"},
    "another port of this host": {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    "file": {"Origin": "null"},
    "old browser": {"Origin": "http://page.example"},
    "image": {"Sec-Fetch-Site": "cross-site"},
}


@pytest.mark.parametrize("page", FOREIGN_PAGES)
def test_pages_in_a_browser_cannot_use_lambd(wire, echo, page):
    """What a page of another origin makes a browser send is refused, although a credential can be in the URL."""
    credential = f"X-Amz-Credential={KEY}%2F20260101%2F{REGION}%2Flambda%2Faws4_request"
    path = f"{FUNCTIONS}/{echo}/invocations?{credential}"
    assert wire.send("POST", path, b"1", signed=False).json() == 1, "the request itself is good"
    reply = wire.send("POST", path, b"1", FOREIGN_PAGES[page], signed=False)
    assert (reply.status, reply.error) == (403, "AccessDeniedException")
    own = {"Origin": f"http://{wire.host}", "Sec-Fetch-Site": "same-origin"}
    assert wire.send("POST", path, b"1", own, signed=False).json() == 1


UNKNOWN_PATHS = [
    ("GET", "/2015-03-31/nothing"), ("GET", "/2016-01-01/functions"), ("PATCH", "/2015-03-31/functions"),
    ("POST", "/2015-03-31/functions/f/nothing"), ("GET", "/2015-03-31/functions/f/g/h"), ("GET", "/2015-03-31/"),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd"), ("GET", "/2015-03-31/functions/%zz"), ("GET", "/2015-03-31/functions/%ff"),
]  # fmt: skip


@pytest.mark.parametrize("method, path", UNKNOWN_PATHS)
def test_unknown_operations(wire, method, path):
    """API-707: a path or method that is no operation is a 4xx that SDKs can show."""
    reply = wire.send(method, path)
    assert reply.status in (400, 403, 404, 405), reply
    assert reply.error, reply
    assert reply.message


def test_the_download_link_needs_no_signature_but_cannot_be_guessed(wire, echo):
    """API-116.3, CORE-064, EX-10: the link works as it is; without its secret part it does not."""
    link = urllib.parse.urlsplit(wire.send("GET", f"{FUNCTIONS}/{echo}").json()["Code"]["Location"])
    good = wire.send("GET", f"{link.path}?{link.query}", signed=False)
    assert good.status == 200
    assert good.body[:2] == b"PK"
    for bad in (link.path, f"{link.path}?{link.query[:-3]}", f"{link.path[:-4]}?{link.query}"):
        reply = wire.send("GET", bad, signed=False)
        assert reply.status in (400, 403, 404), bad
        assert reply.body[:2] != b"PK"


def test_broken_http(daemon, wire, echo):
    """API-002: what is not HTTP, or ends half-way, does not disturb others."""
    pieces = [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ]
    for piece in pieces:
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as connection:
            try:
                connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass  # refused while it was still being sent
        assert wire.invoke(echo, b"1").json() == 1


def test_keep_alive(daemon, echo):
    """API-002: one connection carries many requests, in order."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature=00"
    )
    for number in range(20):
        connection.request(
            "POST", f"{FUNCTIONS}/{echo}/invocations", json.dumps(number), {"Authorization": authorization}
        )
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (200, number)
    connection.close()
