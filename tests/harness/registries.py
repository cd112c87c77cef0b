"""A server that plays the npm registry and an index of Python packages, and what it serves.

The documents have the shape of the real ones: the short form of npm's (``application/vnd.npm.install-v1+json``) and
the simple interface of PyPI as JSON (PEP 691) or as HTML (PEP 503).
"""

import base64
import contextlib
import hashlib
import html
import io
import json
import platform
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NPM_JSON = "application/vnd.npm.install-v1+json"
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
MACHINE = platform.machine()
#: The package that has Node.js for this machine.
NODE = f"node-linux-{ {'x86_64': 'x64', 'aarch64': 'arm64'}[MACHINE] }"


def tarball(files: dict, links=None, top="package") -> bytes:
    """A .tgz as npm packs it: ``files`` are name to (content, mode), ``links`` name to target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            content = content.encode() if isinstance(content, str) else content
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def node(version: str, extra=None, links=None) -> bytes:
    """A package like those of Node.js, whose program only knows its version."""
    files = {
        "package.json": (json.dumps({"name": NODE, "version": version}), 0o644),
        "bin/node": (f"#!/bin/sh\necho v{version}\n", 0o755),
        "LICENSE": ("text", 0o600),
        **(extra or {}),
    }
    return tarball(files, links)


class Registry:
    """Both registries at once. What is published can be served damaged."""

    def __init__(self):
        self.npm = {}
        self.wheels = {}
        #: What was asked for, in order.
        self.asked = []
        #: Serve the pages of mirrors instead of JSON.
        self.as_html = False
        #: Bytes of a file after which the connection is cut, by path.
        self.cut = {}
        #: A file waits, when it has begun, until the event is set, by path.
        self.held = {}
        #: Set when such a file has begun.
        self.begun = threading.Event()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                registry.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def options(self) -> list:
        """The options of ``lambd runtimes add`` that lead here."""
        return ["--npm-registry", f"{self.url}/npm", "--pypi-index", f"{self.url}/simple"]

    def publish_npm(self, package: str, version: str, content: bytes, integrity: str | None = None):
        """Publishes a version with its true checksum, or with another."""
        self.npm.setdefault(package, {})[version] = (content, integrity)

    def publish_wheel(self, filename: str, content: bytes, sha256: str | None = None):
        """The same for a wheel."""
        self.wheels.setdefault(filename.split("-")[0], {})[filename] = (content, sha256)

    def answer(self, request):
        """Serves one request."""
        # A client behind a proxy names the whole URL.
        path = request.path.removeprefix(self.url)
        self.asked.append((request.path, request.headers))
        parts = path.strip("/").split("/")
        match parts:
            case ["npm", package] if package in self.npm:
                self.send(request, NPM_JSON, json.dumps(self.packument(package)).encode())
            case ["npm", package, "-", name] if package in self.npm:
                version = name.removeprefix(f"{package}-").removesuffix(".tgz")
                self.send_file(request, path, self.npm[package][version][0])
            case ["simple", package] if package in self.wheels:
                self.send(request, *self.project(package))
            case ["files", name]:
                self.send_file(request, path, self.wheels[name.split("-")[0]][name][0])
            case _:
                request.send_error(404)

    def packument(self, package: str) -> dict:
        """npm's document of a package."""
        versions = {}
        for version, (content, integrity) in self.npm[package].items():
            true = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
            tarball_url = f"{self.url}/npm/{package}/-/{package}-{version}.tgz"
            dist = {"shasum": hashlib.sha1(content).hexdigest(), "tarball": tarball_url, "integrity": integrity or true}
            versions[version] = {"name": package, "version": version, "bin": {"node": "bin/node"}, "dist": dist}
        return {"name": package, "modified": "2026-01-01T00:00:00.000Z", "dist-tags": {"latest": version}, "versions": versions}

    def project(self, package: str) -> tuple:
        """The index's page of a package."""
        files = []
        for name, (content, sha256) in self.wheels[package].items():
            sha256 = sha256 or hashlib.sha256(content).hexdigest()
            files.append({"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": sha256}, "yanked": False})
        if not self.as_html:
            document = {"meta": {"api-version": "1.1"}, "name": package, "files": files}
            return SIMPLE_JSON, json.dumps(document).encode()
        anchors = [
            f'<a href="{html.escape(one["url"])}#sha256={one["hashes"]["sha256"]}">{one["filename"]}</a><br/>'
            for one in files
        ]
        return "text/html; charset=utf-8", f"<!DOCTYPE html><html><body>{''.join(anchors)}</body></html>".encode()

    def send_file(self, request, path: str, content: bytes):
        """Sends a file, or the part of it that was chosen."""
        cut = self.cut.get(path)
        self.send(request, "application/octet-stream", content, cut, self.held.get(path))

    def send(self, request, kind: str, content: bytes, cut: int | None = None, held=None):
        """Sends an answer."""
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if held is not None:
            request.wfile.write(content[:1])
            request.wfile.flush()
            self.begun.set()
            held.wait(30)
            content = content[1:]
        with contextlib.suppress(OSError):
            request.wfile.write(content if cut is None else content[:cut])
            if cut is not None:
                request.wfile.flush()
                request.close_connection = True

    def close(self):
        """Stops serving."""
        for event in self.held.values():
            event.set()
        self.server.shutdown()
        self.server.server_close()
