"""The managed Python runtime: loads one handler and serves its events.

Contract
    Environment  AWS_LAMBDA_RUNTIME_API (host:port), _HANDLER, LAMBDA_TASK_ROOT and what the
                 context shows. LAMBDA_RUNTIME_DIR tells the default of PYTHONPATH from the user's.
    Requests     GET next, POST response, POST error, POST init/error of version
                 2018-06-01, on one kept connection. A POST for an event carries the
                 GET of the next event behind it in the same send, so a warm event
                 costs one send; the server must take pipelined requests.
    Output       what the code prints; root logger records and one line per failed
                 event on stdout. Both streams are flushed before a reply.
    Exit         status 1 after an initialization error was posted. SystemExit is not caught.

Runs on CPython 3.6 and later. Start time decides what is imported here: `re`, `json`, `socket`,
`logging` and `traceback` cost more than the interpreter itself, so the C parts below `json` and
`socket` are used directly and the others are imported by the first one who needs them.
"""
import io
import os
import sys
import time

import _socket

try:
    import _json
except ImportError:  # an interpreter without the accelerator
    _json = None

API = "/2018-06-01/runtime/"
# The X-Ray cause travels in a header; a longer one is dropped, not cut.
MAX_CAUSE_BYTES = 32 * 1024
# Leading spaces of a logged stack become no-break spaces, which log viewers keep.
INDENT = "\u00a0"
# Of the records of a log in JSON.
SECONDS = "%Y-%m-%dT%H:%M:%SZ"
# What a log record of the standard library has by itself, or the filter gives it.
OWN_FIELDS = frozenset((
    "name", "msg", "args", "levelname", "levelno", "pathname", "filename", "module", "exc_info",
    "exc_text", "stack_info", "lineno", "funcName", "created", "msecs", "relativeCreated",
    "thread", "threadName", "processName", "process", "taskName", "aws_request_id", "tenant_id"))


class Fault(Exception):
    """An error that the runtime itself finds, with the type that AWS gives it."""

    def __init__(self, error_type, message, trace=()):
        Exception.__init__(self, message)
        self.error_type = "Runtime." + error_type
        self.trace = list(trace)


# ---------------------------------------------------------------- JSON

_ATOMS = frozenset((str, int, float, bool, type(None)))


class _ScannerSettings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {
        "NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"),
    }.__getitem__


def _ascii_replies():
    """AWS escapes non-ASCII characters up to Python 3.11 and no longer from 3.12 on."""
    name = os.environ.get("AWS_EXECUTION_ENV", "").partition("AWS_Lambda_python3.")[2]
    return (int(name) if name.isdigit() else sys.version_info[1]) < 12


