"""Response streaming in the Node.js runtime: `awslambda.streamifyResponse` on the `node` of PATH."""
import base64
import json
import shutil

import pytest

from lambda_process import PATIENCE, ROOT, Function

BOOTSTRAP = ROOT / "runtimes" / "nodejs" / "bootstrap.cjs"


@pytest.fixture
def start(tmp_path):
    """Starts a function from its source, which is index.handler of index.js if nothing else is said."""
    running = []

    def start(source, name="index.js", env=None, options=""):
        if "handler" not in source:
            source = ("exports.handler = awslambda.streamifyResponse("
                      "async (event, stream, context) => { %s }%s);" % (source, options))
        function = Function(tmp_path / str(len(running)), [shutil.which("node"), str(BOOTSTRAP)],
                            {name: source}, "index.handler", env or {})
        running.append(function)
        return function

    yield start
    for function in running:
        function.close()


def failure(post):
    """The error in the trailers of a response."""
    document = json.loads(base64.b64decode(post.trailers["lambda-runtime-function-error-body"]))
    assert post.trailers["lambda-runtime-function-error-type"] == document["errorType"]
    return document


# ------------------------------------------------------------ what is written

@pytest.mark.parametrize("source, body", [
    ("stream.write('a'); stream.write(Buffer.from('b')); stream.end('c')", b"abc"),
    ("stream.write(new Uint8Array([0, 255])); stream.end()", b"\x00\xff"),
    ("stream.write({n: event.n}); stream.end()", b'{"n":7}'),
    ("stream.end()", b""),
    ("stream.write('\u00e9', 'latin1'); stream.end('\u00e9')", b"\xe9\xc3\xa9"),
    ("stream.write(''); stream.end('after nothing')", b"after nothing"),
    ("await new Promise((done) => stream.write('x', done)); await new Promise((done) => stream.end(done))", b"x"),
    ("await require('stream').promises.pipeline(require('stream').Readable.from(['p', 'q']), stream)", b"pq"),
    ("const {pipeline, Readable} = require('stream'); pipeline(Readable.from(['r']), stream, () => {})", b"r"),
], ids=range(9))
def test_ways_to_write(start, source, body):
    """A warm instance streams as often as it is asked to, with the headers and the end that the Runtime API wants."""
    function = start(source)
    for _ in range(2):
        post = function.invoke({"n": 7})
        assert post.path == "invocation/%s/response" % function.request_id
        assert (post.body, post.trailers) == (body, {})
        assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert post.headers["transfer-encoding"] == "chunked"
        assert post.headers["content-type"] == "application/octet-stream"
        assert "content-length" not in post.headers


@pytest.mark.parametrize("name", ["index.mjs", "index.cjs"])
def test_both_kinds_of_modules(start, name):
    export = "export const handler =" if name.endswith(".mjs") else "exports.handler ="
    function = start(export + " awslambda.streamifyResponse(async (event, stream) => { stream.end('m') })", name)
    assert function.invoke().body == b"m"


def test_what_is_written_goes_out_at_once(start):
    """The first part is there while the handler waits for the second."""
    function = start("""const told = new Promise((go) => process.once('SIGUSR2', go));
        stream.write('first'); await told; stream.end('second')""")
    function.send({})
    assert function.api.chunks.get(timeout=PATIENCE) == b"first"
    assert function.api.posts.empty()
    function.process.send_signal(12)
    assert function.answer().body == b"firstsecond"


def test_a_content_type_is_set_before_the_first_write(start):
    function = start("""stream.setContentType('text/html'); stream.write('a');
        try { stream.setContentType('text/plain') } catch (e) { stream.write(e.name + ': ' + e.message) } stream.end()""")
    post = function.invoke()
    assert post.headers["content-type"] == "text/html"
    assert post.body == b"aRuntime.InvalidStreamingOperation: Cannot set content-type, too late."


def test_an_http_response_has_a_prelude(start):
    """JSON, eight zeros, body; only once something is written, as on AWS."""
    function = start("""const http = awslambda.HttpResponseStream.from(stream, {statusCode: 201, headers: {a: 'b'}});
        if (event.body) http.write(event.body); http.end()""")
    post = function.invoke({"body": "hello"})
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert post.body == b'{"statusCode":201,"headers":{"a":"b"}}' + bytes(8) + b"hello"
    assert function.invoke({}).body == b""


def test_large_responses_follow_the_reader(start):
    """`write` says when to wait, and a mebibyte more than any buffer comes through whole."""
    function = start("""let waited = 0; const part = Buffer.alloc(1 << 16, 'x');
        for (let i = 0; i < 160; i++) if (!stream.write(part)) {
          waited++; await new Promise((go) => stream.once('drain', go)) }
        stream.end(String(waited > 0))""")
    body = function.invoke().body
    assert len(body) == 160 * 65536 + 4 and body.endswith(b"true")


