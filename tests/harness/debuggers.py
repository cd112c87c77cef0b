"""Clients of debuggers, as an editor has them."""

import base64
import itertools
import json
import os
import socket
import struct
import urllib.request

#: Seconds until a debugger must have answered.
PATIENCE = 60


class Conversation:
    """Numbered requests, their answers and events over one connection."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self._socket.makefile("rb")
        self._numbers = itertools.count(1)

    def close(self):
        """Leaves without a word, as a killed editor does."""
        self._file.close()
        self._socket.close()

    def _until(self, wanted) -> dict:
        while True:
            message = self._read()
            if wanted(message):
                return message

    def _read(self) -> dict:
        raise NotImplementedError


class Dap(Conversation):
    """The Debug Adapter Protocol over TCP: what VS Code and others speak."""

    def send(self, command: str, **arguments):
        """Sends a request."""
        request = {"seq": next(self._numbers), "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def event(self, name: str) -> dict:
        """The body of the next event of that name."""
        return self._until(lambda message: message.get("event") == name).get("body", {})

    def ask(self, command: str, **arguments) -> dict:
        """Sends a request and returns the body of its answer."""
        self.send(command, **arguments)
        answer = self._until(lambda message: message.get("command") == command)
        assert answer["success"], answer
        return answer.get("body", {})

    def _read(self) -> dict:
        length = None
        while (line := self._file.readline()) != b"\r\n":
            if not line:
                raise EOFError("the debugger closed the connection")
            name, value = line.decode().split(":", 1)
            if name.lower() == "content-length":
                length = int(value)
        return json.loads(self._file.read(length))


class Inspector(Conversation):
    """The Chrome DevTools Protocol over a WebSocket, as `node --inspect` serves it."""

    def __init__(self, port: int):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            target = json.load(answer)[0]["webSocketDebuggerUrl"]
        path = target.split("/", 3)[3]
        super().__init__(port)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass

    def ask(self, method: str, **parameters) -> dict:
        """Sends a request and returns its result."""
        number = next(self._numbers)
        text = json.dumps({"id": number, "method": method, "params": parameters}).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        self._socket.sendall(b"\x81\xfe" + struct.pack(">H", len(text)) + mask + masked)
        answer = self._until(lambda message: message.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def event(self, method: str) -> dict:
        """The parameters of the next event of that name."""
        return self._until(lambda message: message.get("method") == method)["params"]

    def _read(self) -> dict:
        _, length = self._file.read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._file.read(8))
        return json.loads(self._file.read(length))
