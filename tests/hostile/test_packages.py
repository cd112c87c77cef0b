"""Packages and names that try to be somewhere else than they should."""

import io
import os
import stat
import struct
import threading
import zipfile

import botocore.exceptions
import pytest

from harness import packages
from harness.functions import ROLE, python_runtime
from stage import resident
from tools import *  # noqa: F403 - what attacks use is defined there

MB = 1 << 20
GOOD = "def handler(event, context):\n    return 'good'\n"
LINK = packages.LINK


def with_links(files: dict, links: dict) -> bytes:
    """A package with a working handler, files and symbolic links."""
    return packages.package({"app.py": GOOD, **files, **links}, dict.fromkeys(links, LINK))


def raw_names(*names) -> bytes:
    """A package whose entries have exactly these names, whatever Python's writer would make of them."""
    wanted = {f"entry-{number:04}": "x" for number in range(len(names))}
    zipped = packages.package({"app.py": GOOD, **wanted}, compression=zipfile.ZIP_STORED)
    for number, name in enumerate(names):
        # A placeholder of the same length keeps all offsets as they are.
        assert len(name) == 10, name
        zipped = zipped.replace(f"entry-{number:04}".encode(), name)
    return zipped


def twice(first: str, second: str) -> bytes:
    """A package in which one name occurs twice with different content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", first)
        archive.filename_warning = None
        entry = zipfile.ZipInfo("app.py")
        archive.NameToInfo.clear()
        archive.writestr(entry, second)
    return buffer.getvalue()


def disagreeing() -> bytes:
    """A package whose local header names another file than its directory does."""
    zipped = bytearray(packages.package({"app.py": LOOK, "inner-a.py": "x"}, compression=zipfile.ZIP_STORED))
    at = zipped.find(b"inner-a.py")
    zipped[at : at + 10] = b"../evil.py"
    return bytes(zipped)


def overlapping() -> bytes:
    """Many entries that share the same compressed data: a small archive that unpacks to gigabytes."""
    one = packages.package({"zeros": bytes(50 * MB)})
    directory = one.find(b"PK\x01\x02")
    end = one.find(b"PK\x05\x06")
    entry, count = one[directory:end], 200
    # Each copy of the entry gets a name of its own of the same length, and points to the same data.
    entries = b"".join(entry.replace(b"zeros", b"%05d" % number) for number in range(count))
    tail = bytearray(one[end:])
    tail[8:20] = struct.pack("<HHII", count, count, len(entries), directory)
    return one[:directory] + entries + bytes(tail)


MALICIOUS = {
    "parent": lambda: packages.package({"app.py": GOOD, "../../evil": "x"}),
    "parent after a folder": lambda: packages.package({"app.py": GOOD, "a/b/../../../evil": "x"}),
    "absolute": lambda: packages.package({"app.py": GOOD, "/tmp/hostile-evil": "x"}),
    "backslashes": lambda: packages.package({"app.py": GOOD, "..\\..\\evil": "x"}),
    "mixed slashes": lambda: packages.package({"app.py": GOOD, "a\\../../evil": "x"}),
    "nul": lambda: raw_names(b"evil\x00/../x"[:10]),
    "name of dots": lambda: raw_names(b"../../evil"),
    "long name": lambda: packages.package({"app.py": GOOD, "x" * 256: "x"}),
    "long path": lambda: packages.package({"app.py": GOOD, "/".join(["d" * 200] * 30): "x"}),
    "deep path": lambda: packages.package({"app.py": GOOD, "d/" * 1000 + "x": "x"}),
    "link to a file of the host": lambda: with_links({}, {"evil": "/etc/passwd"}),
    "link to the data directory": lambda: with_links({}, {"evil": "../../../../lambd.db"}),
    "link above": lambda: with_links({}, {"evil": ".."}),
    "link above by a folder": lambda: with_links({"a/b/c": "x"}, {"a/evil": "b/../../.."}),
    "link through a link": lambda: with_links({}, {"a": ".", "a/a/a/evil": "../../.."}),
    "link over a folder": lambda: with_links({"a/b": "x"}, {"a": "/tmp"}),
    "file through a link": lambda: packages.package({"app.py": GOOD, "a": "/tmp", "a/evil": "x"}, {"a": LINK}),
    "empty link": lambda: with_links({}, {"evil": ""}),
    "endless link": lambda: with_links({}, {"evil": "a/" * 5000}),
    "link with nul": lambda: with_links({}, {"evil": "a\0b"}),
    "handler is a link out": lambda: packages.package({"app.py": "/proc/self/environ"}, {"app.py": LINK}),
    "bootstrap is a link out": lambda: packages.package({"app.py": GOOD, "bootstrap": "/bin/sh"}, {"bootstrap": LINK}),
    "the same name twice": lambda: twice(GOOD, "evil"),
    "file over a folder": lambda: packages.package({"app.py": GOOD, "a/b": "x", "a": "y"}),
    "folder over a file": lambda: packages.package({"app.py": GOOD, "a": "x", "a/b/c": "y"}),
    "bomb of overlapping entries": overlapping,
    "only an end": lambda: b"PK\x05\x06" + bytes(18),
    "directory beyond the end": lambda: b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 1 << 20, 1 << 30, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", MALICIOUS)
def test_malicious_package(stage, name, case):
    """A package that would leave its place is refused with a 400; nothing of it stays anywhere."""
    zipped = MALICIOUS[case]()
    before = stage.daemon.files()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        stage.lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped}
        )
    response = refused.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400, response
    assert response["Error"]["Code"] == "InvalidParameterValueException"
    assert stage.daemon.files() == before
    assert not list(stage.folder.parent.glob("*evil*")) and not list(stage.folder.rglob("*evil*"))


def test_size_that_lies(stage, name):
    """A package that unpacks to more than it says is stopped at the limit, and leaves no function that runs."""
    zipped = packages.declared_size(packages.package({"app.py": GOOD, "z": bytes(260 * MB)}), 1)
    before = {path for path in stage.daemon.files() if "unpacked" in path}
    with pytest.raises(botocore.exceptions.WaiterError):
        stage.functions.create(name, zipped, python_runtime())
    failed = stage.lambda_.get_function_configuration(FunctionName=name)
    assert (failed["State"], failed["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert {path for path in stage.daemon.files() if "unpacked" in path} == before


def special(kind: int, mode: int) -> bytes:
    """A package with one entry of a special kind."""
    return packages.package({"app.py": LOOK, "odd": "x" * 8}, {"odd": kind | mode})


#: Tells what became of an odd entry.
LOOK = """
import os, stat
def handler(event, context):
    found = {}
    for folder, folders, names in os.walk("/var/task"):
        for name in folders + names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            found[os.path.relpath(path, "/var/task")] = [stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_nlink]
    return found
