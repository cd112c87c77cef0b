"""The errors of the API: code, status, form of the body, and whose fault it is.

Those that cannot happen here, for want of what they are about, are in docs/compatibility.md. What provokes an error
is as small as can be; its texts and the cases of each operation are tested elsewhere.
"""

import base64

import pytest

from harness import packages
from harness.clients import Wire, boto
from harness.functions import ROLE, Functions, arn, python_runtime

NAME = "errors"
FUNCTIONS = "/2015-03-31/functions"
CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})
ZIP = base64.b64encode(CODE).decode()
GOOD = {"FunctionName": NAME, "Runtime": python_runtime(), "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": ZIP}}
POLICY = f"{FUNCTIONS}/{NAME}/policy"
STATEMENT = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
DAMAGED = packages.package({"app.py": "x" * 100}).replace(
    packages.package({"app.py": "x" * 100})[36:39], b"\xff\xff\xff", 1
)


@pytest.fixture(scope="module")
def ready(shared_lambda):
    """A good function, one whose package is damaged, one without a runtime, and one that must not run."""
    functions = Functions(shared_lambda)
    functions.create(NAME, CODE, python_runtime())
    functions.create(f"{NAME}-java", CODE, "java11")
    functions.create(f"{NAME}-none", CODE, python_runtime())
    shared_lambda.put_function_concurrency(FunctionName=f"{NAME}-none", ReservedConcurrentExecutions=0)
    shared_lambda.create_function(**GOOD | {"FunctionName": f"{NAME}-damaged", "Code": {"ZipFile": DAMAGED}})
    with pytest.raises(Exception, match="Waiter"):
        functions.active(f"{NAME}-damaged")


def long_policy(wire: Wire):
    """Statements until the policy is too long."""
    source = "arn:aws:s3:::" + "b" * 9000
    for number in range(3):
        reply = wire.json("POST", POLICY, STATEMENT | {"StatementId": f"long{number}", "SourceArn": source})
    return reply


def put(path: str, document: dict):
    return lambda wire: wire.json("PUT", f"{FUNCTIONS}/{path}", document)


def post(path: str, document):
    return lambda wire: wire.json("POST", path, document)


def invoke(name: str, body: bytes = b"{}", headers=None):
    return lambda wire: wire.invoke(name, body, headers)


#: Requirement, code, status, the member with the text (API-707), and what provokes it.
ERRORS = [
    ("API-302", "InvalidParameterValueException", 400, "message", post(FUNCTIONS, GOOD | {"FunctionName": f"{NAME}-new", "Runtime": None})),
    ("API-303", "InvalidRequestContentException", 400, "message", invoke(NAME, b"value")),
    ("API-303", "InvalidRequestContentException", 400, "message", lambda wire: wire.send("POST", f"/2014-11-13/functions/{NAME}/invoke-async/", b"value")),
    ("API-304", "PolicyLengthExceededException", 400, "message", long_policy),
    ("API-306", "ResourceNotFoundException", 404, "Message", invoke(f"{NAME}-never")),
    ("API-308 API-013", "ResourceConflictException", 409, "message", post(FUNCTIONS, GOOD)),
    ("API-309", "PreconditionFailedException", 412, "message", put(f"{NAME}/configuration", {"RevisionId": "stale"})),
    ("API-310", "RequestTooLargeException", 413, "message", invoke(NAME, b"1" * (6 * 1024 * 1024 + 1))),
    ("API-311", "UnsupportedMediaTypeException", 415, "message", invoke(NAME, b"{}", {"Content-Type": "text/plain"})),
    ("API-312 API-014", "TooManyRequestsException", 429, "message", invoke(f"{NAME}-none")),
    ("API-318", "InvalidRuntimeException", 502, "Message", invoke(f"{NAME}-java")),
    ("API-321", "InvalidZipFileException", 502, "Message", invoke(f"{NAME}-damaged")),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[0]} {row[1]}")
def test_errors(ready, wire, row):
    """Each row names its own requirements."""
    _, code, status, member, provoke = row
    reply = provoke(wire)
    assert (reply.error, reply.status) == (code, status), reply
    assert reply.headers["Content-Type"] == "application/json"
    document = reply.json()
    assert document["Type"] == ("Service" if status >= 500 else "User")
    assert isinstance(document[member], str) and document[member]
    assert {"message": "Message", "Message": "message"}[member] not in document


def test_reasons(ready, lambda_):
    """API-708, API-125.14: which limit was reached, and when to try again."""
    with pytest.raises(lambda_.exceptions.TooManyRequestsException) as refusal:
        lambda_.invoke(FunctionName=f"{NAME}-none")
    answer = refusal.value.response
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert int(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1


def test_what_did_not_run(ready, functions, lambda_, logs, name):
    """API-125.13: an error status says that the function did not run."""
    functions.python(name, "n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n")
    for refused in ({"Payload": b"{"}, {"Qualifier": "9"}, {"ClientContext": "!"}):
        with pytest.raises(lambda_.exceptions.ClientError):
            lambda_.invoke(FunctionName=name, **refused)
    assert functions.invoke(name).good() == 1


#: Operations that name no missing thing (API-306, API-106.4, API-111.4).
NEVER_MISSING = {
    "DeleteAlias": ("DELETE", f"{FUNCTIONS}/{NAME}/aliases/never", 204),
    "DeleteLayerVersion": ("DELETE", "/2018-10-31/layers/never/versions/1", 204),
    "GetAccountSettings": ("GET", "/2016-08-19/account-settings", 200),
    "ListFunctions": ("GET", FUNCTIONS, 200),
    "ListLayers": ("GET", "/2018-10-31/layers", 200),
}


@pytest.mark.parametrize("operation", NEVER_MISSING)
def test_never_missing(ready, wire, operation):
    """API-106.4, API-111.4, API-306: what is absent is as good as deleted, and lists may be empty."""
    method, path, status = NEVER_MISSING[operation]
    assert wire.send(method, path).status == status


def test_every_account_has_its_own_limits(daemon):
    """API-113.2: an account without functions has used nothing."""
    client = boto(daemon.url, "lambda", key="135791113151")
    assert client.get_account_settings()["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}
    assert arn(NAME).split(":")[4] != "135791113151"
