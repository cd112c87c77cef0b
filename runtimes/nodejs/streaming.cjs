/*
 * Response streaming for the managed Node.js runtime: loaded by bootstrap.cjs for the first
 * handler that `awslambda.streamifyResponse` has marked, or for the first use of
 * `awslambda.HttpResponseStream`, so that others pay nothing for it.
 *
 * Contract
 *   Handler   handler(event, responseStream, context), async. Its value is ignored.
 *   Requests  one POST response per event with `Lambda-Runtime-Function-Response-Mode:
 *             streaming`, in chunks, on the connection of the bootstrap, begun by the first
 *             write. An error after that goes into the trailers, one before it is a POST error.
 *   Pace      a write is done when the kernel has taken it: `write` and `pipeline` follow
 *             the reader at the other end.
 */
'use strict';

const { Writable } = require('stream');

const ERROR_TYPE = 'Lambda-Runtime-Function-Error-Type';
const ERROR_BODY = 'Lambda-Runtime-Function-Error-Body';
const HTTP_RESPONSE = 'application/vnd.awslambda.http-integration-response';

class InvalidStreamingOperation extends Error {}
InvalidStreamingOperation.prototype.name = 'Runtime.InvalidStreamingOperation';

/* What `awslambda.HttpResponseStream` is: status, headers and cookies before the body. */
class HttpResponseStream {
  static from(stream, metadata) {
    stream.setContentType(HTTP_RESPONSE);
    const prelude = JSON.stringify(metadata);
    stream._onBeforeFirstWrite = (write) => {
      write(prelude);
      write(new Uint8Array(8));
    };
    return stream;
  }
}

/* The response to one event. */
class ResponseStream extends Writable {
  constructor(api, path, options) {
    super(options);
    this.contentType = 'application/octet-stream';
    this.api = api;
    this.path = path;
    this.begun = false; // something was written
    this.isSent = false; // the last chunk too
    this.trailers = '';
    this.answered = new Promise((resolve) => { this.whenAnswered = resolve; });
    this.on('error', () => {}); // the handler's promise tells of it
  }

  setContentType(contentType) {
    if (this.begun) throw new InvalidStreamingOperation('Cannot set content-type, too late.');
    this.contentType = contentType;
  }

  write(chunk, encoding, callback) {
    if (chunk !== null && typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
      chunk = JSON.stringify(chunk);
    }
    if (!this.begun) {
      this.begin();
      const first = this._onBeforeFirstWrite;
      if (typeof first === 'function') first((prelude) => super.write(prelude));
    }
    return super.write(chunk, encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return super.end(chunk);
    if (chunk !== undefined && chunk !== null) this.write(chunk, typeof encoding === 'function' ? undefined : encoding);
    return super.end(typeof encoding === 'function' ? encoding : callback);
  }

  begin() {
    this.begun = true;
    this.api.begin(`POST ${this.path}`,
      `Content-Type: ${this.contentType}\r\nTransfer-Encoding: chunked\r\n`
      + `Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: ${ERROR_TYPE}, ${ERROR_BODY}\r\n`,
      this.whenAnswered);
  }

  _write(chunk, _, done) {
    this.send([chunk], chunk.length, done);
  }

  _writev(entries, done) {
    let size = 0;
    for (const entry of entries) size += entry.chunk.length;
    this.send(entries.map((entry) => entry.chunk), size, done);
  }

  /* One chunk of the transfer. An empty one would be the last. */
  send(chunks, size, done) {
    if (size === 0) {
      done();
      return;
    }
    const socket = this.api.socket;
    socket.cork();
    socket.write(`${size.toString(16)}\r\n`);
    for (const chunk of chunks) socket.write(chunk);
    socket.write('\r\n', () => done());
    socket.uncork();
  }

  _final(done) {
    if (!this.begun) this.begin();
    this.finishSending(done);
  }

  finishSending(done) {
    if (this.isSent) return;
    this.isSent = true;
    this.api.socket.write(`0\r\n${this.trailers}\r\n`, () => done());
  }

  /* Ends the response with an error, after what was written. */
  fail(errorType, document) {
    this.trailers = `${ERROR_TYPE}: ${errorType}\r\n`
      + `${ERROR_BODY}: ${Buffer.from(JSON.stringify(document)).toString('base64')}\r\n`;
    if (this.destroyed) this.finishSending(() => {});
    else if (!this.writableEnded) this.end();
  }
}

/* Serves one event with `runtime.handler`. `tools` are functions of the bootstrap. */
async function serve(runtime, tools, invocation, headers, body) {
  const path = tools.pathOf(invocation, 'response');
  const stream = new ResponseStream(runtime.api, path, options(runtime.handler));
  invocation.abort = (document, done) => abort(tools, stream, document, done);
  try {
    const context = invocation.context(headers);
    for (const name of ['succeed', 'fail', 'done']) delete context[name];
    const promise = runtime.handler(JSON.parse(body), stream, context);
    if (!promise || typeof promise.then !== 'function') {
      throw new Error('Streaming does not support non-async handlers.');
    }
    if (await promise !== undefined) console.warn('Streaming handlers ignore return values.');
    await Promise.race([stream.answered, closed(stream)]);
    if (!stream.writableFinished) throw new Error('Response stream is not finished.');
  } catch (error) {
    tools.logError('Invoke Error', error);
    if (!stream.begun) {
      tools.reject(invocation, error);
      return;
    }
    const document = tools.errorDocument(error);
    stream.fail(tools.headerText(document.errorType), document);
  }
  await stream.answered;
  runtime.goOn(invocation);
}

/* Last words about a response that has begun; false if it has not. */
function abort(tools, stream, document, done) {
  if (!stream.begun) return false;
  stream.fail(tools.headerText(document.errorType), document);
  stream.answered.then(done);
  return true;
}

/* Resolves if a stream is destroyed before its end. */
function closed(stream) {
  return new Promise((resolve) => {
    const look = () => { if (!stream.writableFinished) resolve(); };
    if (stream.destroyed) look();
    else stream.on('close', look);
  });
}

function options(handler) {
  const mark = parseInt(handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')], 10);
  return Number.isNaN(mark) ? {} : { highWaterMark: mark };
}

module.exports = { HttpResponseStream, serve };
