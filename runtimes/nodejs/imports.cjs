'use strict';
/* `import` of packages that are in layers and in the AWS SDK: Node.js looks for those of ES modules beside the
 * importing file only, AWS's runtimes since Node.js 18 in NODE_PATH as well, last.
 *
 * A copy of this file runs on a thread of Node.js's own where hooks cannot run on the main one (before 22.15). */

const fs = require('fs');
const module_ = require('module');
const { pathToFileURL } = require('url');

/* Files beside the `node_modules` of NODE_PATH: what they would import. */
function places() {
  return (process.env.NODE_PATH || '').split(':')
    .filter((folder) => folder.endsWith('/node_modules') && fs.existsSync(folder))
    .map((folder) => pathToFileURL(`${folder.slice(0, -'/node_modules'.length)}/_.mjs`).href);
}

function isElsewhere(specifier, error) {
  return error && error.code === 'ERR_MODULE_NOT_FOUND' && !/^[./#]|^[a-z]+:/.test(specifier);
}

/* For the thread of hooks. */
exports.resolve = async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!isElsewhere(specifier, error)) throw error;
    for (const parentURL of places()) {
      try {
        return await next(specifier, { ...context, parentURL });
      } catch (other) {
        if (!isElsewhere(specifier, other)) throw other;
      }
    }
    throw error;
  }
};

function resolveSync(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (error) {
    if (!isElsewhere(specifier, error)) throw error;
    for (const parentURL of places()) {
      try {
        return next(specifier, { ...context, parentURL });
      } catch (other) {
        if (!isElsewhere(specifier, other)) throw other;
      }
    }
    throw error;
  }
}

/* Imports a function's file. It finds what is in NODE_PATH, if there is anything. Not called `load`: that is a hook. */
exports.importFile = function importFile(file) {
  if (places().length > 0) {
    if (module_.registerHooks) module_.registerHooks({ resolve: resolveSync });
    else if (module_.register) module_.register(pathToFileURL(__filename));
  }
  return import(file);
};
