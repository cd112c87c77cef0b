"""Code that S3Bucket and S3Key name: from moto's S3, and from stores that misbehave."""

import http.server
import os
import threading

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon
from harness.functions import ROLE, Functions, python_runtime
from harness.s3 import S3

MB = 1024 * 1024


def answering(text):
    return packages.package({"app.py": f"def handler(event, context):\n    return {text!r}\n"})


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    store = S3(tmp_path_factory.mktemp("s3"))
    store.client.create_bucket(Bucket="code.bucket")
    store.client.put_bucket_versioning(
        Bucket="code.bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    yield store
    store.stop()


@pytest.fixture(scope="module")
def reader(tmp_path_factory, s3):
    """A daemon that reads code from moto."""
    daemon = Daemon(tmp_path_factory.mktemp("reader"), arguments=["--s3-endpoint", s3.url]).start()
    yield Functions(boto(daemon.url, "lambda"))
    assert daemon.stop() == 0, daemon.output()


def create(functions, name, **code):
    return functions.client.create_function(
        FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code=code
    )


def error_of(call, *arguments, **named):
    with pytest.raises(Exception) as raised:
        call(*arguments, **named)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_code_is_read_from_s3(reader, s3, name):
    """API-105.5 to .7, API-212: bucket, key and version; a key may have any character."""
    key = "folder/with space/ü+&=.zip"
    first = s3.client.put_object(Bucket="code.bucket", Key=key, Body=answering("first"))
    second = s3.client.put_object(Bucket="code.bucket", Key=key, Body=answering("second"))
    create(reader, name, S3Bucket="code.bucket", S3Key=key)
    reader.active(name)
    assert reader.invoke(name).good() == "second"
    reader.client.update_function_code(
        FunctionName=name, S3Bucket="code.bucket", S3Key=key, S3ObjectVersion=first["VersionId"]
    )
    reader.updated(name)
    assert reader.invoke(name).good() == "first"
    dry = reader.client.update_function_code(
        FunctionName=name,
        S3Bucket="code.bucket",
        S3Key=key,
        S3ObjectVersion=second["VersionId"],
        DryRun=True,
    )
    assert dry["CodeSha256"] and reader.invoke(name).good() == "first"


def test_larger_than_a_direct_upload(reader, s3, name):
    """LANG2-182: what is too large to be uploaded directly comes from S3."""
    code = packages.package({"app.py": "def handler(e, c):\n    return 1\n", "data": os.urandom(60 * MB)})
    s3.client.put_object(Bucket="code.bucket", Key="large.zip", Body=code)
    created = create(reader, name, S3Bucket="code.bucket", S3Key="large.zip")
    assert created["CodeSize"] == len(code)
    reader.active(name)
    assert reader.invoke(name).good() == 1


@pytest.mark.parametrize(
    "code, said",
    [
        (
            {"S3Bucket": "code.bucket", "S3Key": "absent.zip"},
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
            "S3 Error Message: The specified key does not exist.",
        ),
        (
            {"S3Bucket": "no-such-bucket", "S3Key": "a.zip"},
            "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
            "S3 Error Message: The specified bucket does not exist",
        ),
        ({"S3Bucket": "code.bucket"}, "Please provide a source for function code."),
        ({"S3Key": "a.zip"}, "Please provide a source for function code."),
        (
            {"S3Bucket": "code.bucket", "S3Key": "a.zip", "ZipFile": answering("x")},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
        ),
    ],
)
def test_refused_sources(reader, name, code, said):
    """API-212, LANG2-183: with S3's own code and words; no function is left behind."""
    assert error_of(create, reader, name, **code) == ("InvalidParameterValueException", said)
    assert error_of(reader.client.get_function, FunctionName=name)[0] == "ResourceNotFoundException"


def test_bad_objects(reader, s3, name):
    """API-072, API-073: constraints of names; what is no zip is refused as an upload would be."""
    code, said = error_of(create, reader, name, S3Bucket="ends.with.", S3Key="k" * 1025)
    assert code == "ValidationException" and said.startswith("2 validation errors detected")
    assert "'code.s3Bucket'" in said and "'code.s3Key'" in said
    s3.client.put_object(Bucket="code.bucket", Key="text", Body=b"no zip")
    code, said = error_of(create, reader, name, S3Bucket="code.bucket", S3Key="text")
    assert code == "InvalidParameterValueException" and "unzip" in said


def test_without_a_store(functions, name):
    """A daemon without an object store says what to do."""
    code, said = error_of(create, functions, name, S3Bucket="bucket", S3Key="a.zip")
    assert code == "InvalidParameterValueException" and "--s3-endpoint" in said


class Store:
    """A store that answers everything alike and keeps what it is asked."""

    def __init__(self, status, body, length=None):
        self.asked = []
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                store.asked.append((self.path, dict(self.headers)))
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def reading(tmp_path):
    """Starts a daemon that reads code from a store, with these variables in its environment."""
    daemons = []

    def start(url, **environment):
        prefix = ["env", *(f"{name}={value}" for name, value in environment.items())]
        daemon = Daemon(tmp_path, prefix=prefix, arguments=["--s3-endpoint", url]).start()
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.output()


def test_denied(reading, name):
    """S3's refusal is the caller's: 403, with the bucket and the key."""
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    store = Store(403, body)
    daemon = reading(store.url, AWS_ACCESS_KEY_ID="AKIDOPERATOR", AWS_SECRET_ACCESS_KEY="secret")
    functions = Functions(boto(daemon.url, "lambda"))
    assert error_of(create, functions, name, S3Bucket="bucket", S3Key="a.zip") == (
        "AccessDeniedException",
        "Your access has been denied by S3, please make sure your request credentials have permission to "
        "GetObject for bucket/a.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied",
    )
    [(path, headers)] = store.asked
    assert path == "/bucket/a.zip"
    assert "Credential=AKIDOPERATOR/" in headers["authorization"]
    assert "/us-east-1/s3/aws4_request" in headers["authorization"]


def test_a_store_that_breaks_off(reading, name):
    """Nothing is left of an object that arrived in part, and the error says so."""
    store = Store(200, b"half", length=100_000)
    daemon = reading(store.url)
    functions = Functions(boto(daemon.url, "lambda"))
    files = daemon.files()
    code, said = error_of(create, functions, name, S3Bucket="bucket", S3Key="a.zip")
    assert code == "ServiceException" and "arrived in part" in said
    assert daemon.files() == files
    assert "Credential=000000000000/" in store.asked[0][1]["authorization"]
    store.server.shutdown()
    store.server.server_close()
    code, said = error_of(create, functions, name, S3Bucket="bucket", S3Key="a.zip")
    assert code == "ServiceException" and f"cannot reach {store.url.removeprefix('http://')}" in said
