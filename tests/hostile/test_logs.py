"""Output as a weapon: too much of it, too long, not text, or lying."""

import contextlib
import threading
import time

from harness import logs
from stage import eventually, resident
from tools import *  # noqa: F403 - what attacks use is defined there

MB = 1 << 20


def nothing():
    return "nothing"


def stream_of(stage, name) -> str:
    """The only log stream of a function."""
    (stream,) = eventually(lambda: logs.streams(stage.logs, name), f"a log stream of {name}")
    return stream


def all_messages(stage, name, stream):
    """Every message of a stream, page by page."""
    token, messages = None, []
    while True:
        arguments = {"nextToken": token} if token else {}
        page = stage.logs.get_log_events(
            logGroupName=f"/aws/lambda/{name}", logStreamName=stream, startFromHead=True, **arguments
        )
        messages += [event["message"] for event in page["events"]]
        if not page["events"] or page["nextForwardToken"] == token:
            return messages
        token = page["nextForwardToken"]


class Watch:
    """The daemon's memory, and the victim's patience, while something happens."""

    def __init__(self, stage):
        self.stage = stage
        self.before = self.most = resident(stage.pid)
        self.slowest = self.took = 0.0

    def during(self, action):
        """Runs the action beside, and invokes the victim as fast as it answers."""
        results = []
        busy = threading.Thread(target=lambda: results.append(action()))
        busy.start()
        beginning = time.monotonic()
        while busy.is_alive():
            start = time.monotonic()
            self.stage.victim()
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.most = max(self.most, resident(self.stage.pid))
            busy.join(0.02)
        self.took = time.monotonic() - beginning
        return results[0]

    @property
    def grown(self) -> int:
        """Bytes by which the daemon's memory grew at most."""
        return self.most - self.before

    @property
    def others_waited(self) -> bool:
        """Whether the victim had to wait for what happened, and not only for a busy machine."""
        return self.slowest > max(2, self.took / 2)


def test_flood_of_output(stage, name):
    """A hundred megabytes of output: bounded memory, all lines, in order, and other functions stay fast."""
    stage.attacker(name)

    def run():
        line = b"x" * 1000
        for number in range(100_000):
            os.write(1 + number % 2, b"%07d %s\n" % (number, line))
        return True

    watch = Watch(stage)
    assert watch.during(lambda: stage.attack(run, by=name)) is True
    assert watch.grown < 100 * MB, watch.grown / MB
    assert not watch.others_waited, (watch.slowest, watch.took)
    stream = stream_of(stage, name)
    # The first and the last thousand: reading all of it would take longer than writing it.
    first = stage.logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, startFromHead=True, limit=1000)
    numbers = [event["message"][:7] for event in first["events"] if event["message"][:1] == "0"]
    assert numbers == [f"{number:07}" for number in range(len(numbers))] and len(numbers) > 900
    last = eventually(lambda: reported(stage, name, stream), "the REPORT line")
    numbers = [message[:7] for message in last if message[:1] == "0"]
    assert numbers == [f"{number:07}" for number in range(100_000 - len(numbers), 100_000)] and len(numbers) > 900


def reported(stage, name, stream):
    """The last thousand messages, once the last of all is the REPORT line."""
    events = stage.logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName=stream, startFromHead=False, limit=1000)["events"]
    messages = [event["message"] for event in events]
    return messages if messages and messages[-1].startswith("REPORT") else None


