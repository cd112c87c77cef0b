# Nothing: what the interpreter needs by itself.
