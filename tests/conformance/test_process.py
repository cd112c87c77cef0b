"""The isolation level `process`: for containers and CI jobs that allow no namespaces and no mounts."""

import fcntl
import hashlib
import http.client
import io
import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid
import zipfile

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program, wait_for
from harness.functions import Functions, python_runtime

#: Runs whatever Python it is sent.
PROBE = """import errno, os, shutil, socket, subprocess, sys, tempfile, time
def attempt(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def handler(event, context):
    scope = dict(globals())
    exec(event, scope)
    return scope["result"]
"""

CONTAINER = str(pathlib.Path(__file__).parent.parent / "harness" / "container.py")


def start_lines(daemon) -> str:
    """What a daemon says when it is up, which it may be a little before it says so."""
    wait_for(lambda: "isolation  " in daemon.output(), "the start-up lines")
    return daemon.output()

#: An ordinary user.
NOBODY = 65534

#: Who may start a daemon here: root has an ordinary user at hand as well.
USERS = ["root", "user"] if os.geteuid() == 0 else ["user"]


class Place:
    """A folder that an ordinary user can reach, and the program in it."""

    def __init__(self, user: str):
        self.user = user
        self.daemons = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lambd-process-"))
        self.folder.chmod(0o755)
        # The program and the harness may lie where only their owner may look.
        self.program = self.folder / "lambd"
        shutil.copy(program(), self.program)
        self.container = self.folder / "container.py"
        shutil.copy(CONTAINER, self.container)
        self.data = self.folder / "home" / "data"
        self.data.parent.mkdir()
        if self.as_other_user:
            os.chown(self.data.parent, NOBODY, NOBODY)
        #: Where functions find their files: root's run as users who cannot enter the data directory.
        self.shared = self.data
        if self.user == "root":
            self.shared = pathlib.Path("/var/cache/lambd", hashlib.sha256(bytes(self.data)).hexdigest()[:16])

    def remove(self):
        """Leaves nothing behind, whatever the tests did."""
        for daemon in self.daemons:
            if daemon.alive():
                daemon.kill()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.shared, ignore_errors=True)

    @property
    def as_other_user(self) -> bool:
        """Whether the daemon runs as somebody else than the tests."""
        return self.user == "user" and os.geteuid() == 0

    def prefix(self, *options, container: bool = True) -> list:
        """What a command of lambd is started by: inside a container, or on the machine itself."""
        if container:
            uid = ["--uid", str(NOBODY)] if self.as_other_user else []
            return ["/usr/bin/python3", str(self.container), *uid, *options]
        if self.as_other_user:
            return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return []

    def daemon(self, *options, container: bool = True, arguments=()) -> Daemon:
        """A daemon that is not started yet."""
        prefix = self.prefix(*options, container=container)
        daemon = Daemon(self.folder, data=self.data, prefix=prefix, arguments=arguments, binary=self.program)
        self.daemons.append(daemon)
        return daemon

    def run(self, *arguments, prefix=None) -> subprocess.CompletedProcess:
        """A command that ends by itself."""
        command = [*(self.prefix() if prefix is None else prefix), str(self.program), *map(str, arguments)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
            stdin=subprocess.DEVNULL,
            env=environment(),
        )

    def refuses(self, *arguments, prefix=None) -> str:
        """What a daemon says that must refuse to start."""
        done = self.run("serve", "--listen", "127.0.0.1:0", "--data", self.data, *arguments, prefix=prefix)
        assert done.returncode == 3, done
        assert "panicked" not in done.stderr
        return done.stderr


@pytest.fixture(scope="module", params=USERS)
def place(request):
    """Where a daemon of each user is tried."""
    place = Place(request.param)
    yield place
    place.remove()


@pytest.fixture
def other_place(place):
    """Another one for the same user, for a test that starts and stops daemons."""
    other = Place(place.user)
    yield other
    other.remove()


@pytest.fixture(scope="module")
def contained(place):
    """A daemon in an unprivileged container, left to choose its isolation level."""
    daemon = place.daemon().start()
    yield daemon
    assert daemon.alive(), f"the daemon died:\n{daemon.output()}"
    assert daemon.stop() == 0, daemon.output()
    assert list(place.shared.glob("tmp/*")) == []


