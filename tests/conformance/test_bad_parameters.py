"""Requests with bad parameters: exact status, error code, and a message that names what is wrong.

The guide knows one code for them, InvalidParameterValueException (API-012). The service of today
says ValidationException where a value breaks a constraint of the API's model, and today's wire
format goes first; so constraints of the model may have either code, rules of the service only the
first.
"""

import base64
import json
import urllib.parse

import pytest

from harness import packages
from harness.clients import ACCOUNT, REGION
from harness.functions import ROLE, arn, python_runtime

FUNCTIONS = "/2015-03-31/functions"
MODEL = ("ValidationException", "InvalidParameterValueException")
SERVICE = ("InvalidParameterValueException",)
ZIP = base64.b64encode(packages.package({"app.py": "def handler(event, context):\n    return 1\n"})).decode()


def request(name, **changes):
    """A good CreateFunction request with some members changed; None leaves a member out."""
    document = {
        "FunctionName": name,
        "Runtime": python_runtime(),
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": ZIP},
    } | changes
    return {key: value for key, value in document.items() if value is not None}


CREATE = {
    "65 characters": ({"FunctionName": "n" * 65}, MODEL, "functionName"),
    "empty name": ({"FunctionName": ""}, MODEL, "functionName"),
    "space in name": ({"FunctionName": "my function"}, MODEL, "functionName"),
    "slash in name": ({"FunctionName": "my/function"}, MODEL, "functionName"),
    "dot in name": ({"FunctionName": "my.function"}, MODEL, "functionName"),
    "umlaut in name": ({"FunctionName": "fünction"}, MODEL, "functionName"),
    "dots as name": ({"FunctionName": "../../etc"}, MODEL, "functionName"),
    "141 characters": ({"FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:" + "n" * 141}, MODEL, "functionName"),
    "ARN of another service": ({"FunctionName": f"arn:aws:s3:{REGION}:{ACCOUNT}:function:f"}, MODEL, "functionName"),
    "ARN with a short account": ({"FunctionName": f"arn:aws:lambda:{REGION}:12345:function:f"}, MODEL, "functionName"),
    "ARN of a layer": ({"FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:f"}, MODEL, "functionName"),
    "no name": ({"FunctionName": None}, MODEL, "functionName"),
    "no code": ({"Code": None}, MODEL, "code"),
    "no role": ({"Role": None}, MODEL, "role"),
    "empty code": ({"Code": {}}, SERVICE, ""),
    "bad role": ({"Role": "lambda-role"}, MODEL, "role"),
    "role of another service": ({"Role": f"arn:aws:sts::{ACCOUNT}:role/r"}, MODEL, "role"),
    "role with a short account": ({"Role": "arn:aws:iam::123:role/r"}, MODEL, "role"),
    "user as role": ({"Role": f"arn:aws:iam::{ACCOUNT}:user/u"}, MODEL, "role"),
    "no handler": ({"Handler": None}, SERVICE, "handler"),
    "space in handler": ({"Handler": "app handler"}, MODEL, "handler"),
    "129 characters of handler": ({"Handler": "h" * 129}, MODEL, "handler"),
    "no runtime": ({"Runtime": None}, SERVICE, "runtime"),
    "unknown runtime": ({"Runtime": "cobol85"}, MODEL, "runtime"),
    "runtime with a path": ({"Runtime": "python3.11/../.."}, MODEL, "runtime"),
    "memory 127": ({"MemorySize": 127}, MODEL, "memorySize"),
    "memory 0": ({"MemorySize": 0}, MODEL, "memorySize"),
    "memory -1": ({"MemorySize": -1}, MODEL, "memorySize"),
    "memory over the model": ({"MemorySize": 32769}, MODEL, "memorySize"),
    "memory 10241": ({"MemorySize": 10241}, MODEL, "memorySize"),
    "timeout 0": ({"Timeout": 0}, MODEL, "timeout"),
    "timeout -1": ({"Timeout": -1}, MODEL, "timeout"),
    "timeout 901": ({"Timeout": 901}, MODEL, "timeout"),
    "257 characters of description": ({"Description": "d" * 257}, MODEL, "description"),
    "one-letter variable": ({"Environment": {"Variables": {"A": "1"}}}, MODEL, "environment"),
    "reserved variable": ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, SERVICE, "AWS_REGION"),
    "5 KB of variables": ({"Environment": {"Variables": {"AA": "x" * 5000}}}, SERVICE, "4"),
    "unknown package type": ({"PackageType": "Rpm"}, MODEL, "packageType"),
    "unknown architecture": ({"Architectures": ["vax"]}, MODEL, "architectures"),
    "tracing mode": ({"TracingConfig": {"Mode": "Sometimes"}}, MODEL, "mode"),
    "storage 511": ({"EphemeralStorage": {"Size": 511}}, MODEL, "size"),
}  # fmt: skip


