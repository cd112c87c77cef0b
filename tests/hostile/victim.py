"""The function that must not notice anything. Its instance has a name, and keeps a secret."""

import os
import uuid

INSTANCE = uuid.uuid4().hex
SECRET = os.environ["SECRET"]

with open("/tmp/secret", "w") as file:
    file.write(SECRET)


def handler(event, context):
    with open("/tmp/secret") as kept:
        return {"instance": INSTANCE, "secret": kept.read(), "event": event}
