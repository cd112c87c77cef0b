'use strict';
/* Connections to the Runtime API: what is below `net` where that is as expected, for the streams of `net` cost more than
 * all of the bootstrap. Both ways read into one buffer, call `received` with the number of bytes in it, and `closed`
 * at the end; writes may follow at once. */

/* As a stream of Node.js. */
function asStream(host, port, buffer, received, closed) {
  const socket = require('net').connect({ host, port, onread: { buffer, callback: received } });
  socket.setNoDelay(true);
  return socket.on('error', () => {}).on('close', closed); // which follows an error
}

/* Without streams where that is possible. */
function open(host, port, buffer, received, closed) {
  const bindings = /[^0-9.]/.test(host) ? null : netBindings();
  if (!bindings) return asStream(host, port, buffer, received, closed);
  const connection = new Connection(bindings, buffer, received, closed);
  connection.connect(host, port);
  return connection;
}

/* What `net` is made of, which is private: null if it is not as expected or is warned of. */
function netBindings() {
  if (process.env.NODE_PENDING_DEPRECATION === '1'
    || `${process.env.NODE_OPTIONS} ${process.execArgv}`.includes('pending-deprecation')) return null;
  try {
    const { TCP, TCPConnectWrap, constants } = process.binding('tcp_wrap');
    const { WriteWrap, kReadBytesOrError, streamBaseState } = process.binding('stream_wrap');
    const isExpected = [TCPConnectWrap, WriteWrap, ...['connect', 'readStart', 'useUserBuffer', 'writeUtf8String',
      'setNoDelay', 'ref', 'unref', 'close'].map((name) => TCP.prototype[name])].every((f) => typeof f === 'function')
      && [constants.SOCKET, streamBaseState[kReadBytesOrError]].every((n) => typeof n === 'number');
    return isExpected ? { TCP, TCPConnectWrap, constants, WriteWrap, kReadBytesOrError, streamBaseState } : null;
  } catch (_) {
    return null;
  }
}

/* A connection without streams, to an IPv4 address. */
class Connection {
  constructor(bindings, buffer, received, closed) {
    this.bindings = bindings;
    this.closed = closed;
    this.isClosed = false;
    const { kReadBytesOrError, streamBaseState } = bindings;
    this.handle = new bindings.TCP(bindings.constants.SOCKET);
    this.handle.setNoDelay(true);
    this.handle.useUserBuffer(buffer);
    this.handle.onread = () => {
      const size = streamBaseState[kReadBytesOrError];
      if (size > 0) received(size);
      else if (size < 0) this.close();
    };
  }

  /* Writes may follow at once. */
  connect(host, port) {
    const request = new this.bindings.TCPConnectWrap();
    request.oncomplete = (status) => {
      if (this.isClosed || status !== 0 || this.handle.readStart() !== 0) this.close();
    };
    if (this.handle.connect(request, host, port) !== 0) this.close();
  }

  write(text) {
    if (this.isClosed) return;
    const request = new this.bindings.WriteWrap();
    request.oncomplete = (status) => { if (status !== 0) this.close(); };
    if (this.handle.writeUtf8String(request, text) !== 0) this.close();
  }

  close() {
    if (!this.isClosed) this.handle.close(this.closed);
    this.isClosed = true;
  }

  ref() { if (!this.isClosed) this.handle.ref(); }
  unref() { if (!this.isClosed) this.handle.unref(); }
}

module.exports = { asStream, open };
