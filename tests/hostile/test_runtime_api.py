"""Lying to the Runtime API, and misusing it."""

import re
import threading

from harness import logs
from stage import eventually, open_files, resident
from tools import *  # noqa: F403 - what attacks use is defined there

MB = 1 << 20
UNKNOWN = "11111111-2222-3333-4444-555555555555"


def nothing():
    return "nothing"


def test_forged_responses(stage):
    """Answers for unknown, empty and malformed request ids are refused; the event goes on."""

    def run(unknown):
        ids = [unknown, "", "x" * 5000, "..", "%2e%2e", context.aws_request_id.upper(), context.aws_request_id[:-1]]
        ids += ["../init", "next", f"{unknown}/../{context.aws_request_id}"]
        found = {}
        for number, one in enumerate(ids):
            for kind in ("response", "error"):
                found[f"{number} {kind}"] = runtime_api("POST", f"invocation/{one}/{kind}", b'"forged"')
        return found

    found = stage.attack(run, UNKNOWN)
    assert set(found.values()) <= {400, 403, 404}, found


def test_answering_twice(stage, name):
    """The first answer to an event counts, a second is refused and reaches nobody."""
    stage.attacker(name)

    def run():
        path = f"invocation/{context.aws_request_id}/response"
        first = runtime_api("POST", path, b'"first"')
        second = runtime_api("POST", path, b'"second"')
        error = runtime_api("POST", f"invocation/{context.aws_request_id}/error", b'{"errorType":"Third"}')
        print(f"answers: {first} {second} {error}")
        return "fourth"

    answer = stage.invoke(name, run)
    assert answer.error is None
    assert answer.value == "first"
    (stream,) = logs.streams(stage.logs, name)
    lines = eventually_line(stage, name, stream, "answers:")
    assert "answers: 202 400 400" in lines
    assert stage.attack(nothing, by=name) == "nothing"


def eventually_line(stage, name, stream, word) -> str:
    """The log once it has a line with a word."""
    def found():
        text = "".join(logs.messages(stage.logs, name, stream))
        return text if word in text else None

    return eventually(found, f"{word!r} in the log of {name}")


def test_answering_an_earlier_event(stage, name):
    """A thread that is left over from an earlier event cannot answer for a later one."""
    stage.attacker(name)

    def leave(results):
        earlier = context.aws_request_id

        def later():
            time.sleep(0.5)
            found = [runtime_api("POST", f"invocation/{earlier}/{kind}", b'"late"') for kind in ("response", "error")]
            write(results, json.dumps(found).encode())

        threading.Thread(target=later, daemon=True).start()
        return earlier

    def wait(results):
        until = time.monotonic() + 10
        while not os.path.exists(results) and time.monotonic() < until:
            time.sleep(0.05)
        return json.loads(read(results))

    assert stage.attack(leave, "/tmp/results", by=name)
    assert stage.attack(wait, "/tmp/results", by=name) == [400, 400]


