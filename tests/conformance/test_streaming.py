"""Response streaming: InvokeWithResponseStream, the Runtime API's streaming mode, and `streamifyResponse`."""

import base64
import concurrent.futures
import http.client
import json
import os
import socket
import struct
import zlib

import pytest

from harness import logs as function_logs
from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions
from harness.streams import CODE, stream

ERROR_TYPE, ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
DOCUMENT = {"errorType": "Late", "errorMessage": "too much of it"}
TRAILERS = {ERROR_TYPE: "Late", ERROR_BODY: base64.b64encode(json.dumps(DOCUMENT).encode()).decode()}
MB = 1 << 20


@pytest.fixture
def streamer(functions, name):
    """A function that does what its event says."""
    functions.custom(name, CODE, Timeout=20)
    return name


def last_answer(functions, name: str) -> list:
    """What the Runtime API said to the response before this event's."""
    return functions.invoke(name).good()


# What callers see ----------------------------------------------------------------------------------------------------


def test_parts_arrive_while_the_function_runs(lambda_, streamer):
    """API-415: each part is there when it is written, not when the function has ended."""
    streamed = stream(lambda_, streamer, [["say", "first"], ["sleep", 0.6], ["say", "second"]])
    assert streamed.good() == b"firstsecond"
    first, *_, end = streamed.times
    assert streamed.chunks[0] == b"first" and end - first > 0.4, streamed.times
    answer = streamed.answer
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"] == "application/octet-stream"


def test_the_log_is_in_the_last_event(lambda_, streamer):
    """API-415, CORE-057: with LogType Tail, and only then; what was printed meanwhile is in its place."""
    steps = [["say", "a"], ["print", "between"], ["say", "b"]]
    streamed = stream(lambda_, streamer, steps)
    lines = streamed.log.splitlines()
    assert [line.split()[0] for line in lines] == ["START", "between", "END", "REPORT"]
    assert streamed.answer["ResponseMetadata"]["RequestId"] in lines[0]
    assert stream(lambda_, streamer, steps, LogType="None").complete == {}


def test_the_wire(daemon, streamer):
    """API-415: the event stream byte by byte, in chunks of HTTP, each message with both checksums."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    path = f"/2021-11-15/functions/{streamer}/response-streaming-invocations"
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request"}
    begin = ["begin", {"Content-Type": "application/vnd.awslambda.http-integration-response"}]
    body = json.dumps([begin, ["say", '{"statusCode":201}\0\0\0\0\0\0\0\0body'], ["fill", 5000]])
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    assert (response.status, response.getheader("transfer-encoding")) == (200, "chunked")
    assert response.getheader("content-type") == "application/vnd.amazon.eventstream"
    assert response.getheader("x-amzn-remapped-content-type") == "application/vnd.awslambda.http-integration-response"
    assert response.getheader("x-amz-executed-version") == "$LATEST"
    assert response.getheader("x-amzn-requestid")
    messages = list(decoded(response.read()))
    *chunks, (complete, told) = messages
    assert complete == {":event-type": "InvokeComplete", ":content-type": "application/json", ":message-type": "event"}
    assert told == b"{}"
    for chunk, _ in chunks:
        assert chunk == {
            ":event-type": "PayloadChunk", ":content-type": "application/octet-stream", ":message-type": "event"
        }  # fmt: skip
    assert b"".join(part for _, part in chunks) == b'{"statusCode":201}' + bytes(8) + b"body" + b"x" * 5000
    connection.close()


def decoded(data: bytes):
    """The messages of an event stream."""
    while data:
        total, headers_len, prelude = struct.unpack(">III", data[:12])
        assert zlib.crc32(data[:8]) == prelude
        assert zlib.crc32(data[: total - 4]) == struct.unpack(">I", data[total - 4 : total])[0]
        headers, at = {}, 12
        while at < 12 + headers_len:
            length = data[at]
            name = data[at + 1 : at + 1 + length].decode()
            at += 1 + length
            kind, size = struct.unpack(">BH", data[at : at + 3])
            assert kind == 7
            headers[name] = data[at + 3 : at + 3 + size].decode()
            at += 3 + size
        yield headers, data[at : total - 4]
        data = data[total:]


def test_functions_that_do_not_stream_have_one_chunk(functions, lambda_, name):
    """API-415: a response of any function, and its error, come in the same events."""
    source = "def handler(event, context):\n    if event: raise ValueError(event)\n    return {'whole': 'ü' * 70000}"
    functions.python(name, source)
    streamed = stream(lambda_, name)
    assert len(streamed.chunks) == 1
    assert json.loads(streamed.good()) == {"whole": "ü" * 70000}
    failed = stream(lambda_, name, "why")
    assert failed.failed("ValueError")["errorMessage"] == "why"
    assert failed.chunks == []
    assert "[ERROR] ValueError: why" in failed.log


def test_qualifiers_and_dry_runs(functions, lambda_, streamer):
    """API-415, API-051: the same function, version and alias as for Invoke; a dry run does nothing."""
    version = functions.publish(streamer)
    lambda_.create_alias(FunctionName=streamer, Name="live", FunctionVersion=version)
    for qualifier in (version, "live"):
        streamed = stream(lambda_, streamer, [["say", "v"]], Qualifier=qualifier)
        assert (streamed.good(), streamed.answer["ExecutedVersion"]) == (b"v", version)
    dry = lambda_.invoke_with_response_stream(FunctionName=streamer, InvocationType="DryRun", Payload=b"{}")
    assert dry["StatusCode"] == 204 and list(dry["EventStream"]) == []


def test_client_context_arrives(functions, lambda_, name):
    """API-415, API-125.5: the context of the caller is the function's."""
    functions.node(name, """exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
        stream.end(JSON.stringify(context.clientContext)) })""")
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    assert json.loads(stream(lambda_, name, ClientContext=context).good()) == {"custom": {"k": "v"}}


