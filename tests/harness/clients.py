"""The clients that users have: boto3, the ``aws`` command, and plain signed HTTP."""

import http.client
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

REGION = "us-east-1"
ACCOUNT = "000000000000"
KEY, SECRET = "test", "test"


def boto(url: str, service: str, retries: int = 0, key: str = KEY, **settings):
    """A boto3 client that takes no configuration from this machine and tells every error at once."""
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=SECRET, region_name=REGION)
    config = botocore.config.Config(
        retries={"total_max_attempts": retries + 1, "mode": "standard"},
        read_timeout=120,
        connect_timeout=5,
        max_pool_connections=32,
        **settings,
    )
    return session.client(service, endpoint_url=url, config=config)


class Cli:
    """The real ``aws`` command, with a home of its own."""

    def __init__(self, url: str, home: Path):
        self.url = url
        self.home = home
        self.program = str(Path(sys.executable).parent / "aws")

    def environment(self) -> dict:
        """What the command sees: nothing of this machine's configuration."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess:
        """Runs ``aws ...`` in its home folder. By default it must succeed."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.home,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if (done.returncode != 0) != fails:
            raise AssertionError(
                f"aws {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return done

    def json(self, *arguments: str):
        """What the command prints, read as JSON."""
        return json.loads(self.run(*arguments, "--output", "json").stdout)


class CliSession:
    """The code of the ``aws`` command in one process for many commands, each of which takes some milliseconds."""

    def __init__(self, cli: Cli):
        runner = Path(__file__).with_name("cli_runner.py")
        self.process = subprocess.Popen(
            [sys.executable, str(runner)],
            cwd=cli.home,
            env=cli.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> dict:
        """Runs one command; gives its ``status``, ``stdout`` and ``stderr``."""
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


@dataclass
class Reply:
    """An HTTP response as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self) -> str:
        """The error's code, as SDKs find it."""
        return (self.headers.get("x-amzn-ErrorType") or "").split(":")[0]

    @property
    def message(self) -> str:
        """The error's text: the member's case depends on the error."""
        document = json.loads(self.body)
        return document.get("message", document.get("Message"))

    def json(self):
        """The body, read as JSON."""
        return json.loads(self.body)


class Wire:
    """Signed HTTP requests with nothing added, changed or checked on the way."""

    def __init__(self, port: int):
        self.host = f"127.0.0.1:{port}"

    def send(self, method: str, path: str, body: bytes = b"", headers=None, signed: bool = True) -> Reply:
        """Sends one request. ``path`` goes out exactly as given."""
        headers = dict(headers or {})
        if signed:
            headers |= self._signature(method, path, body, headers)
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if not any(name.lower() == "content-length" for name in headers):
                connection.putheader("Content-Length", str(len(body)))
            try:
                connection.endheaders(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the whole body was read: the answer is there all the same
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def json(self, method: str, path: str, document) -> Reply:
        """Sends a JSON body."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.send(method, path, body, {"Content-Type": "application/json"})

    def invoke(self, name: str, payload: bytes = b"", headers=None, query: str = "") -> Reply:
        """Invokes a function the way boto3 does: without a Content-Type."""
        return self.send("POST", f"/2015-03-31/functions/{name}/invocations{query}", payload, headers)

    def _signature(self, method: str, path: str, body: bytes, headers: dict) -> dict:
        request = botocore.awsrequest.AWSRequest(method, f"http://{self.host}{path}", headers, body)
        credentials = botocore.credentials.Credentials(KEY, SECRET)
        botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
        wanted = ("authorization", "x-amz-date", "x-amz-content-sha256")
        return {name: value for name, value in request.headers.items() if name.lower() in wanted}
