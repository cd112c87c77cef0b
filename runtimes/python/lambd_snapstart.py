"""SnapStart: what comes between the initialization and the first event.

A process whose image is to be taken (`_LAMBD_SNAPSHOT`) waits for that at its door, with no connection open; others
then begin there. In any other process what would come before and after a snapshot comes one after the other.

Imported only for those, and for functions that have registered hooks. The registry is AWS's `snapshot_restore_py`, the
runtime's own or one that the package brings along.
"""
import os
import sys
import time

import lambd_door
import lambd_runtime

_door = None  # its descriptor
_given = {}  # the environment as it was given


def keep_door():
    """Moves the door, which is standard input, to where it is expected."""
    global _door, _given
    number = int(os.environ.pop("_LAMBD_SNAPSHOT"))
    os.dup2(0, number, False)
    _door = number
    lambd_door.leave_input()
    _given = dict(os.environb)


def begin(api):
    """Runs hooks, and between them waits for the restoration where an image is to be taken. The first hook that raises
    ends the initialization."""
    # The last one that was registered comes first.
    for func, args, kwargs in _hooks("get_before_snapshot")[::-1]:
        func(*args, **kwargs)
    if _door is not None:
        _wait(api)
    for func, args, kwargs in _hooks("get_after_restore"):
        func(*args, **kwargs)


def _wait(api):
    global _door
    import gc
    lambd_runtime._flush()
    gc.collect()  # what nobody refers to any more may have files open
    # Tells that the process is ready. A connection cannot be part of the image.
    api._exchange(("GET " + lambd_runtime.API + "restore/next" + api._tail + "\r\n").encode())
    api._socket.close()
    given = lambd_door.read(_door)
    os.close(_door)
    _door = None
    _take(given)
    _forget_random_numbers()
    api.__init__(os.environ["AWS_LAMBDA_RUNTIME_API"])


def _hooks(name):
    hooks = sys.modules.get("snapshot_restore_py")
    if hooks is None or os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return []
    return list(getattr(hooks, name)())


def _take(given):
    """Changes in the environment what is another for this instance; what the function has set stays."""
    for name in _given:
        # The interpreter sets LC_CTYPE by itself where the locale is not installed (PEP 538).
        if name not in given and name != b"LC_CTYPE":
            os.environb.pop(name, None)
    for name, value in given.items():
        if _given.get(name) != value:
            os.environb[name] = value
    time.tzset()


def _forget_random_numbers():
    """Instances of one image would have the same. Only what is loaded: the rest begins fresh anyway."""
    for module, refresh in (
            ("random", lambda random: random.seed()),
            ("numpy.random", lambda random: random.seed()),
            ("_ssl", lambda ssl: ssl.RAND_add(os.urandom(64), 64.0)),
            ("tempfile", lambda tempfile: setattr(tempfile, "_name_sequence", None))):
        try:
            if module in sys.modules:
                refresh(sys.modules[module])
        except Exception:  # another module of that name
            pass
