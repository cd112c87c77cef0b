"""Runtime hooks of SnapStart, as functions register them: by a call, or as decorators.

The runtime runs them between the initialization and the first event of functions with SnapStart;
in others they never run, as on AWS.
"""

__all__ = ["register_before_snapshot", "register_after_restore"]

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has ``func`` called with these arguments before a snapshot is taken; the last one first.

    Returns ``func``.
    """
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has ``func`` called with these arguments after a snapshot was restored; the first one first.

    Returns ``func``.
    """
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """What is registered: function, arguments and keyword arguments of each."""
    return _before_snapshot


def get_after_restore():
    """The same."""
    return _after_restore