def test_answering_after_the_timeout(stage, name):
    """What is answered too late is lost, and the next event is answered by a new instance."""
    stage.attacker(name, Timeout=1)

    def run():
        path = f"invocation/{context.aws_request_id}/response"
        deadline = time.monotonic() + 3
        # A connection that is open and half-way through its answer when the time is up.
        with socket.create_connection(("127.0.0.1", API)) as connection:
            connection.sendall(f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n".encode())
            while time.monotonic() < deadline:
                time.sleep(0.01)
            connection.sendall(b'"late"')

    answer = stage.invoke(name, run)
    assert "timed out after 1" in answer.failed("Sandbox.Timedout")["errorMessage"]
    assert stage.attack(nothing, by=name) == "nothing"


def test_late_init_error(stage):
    """An initialisation that has long ended cannot fail any more."""

    def run():
        return [runtime_api("POST", "init/error", b'{"errorType":"Late","errorMessage":"late"}') for _ in range(3)]

    assert stage.attack(run) == [403, 403, 403]


def test_two_events_at_once(stage, name):
    """Who asks for an event while one is processed gets that one again, and never another."""
    stage.attacker(name, Timeout=10)

    def ask():
        ids = []
        for _ in range(3):
            answer = exchange(API, b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n", 5)
            (line,) = [line for line in answer.splitlines() if line.lower().startswith("lambda-runtime-aws-request-id")]
            ids.append(line.split(":")[1].strip())
        return [ids, context.aws_request_id]

    for _ in range(3):
        ids, own = stage.attack(ask, by=name)
        assert ids == [own] * 3


def test_oversized_responses(stage, name):
    """A response over 6 MB is an error of the function, whether its size is declared or not."""
    stage.attacker(name, MemorySize=512)

    def declared():
        path = f"invocation/{context.aws_request_id}/response"
        return runtime_api("POST", path, b'"' + b"x" * (8 << 20) + b'"', patience=30)

    def chunked():
        with socket.create_connection(("127.0.0.1", API)) as connection:
            connection.settimeout(30)
            path = f"invocation/{context.aws_request_id}/response"
            connection.sendall(f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(200):
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            return status(connection.recv(4096).decode())

    for run in (declared, chunked):
        answer = stage.invoke(name, run)
        document = answer.failed("Function.ResponseSizeTooLarge")
        assert "6291556" in document["errorMessage"]
    assert stage.attack(nothing, by=name) == "nothing"


class Memory:
    """The most that the daemon grows by while something happens."""

    def __init__(self, stage):
        self.stage = stage
        self.before = self.most = resident(stage.pid)

    def during(self, action):
        """Runs the action beside, and returns what it returns."""
        results = []
        busy = threading.Thread(target=lambda: results.append(action()))
        busy.start()
        while busy.is_alive():
            self.most = max(self.most, resident(self.stage.pid))
            busy.join(0.02)
        return results[0]

    @property
    def grown(self) -> float:
        """Megabytes."""
        return (self.most - self.before) / MB


def test_many_responses_at_once(stage, name):
    """Of many responses that come at the same time, the daemon keeps one."""
    stage.attacker(name)

    def run():
        head = f"POST /2018-06-01/runtime/invocation/{context.aws_request_id}/response HTTP/1.1\r\nHost: x\r\n"
        body = b'"' + b"x" * (6 << 20) + b'"'
        connections = [socket.create_connection(("127.0.0.1", API)) for _ in range(15)]
        for connection in connections:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        found = []
        for connection in reversed(connections):
            connection.sendall(body[-1:])
            found.append(status(connection.recv(4096).decode()))
        print(f"answers: {found}")
        return "late"

    memory = Memory(stage)
    answer = memory.during(lambda: stage.invoke(name, run))
    assert answer.good() == "x" * (6 << 20)
    # The body itself, its copy when it is complete, and what waits to be read on each connection.
    assert memory.grown < 40, memory.grown
    (stream,) = logs.streams(stage.logs, name)
    lines = eventually_line(stage, name, stream, "answers:")
    assert f"answers: {[403] * 14 + [202]}" in lines


def test_response_in_tiny_pieces(stage, name):
    """A response that comes as a million chunks takes no more of the daemon's memory than its bytes do."""
    stage.attacker(name)

    def run():
        connection = socket.create_connection(("127.0.0.1", API))
        path = f"/2018-06-01/runtime/invocation/{context.aws_request_id}/response"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b'1\r\n"\r\n')
        for _ in range(16):
            connection.sendall(b"1\r\nx\r\n" * 65536)
        connection.sendall(b'1\r\n"\r\n0\r\n\r\n')
        connection.recv(4096)
        return "late"

    memory = Memory(stage)
    answer = memory.during(lambda: stage.invoke(name, run))
    assert answer.good() == "x" * (16 * 65536)
    assert memory.grown < 16, memory.grown


def test_malformed_requests(stage):
    """What is no HTTP is refused or cut off; the connection of the runtime itself is not touched."""

    def run():
        path = f"POST /2018-06-01/runtime/invocation/{context.aws_request_id}/response HTTP/1.1\r\nHost: x\r\n"
        requests = {
            "binary": bytes(range(256)) * 8,
            "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
            "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400),
            "no version": b"GET /2018-06-01/runtime/invocation/next\r\n\r\n",
            "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            "bad method": b"G<T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "nul in path": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
            "line folding": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            "negative length": path.encode() + b"Content-Length: -5\r\n\r\n",
            "huge length": path.encode() + b"Content-Length: 99999999999999999999999\r\n\r\n",
            "bad chunk": path.encode() + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n",
            "huge chunk": path.encode() + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            "lone newlines": b"\n" * 10000,
            "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "connect": b"CONNECT 127.0.0.1:4566 HTTP/1.1\r\nHost: x\r\n\r\n",
            "other host": b"GET http://127.0.0.1:4566/ HTTP/1.1\r\nHost: 127.0.0.1:4566\r\n\r\n",
            "trace": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        }
        return {name: status(exchange(API, request, 3)) for name, request in requests.items()}

    found = stage.attack(run)
    # Zero: closed without an answer, or no end of the request in sight.
    assert {name: s for name, s in found.items() if s not in {0, 400, 404, 413, 431, 501, 505}} == {}
    stage.unharmed()


def test_smuggled_requests(stage):
    """A second request hidden in the body of a first is either part of the body or a request of its own."""

    def run():
        own, hidden = context.aws_request_id, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
        head = "POST /2018-06-01/runtime/invocation/unknown/response HTTP/1.1\r\nHost: x\r\n"
        tries = {
            "length and chunks": f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            "chunks and length": f"{head}Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n0\r\n\r\n{hidden}",
            "two lengths": f"{head}Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
            "odd coding": f"{head}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{hidden}",
            "coding twice": f"{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}",
            "space in name": f"{head}Content-Length : 0\r\n\r\n{hidden}",
            "newline in value": f"{head}X: y\nContent-Length: 0\r\n\r\n{hidden}",
        }

        def everything(request):
            with socket.create_connection(("127.0.0.1", API), timeout=1) as connection:
                answer = b""
                try:
                    connection.sendall(request)
                    while piece := connection.recv(65536):
                        answer += piece
                except (TimeoutError, ConnectionError):
                    pass
            return answer.decode("latin-1")

        return [own, {name: everything(request.encode()) for name, request in tries.items()}]

    own, found = stage.attack(run)
    statuses = {name: re.findall(r"^HTTP/1.1 (\d+)", answer, re.MULTILINE) for name, answer in found.items()}
    # These two are one request and then another: chunks go before a length, and a lone newline ends a line (RFC 9112,
    # 2.2 and 6.3). The other is answered as any is that asks again: with the event that is running.
    for name in ("chunks and length", "newline in value"):
        assert statuses.pop(name) in (["400"], ["400", "200"]), found[name]
        assert set(re.findall("^lambda-runtime-aws-request-id: (.*?)\r?$", found[name], re.MULTILINE)) <= {own}
    # Of the rest it is not clear where they end, so there is one answer, and the connection is closed.
    assert set(map(tuple, statuses.values())) <= {(), ("400",), ("501",)}, statuses


def test_large_heads(stage):
    """Heads of requests are limited in size, number and length of lines."""

    def run():
        line = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n"
        requests = {
            "a long header": f"{line}X: {'y' * (2 << 20)}\r\n\r\n",
            "many headers": line + "".join(f"X-{n}: y\r\n" for n in range(20000)) + "\r\n",
            "a long path": f"GET /{'x' * (2 << 20)} HTTP/1.1\r\nHost: x\r\n\r\n",
            "a long method": f"{'G' * (2 << 20)} / HTTP/1.1\r\nHost: x\r\n\r\n",
        }
        return {name: status(exchange(API, request.encode(), 5)) for name, request in requests.items()}

    found = stage.attack(run)
    assert set(found.values()) <= {0, 400, 414, 431}, found


def test_slow_response(stage, name):
    """A response that comes a byte at a time does not outlast the function's timeout."""
    stage.attacker(name, Timeout=2)

    def run():
        with socket.create_connection(("127.0.0.1", API)) as connection:
            path = f"invocation/{context.aws_request_id}/response"
            connection.sendall(f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    start = time.monotonic()
    answer = stage.invoke(name, run)
    assert "timed out after 2" in answer.failed("Sandbox.Timedout")["errorMessage"]
    assert time.monotonic() - start < 30
    assert stage.attack(nothing, by=name) == "nothing"


def test_idle_connections(stage, name):
    """A thousand connections that say nothing cost the daemon a bounded number of descriptors."""
    stage.attacker(name)

    def run():
        kept = []
        for number in range(900):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", API if number % 2 else ENDPOINT))
            kept.append(connection)
        time.sleep(1)
        return len(kept)

    before = open_files(stage.pid)
    found = []
    busy = threading.Thread(target=lambda: found.append(stage.attack(run, by=name)))
    most = 0
    busy.start()
    while busy.is_alive():
        most = max(most, open_files(stage.pid))
        busy.join(0.05)
    assert found == [900]
    # 16 for the Runtime API, 64 for the endpoint, and those of the new instance itself.
    assert most - before < 120, (before, most)
    assert stage.attack(nothing, by=name) == "nothing"


def test_closing_in_the_middle(stage, name):
    """A runtime that breaks off its answer may answer again; one that never does times out."""
    stage.attacker(name, Timeout=5)

    def run():
        path = f"/2018-06-01/runtime/invocation/{context.aws_request_id}/response"
        for ending in ("close", "reset", "half"):
            connection = socket.create_connection(("127.0.0.1", API))
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n\"half".encode())
            if ending == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if ending == "half":
                connection.shutdown(socket.SHUT_WR)
            connection.close()
        time.sleep(0.2)
        return "whole"

    assert stage.attack(run, by=name) == "whole"


def test_forged_error_types(stage, name):
    """Types of errors are copied into log and answer as they are, and break neither."""
    stage.attacker(name)

    def run(kind):
        path = f"invocation/{context.aws_request_id}/error"
        body = b'{"errorType":"Mine","errorMessage":"x"}'
        header = f"Lambda-Runtime-Function-Error-Type: {kind}"
        return [runtime_api("POST", path, body, [header])]

    for kind in ("A" * 20000, "REPORT RequestId: forged", "\x01\x02", "x\ty", "\xff"):
        answer = stage.invoke(name, run, kind)
        assert answer.status == 200
        assert answer.headers.get("x-amz-function-error") in {None, "Unhandled"}
    assert stage.attack(nothing, by=name) == "nothing"
