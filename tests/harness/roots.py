"""Root file systems made of a few programs of this machine, and OCI image layouts made of them."""

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

#: Of the standard library, what no function here needs.
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "config-*", "*.a"
)  # fmt: skip

#: A runtime in nothing but bash: no other program is needed to speak HTTP. ``answer`` is called with the event.
BASH_RUNTIME = r"""set -o pipefail
request() { exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"; printf '%s\r\nHost: lambda\r\n' "$1" >&3; }
headers() {
  LENGTH=0
  while IFS=': ' read -r -u 3 NAME VALUE && NAME="${NAME%$'\r'}" && [[ -n "$NAME" ]]; do
    VALUE="${VALUE%$'\r'}"
    case "${NAME,,}" in lambda-runtime-aws-request-id) ID="$VALUE" ;; content-length) LENGTH="$VALUE" ;; esac
  done
}
API=/2018-06-01/runtime/invocation
while true; do
  request "GET $API/next HTTP/1.1"; printf '\r\n' >&3; headers
  LC_ALL=C read -r -N "$LENGTH" -u 3 EVENT
  ANSWER="$(answer "$EVENT")"
  SIZE="$(LC_ALL=C; echo "${#ANSWER}")"
  request "POST $API/$ID/response HTTP/1.1"
  printf 'Content-Length: %s\r\n\r\n%s' "$SIZE" "$ANSWER" >&3; headers; exec 3>&-
done
"""


def bash_runtime(answer: str) -> str:
    """A ``bootstrap`` that answers each event with what the function body ``answer`` prints."""
    return f"#!/bin/sh\nanswer() {{\n{answer}\n}}\n{BASH_RUNTIME}"


class Root:
    """A directory that holds a root file system."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(mode=0o755)

    def write(self, inside: str, text: str, mode: int = 0o644):
        """Makes a file."""
        path = self.path / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return self

    def program(self, source: str, inside: str):
        """Takes over a program of this machine with the libraries it needs."""
        self._take(Path(source), self.path / inside)
        self._libraries(source)
        return self

    def shell(self):
        """bash and a few programs for scripts."""
        (self.path / "usr/bin").mkdir(parents=True)
        (self.path / "bin").symlink_to("usr/bin")
        for name in ("bash", "cat", "ls"):
            self.program(os.path.realpath(shutil.which(name)), f"usr/bin/{name}")
        (self.path / "usr/bin/sh").symlink_to("bash")
        return self

    def python(self):
        """The Python that runs the tests, in /usr/local."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = Path(sysconfig.get_path("stdlib"))
        self.program(os.path.realpath(f"{sys.base_prefix}/bin/{version}"), f"usr/local/bin/{version}")
        shutil.copytree(library, self.path / "usr/local/lib" / version, ignore=LEFT_OUT, symlinks=True)
        for extension in (library / "lib-dynload").glob("*.so"):
            self._libraries(str(extension))
        return self

    def java(self, home: str, library: str):
        """The JDK of this machine at ``home``, where images for Java have theirs, and what a library of functions needs."""
        target = self.path / "opt/java/openjdk"
        take = lambda source, to: self._take(Path(os.path.realpath(source)), Path(to))  # noqa: E731
        # Debian's has links into /etc.
        left_out = shutil.ignore_patterns("legal", "jmods", "include", "man", "docs", "src.zip", "ct.sym", "libatk-wrapper.so")
        shutil.copytree(home, target, copy_function=take, ignore=left_out, ignore_dangling_symlinks=True)
        for program in ("bin/java", "lib/server/libjvm.so", "lib/libnet.so", "lib/libnio.so", "lib/libzip.so"):
            self._libraries(str(Path(home) / program))
        self._libraries(library)
        return self

    def _libraries(self, program: str):
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for name, path in re.findall(r"^\s*(?:(\S+) => )?(/\S+) \(0x", listed, re.M):
            # The loader is named by its path; libraries are looked for in LD_LIBRARY_PATH.
            target = self.path / ("lib64/" + name if name and not name.startswith("/") else path.lstrip("/"))
            if not target.exists():
                self._take(Path(os.path.realpath(path)), target)

    @staticmethod
    def _take(source: Path, target: Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy(source, target)

    def tar(self, *parts: str) -> bytes:
        """A layer of the whole root, or of parts of it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for part in parts or sorted(os.listdir(self.path)):
                archive.add(self.path / part, part)
        return buffer.getvalue()


def layer(files: dict) -> bytes:
    """A layer of a few files; whiteouts are files with special names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    """A zstd stream in which nothing is compressed: RFC 8878, blocks of type raw."""
    size = 128 * 1024
    blocks = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    # A window of 128 KiB; neither content size nor checksum.
    stream = [b"\x28\xb5\x2f\xfd", b"\x00", b"\x38"]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        stream += [struct.pack("<I", len(block) << 3 | last)[:3], block]
    return b"".join(stream)


class Layout:
    """An OCI image layout in a directory."""

    def __init__(self, path: Path):
        self.path = path
        self.manifests = []
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, media_type: str, content: bytes) -> dict:
        """Adds a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, tag: str, layers: list) -> dict:
        """Adds an image of layers, in turn compressed by gzip, by zstd and not at all."""
        kinds = [("+gzip", lambda tar: gzip.compress(tar, 1)), ("+zstd", zstd), ("", bytes)]
        layers = [
            self.blob(LAYER + kinds[n % 3][0], kinds[n % 3][1](content)) for n, content in enumerate(layers)
        ]
        config = self.blob(CONFIG, json.dumps({"os": "linux", "architecture": ARCHITECTURE}).encode())
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        manifest = self.blob(MANIFEST, json.dumps(manifest).encode())
        self.manifests.append(manifest | {"annotations": {"org.opencontainers.image.ref.name": tag}})
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))
        return manifest | {"layers": layers}

    def archive(self, path: Path) -> Path:
        """The same as a tar archive."""
        with tarfile.open(path, "w") as archive:
            archive.add(self.path, ".")
        return path
