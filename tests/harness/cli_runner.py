"""The ``aws`` command, many times in one process: a command then takes milliseconds instead of a second.

Reads one JSON list of arguments a line, answers with one JSON object a line: status, stdout and stderr.
"""

import contextlib
import io
import json
import sys

import awscli.clidriver


def capture() -> io.TextIOWrapper:
    """What the command takes for a terminal."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()


def main():
    """Runs commands until there are no more."""
    answers = sys.stdout
    driver = awscli.clidriver.create_clidriver()
    for line in sys.stdin:
        out, err = capture(), capture()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = driver.main(json.loads(line))
            except SystemExit as end:
                status = end.code
        answer = {"status": status, "stdout": text(out), "stderr": text(err)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