class Json:
    """`loads` of the standard module and `dumps` of AWS's runtime, without `import json`.

    Both use the C functions below the standard module. What these refuse goes to the
    standard module, for its error texts.
    """

    def __init__(self):
        self._quote, self._scan, self._encode = self._accelerated() or self._standard()

    @staticmethod
    def _accelerated():
        try:
            quote = _json.encode_basestring_ascii if _ascii_replies() else _json.encode_basestring
            scan = _json.make_scanner(_ScannerSettings())
            chunks = _json.make_encoder(
                None, _refuse, quote, None, ": ", ", ", False, False, True)
            if scan("[1]", 0) == ([1], 3) and "".join(chunks([1], 0)) == "[1]":
                return quote, scan, lambda value: "".join(chunks(value, 0))
        except Exception:
            pass
        return None  # a private interface: any change of it means the standard way

    @staticmethod
    def _standard():
        import json
        encode = json.JSONEncoder(ensure_ascii=_ascii_replies()).encode
        return encode, json.JSONDecoder().scan_once, encode

    def loads(self, data):
        try:
            text = str(data, "utf-8").strip(" \t\n\r")
            value, end = self._scan(text, 0)
            if end == len(text):
                return value
        except Exception:
            pass
        import json
        return json.loads(data)

    def dumps(self, value):
        if _is_plain(value):
            return self._encode(value)
        out = []
        self._append(value, out.append, ())
        return "".join(out)

    def _append(self, value, add, parents):
        """The slow way, for what AWS writes unlike the standard module: a named tuple as
        an object, a Decimal as a number, nested bytes as text."""
        if isinstance(value, (str, bytes)):
            add(self._text(value))
        elif value is None or isinstance(value, (bool, float)):
            add(self._encode(value))
        elif isinstance(value, int):
            add(int.__repr__(value))
        elif _is_decimal(value):
            add("NaN" if value.is_nan() else str(value))
        elif any(value is parent for parent in parents):
            raise ValueError("Circular reference detected")
        elif callable(getattr(value, "_asdict", None)):
            self._append_dict(value._asdict(), add, parents + (value,))
        elif isinstance(value, dict):
            self._append_dict(value, add, parents + (value,))
        elif isinstance(value, (list, tuple)):
            self._append_list(value, add, parents + (value,))
        else:
            _refuse(value)

    def _append_dict(self, value, add, parents):
        before = "{"
        for key, item in value.items():
            add(before + self._key(key) + ": ")
            self._append(item, add, parents)
            before = ", "
        add("{}" if before == "{" else "}")

    def _append_list(self, value, add, parents):
        before = "["
        for item in value:
            add(before)
            self._append(item, add, parents)
            before = ", "
        add("[]" if before == "[" else "]")

    def _key(self, key):
        if isinstance(key, (str, bytes)):
            return self._text(key)
        if key is None or isinstance(key, (int, float)):
            return '"%s"' % self.dumps(key)
        raise TypeError("keys must be str, int, float, bool or None, not "
                        + type(key).__name__)

    def _text(self, value):
        return self._quote(str(value, "utf-8") if isinstance(value, bytes) else value)


def _is_plain(value):
    """Whether the C encoder writes this value as AWS does: built-in types only."""
    kind = type(value)
    if kind is dict:
        if not _ATOMS.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in _ATOMS
    if _ATOMS.issuperset(map(type, value)):
        return True
    try:
        return all(map(_is_plain, value))
    except RecursionError:  # circular or very deep: the slow way tells which
        return False


def _is_decimal(value):
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal)


def _refuse(value):
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


# ---------------------------------------------------------------- Runtime API