@pytest.mark.parametrize(
    "parameters, code",
    [
        ({"FunctionName": "no-such-function"}, "ResourceNotFoundException"),
        ({"Qualifier": "none"}, "ResourceNotFoundException"),
        ({"InvocationType": "Event"}, "ValidationException"),
        ({"LogType": "Head"}, "ValidationException"),
        ({"ClientContext": "no base64"}, "InvalidRequestContentException"),
        ({"Payload": b"{"}, "InvalidRequestContentException"),
        ({"Payload": b'"' + b"x" * (6 * MB) + b'"'}, "RequestTooLargeException"),
        ({"TenantId": "t"}, "InvalidParameterValueException"),
    ],
)
def test_refusals_are_ordinary_errors(lambda_, streamer, parameters, code):
    """API-415: what is refused before an event exists is refused as by Invoke."""
    with pytest.raises(lambda_.exceptions.ClientError) as refused:
        lambda_.invoke_with_response_stream(**{"FunctionName": streamer, "Payload": b"{}", **parameters})
    assert refused.value.response["Error"]["Code"] == code


def test_throttling_is_an_ordinary_error(lambda_, streamer):
    """API-415: concurrency is the function's own, whoever invokes it."""
    lambda_.put_function_concurrency(FunctionName=streamer, ReservedConcurrentExecutions=0)
    with pytest.raises(lambda_.exceptions.TooManyRequestsException):
        stream(lambda_, streamer, [["say", "x"]])


# How responses end ---------------------------------------------------------------------------------------------------


def test_an_error_in_the_trailers(functions, lambda_, streamer):
    """RT-68 for streams: what was written is kept, the error is in the last event, and Invoke has it for its payload."""
    steps = [["say", "part"], ["trailers", TRAILERS]]
    streamed = stream(lambda_, streamer, steps)
    assert streamed.payload == b"part" and streamed.failed("Late") == DOCUMENT
    assert last_answer(functions, streamer) == [202, {"status": "OK"}]
    assert functions.invoke(streamer, steps).failed("Late") == DOCUMENT


