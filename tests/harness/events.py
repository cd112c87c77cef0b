"""The daemon's own endpoint for asynchronous events."""

import json
import urllib.error
import urllib.request


def shown(daemon, name: str = "") -> dict:
    """What is in the queue of a function, or the queues of all."""
    with urllib.request.urlopen(f"{daemon.url}/_lambd/events/{name}", timeout=30) as answer:
        return json.load(answer)


def act(daemon, name: str, action: dict, content_type: str = "application/json"):
    """Does something with a queue; gives the status and the answer."""
    body = json.dumps(action).encode()
    request = urllib.request.Request(f"{daemon.url}/_lambd/events/{name}", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
