"""Processes of functions, as the host sees them: found by a variable in their environment."""

import os
from pathlib import Path


def marked(mark: str) -> list:
    """Process ids of everything that was started with ``mark`` in its environment and is not reaped.

    An interpreter that was started ahead of demand shows what it waited with. A Python function whose variable begins
    with PYTHON is started with it.
    """
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path("/proc", process, "environ").read_bytes():
                found.append(int(process))
        except OSError:
            continue  # it ended meanwhile
    return found


def child_of(parent: int, command: str) -> int:
    """The process id of a child, by the name that the process list shows."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, rest = Path("/proc", process, "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue  # it ended meanwhile
        if name == command and int(rest.split()[1]) == parent:
            return int(process)
    raise AssertionError(f"{parent} has no child {command}")


def memory_peak(process: int) -> int:
    """Most resident memory of a process so far, in bytes."""
    status = Path("/proc", str(process), "status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
