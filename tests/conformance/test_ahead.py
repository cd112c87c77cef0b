"""Interpreters that are started ahead of demand: functions cannot tell, but for the time."""

import concurrent.futures
import platform
import re
import subprocess

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.functions import Functions, python_runtime

#: What a function can find out about its process, as text in which what differs from start to start is left out.
SURROUNDINGS = """
uid=$(id -u) gid=$(id -g) groups=$(id -G) pwd=$(pwd) host=$(hostname)
$(grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigIgn|SigBlk)' /proc/self/status)
$(cat /proc/self/cgroup /proc/self/limits; ulimit -a)
$(cut -d' ' -f4- /proc/self/mountinfo | sed 's/,[ug]id=.*//; s/fd.[0-9]*/fd/; s|^/.*/data/|/data/|' | sort)
$(find /var /opt /mnt /run /tmp /home -xdev 2>&1 | sort)
$(ls /; touch /x /var/task/x /opt/x /var/runtime/x 2>&1; touch /tmp/written && ls -l /tmp | grep -c written)
$(cat /proc/1/comm; tr '\\0' ' ' < /proc/$PPID/cmdline; readlink /proc/$PPID/exe; cut -d' ' -f 4,7-8 /proc/$PPID/stat)
$(ls -l /proc/$PPID/fd | sed 's/.* \\([0-9]* ->\\)/\\1/; s/\\[.*//' | grep -v 'event\\|total' | sort)
$(env | grep -v 'SECRET\\|TOKEN\\|LOG_STREAM\\|TRACE_ID\\|^_=' | sort)
"""

PYTHON = """
import json, os, subprocess, sys, time, logging
def handler(event, context):
    if "raise" in event:
        raise ValueError(event["raise"])
    logging.getLogger().warning("hello")
    print("printed")
    return [subprocess.run(["/bin/bash", "-c", event["script"]], capture_output=True, text=True).stdout, sys.argv, sys.path,
            sys.flags.__repr__(), time.tzname, sys.stdin.read(), sys.stdout.encoding, list(map(repr, sys.meta_path[1:])),
            sorted(os.environ), __name__]
"""
NODE = """
const { spawnSync } = require('child_process');
exports.handler = async (event) => {
    if (event.raise) throw new TypeError(event.raise);
    console.log('printed');
    return [spawnSync('/bin/bash', ['-c', event.script]).stdout.toString(), process.argv, module.paths, process.execArgv,
            Intl.DateTimeFormat().resolvedOptions().timeZone, require('fs').readFileSync(0).toString(), Object.keys(process.env).sort(),
            require('module').globalPaths, require.main && require.main.filename];
};
"""
RUBY = """
def handler(event:, context:)
  raise ArgumentError, event['raise'] if event['raise']
  puts 'printed'
  [IO.popen(['/bin/bash', '-c', event['script']], &:read), ARGV, $LOAD_PATH, Gem.path, Time.now.zone, $stdin.read,
   Encoding.default_external.to_s, Encoding.default_internal.to_s, $stdout.sync, ENV.keys.sort]
end
"""
SOURCES = {"python": PYTHON, "node": NODE, "ruby": RUBY}


class Started:
    """A daemon that starts interpreters ahead of demand, or none."""

    def __init__(self, folder, most: int):
        self.daemon = Daemon(folder, arguments=["--started-ahead", str(most)]).start()
        client = boto(self.daemon.url, "lambda")
        self.functions = Functions(client)
        self.logs = boto(self.daemon.url, "logs")

    def now(self) -> dict:
        return self.daemon.started_ahead()

    def one_waits(self):
        wait_for(lambda: self.now()["waiting"] > 0, "an interpreter waits")

    def used(self) -> int:
        return self.now()["used"]


@pytest.fixture
def ahead(tmp_path):
    started = Started(tmp_path, 4)
    yield started
    assert started.daemon.stop() == 0, started.daemon.output()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    started = Started(tmp_path_factory.mktemp("plain"), 0)
    yield started
    assert started.daemon.stop() == 0, started.daemon.output()


@pytest.mark.parametrize("language", SOURCES)
def test_functions_cannot_tell(ahead, plain, language):
    variables = {"Environment": {"Variables": {"MINE": "ü = 1", "TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin", "NODE_ENV": "x"}}}
    script = "cat <<END\n" + SURROUNDINGS + "\nEND\n"

    def told(daemon):
        getattr(daemon.functions, language)("told-" + language, SOURCES[language], MemorySize=256, **variables)
        if daemon is ahead:
            daemon.one_waits()
        before = daemon.used()
        result = daemon.functions.invoke("told-" + language, {"script": script}, LogType="Tail")
        assert daemon.used() - before == (daemon is ahead)
        error = daemon.functions.invoke("told-" + language, {"raise": "oh"})
        return result.good(), without_numbers(result.log), error.value

    (found, log, error), (expected, expected_log, expected_error) = told(ahead), told(plain)
    assert "JST" in str(found) or "Asia/Tokyo" in str(found)
    assert found[0].splitlines() == expected[0].splitlines()
    assert found[1:] == expected[1:]
    assert log == expected_log
    assert without_numbers(str(error)) == without_numbers(str(expected_error))


