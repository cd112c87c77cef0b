"""The function that must not notice anything. Its instance has a name, and keeps a secret."""

import ctypes
import os
import uuid

INSTANCE = uuid.uuid4().hex
SECRET = os.environ["SECRET"]

TMP = os.environ.get("TMPDIR", "/tmp")
# Its name in the list of processes, by which the tests know it: PR_SET_NAME in prctl(2).
ctypes.CDLL(None).prctl(15, b"hostile-victim", 0, 0, 0)

with open(f"{TMP}/secret", "w") as file:
    file.write(SECRET)


def handler(event, context):
    with open(f"{TMP}/secret") as kept:
        return {"instance": INSTANCE, "secret": kept.read(), "event": event}
