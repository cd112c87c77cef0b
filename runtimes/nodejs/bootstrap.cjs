/*
 * The managed Node.js runtime: loads one handler and serves its events.
 * Started as `node /var/runtime/bootstrap.cjs`.
 *
 * Contract
 *   Environment  AWS_LAMBDA_RUNTIME_API (host:port), _HANDLER, LAMBDA_TASK_ROOT and the
 *                AWS_LAMBDA_* variables that the context shows. NODE_PATH is set outside.
 *   Requests     GET next, POST response, POST error, POST init/error of version
 *                2018-06-01, on one kept connection. The POST for an event carries the
 *                GET of the next event behind it in the same write, so a warm event costs
 *                one write; the server must take pipelined requests.
 *   Output       console lines on stdout, written before the call returns.
 *   Streaming    streaming.cjs beside this file, loaded for handlers that stream.
 *   Exit         129 after an uncaught exception (also one in initialization), 128 after
 *                an unhandled rejection, each after it was posted.
 *
 * Runs on Node.js 12.17 and later, so no `?.` and no `??` here. It is CommonJS because a
 * CommonJS start script saves the set-up of the ES module loader. A process that is started before it
 * is known for which function waits for that (ahead.cjs); nothing of the environment is read before.
 */
'use strict';

const fs = require('fs');
const path = require('path');
const connection = require('./connection.cjs');

const API = '/2018-06-01/runtime/';
const env = process.env;

// ---------------------------------------------------------------- console

let requestId; // prints as `undefined` before the first event, as on AWS
let tenantId;
let util; // loaded by the first line that is logged

let isJson;

function log(level, message, ...params) {
  util = util || require('util');
  const time = new Date().toISOString();
  const line = isJson ? logRecord(time, level, [message, ...params])
    : `${time}\t${requestId}\t${level}\t${util.format(message, ...params)}`;
  // One line is one log event, so newlines inside become carriage returns.
  writeOut(Buffer.from(line.replace(/\n/g, '\r') + '\n'));
}

/* A single value is the message as it is; several are formatted into one text. */
function logRecord(timestamp, level, params) {
  const record = { timestamp, level, requestId, tenantId };
  if (params.length === 1) {
    record.message = params[0];
    try {
      return JSON.stringify(record, (_, value) => (value instanceof Error ? errorFields(value) : value));
    } catch (_) { // circular, or of a kind that JSON lacks
      record.message = util.format(params[0]);
      return JSON.stringify(record);
    }
  }
  record.message = util.format(...params);
  const error = params.find((value) => value instanceof Error);
  if (error) {
    record.errorType = typeName(error);
    record.errorMessage = error.message;
    record.stackTrace = typeof error.stack === 'string' ? error.stack.split('\n') : [];
  }
  return JSON.stringify(record);
}

function errorFields(error) {
  const { message, stack } = error;
  return Object.assign({
    errorType: typeName(error),
    errorMessage: message,
    stackTrace: typeof stack === 'string' ? stack.split('\n') : stack,
  }, error);
}

function typeName(error) {
  return (error.constructor && error.constructor.name) || 'UnknownError';
}

