"""Waits until it is known for which function this process is; see `_LAMBD_AHEAD` in lambd_runtime.

Standard input is a socket: a byte is written to it when everything is loaded, and the whole environment
is read from it, each variable as `NAME=VALUE` with a zero byte behind it.
"""
import os
import sys
import time

import lambd_door

# What AWS's own runtime has loaded as well before a function is. Nothing that keeps random numbers.
import datetime
import json
import logging
import socket
import traceback


def wait():
    os.write(0, b"\n")
    given = lambd_door.read(0)
    lambd_door.leave_input()
    for name in list(os.environb):
        # The interpreter sets LC_CTYPE by itself where the locale is not installed (PEP 538).
        if name not in given and name != b"LC_CTYPE":
            del os.environb[name]
    os.environb.update(given)
    time.tzset()
    os.chdir(os.environ["LAMBDA_TASK_ROOT"])
    del sys.modules[__name__], sys.modules["lambd_door"]
