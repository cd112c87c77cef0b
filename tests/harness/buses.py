"""An EventBridge of botocore's model: what arrives is read and held to the service's own description."""

import http.server
import json
import threading
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
from botocore.validate import ParamValidator

from harness.clients import REGION

OPERATION = botocore.session.get_session().get_service_model("events").operation_model("PutEvents")
#: What lambd signs with where it has no credentials: the account's number, and this.
SECRET = "lambd"


def signature(request: http.server.BaseHTTPRequestHandler, body: bytes) -> str:
    """What botocore would sign this request with."""
    authorization = request.headers["Authorization"]
    fields = dict(field.split("=", 1) for field in authorization.split(" ", 1)[1].replace(" ", "").split(","))
    account = fields["Credential"].split("/")[0]
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(account, SECRET), "events", REGION)
    headers = {name: request.headers[name] for name in fields["SignedHeaders"].split(";")}
    url = f"http://{request.headers['Host']}{request.path}"
    same = botocore.awsrequest.AWSRequest(request.command, url, headers, body)
    same.context["timestamp"] = request.headers["X-Amz-Date"]
    expected = signer.signature(signer.string_to_sign(same, signer.canonical_request(same)), same)
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(same)}, SignedHeaders={fields['SignedHeaders']}, Signature={expected}"


class Buses:
    """A web server that takes events. ``entries`` are those that came, ``wrong`` what was not right about their
    requests; the next of ``errors``, codes of entries, is what one request gets instead of an event's id."""

    def __init__(self):
        self.entries, self.wrong, self.errors = [], [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self, body)
                entry = {"EventId": str(uuid.uuid4())}
                if outer.errors:
                    entry = {"ErrorCode": outer.errors.pop(0), "ErrorMessage": "not today"}
                failed = int("ErrorCode" in entry)
                answer = json.dumps({"FailedEntryCount": failed, "Entries": [entry]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", self.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request, body: bytes):
        """Reads a request as the service would, and keeps its entries."""
        model = OPERATION.service_model.metadata
        if (request.command, request.path) != (OPERATION.http["method"], OPERATION.http["requestUri"]):
            self.wrong.append(f"{request.command} {request.path}")
        expected = {
            "X-Amz-Target": f"{model['targetPrefix']}.{OPERATION.name}",
            "Content-Type": f"application/x-amz-json-{model['jsonVersion']}",
            "Authorization": signature(request, body),
        }
        self.wrong += [f"{name}: {request.headers[name]}, not {value}" for name, value in expected.items() if request.headers[name] != value]
        document = json.loads(body)
        report = ParamValidator().validate(document, OPERATION.input_shape)
        if report.has_errors():
            self.wrong.append(report.generate_report())
        self.entries += document["Entries"]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
