"""Reading a function's log through the CloudWatch Logs API."""

from .daemon import wait_for

#: The longest that a log may lag behind the invocation (CORE-061).
LAG = 15.0


def streams(client, name: str) -> list:
    """The function's log streams, by name."""
    found = client.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    return sorted(stream["logStreamName"] for stream in found)


def messages(client, name: str, stream: str) -> list:
    """All messages of one stream, oldest first."""
    events = client.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, startFromHead=True)
    return [event["message"] for event in events["events"]]


def of_request(client, name: str, stream: str, request_id: str) -> list:
    """The messages of a stream once the request's REPORT line is among them."""

    def reported():
        found = messages(client, name, stream)
        return found if any(m.startswith(f"REPORT RequestId: {request_id}") for m in found) else None

    try:
        return wait_for(reported, f"the REPORT line of {request_id}", LAG)
    except client.exceptions.ResourceNotFoundException as error:
        raise AssertionError(f"no log stream {stream} of {name}") from error