@pytest.fixture(scope="module")
def functions_there(contained):
    """Functions of that daemon."""
    return Functions(boto(contained.url, "lambda"))


@pytest.fixture(scope="module")
def probe(functions_there):
    """Runs Python in a function there: ``probe(code)`` gives the ``result`` that the code sets."""
    functions_there.python("prober", PROBE, Timeout=30, MemorySize=512)
    return lambda code: functions_there.invoke("prober", code).good()


def test_auto_chooses_the_level(place, contained):
    """CORE-009: without namespaces the level `process` is chosen and told, with how far it goes."""
    said = start_lines(contained)
    assert "isolation  process (" in said
    user = (
        "each function has a user of its own"
        if place.user == "root"
        else "functions run as the user who runs lambd"
    )
    assert user in said
    assert "Landlock ABI" in said
    report = place.run("doctor", "--listen", "127.0.0.1:0", "--data", place.data)
    assert report.returncode == 0, report.stdout
    assert "✓ process" in report.stdout and "in force" in report.stdout
    assert "! namespaces" in report.stdout and "try: " in report.stdout


def test_layers(functions_there):
    """CORE-208, CORE-216, RT-44: merged and found by the runtimes, though they are not at /opt."""
    client = functions_there.client

    def publish(layer, content):
        answer = client.publish_layer_version(LayerName=layer, Content={"ZipFile": content})
        return answer["LayerVersionArn"]

    one, two = (
        publish(word, packages.package({"python/word.py": f"WORD = {word!r}\n", f"python/{word}.py": ""}))
        for word in ("one", "two")
    )
    source = "import word, one, two, sys\ndef handler(event, context):\n    return [word.WORD, sys.argv[1:]]\n"
    functions_there.python("layered", source, Layers=[one, two])
    assert functions_there.invoke("layered").good() == ["two", []]
    answer = '  printf \'"%s"\' "$0" | curl -sS --data-binary @- "$URL/invocation/$ID/response" > /dev/null'
    runtime = publish("runtime", packages.bash(answer))
    functions_there.custom("layered-custom", packages.package({"function.sh": ""}), Layers=[runtime])
    assert functions_there.invoke("layered-custom").good().endswith("/bootstrap")


def test_a_demanded_level_that_does_not_work(other_place):
    """CORE-006: the start is refused with the reason and the remedy, and nothing falls back."""
    said = other_place.refuses("--isolation", "namespaces")
    assert "the isolation level namespaces does not work here" in said
    assert "clone3" in said
    assert "try: " in said
    assert "--isolation" in said


def test_without_landlock(other_place):
    """CORE-005: where files are not protected by a user of one's own either, the level is refused."""
    place = other_place
    if place.user == "user":
        said = place.refuses("--isolation", "process", prefix=place.prefix("--no-landlock"))
        assert "lacks Landlock" in said and "CAP_SETUID" in said
        said = place.refuses(prefix=place.prefix("--no-landlock"))
        assert "no isolation level works here" in said and "namespaces:" in said and "process:" in said
        return
    daemon = place.daemon("--no-landlock").start()
    try:
        assert "by permissions only, for want of Landlock" in start_lines(daemon)
        functions = Functions(boto(daemon.url, "lambda"))
        functions.python("prober", PROBE)
        secret = place.data / "lambd.db"
        assert functions.invoke("prober", f"result = attempt(lambda: open({str(secret)!r}))").good() == "EACCES"
        assert functions.invoke("prober", "result = attempt(lambda: os.kill(1, 0))").good() == "EPERM"
    finally:
        assert daemon.stop() == 0, daemon.output()


def test_every_kind_of_runtime(functions_there):
    """RT-42, LANG1-029: Python, Node.js and custom runtimes run, with warm events on one instance."""
    functions_there.python(
        "py", "count = 0\ndef handler(e, c):\n    global count\n    count += 1\n    return [e, count]\n"
    )
    functions_there.node("js", "let n = 0; exports.handler = async (e) => [e, ++n]")
    functions_there.custom("sh", packages.bash('  curl -sS -d "$EVENT" "$URL/invocation/$ID/response"'))
    functions_there.rust_echo("rust")
    for name in ("py", "js"):
        assert functions_there.invoke(name, "a").good() == ["a", 1]
        assert functions_there.invoke(name, "b").good() == ["b", 2]
    assert functions_there.invoke("sh", {"x": 1}).good() == {"x": 1}
    assert functions_there.invoke("rust", {"x": 1}).error is None