def without_numbers(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    return re.sub(r"[0-9.:TZ-]+", "N", text)


@pytest.mark.parametrize(
    ("language", "variable", "value"),
    [("python", "PYTHONUTF8", "1"), ("node", "NODE_OPTIONS", "--no-warnings"), ("ruby", "RUBYOPT", "-W0")],
)
def test_what_interpreters_look_at_when_they_start_is_there_then(ahead, language, variable, value):
    name = "early-" + language
    getattr(ahead.functions, language)(name, SOURCES[language], Environment={"Variables": {variable: value}})
    ahead.functions.python("other", PYTHON)
    ahead.one_waits()
    before = ahead.used()
    script = f"tr '\\0' '\\n' < /proc/$PPID/environ | grep ^{variable}="
    assert ahead.functions.invoke(name, {"script": script}).good()[0] == f"{variable}={value}\n"
    assert ahead.used() == before


def test_libraries_of_the_package_are_found(ahead, tmp_path):
    source, library = tmp_path / "mine.c", tmp_path / "libmine.so"
    source.write_text("int mine(void) { return 42; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    code = {
        "app.py": "import ctypes\ndef handler(event, context):\n    return ctypes.CDLL('libmine.so').mine()\n",
        "lib/libmine.so": library.read_bytes(),
    }
    ahead.functions.create("native", packages.package(code), python_runtime())
    ahead.one_waits()
    before = ahead.used()
    assert ahead.functions.invoke("native").good() == 42
    assert ahead.used() == before + 1


@pytest.mark.parametrize("language", SOURCES)
def test_each_one_serves_one_instance(ahead, language):
    """What one function leaves is nowhere for the next."""
    leave = "echo mine > /tmp/left; echo $PPID"
    look = "ls /tmp; ps -eo comm= | grep -v 'ps\\|bash\\|grep'"
    name, other = f"first-{language}", f"second-{language}"
    getattr(ahead.functions, language)(name, SOURCES[language])
    getattr(ahead.functions, language)(other, SOURCES[language])
    before = ahead.used()
    ahead.one_waits()
    ahead.functions.invoke(name, {"script": leave}).good()
    ahead.one_waits()
    init, *function = ahead.functions.invoke(other, {"script": look}).good()[0].split()
    assert (init, len(function)) == ("lambd-init", 1), function
    assert ahead.used() == before + 2


ALIKE = {
    "python": """
import os, random, secrets, socket, ssl, subprocess, tempfile, time, uuid
def handler(event, context):
    time.sleep(event["s"])
    said = subprocess.run(["/bin/bash", "-c", event["script"]], capture_output=True, text=True).stdout
    seen = os.listdir("/tmp")
    made = tempfile.mkstemp()[1]
    peer = socket.create_connection(("127.0.0.1", 9001))
    own = [random.random(), random.SystemRandom().random(), secrets.token_hex(), str(uuid.uuid4()), str(uuid.uuid1()), made,
           ssl.RAND_bytes(8).hex(), context.log_stream_name, os.environ["AWS_SESSION_TOKEN"]]
    return [own, seen, said]
""",
    "ruby": """
require 'securerandom'
require 'tempfile'
def handler(event:, context:)
  sleep event['s']
  said = IO.popen(['/bin/bash', '-c', event['script']], &:read)
  seen = Dir.children('/tmp')
  own = [rand, Random.new.rand, Random.bytes(8).unpack1('H*'), SecureRandom.uuid, Tempfile.create('x').path,
         context.log_stream_name, ENV['AWS_SESSION_TOKEN'], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].shuffle]
  [own, seen, said]
end
""",
}


@pytest.mark.parametrize("language", ALIKE)
def test_instances_of_one_image_share_nothing(ahead, plain, language):
    """Ten at once, most of which are restored from the image of one that waited."""
    script = "cat <<END\n" + SURROUNDINGS + "\nEND\n"
    for daemon in (ahead, plain):
        getattr(daemon.functions, language)("alike-" + language, ALIKE[language], MemorySize=256, Timeout=30)
    ahead.one_waits()

    def one(_):
        return ahead.functions.invoke("alike-" + language, {"s": 2, "script": script}).good()

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(one, range(10)))
    # On other machines there are no images.
    assert (ahead.now()["restored"] > 4) == (platform.machine() == "x86_64"), ahead.now()
    for of_all in zip(*(own for own, _, _ in answers)):
        assert len(set(map(str, of_all))) == 10, of_all
    assert all(seen == ["written"] for _, seen, _ in answers)
    _, _, expected = plain.functions.invoke("alike-" + language, {"s": 0, "script": script}).good()

    for _, _, surroundings in answers:
        assert surroundings.splitlines() == expected.splitlines()


@pytest.mark.parametrize("size", [512, 600])
def test_the_size_of_tmp_is_the_function_s(ahead, size):
    name = f"tmp-{size}"
    ahead.functions.python(name, PYTHON, EphemeralStorage={"Size": size})
    ahead.one_waits()
    script = "df --output=size -m /tmp | tail -1; echo x > /tmp/x && cat /tmp/x"
    shown, text = ahead.functions.invoke(name, {"script": script}).good()[0].split()
    # And what a file system needs for itself.
    assert (size <= int(shown) < size + 20, text) == (True, "x"), shown


def test_an_initialisation_that_fails_is_told_as_ever(ahead, plain):
    def told(daemon):
        daemon.functions.python("broken", "import nothing_like_it\n")
        if daemon is ahead:
            daemon.one_waits()
        return daemon.functions.invoke("broken").failed("Runtime.ImportModuleError")

    found, expected = told(ahead), told(plain)
    assert without_numbers(str(found)) == without_numbers(str(expected))


def test_memory_is_limited_as_ever(ahead):
    ahead.functions.python("hungry", "def handler(event, context):\n    return len(bytearray(400 << 20))\n", MemorySize=128)
    ahead.one_waits()
    ahead.functions.invoke("hungry").failed("Runtime.OutOfMemory")


def test_none_waits_where_none_should(plain):
    plain.functions.python("alone", PYTHON)
    assert plain.functions.invoke("alone", {"script": "echo here"}).good()[0] == "here\n"
    assert plain.now() == {"waiting": 0, "used": 0, "restored": 0, "missed": 0}
