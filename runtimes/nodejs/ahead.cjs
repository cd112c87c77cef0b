'use strict';
/* Waits until it is known for which function this process is.
 *
 * Standard input is a socket: a byte is written to it when everything is loaded, and the whole environment is read from
 * it, each variable as NAME=VALUE with a zero byte behind it. */

const fs = require('fs');

exports.wait = function wait() {
  // What handlers use most, and what loads them.
  for (const name of ['util', 'url', 'stream', 'events', 'http', 'https', 'crypto', 'zlib']) require(name);
  fs.writeSync(0, '\n');
  const parts = [];
  const buffer = Buffer.allocUnsafe(128 * 1024);
  for (;;) {
    const size = fs.readSync(0, buffer, 0, buffer.length, null);
    if (size === 0) break;
    parts.push(Buffer.from(buffer.subarray(0, size)));
  }
  if (parts.length === 0) process.exit(0); // nobody needs this process
  fs.closeSync(0);
  fs.openSync('/dev/null', 'r'); // the lowest free descriptor
  const { env } = process;
  const given = new Map();
  for (const variable of Buffer.concat(parts).toString().split('\0').slice(0, -1)) {
    const equals = variable.indexOf('=');
    given.set(variable.slice(0, equals), variable.slice(equals + 1));
  }
  for (const name of Object.keys(env)) if (!given.has(name)) delete env[name];
  for (const [name, value] of given) env[name] = value;
  process.chdir(env.LAMBDA_TASK_ROOT);
};