def test_bootstrap_for_sh_gets_bash(functions_there):
    """RT-42: `#!/bin/sh` is bash, as on AWS."""
    script = packages.bash('  curl -sS -d "$RESPONSE" "$URL/invocation/$ID/response"')
    with zipfile.ZipFile(io.BytesIO(script)) as archive:
        loop = archive.read("bootstrap").decode()
    start = "#!/bin/sh\nset -euo pipefail\nWORDS=(no yes)\nRESPONSE='\"'${WORDS[1]}'\"'\nsource ${LAMBDA_TASK_ROOT}/loop.sh\n"
    functions_there.custom(
        "sh-is-bash", packages.package({"bootstrap": start, "loop.sh": loop}, {"bootstrap": packages.PROGRAM})
    )
    assert functions_there.invoke("sh-is-bash").good() == "yes"


def test_environment_by_path(place, probe):
    """RT-49: variables lead to the real directories, since nothing is mounted."""
    found = probe("result = dict(os.environ, cwd=os.getcwd(), tmp=tempfile.gettempdir(), file=sys.path[0])")
    root = found["LAMBDA_TASK_ROOT"]
    assert root == found["cwd"] and os.path.isfile(f"{root}/app.py")
    assert os.path.isfile(f"{found['LAMBDA_RUNTIME_DIR']}/bootstrap.py")
    assert found["PYTHONPATH"] == found["LAMBDA_RUNTIME_DIR"]
    assert found["LD_LIBRARY_PATH"].split(":").count(root) == 1
    assert found["TMPDIR"] == found["TMP"] == found["TEMP"] == found["HOME"] == found["tmp"] != "/tmp"
    assert found["TMPDIR"].startswith(f"{place.shared}/tmp/") and root.startswith(f"{place.shared}/code/")


def test_temporary_files(place, probe):
    """RT-30, CORE-087: private, kept between events, usual operations work, single files are limited."""
    code = """open(f"{os.environ['TMPDIR']}/a", "w").write("x")
os.chdir(os.environ["TMPDIR"])
shutil.copy("a", "b"); os.chmod("b", 0o750); os.utime("b", (1, 2)); os.rename("b", "c"); os.mkdir("d", 0o700)
os.chmod("d", 0); os.chmod(os.path.abspath("a"), 0o600)
handle = os.open("c", os.O_RDWR); os.fchmod(handle, 0o700); os.utime(handle, ns=(5, 6))
status = os.stat("c")
os.chdir(os.environ["LAMBDA_TASK_ROOT"])
result = [oct(status.st_mode), status.st_mtime_ns, os.stat(os.environ["TMPDIR"]).st_mode & 0o777]"""
    assert probe(code) == ["0o100700", 6, 0o700]
    assert probe("result = sorted(os.listdir(os.environ['TMPDIR']))") == ["a", "c", "d"]
    big = "f = open(os.environ['TMPDIR'] + '/big', 'wb')\nresult = attempt(lambda: f.truncate(513 << 20))\nos.remove(f.name)"
    assert probe(big) == "EFBIG"
    for path in ("/tmp/x", "/var/tmp/x", "/dev/shm/x", "/x", "{LAMBDA_TASK_ROOT}/x", "{TMPDIR}/../x"):
        assert probe(f"result = attempt(lambda: open({path!r}.format(**os.environ), 'w'))") in (
            "EACCES",
            "EPERM",
        ), path


