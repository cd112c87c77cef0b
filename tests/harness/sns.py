"""A web server that subscribes to topics, and the check of signatures that a careful subscriber makes."""

import base64
import http.server
import json
import threading
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from harness.daemon import wait_for

_SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    "UnsubscribeConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


def verify(message: dict):
    """Fails unless the message was signed with the certificate that it names."""
    with urllib.request.urlopen(message["SigningCertURL"]) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    names = [name for name in _SIGNED[message["Type"]] if name in message]
    text = "".join(f"{name}\n{message[name]}\n" for name in names)
    digest = {"1": hashes.SHA1, "2": hashes.SHA256}[message["SignatureVersion"]]()
    signature = base64.b64decode(message["Signature"])
    certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), digest)


def follow(url: str) -> str:
    """Does what a browser does with a link."""
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


class Subscriber:
    """A web server that keeps what it gets. ``status`` is what it answers."""

    def __init__(self):
        self.got = []
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.got.append((self.path, self.headers, body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def bodies(self, path: str = "/", kind: str = "Notification"):
        """What arrived at a path."""
        return [
            body for at, headers, body in list(self.got) if at == path and headers["x-amz-sns-message-type"] == kind
        ]

    def wait(self, count: int = 1, path: str = "/", kind: str = "Notification"):
        """The bodies that arrived at a path, once there are so many."""
        return wait_for(lambda: len(self.bodies(path, kind)) >= count and self.bodies(path, kind), f"{count} {kind}")

    def subscribe(self, sns, topic: str, path: str = "/", **attributes) -> str:
        """Subscribes itself, and confirms when it is asked."""
        arn = sns.subscribe(
            TopicArn=topic, Protocol="http", Endpoint=self.url + path, Attributes=attributes, ReturnSubscriptionArn=True
        )["SubscriptionArn"]
        question = json.loads(self.wait(1, path, "SubscriptionConfirmation")[-1])
        verify(question)
        assert arn in follow(question["SubscribeURL"])
        return arn

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