def test_the_high_water_mark_is_an_option(start):
    function = start("stream.end(String(stream.writableHighWaterMark))", options=", {highWaterMark: 1234}")
    assert function.invoke().body == b"1234"


def test_the_context_has_no_callbacks(start):
    function = start("stream.end(JSON.stringify(['succeed', 'fail', 'done', 'awsRequestId', "
                     "'callbackWaitsForEmptyEventLoop'].map((key) => key in context)))")
    assert function.invoke().json == [False, False, False, True, True]


def test_the_next_event_waits_for_the_event_loop(start):
    """`callbackWaitsForEmptyEventLoop`, for a response that is out already."""
    source = """context.callbackWaitsForEmptyEventLoop = %s;
        setTimeout(() => console.log('timer done'), 300); stream.end()"""
    for waits in (True, False):
        function = start(source % str(waits).lower())
        function.invoke()
        for _ in range(2):
            function.api.polls.get(timeout=PATIENCE)
        assert ("timer done" in function.log) == waits


# ------------------------------------------------------------ errors

def test_an_error_before_the_first_write_is_an_ordinary_one(start):
    function = start("throw new TypeError('early')")
    for _ in range(2):
        post = function.invoke()
        assert post.path.endswith("/error")
        assert (post.json["errorType"], post.json["errorMessage"]) == ("TypeError", "early")
        assert post.headers["lambda-runtime-function-error-type"] == "TypeError"
    assert "ERROR\tInvoke Error" in function.log


@pytest.mark.parametrize("source, written, message", [
    ("stream.write('part'); throw new TypeError('late')", b"part", "late"),
    ("stream.write('part'); stream.cork(); stream.write('ed'); throw new TypeError('late')", b"parted", "late"),
    ("""await require('stream').promises.pipeline(async function* () {
          yield 'part'; await new Promise(setImmediate); throw new TypeError('of the source') }, stream)""",
     b"part", "of the source"),
])
def test_an_error_after_the_first_write_is_in_the_trailers(start, source, written, message):
    function = start(source)
    for _ in range(2):
        post = function.invoke()
        assert (post.path, post.body) == ("invocation/%s/response" % function.request_id, written)
        assert set(map(str.strip, post.headers["trailer"].split(","))) == {
            "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"}
        document = failure(post)
        assert (document["errorType"], document["errorMessage"]) == ("TypeError", message)
        assert document["trace"]
    assert "ERROR\tInvoke Error" in function.log


def test_a_stream_that_was_destroyed_is_not_finished(start):
    post = start("stream.write('part'); await new Promise(setImmediate); stream.destroy()").invoke()
    assert (post.body, failure(post)["errorMessage"]) == (b"part", "Response stream is not finished.")


def test_an_error_after_the_end_is_only_logged(start):
    function = start("await new Promise((done) => stream.end('all', done)); throw new Error('too late')")
    for _ in range(2):
        post = function.invoke()
        assert (post.body, post.trailers) == (b"all", {})
    assert "too late" in function.log


def test_handlers_must_be_asynchronous(start):
    function = start("exports.handler = awslambda.streamifyResponse((event, stream) => {})")
    assert function.error()["errorMessage"] == "Streaming does not support non-async handlers."


def test_a_value_is_ignored_with_a_warning(start):
    function = start("stream.end('x'); return 'value'")
    assert function.invoke().body == b"x"
    assert "WARN\tStreaming handlers ignore return values." in function.log


@pytest.mark.parametrize("source, error_type, status", [
    ("setImmediate(() => { throw new RangeError('nobody') })", "RangeError", 129),
    ("Promise.reject(new RangeError('nobody'))", "Runtime.UnhandledPromiseRejection", 128),
])
def test_what_nobody_catches_ends_the_response_and_the_process(start, source, error_type, status):
    function = start("stream.write('part'); %s; await new Promise(() => {})" % source)
    post = function.invoke()
    assert (post.body, failure(post)["errorType"]) == (b"part", error_type)
    assert function.process.wait(PATIENCE) == status


def test_other_kinds_of_streaming_are_refused(start):
    function = start("exports.handler = async () => {}; "
                     "exports.handler[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'request'")
    assert function.api.posts.get(timeout=PATIENCE).json["errorType"] == "Runtime.MalformedStreamingHandler"


# ------------------------------------------------------------ who pays

def test_handlers_that_do_not_stream_do_not_load_it(start):
    loaded = ("exports.handler = async () => Object.keys(require.cache)"
              ".filter((file) => file.includes('streaming.cjs')).length")
    assert start(loaded).invoke().json == 0


def test_the_global_can_be_left_out(start):
    function = start("exports.handler = async () => typeof awslambda",
                     env={"AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA": "1"})
    assert function.invoke().json == "undefined"