def test_host_files_are_out_of_reach(place, probe):
    """CORE-005: neither contents nor permissions of other files, whoever owns them."""
    owned = place.data.parent / "owned"
    owned.write_text("secret")
    owned.chmod(0o644)
    if place.as_other_user:
        os.chown(owned, NOBODY, NOBODY)
    for path in (owned, place.data / "lambd.db", place.data, "/root", "/home", "/etc/shadow", "/tmp"):
        assert (
            probe(f"p = {str(path)!r}\nresult = attempt(lambda: os.listdir(p) if os.path.isdir(p) else open(p))")
            == "EACCES"
        ), path
    for action in (
        "os.chmod(p, 0)", "os.utime(p)", "os.truncate(p, 0)", "os.unlink(p)", "os.chown(p, -1, os.getgid())",
        "os.setxattr(p, 'user.x', b'')", "os.link(p, os.environ['TMPDIR'] + '/l')", "os.rename(p, os.environ['TMPDIR'] + '/r')",
    ):  # fmt: skip
        assert probe(f"p = {str(owned)!r}\nresult = attempt(lambda: {action})") in ("EACCES", "EPERM", "EXDEV"), (
            action
        )
    link = f"l = os.environ['TMPDIR'] + '/link'\nos.symlink({str(owned)!r}, l)\nresult = attempt(lambda: os.chmod(l, 0))\nos.unlink(l)"
    assert probe(link) in ("EACCES", "EPERM")
    assert (owned.read_text(), owned.stat().st_mode & 0o777) == ("secret", 0o644)


def test_other_processes_are_out_of_reach(probe):
    """CORE-005: no signals to, and no looking into, what is not the function's own."""
    host = subprocess.Popen(["sleep", "1000"])
    try:
        targets = f"({host.pid}, os.getppid(), int(open('/proc/%d/stat' % os.getppid()).read().split()[3]))"
        look = f"result = [attempt(lambda: open(f'/proc/{{pid}}/{{name}}').read(1)) for pid in {targets} for name in ('environ', 'mem', 'maps')]"
        assert set(probe(look)) <= {"EACCES", "EPERM"}
        kill = f"result = [attempt(lambda: os.kill(pid, number)) for pid in {targets} for number in (0, 9)]"
        assert set(probe(kill)) == {"EPERM"}
        # Whatever -1 reaches, it is not these.
        assert probe("result = attempt(lambda: os.kill(-1, 0))") in ("ok", "EPERM", "ESRCH")
        limit = f"import resource\nresult = attempt(lambda: resource.prlimit({host.pid}, resource.RLIMIT_NOFILE, (5, 5)))"
        assert probe(limit) == "EPERM"
        own = "p = subprocess.Popen(['sleep', '1000'])\np.terminate()\nresult = p.wait()"
        assert probe(own) == -15
        assert host.poll() is None
    finally:
        host.kill()
        host.wait()


def test_network_none(contained, probe):
    """CORE-005: of the host's network only the function's own endpoints."""
    connect = f"result = attempt(lambda: socket.create_connection(('127.0.0.1', {contained.port}), 2))"
    assert probe(connect) in ("EACCES", "EPERM")
    for kind in (
        "socket.AF_INET, socket.SOCK_DGRAM",
        "socket.AF_INET, socket.SOCK_STREAM, 262",
        "socket.AF_INET, socket.SOCK_RAW, 1",
    ):
        assert probe(f"result = attempt(lambda: socket.socket({kind}))") == "EPERM", kind
    past = f"s = socket.socket()\nresult = attempt(lambda: s.sendto(b'x', 0x20000000, ('127.0.0.1', {contained.port})))"
    assert probe(past) == "EPERM"
    assert probe(
        "result = [attempt(lambda: socket.socket().listen()), attempt(lambda: socket.socket().bind(('', 0)))]"
    ) == ["EPERM", "EACCES"]
    assert probe("result = len(socket.socketpair())") == 2


def test_endpoints_are_the_functions_own(probe):
    """CORE-005: whoever else connects to a Runtime API or endpoint of a sandbox is not served."""
    runtime_api, aws = probe(
        "result = [os.environ['AWS_LAMBDA_RUNTIME_API'], os.environ['AWS_ENDPOINT_URL'].removeprefix('http://')]"
    )
    for address, path in ((runtime_api, "/2018-06-01/runtime/invocation/next"), (aws, "/2015-03-31/functions")):
        connection = http.client.HTTPConnection(address, timeout=10)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            connection.request("GET", path)
            connection.getresponse()
    inside = "import urllib.request\nresult = attempt(lambda: urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/_lambd/health').read())"
    assert probe(inside) == "ok"


