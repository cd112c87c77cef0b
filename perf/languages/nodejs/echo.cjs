// The least that Node.js can do: it connects and sends back what comes.
'use strict';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const socket = require('net').connect({
  host,
  port: Number(port),
  onread: {
    buffer: Buffer.allocUnsafeSlow(65536),
    callback: (size, buffer) => {
      socket.write(Buffer.from(buffer.subarray(0, size)));
      return true;
    },
  },
});
socket.setNoDelay(true);