@pytest.mark.parametrize("case", CREATE)
def test_create(wire, name, case):
    """API-012, API-050, API-058, API-071, API-075, API-078, API-105, API-604, API-706, CORE-074..076."""
    changes, codes, word = CREATE[case]
    reply = wire.json("POST", FUNCTIONS, request(name, **changes))
    assert reply.status == 400, reply
    assert reply.error in codes, reply
    assert word.lower() in reply.message.lower(), reply.message
    assert wire.send("GET", f"{FUNCTIONS}/{name}").status == 404


TEXTS = {
    "memorySize": ({"MemorySize": 127}, "Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"),
    "timeout": ({"Timeout": 901}, "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"),
    "functionName": ({"FunctionName": "n" * 65}, f"Value '{'n' * 65}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64"),
    "role": ({"Role": "lambda-role"}, r"Value 'lambda-role' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_texts_of_today(wire, name, case):
    """API-706: the words in which the service of today refuses a constraint of its model."""
    changes, text = TEXTS[case]
    reply = wire.json("POST", FUNCTIONS, request(name, **changes))
    assert reply.message == f"1 validation error detected: {text}"


UPDATE = {
    "memory 127": ({"MemorySize": 127}, MODEL),
    "memory 10241": ({"MemorySize": 10241}, MODEL),
    "timeout 0": ({"Timeout": 0}, MODEL),
    "timeout 901": ({"Timeout": 901}, MODEL),
    "description": ({"Description": "d" * 257}, MODEL),
    "role": ({"Role": "x"}, MODEL),
    "runtime": ({"Runtime": "x"}, MODEL),
    "handler": ({"Handler": "a b"}, MODEL),
    "old runtime": ({"Runtime": "nodejs4.3"}, SERVICE),
    "two at once, one of them good": ({"Timeout": 5, "MemorySize": 1}, MODEL),
}


@pytest.mark.parametrize("case", UPDATE)
def test_update(wire, functions, lambda_, name, case):
    """API-148, API-071, API-078, CORE-074, CORE-075: a refused update changes nothing at all."""
    changes, codes = UPDATE[case]
    functions.python(name, "def handler(event, context):\n    return 1\n")
    before = lambda_.get_function_configuration(FunctionName=name)
    reply = wire.json("PUT", f"{FUNCTIONS}/{name}/configuration", changes)
    assert (reply.status, reply.error in codes) == (400, True), reply
    after = lambda_.get_function_configuration(FunctionName=name)
    assert {**after, "ResponseMetadata": 0} == {**before, "ResponseMetadata": 0}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"FunctionName": "f",}', b"{" * 5000, b"{}" * 2],
    ids=lambda body: repr(body[:20]),
)
def test_wrong_json(wire, body):
    """API-002: a body that is not the JSON object of the request is a 400 with a code."""
    reply = wire.json("POST", FUNCTIONS, body)
    assert reply.status == 400, reply
    assert reply.error in ("SerializationException", "InvalidRequestContentException", *MODEL), reply
    assert reply.message


WRONG_TYPES = {
    "number as name": {"FunctionName": 7},
    "text as memory": {"MemorySize": "128"},
    "fraction as memory": {"MemorySize": 128.5},
    "text as timeout": {"Timeout": "3"},
    "list as code": {"Code": []},
    "number as variable": {"Environment": {"Variables": {"AA": 1}}},
    "list as environment": {"Environment": []},
    "text as publish": {"Publish": "yes"},
    "object as role": {"Role": {}},
    "number as tags": {"Tags": {"a": 1}},
    "huge number": {"MemorySize": 10**30},
}


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_wrong_json_types(wire, name, case):
    """API-002, API-706: members of the wrong JSON type are a 400 SerializationException."""
    reply = wire.json("POST", FUNCTIONS, request(name, **WRONG_TYPES[case]))
    assert (reply.status, reply.error) == (400, "SerializationException"), reply
    assert reply.message


