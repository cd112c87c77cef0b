"""Deployment packages that are refused: each with its error, and nothing left behind."""

import random
import zipfile

import pytest
from botocore.exceptions import WaiterError

from harness import packages
from harness.functions import ROLE, Functions, python_runtime

MB = 1024 * 1024
GOOD = "def handler(event, context):\n    return 'good'\n"


def link(name: str, target: str) -> bytes:
    """A package with a working handler and one symbolic link."""
    return packages.package({"app.py": GOOD, name: target}, {name: packages.LINK})


def zeros(count: int, each: int) -> bytes:
    """A package that unpacks to ``count`` files of ``each`` zero bytes."""
    content = bytes(each)
    return packages.package({f"zeros-{number}": content for number in range(count)})


def encrypted() -> bytes:
    """A package whose entries claim to be encrypted."""
    patched = bytearray(packages.package({"app.py": GOOD}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        patched[patched.find(signature) + offset] |= 1
    return bytes(patched)


def damaged() -> bytes:
    """A package whose content does not fit its checksum."""
    stored = bytearray(packages.package({"app.py": GOOD}, compression=zipfile.ZIP_STORED))
    stored[stored.find(b"handler")] ^= 0xFF
    return bytes(stored)


SMALL = packages.package({"app.py": GOOD})
BAD = {
    "garbage": lambda: b"this is not a zip archive",
    "random": lambda: random.Random(1).randbytes(5000),
    "tar": lambda: b"\x1f\x8b\x08" + bytes(500),
    "truncated": lambda: SMALL[: len(SMALL) * 2 // 3],
    "headless": lambda: SMALL[30:],
    "encrypted": encrypted,
    "parent path": lambda: packages.package({"app.py": GOOD, "../evil": "x"}),
    "hidden parent path": lambda: packages.package({"app.py": GOOD, "a/../../evil": "x"}),
    "absolute path": lambda: packages.package({"app.py": GOOD, "/tmp/lambd-evil": "x"}),
    "link to absolute path": lambda: link("evil", "/etc/passwd"),
    "link to parent": lambda: link("evil", "../../evil"),
    "link out and back": lambda: link("a/evil", "../../b"),
    "link through links": lambda: packages.package(
        {"app.py": GOOD, "a": ".", "a/a/a/a/l": "../../../..", "l/made/owned": "../x"},
        {"a": packages.LINK, "a/a/a/a/l": packages.LINK, "l/made/owned": packages.LINK},
    ),
    "name too long": lambda: packages.package({"app.py": GOOD, "x" * 300: "x"}),
    "too deep": lambda: packages.package({"app.py": GOOD, "d/" * 1900 + "x": "x"}),
    "file through link": lambda: packages.package(
        {"app.py": GOOD, "evil": "/tmp", "evil/lambd-evil": "x"}, {"evil": packages.LINK}
    ),
    "file through harmless link": lambda: packages.package(
        {"app.py": GOOD, "d": "..", "d/lambd-evil": "x"}, {"d": packages.LINK}
    ),
    "file twice as folder": lambda: packages.package({"app.py": GOOD, "a": "x", "a/b": "y"}),
    "too large unpacked": lambda: zeros(1, 251 * MB),
    "too large together": lambda: zeros(6, 45 * MB),
    "size declared too large": lambda: packages.declared_size(SMALL, 300 * MB),
    "too many entries": lambda: packages.package(dict.fromkeys(map(str, range(150_000)), ""), compression=zipfile.ZIP_STORED),
}  # fmt: skip


#: What shows only when the content is read.
DAMAGED = {
    "damaged": damaged,
    "size declared too small": lambda: packages.declared_size(zeros(1, 300 * MB), 10),
}


@pytest.fixture(scope="module")
def victim(shared_lambda):
    """A function that every bad package is also tried on."""
    Functions(shared_lambda).create("package-victim", SMALL, python_runtime())
    return "package-victim"


@pytest.mark.parametrize("case", BAD)
def test_refused(daemon, functions, lambda_, name, victim, case):
    """CORE-083, API-302: 400 InvalidParameterValueException, no function, no file, no change."""
    zipped = BAD[case]()
    before = daemon.files()
    revision = lambda_.get_function_configuration(FunctionName=victim)["RevisionId"]
    calls = (
        lambda: lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped}
        ),
        lambda: lambda_.update_function_code(FunctionName=victim, ZipFile=zipped),
        lambda: lambda_.update_function_code(FunctionName=victim, ZipFile=zipped, DryRun=True),
    )
    for call in calls:
        with pytest.raises(lambda_.exceptions.InvalidParameterValueException) as refused:
            call()
        response = refused.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert len(response["Error"]["Message"]) > 10
        if "too large" in case and "declared" not in case:
            assert "262144000" in response["Error"]["Message"]
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName=name)
    assert lambda_.get_function_configuration(FunctionName=victim)["RevisionId"] == revision
    assert daemon.files() == before
    assert not list(daemon.folder.parent.rglob("*evil*"))
    assert functions.invoke(victim).good() == "good"


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_content(daemon, functions, lambda_, name, victim, case):
    """API-081, API-083, API-084, API-321, API-610, API-611, CORE-298: what fails behind the answer is told by the states. A new
    function ends in Failed and can be repaired; one that ran goes on as it was."""
    zipped = DAMAGED[case]()
    unpacked = {file for file in daemon.files() if "unpacked" in file}
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException):
        lambda_.update_function_code(FunctionName=victim, ZipFile=zipped, DryRun=True)

    with pytest.raises(WaiterError):
        functions.create(name, zipped, python_runtime())
    failed = lambda_.get_function_configuration(FunctionName=name)
    assert (failed["State"], failed["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert (failed["LastUpdateStatus"], failed["LastUpdateStatusReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert "unpacked" in failed["StateReason"]
    with pytest.raises(lambda_.exceptions.InvalidZipFileException) as refused:
        functions.invoke(name)
    assert refused.value.response["Error"]["Message"] == failed["StateReason"]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    for change in (lambda_.publish_version, lambda_.update_function_configuration):
        with pytest.raises(lambda_.exceptions.ResourceConflictException):
            change(FunctionName=name)
    functions.recode(name, SMALL)
    assert functions.invoke(name).good() == "good"

    before = lambda_.get_function_configuration(FunctionName=victim)
    with pytest.raises(WaiterError):
        functions.recode(victim, zipped, Publish=True)
    after = lambda_.get_function_configuration(FunctionName=victim)
    assert (after["State"], after["LastUpdateStatus"]) == ("Active", "Failed")
    assert after["LastUpdateStatusReasonCode"] == "InvalidZipFileException"
    assert after["CodeSha256"] == before["CodeSha256"]
    assert functions.invoke(victim).good() == "good"
    version = lambda_.list_versions_by_function(FunctionName=victim)["Versions"][-1]["Version"]
    published = lambda_.get_function_configuration(FunctionName=victim, Qualifier=version)
    assert (published["State"], published["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    functions.configure(victim, Description="good again")
    assert {file for file in daemon.files() if "unpacked" in file} == unpacked


def test_empty_package(lambda_, name):
    """API-302: an empty package, and one without any file, are refused or run into a function error."""
    with pytest.raises(lambda_.exceptions.ClientError) as refused:
        lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": b""}
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_not_base64(wire, name):
    """API-016: a ZipFile that is not base64 is a 400."""
    reply = wire.json(
        "POST",
        "/2015-03-31/functions",
        {
            "FunctionName": name,
            "Runtime": python_runtime(),
            "Handler": "a.b",
            "Role": ROLE,
            "Code": {"ZipFile": "%%%"},
        },
    )
    assert reply.status == 400
    assert reply.error


def test_zipped_size(daemon, lambda_, name):
    """CORE-083, CORE-084: a package of more than 50 MB is refused, with a hint of the limit."""
    noise = random.Random(2).randbytes(51 * MB)
    zipped = packages.package({"app.py": GOOD, "noise": noise}, compression=zipfile.ZIP_STORED)
    before = daemon.files()
    with pytest.raises(lambda_.exceptions.ClientError) as refused:
        lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code={"ZipFile": zipped}
        )
    response = refused.value.response
    found = (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])
    assert found in ((413, "RequestEntityTooLargeException"), (400, "InvalidParameterValueException"))
    assert daemon.files() == before


def test_just_under_the_limits(functions, name):
    """CORE-083: 249 MB unpacked are accepted and run."""
    content = bytes(83 * MB)
    code = packages.package({"app.py": GOOD, "a": content, "b": content, "c": content})
    functions.create(name, code, python_runtime())
    assert functions.invoke(name).good() == "good"


def test_good_links_and_modes(functions, name):
    """RT-46: links that stay inside and modes are kept as they were packed."""
    source = (
        "import os\n"
        "def handler(event, context):\n"
        "    return [os.readlink('/var/task/d/link'), open('/var/task/d/link').read(), oct(os.stat('/var/task/tool').st_mode & 0o777)]\n"
    )
    files = {"app.py": source, "real": "real", "d/link": "../real", "tool": "x"}
    code = packages.package(files, {"d/link": packages.LINK, "tool": packages.PROGRAM})
    functions.create(name, code, python_runtime())
    assert functions.invoke(name).good() == ["../real", "real", "0o755"]


def test_s3_code_of_an_unknown_bucket(lambda_, name):
    """API-105, API-302: code from a bucket that does not exist is a 400 that says so, not a crash."""
    with pytest.raises(lambda_.exceptions.ClientError) as refused:
        lambda_.create_function(
            FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE,
            Code={"S3Bucket": "no-such-bucket", "S3Key": "k"},
        )  # fmt: skip
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName=name)
