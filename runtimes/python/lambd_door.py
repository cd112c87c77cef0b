"""A door: a socket from which a process gets its environment once it is known for whom it is."""
import os


def read(door):
    """Waits for the environment, which is read to the end: each variable as `NAME=VALUE` with a zero byte behind it."""
    data = b""
    while True:
        part = os.read(door, 1 << 17)
        if not part:
            break
        data += part
    if not data:  # nobody needs this process
        os._exit(0)
    return dict(variable.split(b"=", 1) for variable in data.split(b"\0")[:-1])


def leave_input():
    """Makes standard input empty, as functions have it."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
