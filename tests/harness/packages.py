"""Deployment packages, good and bad."""

import base64
import hashlib
import io
import stat
import struct
import zipfile

FILE = stat.S_IFREG | 0o644
PROGRAM = stat.S_IFREG | 0o755
LINK = stat.S_IFLNK | 0o777


def package(files: dict, modes=None, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of name to content. ``modes`` gives the unix mode of a name; others get 0644."""
    modes = modes or {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6))
            entry.create_system = 3
            entry.external_attr = modes.get(name, FILE) << 16
            entry.compress_type = compression
            archive.writestr(entry, content)
    return buffer.getvalue()


def program(script: str) -> bytes:
    """A package of an executable ``bootstrap``."""
    return package({"bootstrap": script}, {"bootstrap": PROGRAM})


def bash(body: str) -> bytes:
    """A custom runtime in bash: ``body`` runs for each event with $EVENT and $ID set, $URL given."""
    return program(
        "#!/bin/bash\n"
        'URL="http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime"\n'
        "while true; do\n"
        '  HEADERS="$(mktemp)"\n'
        '  EVENT="$(curl -sS -D "$HEADERS" "$URL/invocation/next")"\n'
        '  ID="$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d \'[:space:]\' | cut -d: -f2)"\n'
        f"{body}\n"
        "done\n"
    )


def declared_size(zipped: bytes, size: int) -> bytes:
    """The archive with every entry's declared unpacked size set to ``size``: a lie."""
    patched = bytearray(zipped)
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = patched.find(signature)
        while at >= 0:
            patched[at + offset : at + offset + 4] = struct.pack("<I", size)
            at = patched.find(signature, at + 4)
    return bytes(patched)


def sha256(content: bytes) -> str:
    """The digest in the form of CodeSha256."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
