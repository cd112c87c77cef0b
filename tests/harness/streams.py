"""Functions that stream their responses, and what callers see of them."""

import base64
import json
import time
from dataclasses import dataclass, field

from . import packages

#: A custom runtime on nothing but sockets, whose events are lists of what to do. It remembers the Runtime API's last answer.
RUNTIME = """#!/usr/bin/python3
import json, os, socket, time

address = os.environ["AWS_LAMBDA_RUNTIME_API"]
host, port = address.split(":")
last = None


def connect():
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, connection.makefile("rb")


def reply(file):
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline().strip()):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


class Answer:
    def __init__(self, id, headers):
        self.connection, self.file = connect()
        head = "".join(f"{name}: {value}\\r\\n" for name, value in headers.items())
        self.send(f"POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\\r\\nHost: {address}\\r\\n{head}\\r\\n".encode())

    def send(self, data):
        self.connection.sendall(data)

    def chunk(self, data):
        self.send(b"%x\\r\\n%s\\r\\n" % (len(data), data))


HEADERS = {"Transfer-Encoding": "chunked", "Lambda-Runtime-Function-Response-Mode": "streaming"}

while True:
    connection, file = connect()
    connection.sendall(f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: {address}\\r\\n\\r\\n".encode())
    _, headers, body = reply(file)
    connection.close()
    steps, answer, trailers, ended = json.loads(body), None, "", False
    if isinstance(steps, dict):
        steps = [["say", json.dumps(last)]]
    for what, *arguments in steps:
        if answer is None and what not in ("print", "sleep", "exit"):
            own = arguments[0] if what == "begin" else {}
            answer = Answer(headers["lambda-runtime-aws-request-id"], HEADERS | own)
        if what == "say":
            answer.chunk(arguments[0].encode())
        elif what == "fill":
            for _ in range(arguments[0] // 65536):
                answer.chunk(b"x" * 65536)
            if arguments[0] % 65536:
                answer.chunk(b"x" * (arguments[0] % 65536))
        elif what == "raw":
            answer.send(arguments[0].encode())
        elif what == "print":
            print(arguments[0], flush=True)
        elif what == "sleep":
            time.sleep(arguments[0])
        elif what == "trailers":
            trailers = "".join(f"{name}: {value}\\r\\n" for name, value in arguments[0].items())
        elif what == "cut":
            answer.connection.shutdown(socket.SHUT_WR)
            ended = True
        elif what == "exit":
            os._exit(arguments[0])
    if not ended:
        answer.send(f"0\\r\\n{trailers}\\r\\n".encode())
    status, _, body = reply(answer.file)
    last = [status, json.loads(body)]
    answer.connection.close()
"""

CODE = packages.program(RUNTIME)


@dataclass
class Streamed:
    """What came of a streamed invocation."""

    answer: dict
    #: Seconds from the call to each payload chunk, and to the end.
    times: list = field(default_factory=list)
    chunks: list = field(default_factory=list)
    complete: dict | None = None

    @property
    def payload(self) -> bytes:
        """All chunks."""
        return b"".join(self.chunks)

    @property
    def log(self) -> str:
        """The log's tail."""
        return base64.b64decode(self.complete["LogResult"]).decode()

    def good(self) -> bytes:
        """The payload of a function that must have ended well."""
        assert "ErrorCode" not in self.complete and "ErrorDetails" not in self.complete, self.complete
        return self.payload

    def failed(self, error_type: str) -> dict:
        """The error document of a function that must have failed in this way."""
        assert self.complete["ErrorCode"] == "Unhandled", self.complete
        document = json.loads(self.complete["ErrorDetails"])
        assert document["errorType"] == error_type, document
        return document


def stream(client, name: str, event=None, raw: bytes | None = None, **parameters) -> Streamed:
    """Invokes a function with boto3 and reads its stream of events to the end."""
    parameters.setdefault("LogType", "Tail")
    payload = raw if raw is not None else json.dumps({} if event is None else event).encode()
    start = time.monotonic()
    answer = client.invoke_with_response_stream(FunctionName=name, Payload=payload, **parameters)
    streamed = Streamed(answer)
    for event in answer["EventStream"]:
        assert streamed.complete is None, "an event after the last"
        streamed.times.append(time.monotonic() - start)
        if "PayloadChunk" in event:
            streamed.chunks.append(event["PayloadChunk"]["Payload"])
        else:
            streamed.complete = event["InvokeComplete"]
    return streamed
