"""Function of the benchmark that says which instance answers, and may keep it busy until a point in time."""

import os
import time

INSTANCE = os.urandom(8).hex()


def handler(event, context):
    """Returns the instance, at the time that the event asks for."""
    time.sleep(max(0.0, event.get("until", 0.0) - time.time()))
    return INSTANCE