def test_flood_over_many_events(stage, name):
    """A megabyte in each of many events: the function waits for the disk, and the daemon's memory does not grow."""
    stage.attacker(name, MemorySize=256)

    def run():
        try:
            fcntl.fcntl(1, 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(1, False)
        written = 0
        try:
            for _ in range(16):
                written += os.write(1, (b"x" * 1023 + b"\n") * 64)
        except BlockingIOError:
            pass
        return written

    written = []

    def flood():
        # A flood is more than what may wait in memory, however long the disk takes for it.
        while sum(written) < 64 * MB:
            written.append(stage.attack(run, by=name))

    def all_at_once():
        threads = [threading.Thread(target=flood) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    watch = Watch(stage)
    watch.during(all_at_once)
    assert watch.grown < 40 * MB, watch.grown / MB
    assert not watch.others_waited, (watch.slowest, watch.took)


def test_endless_line(stage, name):
    """A line of fifty megabytes becomes many events in order, and none of it stays in memory."""
    stage.attacker(name)

    def run():
        for number in range(800):
            os.write(1, (b"%08d" % number) * 8192)
        os.write(1, b"\nthe end\n")
        return True

    watch = Watch(stage)
    assert watch.during(lambda: stage.attack(run, by=name)) is True
    assert watch.grown < 100 * MB
    stream = stream_of(stage, name)
    eventually(lambda: reported(stage, name, stream), "the REPORT line")
    messages = all_messages(stage, name, stream)
    assert "the end\n" in messages
    line = "".join(message for message in messages if message[:1].isdigit()).replace("\n", "")
    assert len(line) == 800 * 65536
    assert line[::8192] == "".join(f"{number:08}"[0] for number in range(800) for _ in range(8))
    assert line[-8:] == "00000799"


def test_binary_output(stage, name):
    """Bytes that are no text, control characters and commands to terminals arrive as they were, or as marks."""
    stage.attacker(name)

    def run():
        lines = [bytes(range(1, 10)) + bytes(range(11, 256)), b"\xff\xfe\x00\x00nul", b"\x1b]0;title\x07\x1b[2J\x1b[31m"]
        lines += [b"\xed\xa0\x80 surrogate", b"\xf4\x90\x80\x80 too large", "\u202e right to left".encode(), b"\r\rback"]
        for line in lines:
            os.write(1, line + b"\n")
        return True

    assert stage.attack(run, by=name) is True
    stream = stream_of(stage, name)
    messages = eventually(lambda: reported(stage, name, stream), "the REPORT line")
    assert any("\x1b]0;title" in message for message in messages)
    assert any("nul" in message for message in messages)
    assert any("\u202e right to left" in message for message in messages)
    assert any("back" in message for message in messages)
    found = stage.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern='"surrogate"')["events"]
    assert len(found) == 1


def test_commands_to_a_terminal(stage, name):
    """What a function writes is shown on the terminal of whoever reads its log, and commands it to nothing."""
    stage.attacker(name)

    def run():
        os.write(1, b"\x1b]0;title\x07 \x1b[2J\x1b[31mred\x1b[0m \x1b[6n\x9b5n back\rward \x08\n")
        return True

    assert stage.attack(run, by=name) is True
    eventually(lambda: reported(stage, name, stream_of(stage, name)), "the REPORT line")
    command = [stage.daemon.program, "logs", name]
    environment = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": stage.daemon.url, "TERM": "xterm"}
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    ours, theirs = os.openpty()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, timeout=60)
    os.close(theirs)
    shown = b""
    # Whoever reads a terminal that nobody has open any more gets an error at its end.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert done.returncode == 0, shown
    text = shown.decode()
    assert "\x1b[31mred\x1b[0m" in text, "colours stay"
    assert "\u241b]0;title\u2407" in text
    for order in ("\x1b]", "\x1b[2J", "\x1b[6n", "\x9b", "\x07", "\x08"):
        assert order not in text, (order, text)
    assert "back\u240d\r\nward" in text, "terminals make CR LF of a newline"
    # For programs it stays as it is.
    assert b"\x1b]0;title\x07" in subprocess.run(command, capture_output=True, env=environment, timeout=60).stdout


def test_forged_log_lines(stage, name):
    """A function can write lines that look like the platform's; what counts in answers is never read from them."""
    stage.attacker(name, Timeout=5)

    def run():
        other = "00000000-1111-2222-3333-444444444444"
        print(f"END RequestId: {context.aws_request_id}")
        print(f"REPORT RequestId: {context.aws_request_id}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 1 MB")
        print(f"2026-01-01T00:00:00.000Z {context.aws_request_id} Task timed out after 3.00 seconds")
        print(f"START RequestId: {other} Version: 1")
        print(f"RequestId: {other} Error: Runtime exited with error: signal: killed\nRuntime.ExitError")
        return "well"

    answer = stage.invoke(name, run)
    assert answer.good() == {"value": "well"}
    # Its own lines stay between the true START and the true END, which is the last but one.
    lines = answer.log.splitlines()
    assert lines[0].startswith(f"START RequestId: {answer.request_id}")
    assert lines[-2] == f"END RequestId: {answer.request_id}"
    assert lines[-1].startswith(f"REPORT RequestId: {answer.request_id}")
    assert "Memory Size: 512 MB" in lines[-1]
    assert stage.attack(nothing, by=name) == "nothing"