/* Synchronous, so that nothing is lost when the process is frozen or exits. */
function writeOut(data) {
  for (let at = 0; at < data.length;) {
    try {
      at += fs.writeSync(1, data, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      // A full pipe that someone has made non-blocking: let the reader catch up.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function patchConsole() {
  isJson = (env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
  const least = levels.indexOf((env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase());
  for (const [index, level] of levels.entries()) {
    console[level.toLowerCase()] = index < least ? () => {}
      : (message, ...params) => log(level, message, ...params);
  }
  console.log = console.info;
}

function logError(title, error) {
  if (!(error instanceof Error)) error = new Error(error);
  if (isJson) {
    console.error(error);
    return;
  }
  let text;
  try {
    text = JSON.stringify(error, (_, value) => (value instanceof Error ? loggable(value) : value));
  } catch (_) {
    text = JSON.stringify(errorDocument(error));
  }
  console.error(title, '\t' + text);
}

/* In the log the frames are called `stack`, in the payload `trace`. */
function loggable(error) {
  const shown = Object.assign(
    { errorType: error.name, errorMessage: error.message, code: error.code }, error);
  if (typeof error.stack === 'string') shown.stack = error.stack.split('\n');
  return shown;
}

// ---------------------------------------------------------------- errors

function fault(name, Base) {
  const Fault = { [name]: class extends (Base || Error) {} }[name];
  Fault.prototype.name = 'Runtime.' + name;
  return Fault;
}

const ImportModuleError = fault('ImportModuleError');
const UserCodeSyntaxError = fault('UserCodeSyntaxError');
const MalformedStreamingHandler = fault('MalformedStreamingHandler');
const HandlerNotFound = fault('HandlerNotFound');
const MalformedHandlerName = fault('MalformedHandlerName');
const UnhandledPromiseRejection = fault('UnhandledPromiseRejection', class extends Error {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
});

function looksLikeError(value) {
  return value instanceof Error || (value && ['name', 'message', 'stack'].every(
    (key) => typeof value[key] === 'string' && value[key]));
}

function errorDocument(error) {
  try {
    if (!looksLikeError(error)) {
      return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
    }
    return {
      errorType: printable(error.name),
      errorMessage: printable(error.message),
      trace: printable(error.stack).split('\n'),
    };
  } catch (_) {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while '
        + 'retrieving one or more of its message, name, and stack',
    };
  }
}

function printable(text) {
  return text && text.replace(/\x7F/g, '%7F');
}

/* What X-Ray shows of an error, or '' when there is nothing to show or too much. */
function xrayCause(error, document) {
  try {
    const stack = document.trace.slice(1).map((line) => {
      const [, label, file, number] =
        /^\s*at (?:(.*) \()?(.*?)(?::(\d+))?(?::\d+)?\)?$/.exec(line) || [];
      return { path: file, line: Number(number), label: label || 'anonymous' };
    });
    const cause = JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: document.errorType, message: document.errorMessage, stack }],
      paths: Array.from(new Set(stack.map((entry) => entry.path))),
    });
    return cause.length > 32 * 1024 ? '' : cause;
  } catch (_) {
    return '';
  }
}

