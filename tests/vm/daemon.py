"""The whole daemon in the guest, by its command line and plain HTTP. Called with the situation it is in."""

import base64
import datetime
import functools
import hashlib
import hmac
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
import zipfile
from pathlib import Path

LAMBD = os.environ["LAMBD_BIN"]
SITUATION = sys.argv[1]
LIMITED = SITUATION != "alone"
PATIENCE = 60.0
FUNCTION = """
import os
def handler(event, context):
    if event == "limits":
        return [open("/proc/self/cgroup").read(), os.getuid()]
    return len(bytearray(event << 20))
"""


def wait_for(condition, what):
    """Waits until ``condition()`` gives something true, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(0.02)
    return found


def groups(pid):
    """A daemon's directories in all hierarchies."""
    return list(Path("/sys/fs/cgroup").rglob(f"lambd/*-{pid}-*"))


class Daemon:
    """A lambd daemon as a process."""

    def __init__(self, data):
        self.log = open(Path(data, "log"), "w+", encoding="utf-8")
        command = [LAMBD, "serve", "--data", str(Path(data, "data")), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        started = wait_for(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.output()) or self.ended(), "the start")
        self.port = int(started[1])
        # The runtimes and the isolation are on the following lines.
        wait_for(lambda: "isolation" in self.output(), "the start-up lines")

    def output(self):
        """All that it wrote to its terminal."""
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def ended(self):
        """Complains if it did."""
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.output()}")

    def call(self, method, path, document):
        """Sends a signed request; returns headers and body of an answer that must be good."""
        body = b"" if document is None else json.dumps(document).encode()
        host = f"127.0.0.1:{self.port}"
        connection = http.client.HTTPConnection(host, timeout=300)
        headers = signature(method, host, path, body) | {"X-Amz-Log-Type": "Tail"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert response.status < 300, (response.status, answer)
        return response.headers, json.loads(answer)

    def invoke(self, event):
        """Invokes the function; returns its error, its answer and its log."""
        headers, answer = self.call("POST", "/2015-03-31/functions/taker/invocations", event)
        return headers["X-Amz-Function-Error"], answer, base64.b64decode(headers["X-Amz-Log-Result"]).decode()

    def state(self, name):
        """What GetFunctionConfiguration calls the state of a function."""
        _, answer = self.call("GET", f"/2015-03-31/functions/{name}/configuration", None)
        return answer["State"]

    def stop(self):
        """SIGTERM, as an operator does it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def signature(method, host, path, body):
    """Headers that sign a request (AWS Signature Version 4)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/lambda/aws4_request"
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n{path}\n\nhost:{host}\nx-amz-date:{now}\n\nhost;x-amz-date\n{digest}"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = functools.reduce(lambda key, part: hmac.digest(key, part.encode(), "sha256"), scope.split("/"), b"AWS4test")
    signed = hmac.new(key, text.encode(), "sha256").hexdigest()
    authorization = f"AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders=host;x-amz-date, Signature={signed}"
    return {"Authorization": authorization, "X-Amz-Date": now}


class Tests(unittest.TestCase):
    """In the order of their names; the first one starts the daemon that they share."""

    daemon = None

    def test_0_doctor_names_the_limits(self):
        """`lambd doctor` says where the groups would be, or what is missing."""
        with tempfile.TemporaryDirectory() as data:
            output = subprocess.run([LAMBD, "doctor", "--data", data], capture_output=True, text=True).stdout
        for name in ("memory", "pids", "cpu", "freezer"):
            line = next(line for line in output.splitlines() if line.split()[1:2] == [name])
            if SITUATION == "root":
                self.assertTrue(line.endswith("cgroup v2 at /sys/fs/cgroup"), line)
            elif LIMITED:
                self.assertRegex(line, r"✓.*cgroup v2 at /sys/fs/cgroup/user\.slice/\d+\.scope$")
            else:
                self.assertRegex(line, r"!.*no writable cgroup")

    def test_1_the_start_names_the_limits(self):
        """The start-up lines say what is in force."""
        Tests.daemon = Daemon(tempfile.mkdtemp())
        isolation = next(line for line in self.daemon.output().splitlines() if "isolation" in line)
        if LIMITED:
            for name in ("memory", "processes", "cpu", "io", "freezer"):
                self.assertIn(f"{name}: cgroup v2", isolation)
        else:
            self.assertIn("memory: rlimit (for each process, plus 256 MiB, not for the sandbox)", isolation)
            self.assertIn("freezer: none", isolation)

    def test_2_a_function_runs_and_its_memory_is_measured(self):
        """CreateFunction, Invoke, and the REPORT line."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            file = zipfile.ZipInfo("app.py")
            file.external_attr = 0o644 << 16
            archive.writestr(file, FUNCTION)
        runtime = "python%d.%d" % sys.version_info[:2]
        settings = {
            "FunctionName": "taker",
            "Runtime": runtime,
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/any",
            "MemorySize": 128,
            # 128 MB are a fourteenth of a CPU, and this one is emulated.
            "Timeout": 240,
            "Code": {"ZipFile": base64.b64encode(package.getvalue()).decode()},
        }
        self.daemon.call("POST", "/2015-03-31/functions", settings)
        wait_for(lambda: self.daemon.state("taker") == "Active", "the function to be active")
        error, answer, log = self.invoke_used(0)
        self.assertEqual((error, answer), (None, 0), log)
        error, answer, log = self.invoke_used(60)
        self.assertEqual((error, answer), (None, 60 << 20), log)
        report = re.search(r"^REPORT .*\tMemory Size: 128 MB\tMax Memory Used: (\d+) MB", log, re.MULTILINE)
        self.assertTrue(60 <= int(report[1]) <= 128, log)
        error, (group, user), log = self.daemon.invoke("limits")
        self.assertEqual((error, user), (None, 993), log)
        self.assertTrue(all(line.endswith(":/") for line in group.splitlines()), group)

    def test_3_too_much_memory_ends_in_the_documented_error(self):
        """And the next event finds a function that works."""
        error, answer, log = self.daemon.invoke(600)
        self.assertEqual(error, "Unhandled", (answer, log))
        if LIMITED:
            self.assertEqual(answer["errorType"], "Runtime.OutOfMemory")
            self.assertRegex(answer["errorMessage"], r"^RequestId: [-0-9a-f]{36} Error: Runtime exited with error: signal: killed$")
            self.assertRegex(log, r"Max Memory Used: 128 MB")
        else:
            self.assertEqual(answer["errorType"], "MemoryError")
        error, answer, log = self.daemon.invoke(10)
        self.assertEqual((error, answer), (None, 10 << 20), log)

    def test_4_a_killed_daemon_leaves_nothing_for_long(self):
        """SIGKILL of the daemon ends its functions; the next daemon removes its groups."""
        dead = self.daemon.process.pid
        self.assertEqual(bool(groups(dead)), LIMITED)
        self.daemon.process.kill()
        self.daemon.process.wait(PATIENCE)
        wait_for(lambda: not processes("lambd-init"), "the sandboxes' end")
        Tests.daemon = Daemon(tempfile.mkdtemp())
        wait_for(lambda: not groups(dead), "the removal")

    def test_5_a_stopped_daemon_leaves_nothing(self):
        """SIGTERM: exit code 0, no process, no group."""
        self.assertEqual(self.daemon.stop(), 0, self.daemon.output())
        self.assertEqual(processes("lambd-init") + processes("lambd-spawner"), [])
        self.assertEqual(groups(self.daemon.process.pid), [], self.daemon.output())

    def invoke_used(self, event):
        """Invokes and shows the daemon's own log if that fails."""
        try:
            return self.daemon.invoke(event)
        except Exception as error:
            raise AssertionError(self.daemon.output()) from error


def processes(name):
    """Process ids by name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(encoding="utf-8").strip() == name:
                found.append(path.parent.name)
        except OSError:
            pass  # it ended meanwhile
    return found


class Verdicts(unittest.TestResult):
    """Prints what cargo's test harness would."""

    def startTest(self, test):
        super().startTest(test)
        self.failed = None

    def addError(self, test, err):
        self.failed = err

    addFailure = addError

    def stopTest(self, test):
        name = f"daemon::{test._testMethodName.removeprefix('test_')}"
        print(f"test {name} ... {'FAILED' if self.failed else 'ok'}", flush=True)
        if self.failed:
            self.failures.append((test, ""))
            traceback.print_exception(*self.failed, file=sys.stdout)
        super().stopTest(test)


def main():
    """Runs all tests, or none if a filter fits none: they build on each other."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    if len(sys.argv) > 2 and not any(sys.argv[2] in f"daemon::{test._testMethodName}" for test in suite):
        return 0
    verdicts = Verdicts()
    suite.run(verdicts)
    if Tests.daemon and Tests.daemon.process.poll() is None:
        Tests.daemon.process.kill()
    failed = len(verdicts.failures)
    state = "FAILED" if failed else "ok"
    print(f"test result: {state}. {verdicts.testsRun - failed} passed; {failed} failed; 0 ignored", flush=True)
    return 1 if failed else 0


sys.exit(main())