@pytest.mark.parametrize("size, error_type", [(100_000, "Late"), (300_000, "Runtime.TruncatedResponse")])
def test_long_trailers(lambda_, streamer, size, error_type):
    """The trace of an error may be long, but not of any length."""
    document = {**DOCUMENT, "errorMessage": "x" * (size * 3 // 4)}
    trailers = {**TRAILERS, ERROR_BODY: base64.b64encode(json.dumps(document).encode()).decode()}
    streamed = stream(lambda_, streamer, [["say", "part"], ["trailers", trailers]])
    assert streamed.payload == b"part" and streamed.failed(error_type)


def test_a_response_that_breaks_off(functions, lambda_, streamer):
    """What a runtime cuts short without trailers is no good end, and the instance goes on."""
    streamed = stream(lambda_, streamer, [["say", "part"], ["cut"]])
    assert streamed.payload == b"part"
    assert streamed.failed("Runtime.TruncatedResponse")
    assert "Status: error\tError Type: Runtime.TruncatedResponse" in streamed.log
    told = {"errorMessage": "HTTP request detected as truncated", "errorType": "TruncatedHTTPRequest"}
    assert last_answer(functions, streamer) == [400, told]
    assert functions.invoke(streamer, [["say", "part"], ["cut"]]).failed("Runtime.TruncatedResponse")


@pytest.mark.parametrize("steps, written", [([["exit", 3]], b""), ([["say", "part"], ["exit", 3]], b"part")])
def test_a_process_that_ends(lambda_, streamer, steps, written):
    """RT-70 for streams: before the first part and after it, the caller learns of the end of the process."""
    streamed = stream(lambda_, streamer, steps)
    assert streamed.payload == written
    message = streamed.failed("Runtime.ExitError")["errorMessage"]
    assert message.endswith("Error: Runtime exited with error: exit status 3")
    assert stream(lambda_, streamer, [["say", "again"]]).good() == b"again"


@pytest.mark.parametrize("steps, written", [([["sleep", 9]], b""), ([["say", "part"], ["sleep", 9]], b"part")])
def test_a_timeout(functions, lambda_, streamer, steps, written):
    """CORE-116 for streams: the time of a function that has begun to answer is not longer."""
    functions.configure(streamer, Timeout=1)
    streamed = stream(lambda_, streamer, steps)
    assert streamed.payload == written and 0.9 < streamed.times[-1] < 6
    assert streamed.failed("Sandbox.Timedout")["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert "Status: timeout" in streamed.log


def test_a_mode_that_nobody_knows(functions, lambda_, streamer):
    """The Runtime API's own error, and the event's."""
    steps = [["begin", {"Lambda-Runtime-Function-Response-Mode": "Streaming"}], ["say", "x"]]
    assert functions.invoke(streamer, steps).failed("Runtime.InvalidResponseModeHeader")
    told = {"errorMessage": "Invalid function response mode", "errorType": "InvalidFunctionResponseMode"}
    assert last_answer(functions, streamer) == [400, told]
    assert stream(lambda_, streamer, steps).failed("Runtime.InvalidResponseModeHeader")


# Invoke and events ---------------------------------------------------------------------------------------------------


def test_invoke_collects(functions, streamer):
    """CORE-082 for streams: Invoke has the whole body, up to 6 MB and no more."""
    assert functions.invoke(streamer, [["say", "a"], ["say", "b"]]).payload == b"ab"
    assert functions.invoke(streamer, [["fill", 6 * MB]]).payload == b"x" * 6 * MB
    error = functions.invoke(streamer, [["fill", 6 * MB + 101]]).failed("Function.ResponseSizeTooLarge")
    limit = 6 * MB + 100
    text = f"Response payload size ({limit + 1} bytes) exceeded maximum allowed payload size ({limit} bytes)."
    assert error["errorMessage"] == text
    status, told = last_answer(functions, streamer)
    assert (status, told["errorType"]) == (413, "RequestEntityTooLarge")


def test_asynchronous_events_are_collected_too(functions, lambda_, logs, streamer):
    """An event without a caller that answers in a stream is done all the same."""
    functions.invoke(streamer, [["say", "warm"]])
    steps = b'[["say", "x"], ["print", "asynchronously"]]'
    lambda_.invoke(FunctionName=streamer, InvocationType="Event", Payload=steps)
    (of_function,) = function_logs.streams(logs, streamer)
    told = lambda: function_logs.messages(logs, streamer, of_function)
    wait_for(lambda: "asynchronously\n" in told() and "REPORT" in told()[-1], "the event's end")
    assert last_answer(functions, streamer) == [202, {"status": "OK"}]
    assert sum(line.startswith("START") for line in told()) == 3, "it was done once"


# Limits and pace -----------------------------------------------------------------------------------------------------


def test_more_than_invoke_could(lambda_, streamer):
    """API-415: far over 6 MB, whole and in order."""
    steps = [["say", "begin"], ["fill", 40 * MB], ["say", "end"]]
    payload = stream(lambda_, streamer, steps).good()
    assert len(payload) == 40 * MB + 8 and payload.startswith(b"beginx") and payload.endswith(b"xend")


def test_the_limit(tmp_path):
    """The limit of a streamed response is an option; what is within it was sent, and the rest is counted."""
    daemon = Daemon(tmp_path, arguments=["--streamed-response-size=2MB"]).start()
    try:
        client = boto(daemon.url, "lambda")
        functions = Functions(client)
        functions.custom("f", CODE, Timeout=20)
        assert len(stream(client, "f", [["fill", 2 * MB]]).good()) == 2 * MB
        streamed = stream(client, "f", [["fill", 2 * MB], ["say", "!"]])
        text = f"Response payload size ({2 * MB + 1} bytes) exceeded maximum allowed payload size ({2 * MB} bytes)."
        assert streamed.failed("Function.ResponseSizeTooLarge")["errorMessage"] == text
        assert streamed.payload == b"x" * 2 * MB
        told = {"errorMessage": f"Exceeded maximum allowed payload size ({2 * MB} bytes).", "errorType": "RequestEntityTooLarge"}
        assert last_answer(functions, "f") == [413, told]
    finally:
        assert daemon.stop() == 0, daemon.output()


class Reader:
    """A client that has sent its request and reads as much as it is told to."""

    def __init__(self, daemon, name: str, steps: list):
        body = json.dumps(steps).encode()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.socket.connect(("127.0.0.1", daemon.port))
        self.socket.settimeout(30)
        head = f"POST /2021-11-15/functions/{name}/response-streaming-invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request\r\n"
        self.socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.socket.recv(min(size - len(data), 1 << 16))):
            data += more
        return data


def resident(daemon) -> int:
    """Bytes of memory of the daemon's process."""
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_caller_who_reads_slowly(functions, logs, daemon, streamer):
    """A function waits for its reader, in its own time; the daemon holds little of the response meanwhile."""
    functions.configure(streamer, Timeout=2)
    functions.invoke(streamer, [["say", "warm"]])
    before = resident(daemon)
    reader = Reader(daemon, streamer, [["say", "first"], ["fill", 60 * MB], ["print", "all is written"]])
    assert b"first" in reader.read(600)
    (of_function,) = function_logs.streams(logs, streamer)
    timed_out = lambda: any("Task timed out" in line for line in function_logs.messages(logs, streamer, of_function))
    wait_for(timed_out, "the function's time to be over")
    assert resident(daemon) - before < 16 * MB
    assert not any("all is written" in line for line in function_logs.messages(logs, streamer, of_function))
    # What was on its way is still there, and then the end.
    rest = reader.read(60 * MB)
    assert b"Sandbox.Timedout" in rest[-2000:] and rest.endswith(b"\r\n0\r\n\r\n")
    assert len(rest) < 16 * MB


def test_a_caller_who_leaves(functions, logs, daemon, streamer):
    """CORE-011: the function runs on to its end, and its instance takes the next event."""
    functions.invoke(streamer, [["say", "warm"]])
    reader = Reader(daemon, streamer, [["say", "first"], ["fill", 20 * MB], ["print", "ran on to its end"]])
    assert b"first" in reader.read(600)
    reader.socket.close()
    (of_function,) = function_logs.streams(logs, streamer)
    lines = lambda: function_logs.messages(logs, streamer, of_function)
    # Of both events: one that is not over yet would have the next one start another instance.
    wait_for(lambda: sum(line.startswith("REPORT") for line in lines()) == 2, "the end of the event")
    assert any("ran on to its end" in line for line in lines())
    assert last_answer(functions, streamer) == [202, {"status": "OK"}]
    assert len(function_logs.streams(logs, streamer)) == 1, "the same instance"


def test_many_at_once(lambda_, functions, name):
    """Streams do not mix."""
    functions.custom(name, CODE, Timeout=20)
    steps = [[["say", str(n)], ["fill", MB], ["say", str(n)]] for n in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for n, streamed in enumerate(pool.map(lambda s: stream(lambda_, name, s), steps)):
            assert streamed.good() == str(n).encode() + b"x" * MB + str(n).encode()


# The managed Node.js runtime and lambda_runtime ----------------------------------------------------------------------

NODE = """
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
exports.handler = awslambda.streamifyResponse(async (event, responseStream, context) => {
  if (event.fail === 'before') throw new TypeError('before the first byte');
  if (event.http) responseStream = awslambda.HttpResponseStream.from(responseStream, event.http);
  responseStream.write('first ');
  if (event.wait) await new Promise((go) => setTimeout(go, event.wait));
  if (event.fail === 'after') throw new TypeError('after the first byte');
  if (event.fail === 'crash') setImmediate(() => process.exit(7));
  if (event.fail) await new Promise(() => {});
  await pipeline(Readable.from(['second ', event.word]), responseStream);
});
"""


def test_streamify_response(functions, lambda_, name):
    """Node.js: parts in time, HTTP prelude, errors before and after the first byte, the end of the process."""
    functions.node(name, NODE, Timeout=20)
    streamed = stream(lambda_, name, {"word": "third", "wait": 600})
    assert streamed.good() == b"first second third"
    assert streamed.times[-1] - streamed.times[0] > 0.4, streamed.times
    answer = stream(lambda_, name, {"word": "ü", "http": {"statusCode": 404}})
    assert answer.good() == b'{"statusCode":404}' + bytes(8) + "first second ü".encode()
    headers = answer.answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-remapped-content-type"] == "application/vnd.awslambda.http-integration-response"
    before = stream(lambda_, name, {"fail": "before"})
    assert (before.payload, before.failed("TypeError")["errorMessage"]) == (b"", "before the first byte")
    after = stream(lambda_, name, {"fail": "after"})
    assert (after.payload, after.failed("TypeError")["errorMessage"]) == (b"first ", "after the first byte")
    assert "ERROR\tInvoke Error" in after.log
    crash = stream(lambda_, name, {"fail": "crash"})
    assert crash.payload == b"first " and crash.failed("Runtime.ExitError")
    whole = functions.invoke(name, {"word": "third"})
    assert (whole.error, whole.payload) == (None, b"first second third")
    assert functions.invoke(name, {"fail": "after"}).failed("TypeError")


def test_a_node_stream_that_never_ends(functions, lambda_, name):
    """As on AWS, it lasts until the function's time is over."""
    source = "exports.handler = awslambda.streamifyResponse(async (event, stream) => { stream.write('part') })"
    functions.node(name, source, Timeout=1)
    streamed = stream(lambda_, name)
    assert streamed.payload == b"part" and streamed.failed("Sandbox.Timedout")


def test_lambda_runtime_streams(functions, lambda_, name):
    """RT-54: the Rust crate's StreamResponse, unmodified: its prelude, parts in time, its way to tell of an error."""
    functions.rust_echo(name, Timeout=20)
    streamed = stream(lambda_, name, {"stream": {"parts": 2, "bytes": 3, "pause": 600}})
    prelude, _, body = streamed.good().partition(bytes(8))
    assert json.loads(prelude)["headers"] == {"content-type": "application/octet-stream"}
    assert json.loads(prelude)["statusCode"] == 200 and body == b"xxxxxx"
    assert streamed.times[-1] - streamed.times[0] > 0.4, streamed.times
    large = stream(lambda_, name, {"stream": {"parts": 200, "bytes": 65536}}).good()
    assert len(large) == len(prelude) + 8 + 200 * 65536
    # Its small writes wait for acknowledgements, 40 ms each if those wait for an answer that is not due.
    soonest = min(stream(lambda_, name, {"stream": {"parts": 1, "bytes": 3}}).times[0] for _ in range(10))
    assert soonest < 0.035
    # The crate writes what belongs into trailers as the end of the body.
    failed = stream(lambda_, name, {"stream": {"parts": 1, "bytes": 3, "fail": True}}).good()
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n" in failed
    assert functions.invoke(name, {"k": 1}).good() == {"k": 1}