"""

ODD = {
    "block device": lambda: special(stat.S_IFBLK, 0o666),
    "character device": lambda: special(stat.S_IFCHR, 0o666),
    "named pipe": lambda: special(stat.S_IFIFO, 0o666),
    "socket": lambda: special(stat.S_IFSOCK, 0o666),
    "set-user-id": lambda: special(stat.S_IFREG, 0o6755),
    "sticky and set-group-id": lambda: special(stat.S_IFREG, 0o7777),
    "folder for everybody": lambda: packages.package({"app.py": LOOK, "odd/": ""}, {"odd/": stat.S_IFDIR | 0o3777}),
    "names in disagreement": disagreeing,
    "hidden names": lambda: packages.package({"app.py": LOOK, ".hidden/...": "x", "a b/\u202e\u200b": "x", "-rf": "x", "con": "x"}),
    "control characters": lambda: packages.package({"app.py": LOOK, "a\nb": "x", "c\x1b[31m": "x", "d\x7f": "x"}),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_package_stays_inside(stage, name, case):
    """An odd entry is refused, or becomes an ordinary file that only its owner can change, and nothing else."""
    before = {path for path in stage.daemon.files() if "unpacked" not in path and "packages" not in path}
    try:
        stage.functions.create(name, ODD[case](), python_runtime())
    except botocore.exceptions.ClientError as refused:
        assert refused.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return
    except botocore.exceptions.WaiterError:
        assert stage.lambda_.get_function_configuration(FunctionName=name)["State"] == "Failed"
        return
    for path, (kind, mode, links) in stage.functions.invoke(name).good().items():
        assert kind in {stat.S_IFREG, stat.S_IFDIR}, (path, oct(kind))
        assert mode & 0o7022 == 0, (path, oct(mode))
        assert links == 1 or kind == stat.S_IFDIR, path
    after = {path for path in stage.daemon.files() if "unpacked" not in path and "packages" not in path}
    assert after == before
    assert not list(stage.folder.rglob("*evil*"))


def test_archive_with_a_million_entries(stage):
    """An archive that lists a million entries is refused without a gigabyte of memory being spent on it."""
    count = 1_000_000
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    fixed = struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
    entries = b"".join(b"PK\x01\x02" + fixed + b"%06x" % number for number in range(count))
    end64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(entries), len(local))
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(local) + len(entries), 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    zipped = local + entries + end64 + locator + end
    assert len(zipped) < 50 * MB * 1.1
    before = most = resident(stage.pid)
    refusals = []

    def upload():
        try:
            stage.lambda_.update_function_code(FunctionName="attacker", ZipFile=zipped, DryRun=True)
        except botocore.exceptions.ClientError as refused:
            refusals.append(refused.response["ResponseMetadata"]["HTTPStatusCode"])

    busy = threading.Thread(target=upload)
    busy.start()
    while busy.is_alive():
        most = max(most, resident(stage.pid))
        busy.join(0.02)
    assert refusals in ([400], [413]), refusals
    # The request in base64 and decoded, and what is copied between.
    assert most - before < 350 * MB, (most - before) / MB


def test_names_with_paths(stage):
    """Names of functions, log groups and requests that are paths are refused, and make no file."""
    names = ["../evil", "..", ".", "a/b", "/etc/passwd", "a\0b", "a\\b", "%2e%2e", "evil\n", "x" * 500, " ", "~root"]
    names += ["arn:aws:lambda:us-east-1:000000000000:function:../evil", "evil:../x", "\u202eevil", "evil;rm -rf /", "$(id)"]
    before = stage.daemon.files()
    code = packages.package({"app.py": GOOD})
    for one in names:
        document = {
            "FunctionName": one,
            "Runtime": python_runtime(),
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": __import__("base64").b64encode(code).decode()},
        }
        reply = stage.wire.json("POST", "/2015-03-31/functions", document)
        assert reply.status == 400, (one, reply.status, reply.body)
    for path in ("..", "%2e%2e", "..%2f..%2fx", "a%2fb", "a%00b", "%ff", "x" * 9000):
        reply = stage.wire.send("GET", f"/2015-03-31/functions/{path}/configuration")
        assert 400 <= reply.status < 500, (path, reply.status)
    for group in ("a\0b", "a b", "x" * 600):
        with pytest.raises(botocore.exceptions.ClientError):
            stage.logs.create_log_group(logGroupName=group)
    assert stage.daemon.files() == before


@pytest.mark.parametrize("runtime", ["python", "nodejs", "provided"])
def test_handlers_with_paths(stage, name, runtime):
    """A handler that is a path out of the package runs nothing from there, and shows no file's content."""
    from harness.functions import node_runtime

    handlers = ["../../etc/passwd.handler", "/etc/passwd.handler", "..", "/proc/self/environ.x", "app/../../../etc/hosts.x"]
    handlers += ["os.system", "subprocess.getoutput", "-c.x", "app.handler\u202e", "app.__class__", "app.", ".app", "x" * 128]
    code = {
        "python": packages.package({"app.py": "def other(event, context):\n    return 'ran'\n"}),
        "nodejs": packages.package({"app.js": "exports.other = async () => 'ran';\n"}),
        "provided": packages.program("#!/bin/sh\necho $_HANDLER >&2\nexit 3\n"),
    }[runtime]
    identifier = {"python": python_runtime(), "nodejs": node_runtime(), "provided": "provided.al2023"}[runtime]
    made = False
    for handler in handlers:
        try:
            if made:
                stage.functions.configure(name, Handler=handler)
            else:
                stage.functions.create(name, code, identifier, handler)
                made = True
        except (botocore.exceptions.ClientError, botocore.exceptions.ParamValidationError):
            continue
        answer = stage.functions.invoke(name, "id")
        assert answer.error == "Unhandled", (handler, answer)
        text = answer.payload.decode() + answer.log
        assert "root:x:0" not in text and "uid=" not in text and "AWS_SECRET" not in text, (handler, text)
    assert made, "at least one handler was let through, and tried"
