"""Echo function of the benchmark."""


def handler(event, context):
    """Returns the event."""
    return event