def test_unknown_members_are_ignored(wire, lambda_, name):
    """API-711: what newer clients send beyond the known members does no harm."""
    reply = wire.json("POST", FUNCTIONS, request(name, FromTheFuture={"a": [1]}))
    assert reply.status == 201, reply
    assert lambda_.get_function(FunctionName=name)


def test_duplicate(wire, functions, lambda_, name):
    """API-105.21, API-308: the same name again is 409 and the first function stays."""
    functions.python(name, "def handler(event, context):\n    return 'first'\n")
    reply = wire.json("POST", FUNCTIONS, request(name))
    assert (reply.status, reply.error) == (409, "ResourceConflictException")
    assert reply.message == f"Function already exist: {name}"
    assert "message" in reply.json()
    assert functions.invoke(name).good() == "first"


def test_limits_are_inclusive(functions, lambda_, name):
    """CORE-074, CORE-075, API-078, API-071, API-607: the largest and smallest legal values are legal."""
    name = (name + "n" * 64)[:64]
    functions.python(
        name, "def handler(event, context):\n    return 1\n", Timeout=900, MemorySize=128, Description="d" * 256
    )
    assert functions.invoke(name).good() == 1
    functions.configure(name, Timeout=1, MemorySize=10240, Description="")
    functions.configure(name, MemorySize=129, Handler="h" * 128)
    assert lambda_.get_function_configuration(FunctionName=name)["MemorySize"] == 129


UNKNOWN = {
    "GetFunction": ("GET", "", None),
    "GetFunctionConfiguration": ("GET", "/configuration", None),
    "UpdateFunctionCode": ("PUT", "/code", {"ZipFile": ZIP}),
    "UpdateFunctionConfiguration": ("PUT", "/configuration", {"Timeout": 5}),
    "DeleteFunction": ("DELETE", "", None),
    "Invoke": ("POST", "/invocations", {}),
}


@pytest.mark.parametrize("operation", UNKNOWN)
def test_unknown_function(wire, name, operation):
    """API-306: 404 ResourceNotFoundException with the ARN, for every operation."""
    method, rest, document = UNKNOWN[operation]
    body = b"" if document is None else json.dumps(document).encode()
    reply = wire.send(
        method, f"{FUNCTIONS}/{name}{rest}", body, {"Content-Type": "application/json"} if body else {}
    )
    assert (reply.status, reply.error) == (404, "ResourceNotFoundException")
    assert reply.message == f"Function not found: {arn(name)}"


BAD_NAMES = [
    "a b",
    "a/b",
    "ä",
    "a..b!",
    "n" * 257,
    "arn:aws:lambda:x",
    f"arn:aws:iam::{ACCOUNT}:role/r",
    "a:b:c:d:e",
]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=lambda n: n[:20])
@pytest.mark.parametrize("operation", UNKNOWN)
def test_names_out_of_pattern(wire, operation, bad):
    """API-050, API-051, API-619..621: a name in the path that cannot be one is refused, never looked up."""
    method, rest, document = UNKNOWN[operation]
    body = b"" if document is None else json.dumps(document).encode()
    path = f"{FUNCTIONS}/{urllib.parse.quote(bad, safe='')}{rest}"
    reply = wire.send(method, path, body, {"Content-Type": "application/json"} if body else {})
    assert (reply.status, reply.error in MODEL) == (400, True), reply


def test_other_accounts_and_regions(wire, functions, name):
    """API-004, CORE-008: an ARN of another account or region is not this function."""
    functions.python(name, "def handler(event, context):\n    return 1\n")
    for other in (
        f"arn:aws:lambda:{REGION}:111122223333:function:{name}",
        f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{name}",
        f"111122223333:function:{name}",
    ):
        reply = wire.send("GET", f"{FUNCTIONS}/{urllib.parse.quote(other, safe='')}")
        assert reply.status in (403, 404), (other, reply)
        assert reply.error in ("ResourceNotFoundException", "AccessDeniedException"), reply
