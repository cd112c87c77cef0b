"""Function of the benchmark whose initialisation takes a second."""

import time

time.sleep(1)


def handler(event, context):
    """Returns the event."""
    return event
