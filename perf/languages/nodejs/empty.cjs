// Nothing: what Node.js needs by itself.
