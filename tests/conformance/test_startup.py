"""Starting where something is wrong: a clear message with the remedy, a status, no harm done."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, program, wait_for
from harness.functions import ROLE, Functions, python_runtime

MB = 1024 * 1024


def refuses(daemon: Daemon) -> str:
    """What a daemon says that must not start."""
    daemon.spawn()
    status = daemon.wait_for_exit()
    assert status > 0, f"ended with {status}"
    said = daemon.output()
    assert "panicked" not in said, said
    return said


def test_port_in_use(own_daemon, tmp_path):
    """CORE-006: the second daemon names the address and the option; the first goes on."""
    second = Daemon(tmp_path / "second", data=tmp_path / "second-data")
    second.folder.mkdir()
    second.port = own_daemon.port
    said = refuses(second)
    assert f"127.0.0.1:{own_daemon.port}" in said
    assert "--listen" in said
    assert own_daemon.healthy()


def test_data_directory_locked(own_daemon, tmp_path):
    """CORE-006: two daemons never share a data directory; the second says which one it is."""
    second = Daemon(tmp_path / "second", data=own_daemon.data)
    second.folder.mkdir()
    said = refuses(second)
    assert str(own_daemon.data) in said
    assert "--data" in said
    assert own_daemon.healthy()


def test_lock_ends_with_its_owner(own_daemon):
    """CORE-006: after SIGKILL nothing has to be cleaned up by hand."""
    for _ in range(3):
        own_daemon.restart_after_kill()


def test_data_directory_not_writable(tmp_path):
    """CORE-006: an unprivileged user gets the path, the reason and the remedy."""
    # In a folder that everybody can enter, so that only the data directory is at fault.
    with tempfile.TemporaryDirectory(prefix="lambd-readonly-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        shutil.copy(program(), folder / "lambd")
        data = folder / "data"
        data.mkdir(mode=0o555)
        daemon = Daemon(tmp_path, data=data)
        prefix = []
        if os.geteuid() == 0:
            prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        listen = f"127.0.0.1:{daemon.port}"
        done = subprocess.run(
            [*prefix, str(folder / "lambd"), "serve", "--listen", listen, "--data", str(data)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, cwd="/",
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode > 0
        assert str(data) in said
        assert "--data" in said
        assert "ermission denied" in said
        assert "panicked" not in said
        assert list(data.iterdir()) == []


def test_data_directory_is_a_file(tmp_path):
    """CORE-006: a path that cannot be a directory is refused by name."""
    data = tmp_path / "data"
    data.write_text("I am a file")
    assert str(data) in refuses(Daemon(tmp_path, data=data))
    assert data.read_text() == "I am a file"


@pytest.mark.parametrize(
    "arguments", [["--listen", "nonsense"], ["--listen", "127.0.0.1:99999"], ["--account", "12"], ["--region", "Mars"], ["--no-such-option"]], ids=" ".join
)  # fmt: skip
def test_bad_options(tmp_path, arguments):
    """CORE-006: a bad option is refused with its name before anything is made."""
    done = subprocess.run(
        [program(), "serve", "--data", str(tmp_path / "data"), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode > 0
    assert arguments[0] in done.stderr
    assert not (tmp_path / "data").exists()


def test_start_up_says_what_is_in_force(own_daemon):
    """CORE-009: address, isolation level and runtimes are told when the daemon starts."""
    for text in (f"127.0.0.1:{own_daemon.port}", "namespaces", python_runtime(), str(own_daemon.data)):
        wait_for(lambda text=text: text in own_daemon.output(), f"{text} in the daemon's first lines")


def test_stops_on_sigint_too(tmp_path):
    """CORE-006: SIGINT ends the daemon cleanly, and the port is free at once."""
    daemon = Daemon(tmp_path).start()
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(30) == 0, daemon.output()
    daemon.start()
    assert daemon.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    """A data directory on a file system of 40 MB."""
    data = tmp_path / "data"
    data.mkdir()
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(data)], check=True)
        yield Daemon(tmp_path, data=data)
        subprocess.run(["umount", "--lazy", str(data)], check=True)
    else:
        script = f'mount -t tmpfs -o size=40m tmpfs "{data}" && exec "$0" "$@"'
        yield Daemon(
            tmp_path, data=data, prefix=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        )


def test_disk_full_while_uploading(small_disk):
    """API-313, CORE-083: the upload fails with a server error; the daemon serves on; nothing stays behind."""
    daemon = small_disk.start()
    try:
        lambda_ = boto(daemon.url, "lambda")
        functions = Functions(lambda_)
        functions.python("before", "def handler(event, context):\n    return 'before'\n")
        files = daemon.files()
        code = packages.package({"app.py": os.urandom(30 * MB)})
        for _ in range(3):
            with pytest.raises(lambda_.exceptions.ClientError) as refused:
                lambda_.create_function(
                    FunctionName="large",
                    Runtime=python_runtime(),
                    Handler="app.handler",
                    Role=ROLE,
                    Code={"ZipFile": code},
                )
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
            assert refused.value.response["Error"]["Code"] == "ServiceException"
            assert "space" in refused.value.response["Error"]["Message"].lower()
            with pytest.raises(lambda_.exceptions.ClientError):
                lambda_.update_function_code(FunctionName="before", ZipFile=code)
        assert daemon.files() == files
        with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
            lambda_.get_function(FunctionName="large")
        assert functions.invoke("before").good() == "before"
        functions.python("after", "def handler(event, context):\n    return 'after'\n")
        assert functions.invoke("after").good() == "after"
        daemon.restart_after_kill()
        assert functions.invoke("after").good() == "after"
    finally:
        daemon.stop()


def test_leftovers_of_a_crash_are_removed(own_daemon):
    """CORE-083: a daemon that is killed during an upload leaves nothing that stays."""
    lambda_ = boto(own_daemon.url, "lambda")
    Functions(lambda_).python("small", "def handler(event, context):\n    return 1\n")
    files = own_daemon.files()
    code = packages.package({f"f{n}": os.urandom(MB) for n in range(20)})

    def upload():
        try:
            lambda_.create_function(
                FunctionName="large",
                Runtime=python_runtime(),
                Handler="app.handler",
                Role=ROLE,
                Code={"ZipFile": code},
            )
        except Exception:  # noqa: BLE001 - the connection breaks in one of several ways
            pass

    uploader = threading.Thread(target=upload)
    uploader.start()
    wait_for(lambda: own_daemon.files() - files, "the upload to be on its way")
    own_daemon.kill()
    uploader.join(30)
    own_daemon.start()
    known = {f["FunctionName"] for f in lambda_.list_functions()["Functions"]}
    if "large" in known:
        lambda_.delete_function(FunctionName="large")
        own_daemon.restart_after_kill()
    assert own_daemon.files() - files == set()
    assert Functions(lambda_).invoke("small").good() == 1
