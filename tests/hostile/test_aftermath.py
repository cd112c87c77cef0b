"""What is left when all cases have been played: nothing but the victim."""

import os
import tempfile
from pathlib import Path

from stage import INTRUDERS, cgroups, comm, descendants, eventually, mounts, occupied, open_files, resident

MB = 1 << 20


def remove_attackers(stage):
    """Deletes every function but the victim, and with them all their instances."""
    for page in stage.lambda_.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionName"] != "victim":
                stage.lambda_.delete_function(FunctionName=function["FunctionName"])


def test_aftermath_processes(stage):
    """No process is left but the daemon, its spawner and the victim's two."""
    remove_attackers(stage)
    eventually(lambda: len(occupied(stage.pid)) == 3, "the attackers' processes to be gone")
    names = [comm(pid) for pid in occupied(stage.pid)]
    assert names[:2] == ["lambd-spawner", "lambd-init"], names


def test_aftermath_files(stage):
    """No file is left: nothing half unpacked, nothing beside the data directory, nothing in the host's /tmp."""
    remove_attackers(stage)
    assert list((stage.daemon.data / "code" / "incoming").iterdir()) == []
    kept = {"data", "daemon.log", "home", "lambd"}
    assert {path.name for path in stage.folder.iterdir()} <= kept
    packages = {path.stem for path in (stage.daemon.data / "code" / "packages").iterdir()}
    (boot,) = (stage.shared / "code" / "unpacked").iterdir()
    assert {path.name for path in boot.iterdir()} <= packages
    places = [tempfile.gettempdir(), "/var/tmp", "/dev/shm", "/run", "/"]
    strangers = {path for place in places for path in Path(place).iterdir() if path.name in INTRUDERS}
    assert strangers == set()


def test_aftermath_memory(stage):
    """The daemon has no more descriptors than before, and not much more memory."""
    remove_attackers(stage)
    # Connections of this suite's own clients, and of the database, come and go: 16. Up to 32 volumes for /tmp that
    # nobody wrote to are kept for others, each with three descriptors, and four sandboxes wait, each with six.
    eventually(lambda: open_files(stage.pid) <= stage.files_before + 16 + 32 * 3 + 4 * 6, "descriptors to be closed")
    # The largest request of the suite is held twice while it is read, and the allocator keeps some of it.
    grown = resident(stage.pid) - stage.memory_before
    assert grown < 250 * MB, grown / MB


def test_aftermath_mounts_and_cgroups(stage):
    """The host has no mount that it did not have, and cgroups for one instance only."""
    remove_attackers(stage)
    eventually(lambda: not mounts() - stage.mounts_before, "the host's mounts to be as before")
    eventually(lambda: len({os.path.basename(path) for path in cgroups(stage.pid)}) <= 1, "one instance's cgroups")


def test_aftermath_of_the_stop(stage):
    """After all this the daemon stops as if nothing had been, leaves nothing, and starts again."""
    remove_attackers(stage)
    processes = descendants(stage.pid)
    assert len(occupied(stage.pid)) == 3
    pid = stage.pid
    assert stage.daemon.stop() == 0, stage.daemon.output()
    eventually(lambda: not any(comm(process) for process in processes), "its processes to be gone")
    assert cgroups(pid) == []
    stage.daemon.start()
    stage.pid = stage.daemon.process.pid
    stage.victim_instance = stage.victim()["instance"]