def running(mark: str) -> list:
    """Processes with a text in their command line."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in entry.read_text(errors="replace"):
                found.append(entry.parent.name)
        except OSError:
            pass
    return found


#: Leaves a child that has moved to a session of its own and lost its parent, and a tree that multiplies.
DAEMONS = """import os, time
def handler(mark, context):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execl("/bin/sh", "sh", "-c", "while true; do sleep 1 & done; : " + mark)
            os._exit(0)
    time.sleep(1000)
"""


def test_nothing_survives_a_timeout(functions_there):
    """RT-31, CORE-071: the whole tree ends, however its processes have hidden."""
    mark = f"mark-{uuid.uuid4().hex}"
    functions_there.python("daemons", DAEMONS, Timeout=2, MemorySize=512)
    functions_there.invoke("daemons", mark).failed("Sandbox.Timedout")
    wait_for(lambda: not running(mark), "processes of the function to end")


def test_nothing_survives_the_daemon(other_place):
    """CORE-083: after `kill -9` no process is left, and the next start removes the directories."""
    daemon = other_place.daemon().start()
    functions = Functions(boto(daemon.url, "lambda"))
    mark = f"mark-{uuid.uuid4().hex}"
    functions.python("daemons", DAEMONS.replace("time.sleep(1000)", "return os.environ['TMPDIR']"), MemorySize=512)
    tmp = functions.invoke("daemons", mark).good()
    assert os.path.isdir(tmp)
    wait_for(lambda: running(mark), "processes of the function to start")
    daemon.kill()
    wait_for(lambda: not running(mark), "processes of the function to end")
    daemon.start()
    wait_for(lambda: not os.path.exists(tmp), "the directory of the dead function to go")
    assert daemon.stop() == 0, daemon.output()


def held(directory) -> bool:
    """Whether a process holds a lock of a directory."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False


@pytest.mark.parametrize("user", [user for user in USERS if user == "root"])
def test_the_next_daemon_removes_what_a_killed_one_left(user):
    """CORE-083: whatever its data directory is; what a living daemon has stays."""
    living, killed, following = places = [Place(user) for _ in range(3)]
    try:
        for place in (living, killed):
            Functions(boto(place.daemon().start().url, "lambda")).python("f", DAEMONS)
            assert list(place.shared.glob("code/*"))
        killed.daemons[0].kill()
        wait_for(lambda: not held(killed.shared), "the last process of the daemon to end")
        following.daemon().start()
        assert not killed.shared.exists(), following.daemons[0].output()
        assert list(living.shared.glob("code/*"))
    finally:
        for place in places:
            place.remove()


def test_the_level_can_be_demanded_where_more_would_work(other_place):
    """CORE-005: on the machine itself as well, and functions work."""
    daemon = other_place.daemon(container=False, arguments=["--isolation", "process"]).start()
    assert "isolation  process (" in start_lines(daemon)
    functions = Functions(boto(daemon.url, "lambda"))
    functions.python("f", "import os\ndef handler(event, context):\n    return os.getuid()\n")
    uid = functions.invoke("f").good()
    assert (uid >= 0x7000_0000) == (other_place.user == "root")
    assert daemon.stop() == 0, daemon.output()


def test_the_level_has_a_name(place):
    """CORE-006: anything else is refused as an option."""
    done = place.run("serve", "--isolation", "docker")
    assert done.returncode == 2
    assert "not an isolation level" in done.stderr


def test_a_wrapper_starts_the_runtime(functions_there):
    """AWS_LAMBDA_EXEC_WRAPPER names a place on AWS; the file is elsewhere here."""
    wrapper = '#!/bin/bash\nexport FROM_WRAPPER="$0"\nexec "$@"\n'
    source = "import os\ndef handler(event, context):\n    return os.environ['FROM_WRAPPER']\n"
    code = packages.package({"app.py": source, "wrap": wrapper}, modes={"wrap": 0o755})
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}
    functions_there.create("wrapped", code, python_runtime(), Environment=variables)
    place = functions_there.invoke("wrapped").good()
    assert place.endswith("/wrap") and not place.startswith("/var/task"), place
