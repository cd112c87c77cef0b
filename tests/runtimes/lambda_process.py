"""A Runtime API in memory, and one function process that talks to it.

`Function` starts a bootstrap exactly as lambd does, as a process of its own with the
environment of a Lambda function. `invoke` hands it one event and waits for its answer.
Both output streams go to one file, so that a test sees their order.
"""
import json
import os
import queue
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARN = "arn:aws:lambda:us-east-2:123456789012:function:my-function"
TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
PATIENCE = 20  # seconds, for a loaded machine


class Post:
    """One POST of the function: its path below /2018-06-01/runtime/, headers, body. One that comes in chunks has
    `chunks` and `trailers`."""

    def __init__(self, path, headers, body, chunks=(), trailers=None):
        self.path, self.headers, self.body = path, headers, body
        self.chunks, self.trailers = chunks, trailers or {}

    @property
    def json(self):
        return json.loads(self.body.decode())


class RuntimeApi:
    """Serves pipelined HTTP/1.1. `chop` sends replies in pieces of that many bytes;
    `close_after_post` ends the connection after each reply to a POST; clearing `replies_to_posts` holds these back."""

    def __init__(self):
        self.events, self.posts = queue.Queue(), queue.Queue()
        self.polls, self.chunks = queue.Queue(), queue.Queue()
        self.requests, self.connections = [], 0
        self.replies_to_posts = threading.Event()
        self.replies_to_posts.set()
        self.chop, self.close_after_post, self.post_status = 0, False, 202
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.events.put(None)
        self.replies_to_posts.set()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                while self._answer(connection, stream):
                    pass
        except OSError:
            pass

    def _answer(self, connection, stream):
        line = stream.readline().decode()
        if not line:
            return False
        method, path, version = line.split()
        assert version == "HTTP/1.1"
        headers = self._headers(stream)
        assert headers["host"] == self.address
        chunks, trailers = [], {}
        if headers.get("transfer-encoding") == "chunked":
            while size := int(stream.readline(), 16):
                chunks.append(stream.read(size))
                assert stream.readline() == b"\r\n"
                self.chunks.put(chunks[-1])
            trailers = self._headers(stream)
        body = b"".join(chunks) or stream.read(int(headers.get("content-length", 0)))
        self.requests.append((method, path))
        prefix, _, path = path.partition("/runtime/")
        assert prefix == "/2018-06-01"
        if method == "POST":
            assert chunks or "transfer-encoding" in headers or int(headers["content-length"]) == len(body)
            status = self.post_status
            self.posts.put(Post(path, headers, body, chunks, trailers))
            self.replies_to_posts.wait()
            self._send(connection, status, {}, b'{"status":"OK"}\n')
            return not self.close_after_post
        assert (method, path) == ("GET", "invocation/next")
        self.polls.put(time.perf_counter())
        event = self.events.get()
        if event is None:
            return False
        self._send(connection, 200, *event)
        return True

    @staticmethod
    def _headers(stream):
        headers = {}
        for header in iter(stream.readline, b"\r\n"):
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _send(self, connection, status, headers, body):
        lines = ["HTTP/1.1 %d OK" % status, "content-length: %d" % len(body)]
        lines += ["%s: %s" % pair for pair in headers.items()]
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        for at in range(0, len(data), self.chop or len(data)):
            connection.sendall(data[at:at + (self.chop or len(data))])
            if self.chop:
                time.sleep(0.002)


class Function:
    """One function process. `files` are written below its code directory."""

    def __init__(self, directory, command, files, handler, env=None, stdout=None):
        self.task = Path(directory) / "task"
        for name, text in files.items():
            path = self.task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.api = RuntimeApi()
        self._log_path = Path(directory) / "log"
        self._count = 0
        log = open(self._log_path, "ab")
        self.process = subprocess.Popen(
            command, cwd=self.task, env=self._environment(handler, env or {}),
            stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log)
        log.close()

    def _environment(self, handler, extra):
        env = {
            "_HANDLER": handler,
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "my-function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/my-function",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2020/01/31/[$LATEST]3893d5d1fac4485b47bb75b671a283c0",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": "us-east-2",
            "AWS_DEFAULT_REGION": "us-east-2",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
            "LAMBDA_TASK_ROOT": str(self.task),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": os.environ["PATH"],
        }
        env.update(extra)
        return env

    def close(self):
        self.process.kill()
        self.process.wait()
        self.api.close()

    @property
    def request_id(self):
        """The id of the latest event."""
        return "8476a536-e9f4-11e8-9739-%012d" % self._count

    def send(self, event, raw=None, timeout_ms=3000, **headers):
        """Hands over an event without waiting. Header names use `_` for `-`."""
        self._count += 1
        values = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + timeout_ms),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": TRACE,
        }
        values.update({k.replace("_", "-"): v for k, v in headers.items()})
        body = json.dumps(event).encode() if raw is None else raw
        self.api.events.put(({k: v for k, v in values.items() if v is not None}, body))
        return self.request_id

    def answer(self, timeout=PATIENCE):
        """The next POST of the function."""
        try:
            return self.api.posts.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("no answer; log: %r" % self.log)

    def invoke(self, event=None, **options):
        """The POST that answers this event."""
        request_id = self.send(event, **options)
        post = self.answer()
        assert post.path.startswith("invocation/%s/" % request_id), (post.path, post.body)
        return post

    def result(self, event=None, **options):
        """The JSON response to this event, which must not be an error."""
        post = self.invoke(event, **options)
        assert post.path.endswith("/response"), post.body
        return post.json

    def error(self, event=None, **options):
        """The error document for this event."""
        post = self.invoke(event, **options)
        assert post.path.endswith("/error"), post.body
        assert post.headers["lambda-runtime-function-error-type"] == post.json["errorType"]
        return post.json

    def init_error(self):
        """The error document of a failed initialization, and the exit status."""
        post = self.answer()
        assert post.path == "init/error"
        assert post.headers["lambda-runtime-function-error-type"] == post.json["errorType"]
        return post.json, self.process.wait(PATIENCE)

    def exit_status(self):
        return self.process.wait(PATIENCE)

    @property
    def log(self):
        return self._log_path.read_bytes().decode("utf-8")
