"""SnapStart without a snapshot: what would come before and after one comes one after the other.

Imported only for functions that have registered hooks. The registry is AWS's `snapshot_restore_py`, the runtime's own
or one that the package brings along.
"""
import os
import sys


def run_hooks():
    """Runs them if the function has SnapStart. The first that raises ends the initialization."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    hooks = sys.modules["snapshot_restore_py"]
    # The last one that was registered comes first before a snapshot.
    for func, args, kwargs in hooks.get_before_snapshot()[::-1] + hooks.get_after_restore():
        func(*args, **kwargs)