class RuntimeApi:
    """HTTP/1.1 to the Runtime API over one raw socket. Replies carry Content-Length."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._tail = " HTTP/1.1\r\nHost: %s\r\n" % address
        self._next = ("GET " + API + "invocation/next" + self._tail + "\r\n").encode()
        self._asked = False  # whether a GET next is on its way
        self._connect()

    def next(self):
        """Waits for the next event: its headers, by lower-case name, and its body."""
        if not self._asked:
            self._exchange(self._next)
        else:
            self._asked = False
            try:
                self._receive()
            except (OSError, EOFError):  # closed after the reply to our POST
                self._connect()
                self._exchange(self._next)
        if self._status != 200:
            raise RuntimeError("the Runtime API answered %d to next" % self._status)
        headers, body = self._headers, self._body
        self._headers = self._body = None
        return headers, body

    def post(self, path, body, content_type, headers="", then_next=True):
        """Posts a reply and, with `then_next`, asks for the next event in the same send."""
        head = "POST " + API + path + self._tail + headers + (
            "Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (content_type, len(body)))
        parts = [head.encode(), body, self._next] if then_next else [head.encode(), body]
        try:
            self._exchange(b"".join(parts))
            self._asked = then_next
        except (OSError, EOFError):
            # Refused in mid-body, or the connection is gone for good: the service has
            # its own answer for this event, and asking for the next one tells which.
            self._connect()
        if self._status >= 500:
            raise RuntimeError("the Runtime API answered %d to %s" % (self._status, path))

    def _connect(self):
        self._rest = b""
        self._status = 0
        self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._socket.settimeout(None)  # whatever default user code has set
        self._socket.connect(self._address)
        self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)

    def _exchange(self, request):
        """Sends and reads one reply. A server may close an idle kept connection at any
        time, so a failure is repeated once on a new one."""
        try:
            self._socket.sendall(request)
            self._receive()
        except (OSError, EOFError):
            self._connect()
            self._socket.sendall(request)
            self._receive()

    def _receive(self):
        data = self._rest
        end = data.find(b"\r\n\r\n")
        while end < 0:
            data += self._read(65536)
            end = data.find(b"\r\n\r\n")
        lines = str(data[:end], "utf-8", "replace").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        start = end + 4
        stop = start + int(headers.get("content-length", 0))
        if stop > len(data):
            self._body = self._read_rest(data[start:], stop - start)
            self._rest = b""
        else:
            self._body = data[start:stop]
            self._rest = data[stop:]
        self._status = int(lines[0].split(" ", 2)[1])
        self._headers = headers

    def _read_rest(self, begin, size):
        body = bytearray(size)
        body[:len(begin)] = begin
        view = memoryview(body)[len(begin):]
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return body

    def _read(self, size):
        data = self._socket.recv(size)
        if not data:
            raise EOFError
        return data


# ---------------------------------------------------------------- context

class _Part:
    """A part of the client context: its slots are the keys it takes from a dict."""
    __slots__ = ()

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        return _shown(self, self.__slots__)


class Client(_Part):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code",
                 "app_package_name")


class ClientContext(_Part):
    __slots__ = ("custom", "env", "client")


class CognitoIdentity(_Part):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class LambdaContext(object):
    """The second argument of a handler."""

    def __init__(self, headers, json):
        env = os.environ.get
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = _client_context(headers, json)
        self.identity = _identity(headers, json)
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, msg):
        sys.stdout.write(str(msg))

    def __repr__(self):
        return _shown(self, (
            "aws_request_id", "log_group_name", "log_stream_name", "function_name",
            "memory_limit_in_mb", "function_version", "invoked_function_arn",
            "client_context", "identity", "tenant_id"))


def _shown(instance, names):
    return "%s([%s])" % (type(instance).__name__, ",".join(
        "%s=%s" % (name, getattr(instance, name)) for name in names))


def _client_context(headers, json):
    values = _json_header(headers, "lambda-runtime-client-context", "Client Context", json)
    if values is None:
        return None
    context = ClientContext(values)
    if context.client is not None:
        context.client = Client(context.client)
    return context


def _identity(headers, json):
    values = _json_header(headers, "lambda-runtime-cognito-identity", "Cognito Identity", json)
    values = values or {}
    return CognitoIdentity({
        "cognito_identity_id": values.get("cognitoIdentityId"),
        "cognito_identity_pool_id": values.get("cognitoIdentityPoolId")})


def _json_header(headers, name, title, json):
    text = headers.get(name)
    if not text:
        return None
    try:
        return json.loads(text.encode())
    except Exception as error:
        raise Fault("LambdaContextUnmarshalError",
                    "Unable to parse %s JSON: %s" % (title, error))


# ---------------------------------------------------------------- errors

def _own_frame(filename):
    main = sys.modules.get("__main__")
    return (filename in (_own_frame.__code__.co_filename, getattr(main, "__file__", None))
            or filename.startswith("<frozen importlib"))


def _describe(error, request_id):
    """The error document of an exception, and the cause that X-Ray shows."""
    frames = []
    if isinstance(error, Fault):
        error_type, shown_type, stack = error.error_type, "LambdaValidationError", error.trace
    else:
        import traceback
        error_type = shown_type = type(error).__name__
        # Plain tuples: format_list would else add the markers (^^^^) of newer Pythons.
        frames = [(f.filename, f.lineno, f.name, f.line)
                  for f in traceback.extract_tb(error.__traceback__)]
        while frames and _own_frame(frames[0][0]):
            del frames[0]
        stack = traceback.format_list(frames)
    try:
        message = str(error)
    except Exception:
        message = ""
    document = {"errorMessage": message, "errorType": error_type,
                "requestId": request_id, "stackTrace": stack}
    cause = {
        "working_directory": os.getcwd(),
        "exceptions": [{"message": message, "type": shown_type, "stack": [
            {"label": label, "path": path, "line": line} for path, line, label, _ in frames]}],
        "paths": sorted({frame[0] for frame in frames}),
    }
    return document, cause


def _is_json_log():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def _log_error(document, json):
    """One log event: a record, or lines that are separated by carriage returns."""
    if _is_json_log():
        record = {"timestamp": time.strftime(SECONDS, time.gmtime()), "log_level": "ERROR"}
        record.update(document)
        text = json.dumps(record) + "\n"
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())
        return
    title = "[ERROR] " + document["errorType"]
    if document["errorMessage"]:
        title += ": " + document["errorMessage"]
    lines = [title, "Traceback (most recent call last):"]
    for entry in document["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append(INDENT * (len(line) - len(text)) + text)
    text = "\r".join(lines) + "\n"
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())


def _report(api, path, error, json, request_id, then_next):
    document, cause = _describe(error, request_id)
    _log_error(document, json)
    _flush()
    headers = "Lambda-Runtime-Function-Error-Type: %s\r\n" % _header_text(document["errorType"])
    if then_next:
        cause = _header_text(json.dumps(cause))
        if len(cause) <= MAX_CAUSE_BYTES:
            headers += "Lambda-Runtime-Function-XRay-Error-Cause: %s\r\n" % cause
    body = json.dumps(document).encode("utf-8", "backslashreplace")
    api.post(path, body, "application/json", headers, then_next)


def _header_text(text):
    """Escapes what a header cannot carry, in the form that JSON reads back."""
    return "".join(c if " " <= c <= "~" else "\\u%04x" % ord(c) if c < "\U00010000" else "?"
                   for c in text)


# ---------------------------------------------------------------- output and logging

def _line_buffered(fd, errors):
    # One write for each line keeps the order between the two streams and makes one
    # log event of one print; write_through keeps that of text and `stream.buffer`.
    return io.TextIOWrapper(io.open(fd, "wb", closefd=False), "utf-8", errors,
                            line_buffering=True, write_through=True)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # replaced or closed by user code
            pass


class _LoggingImport:
    """Puts AWS's handler on the root logger when somebody first imports `logging`.

    Handlers that use no logging then do not pay for it, and the others cannot see a
    difference: the handler is there before the import statement returns.
    """
    request_id = ""
    tenant_id = None

    def watch(self):
        if "logging" in sys.modules:
            self._prepare(sys.modules["logging"])
        else:
            sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _LoggingLoader(spec.loader, self._prepare)
                return spec
        return None

    def _prepare(self, logging):
        owner = self

        class LambdaLoggerHandler(logging.Handler):
            def emit(self, record):
                sys.stdout.write(self.format(record))

        class LambdaLoggerFilter(logging.Filter):
            def filter(self, record):
                record.aws_request_id = owner.request_id
                record.tenant_id = owner.tenant_id
                return True

        logging.Formatter.converter = time.gmtime
        handler = LambdaLoggerHandler()
        if _is_json_log():
            handler.setFormatter(_json_formatter(logging))
        else:
            handler.setFormatter(logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
                "%Y-%m-%dT%H:%M:%S"))
        handler.addFilter(LambdaLoggerFilter())
        root = logging.getLogger()
        root.addHandler(handler)
        level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
        if level and _is_json_log():
            # Python knows nothing below DEBUG.
            root.setLevel("DEBUG" if level == "TRACE" else level)


def _json_formatter(logging):
    """Records as AWS has them in a log in JSON: those of `extra` beside the standard ones."""
    import json
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            # In the steps of the standard levels, as on AWS.
            level = logging.getLevelName(min(50, max(0, record.levelno)) // 10 * 10)
            fields = {
                "timestamp": self.formatTime(record, SECONDS), "level": level,
                "message": record.getMessage(), "logger": record.name}
            if record.exc_info:
                import traceback
                kind, error, trace = record.exc_info
                if kind is not None:
                    fields["stackTrace"] = traceback.format_tb(trace)
                    fields["errorType"] = kind.__name__
                    fields["errorMessage"] = str(error)
                fields["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
            fields["requestId"] = record.aws_request_id
            fields["tenantId"] = record.tenant_id
            for name, value in record.__dict__.items():
                if name not in OWN_FIELDS:
                    fields.setdefault(name, value)
            return encode({k: v for k, v in fields.items() if v is not None}) + "\n"

    return JsonFormatter()


class _LoggingLoader:
    """Runs the real loader, takes itself out of the module again, then prepares it."""

    def __init__(self, loader, prepare):
        self._loader = loader
        self._prepare = prepare

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._prepare(module)


# ---------------------------------------------------------------- loading and serving

def _prepare_path(opt, *sdk):
    """Module search as on AWS: the code, then the layers, unless the user's own
    PYTHONPATH replaces the layers; `.pth` files count in all of these. The SDK comes last."""
    python = opt + "/python"
    layers = [python + "/lib/python%d.%d/site-packages" % sys.version_info[:2], python]
    runtime = os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    if os.environ.setdefault("PYTHONPATH", runtime) != runtime:
        layers = []
    directories = [os.environ["LAMBDA_TASK_ROOT"]] + layers
    sys.argv[1:], sys.path[:] = [], directories + sys.path + list(sdk)
    for directory in directories:
        try:
            found = any(name.endswith(".pth") for name in os.listdir(directory))
        except OSError:
            continue
        if found:
            import site
            site.addsitedir(directory)


def _load(handler):
    try:
        module_name, function_name = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("MalformedHandlerName", "Bad handler '%s': %s" % (handler, error))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("BuiltInModuleConflict",
                    "Cannot use built-in module %s as a handler module" % module_name)
    name = module_name.replace("/", ".")
    try:
        __import__(name)
    except ImportError as error:
        raise Fault("ImportModuleError",
                    "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        raise Fault(
            "UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error),
            ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)])
    try:
        return getattr(sys.modules[name], function_name)
    except AttributeError:
        raise Fault("HandlerNotFound",
                    "Handler '%s' missing on module '%s'" % (function_name, module_name))


def _event(headers, body, json):
    if headers.get("content-type", "application/json") != "application/json":
        return bytes(body)
    try:
        return json.loads(body)
    except Exception as error:
        raise Fault("UnmarshalError", "Unable to unmarshal input: %s" % error)


def _reply(response, json):
    if isinstance(response, bytes):
        return response, "application/unknown"
    try:
        return json.dumps(response).encode(), "application/json"
    except Exception as error:
        raise Fault("MarshalError", "Unable to marshal response: %s" % error)


def _serve(api, handler, json, logging_import):
    while True:
        headers, body = api.next()
        request_id = logging_import.request_id = headers["lambda-runtime-aws-request-id"]
        logging_import.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        trace_id = headers.get("lambda-runtime-trace-id")
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        path = "invocation/" + request_id
        try:
            context = LambdaContext(headers, json)
            reply, content_type = _reply(handler(_event(headers, body, json), context), json)
        except Exception as error:
            _report(api, path + "/error", error, json, request_id, then_next=True)
        else:
            _flush()
            api.post(path + "/response", reply, content_type)
        # A frozen environment keeps what is still referred to.
        headers = body = context = reply = None


def main():
    # The old names too: else their unused buffers would stay the "real" streams.
    sys.stdout = sys.__stdout__ = _line_buffered(1, "strict")
    sys.stderr = sys.__stderr__ = _line_buffered(2, "backslashreplace")
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    json = Json()
    logging_import = _LoggingImport()
    logging_import.watch()
    # Where layers and the AWS SDK are is in arguments; functions see none, as on AWS.
    _prepare_path(*sys.argv[1:] or ["/opt"])
    try:
        handler = _load(os.environ["_HANDLER"])
        if "lambd_snapstart" in sys.modules or "snapshot_restore_py" in sys.modules:
            import lambd_snapstart
            lambd_snapstart.begin(api)
    except Exception as error:
        _report(api, "init/error", error, json, "", then_next=False)
        sys.exit(1)
    _serve(api, handler, json, logging_import)
