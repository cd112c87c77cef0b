/*
 * Preloaded by `node --inspect` when a function is debugged: waits for a debugger before the bootstrap begins, so
 * that breakpoints in the function's initialization count. Unlike `--inspect-brk` it does not stop in lambd's code.
 */
'use strict';

require('inspector').waitForDebugger();