function headerText(text) {
  return String(text).replace(/[^ -~]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

// ---------------------------------------------------------------- Runtime API

/*
 * HTTP/1.1 over one raw socket. Replies carry Content-Length. Each request waits in
 * `pending` for its reply, in order. The socket keeps the event loop alive only while the
 * runtime itself waits, for `beforeExit` has to tell when user code is done.
 */
class RuntimeApi {
  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.host = address.slice(0, colon);
    this.port = Number(address.slice(colon + 1));
    this.tail = ` HTTP/1.1\r\nHost: ${address}\r\n`;
    this.getNext = `GET ${API}invocation/next${this.tail}\r\n`;
    this.pending = [];
    this.streams = false; // whether responses are written as to a stream
  }

  next(done) {
    this.exchange([{ text: this.getNext, done }]);
  }

  /* Posts a body and, if `next` is given, asks for the next event in the same write. */
  post(where, headers, body, posted, next) {
    const text = `POST ${API}${where}${this.tail}Content-Type: application/json\r\n${headers}`
      + `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
    const requests = [{ text, done: posted }];
    if (next) requests.push({ text: this.getNext, done: next });
    this.exchange(requests);
  }

  /* Begins a request whose body the caller writes to the socket. It cannot be sent twice. */
  begin(line, headers, done) {
    if (!this.socket) this.connect();
    this.socket.ref();
    this.pending.push({ done, again: true });
    this.socket.write(`${line}${this.tail}${headers}\r\n`);
  }

  exchange(requests) {
    if (!this.socket) this.connect();
    this.socket.ref();
    this.pending.push(...requests);
    this.send(requests);
  }

  send(requests) {
    let text = '';
    for (const request of requests) text += request.text;
    this.socket.write(text);
  }

  /* From now on the event loop belongs to user code. */
  release() {
    if (this.socket) this.socket.unref();
  }

  /* For a last word while another request may be waiting for its reply. */
  startOver() {
    this.pending = [];
    this.connect();
  }

  connect() {
    this.rest = null;
    const buffer = Buffer.allocUnsafeSlow(64 * 1024);
    const received = (size) => {
      if (socket === this.socket) this.receive(buffer.subarray(0, size));
      return true; // goes on reading
    };
    const closed = () => this.closed(socket);
    const open = this.streams ? connection.asStream : connection.open;
    const socket = open(this.host, this.port, buffer, received, closed);
    this.socket = socket;
  }

  /* A server may close a kept connection at any time: what has no reply is sent again on
   * a new one, each request once. */
  closed(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    if (this.pending.length === 0) return;
    if (this.pending.some((request) => request.again)) {
      writeOut(Buffer.from('The Runtime API cannot be reached.\n'));
      process.exit(1);
    }
    for (const request of this.pending) request.again = true;
    this.connect();
    this.send(this.pending);
  }

  /* `data` is valid only during the call, so what is kept is copied. */
  receive(data) {
    if (this.rest) {
      data = this.rest.add(data);
      if (!data) return;
      this.rest = null;
    }
    while (data.length > 0) {
      const end = data.indexOf('\r\n\r\n');
      const head = end < 0 ? null : parseHead(data.toString('latin1', 0, end));
      const stop = head ? end + 4 + head.length : 0;
      if (!head || stop > data.length) {
        this.rest = new Partial(data, stop);
        return;
      }
      const request = this.pending.shift();
      request.done(head.status, head.headers, data.toString('utf8', end + 4, stop));
      data = data.subarray(stop);
    }
  }
}

/* The beginning of a reply of `size` bytes, or of unknown size (0: not all of its head is
 * there). Gives all bytes back once there are enough to look at them again. */
class Partial {
  constructor(data, size) {
    this.buffer = Buffer.allocUnsafe(size || data.length);
    this.filled = data.copy(this.buffer);
  }

  add(data) {
    const taken = data.copy(this.buffer, this.filled);
    this.filled += taken;
    if (this.filled < this.buffer.length) return null;
    return taken === data.length ? this.buffer : Buffer.concat([this.buffer, data.subarray(taken)]);
  }
}

function parseHead(text) {
  const lines = text.split('\r\n');
  const headers = {};
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(':');
    headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
  }
  return {
    status: Number(lines[0].split(' ', 2)[1]),
    headers,
    length: Number(headers['content-length'] || 0),
  };
}

// ---------------------------------------------------------------- loading the handler

async function loadHandler(root, name) {
  if (name.includes('..')) {
    throw new MalformedHandlerName(`'${name}' is not a valid handler name. Use absolute paths `
      + 'when specifying root directories in handler names.');
  }
  const base = path.basename(name);
  const directory = name.slice(0, name.indexOf(base));
  const dot = base.indexOf('.');
  if (dot < 0) throw new MalformedHandlerName('Bad handler');
  const module = await loadModule(root, directory, base.slice(0, dot));
  const handler = base.slice(dot + 1).split('.').reduce((value, key) => value && value[key], module);
  if (!handler) throw new HandlerNotFound(`${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new HandlerNotFound(`${name} is not a function`);
  return handler;
}

async function loadModule(root, directory, name) {
  try {
    const file = path.resolve(root, directory, name);
    if (fs.existsSync(file)) return require(file);
    if (fs.existsSync(file + '.js')) {
      return isModuleScope(path.dirname(file)) ? await require('./imports.cjs').importFile(file + '.js') : require(file + '.js');
    }
    if (fs.existsSync(file + '.mjs')) return await require('./imports.cjs').importFile(file + '.mjs');
    if (fs.existsSync(file + '.cjs')) return require(file + '.cjs');
    return require(require.resolve(name, { paths: [root, directory] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserCodeSyntaxError(error);
    if (error && error.code === 'MODULE_NOT_FOUND') throw new ImportModuleError(error);
    throw error;
  }
}

/* Whether the nearest package.json says that `.js` files are ES modules. */
function isModuleScope(folder) {
  for (; !folder.endsWith('/node_modules'); folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (fs.existsSync(file)) {
      try {
        return JSON.parse(fs.readFileSync(file, 'utf8')).type === 'module';
      } catch (error) {
        console.warn(
          `${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
        return false;
      }
    }
    if (folder === '/') return false;
  }
  return false;
}

// ---------------------------------------------------------------- streaming

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

/* The global `awslambda`, which handlers are marked with while they are loaded. */
function provideAwsLambda() {
  if (['1', 'true'].includes(env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  global.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options && typeof options.highWaterMark === 'number') {
        handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark, 10);
      }
      return handler;
    },
    get HttpResponseStream() { return require('./streaming.cjs').HttpResponseStream; },
  };
}

/* What serves the events of a handler that streams; null for all others. */
function streamingOf(handler) {
  const mode = handler[STREAMING];
  if (mode === undefined || mode === null || mode === false) return null;
  if (mode !== 'response') {
    throw new MalformedStreamingHandler('Only response streaming is supported.');
  }
  return require('./streaming.cjs').serve;
}

// ---------------------------------------------------------------- serving

/* Calls the handler as a method, for it is `Runtime.handler` in the frames of a trace. */
class Runtime {
  constructor(api) {
    this.api = api;
    this.current = null; // the event in hand, until it is answered
    this.whenIdle = null; // what to do when the event loop has run empty
    this.stream = null; // what serves an event of a handler that streams
  }

  /* What to do with the reply to a GET next. The handler starts from an empty stack, so
   * that a trace shows one frame of the runtime and not how the bytes came in. */
  get received() {
    return (...reply) => { Promise.resolve().then(() => this.serve(...reply)); };
  }

  serve(status, headers, body) {
    if (status !== 200) throw new Error(`The Runtime API answered ${status} to next.`);
    const invocation = new Invocation(this, headers);
    this.current = invocation;
    requestId = invocation.id;
    tenantId = headers['lambda-runtime-aws-tenant-id'];
    if (this.stream) {
      // The connection keeps the process going until the response has ended.
      this.stream(this, STREAMING_TOOLS, invocation, headers, body);
      return;
    }
    this.api.release();
    // Without a callback and without a promise the answer is null, once all is done.
    this.whenIdle = () => invocation.respond(null);
    try {
      const result = this.handler(
        JSON.parse(body), invocation.context(headers), invocation.callback);
      if (result && typeof result.then === 'function') {
        result.then(invocation.succeed, invocation.fail);
      }
    } catch (error) {
      invocation.finish(error);
    }
  }

  /* Posts the answer to the event in hand; `body` is JSON. */
  answer(invocation, kind, headers, body) {
    this.current = null;
    this.whenIdle = null;
    this.api.post(`invocation/${encodeURIComponent(invocation.id)}/${kind}`, headers, body,
      () => {}, this.received);
  }

  /* Asks for the next event after one that was answered without `answer`. */
  goOn(invocation) {
    const next = () => this.api.next(this.received);
    this.current = null;
    this.whenIdle = invocation.waits ? next : null;
    this.api.release();
    if (!invocation.waits) next();
  }

  /* Reports an error that nobody caught, to the event in hand or as one of
   * initialization, and ends the process. */
  die(title, error, status) {
    logError(title, error);
    const document = errorDocument(error);
    const headers = errorHeaders(error, document);
    const exit = () => process.exit(status);
    if (this.current && this.current.abort && this.current.abort(document, exit)) return;
    const where = this.current ? `invocation/${encodeURIComponent(this.current.id)}/error`
      : requestId === undefined ? 'init/error' : null;
    if (!where) process.exit(status); // already answered: only the exit is left to tell
    this.current = null;
    this.whenIdle = null;
    this.api.startOver();
    this.api.post(where, headers, JSON.stringify(document), exit);
  }
}

const STREAMING_TOOLS = {
  errorDocument,
  headerText,
  logError,
  pathOf: (invocation, kind) => `${API}invocation/${encodeURIComponent(invocation.id)}/${kind}`,
  reject: (invocation, error) => invocation.report(error),
};

function errorHeaders(error, document) {
  const cause = xrayCause(error, document);
  return `Lambda-Runtime-Function-Error-Type: ${headerText(document.errorType)}\r\n`
    + (cause && `Lambda-Runtime-Function-XRay-Error-Cause: ${headerText(cause)}\r\n`);
}

/* One event and the ways to answer it, of which the first one used counts. */
class Invocation {
  constructor(runtime, headers) {
    this.runtime = runtime;
    this.id = headers['lambda-runtime-aws-request-id'];
    this.waits = true;
    this.finished = false;
    this.answered = false;
    this.callback = (error, result) => this.finish(error, result, this.waits);
    this.done = (error, result) => this.finish(error, result);
    this.succeed = (result) => this.finish(null, result);
    this.fail = (error) => this.finish(isNothing(error) ? 'handled' : error);
  }

  finish(error, result, waits) {
    if (this.finished || (this.answered && !this.isFirst())) return;
    this.finished = true;
    if (!isNothing(error)) this.reject(error);
    else if (waits) this.runtime.whenIdle = () => this.respond(result);
    else this.respond(result);
  }

  respond(result) {
    let body;
    try {
      body = JSON.stringify(result === undefined ? null : result);
    } catch (_) {
      this.reject(new Error('Unable to stringify response body'));
      return;
    }
    if (this.isFirst()) this.runtime.answer(this, 'response', '', body === undefined ? 'null' : body);
  }

  reject(error) {
    logError('Invoke Error', error);
    this.report(error);
  }

  report(error) {
    const document = errorDocument(error);
    if (this.isFirst()) {
      this.runtime.answer(this, 'error', errorHeaders(error, document), JSON.stringify(document));
    }
  }

  isFirst() {
    if (this.answered) {
      console.error('Invocation has already been reported as done. '
        + 'Cannot call complete more than once per invocation.');
      return false;
    }
    this.answered = true;
    return true;
  }

  context(headers) {
    if (headers['lambda-runtime-trace-id']) env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
    else delete env._X_AMZN_TRACE_ID;
    const invocation = this;
    const deadline = headers['lambda-runtime-deadline-ms'];
    return {
      get callbackWaitsForEmptyEventLoop() { return invocation.waits; },
      set callbackWaitsForEmptyEventLoop(value) { invocation.waits = value; },
      succeed: this.succeed,
      fail: this.fail,
      done: this.done,
      functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: jsonHeader(headers['lambda-runtime-client-context'], 'ClientContext'),
      identity: jsonHeader(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
      invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
      awsRequestId: this.id,
      tenantId: headers['lambda-runtime-aws-tenant-id'],
      getRemainingTimeInMillis: () => deadline - Date.now(),
    };
  }
}

function isNothing(value) {
  return value === undefined || value === null;
}

function jsonHeader(text, name) {
  if (text === undefined) return undefined;
  try {
    // Header bytes were read as Latin-1; the text in them is UTF-8.
    return JSON.parse(Buffer.from(text, 'latin1').toString());
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error.toString()}`);
  }
}

function main() {
  patchConsole();
  provideAwsLambda();
  const runtime = new Runtime(new RuntimeApi(env.AWS_LAMBDA_RUNTIME_API));
  process.on('uncaughtException', (error) => runtime.die('Uncaught Exception', error, 129));
  process.on('unhandledRejection', (reason, promise) => runtime.die(
    'Unhandled Promise Rejection', new UnhandledPromiseRejection(reason, promise), 128));
  process.on('beforeExit', () => {
    const act = runtime.whenIdle;
    runtime.whenIdle = null;
    if (act) act();
  });
  loadHandler(env.LAMBDA_TASK_ROOT, env._HANDLER).then((handler) => {
    runtime.handler = handler;
    runtime.stream = streamingOf(handler);
    runtime.api.streams = runtime.stream !== null;
    runtime.api.next(runtime.received);
  }).catch((error) => runtime.die('Uncaught Exception', error, 129));
}

if (env._LAMBD_AHEAD) require('./ahead.cjs').wait();
main();
