"""Reaching other processes, multiplying without end, outliving what should be the end."""

import os
import time
import uuid

import pytest

from stage import children, command_line, comm, descendants, eventually, occupied
from tools import *  # noqa: F403 - what attacks use is defined there

#: Errors that say that a process cannot be named or may not be touched.
UNTOUCHED = {"ESRCH", "EPERM", "EACCES", "ENOSYS"}


def host_processes(stage) -> list:
    """The daemon, its spawner, and the host's view of all its instances."""
    return [stage.pid, *descendants(stage.pid), os.getpid()]


def test_processes_that_are_seen(stage):
    """A function sees pid 1, itself and its children, and nobody else."""

    def run():
        return {pid: read(f"/proc/{pid}/comm").decode() for pid in os.listdir("/proc") if pid.isdigit()}

    found = stage.attack(run)
    assert found["1"] == "lambd-init\n"
    assert len(found) == 2, found


def test_signals_to_the_host(stage):
    """Neither the daemon nor its spawner nor other instances can be signalled, by whatever call."""
    targets = host_processes(stage)
    victims = stage.victims()
    assert set(victims) <= set(targets)

    def run(targets):
        # Numbers mean others where the view is its own.
        own = {os.getppid(), *family()}
        found = {}
        for target in targets:
            if target not in own:
                found[target] = outcomes(
                    {
                        "kill": lambda target=target: os.kill(target, signal.SIGKILL),
                        "group": lambda target=target: os.killpg(target, signal.SIGKILL),
                        "thread": lambda target=target: syscall(200, target, signal.SIGKILL),
                        "queue": lambda target=target: syscall(129, target, signal.SIGKILL, bytes(128)),
                        "pidfd": lambda target=target: signal.pidfd_send_signal(os.pidfd_open(target), signal.SIGKILL),
                    }
                )
        return found

    found = stage.attack(run, targets)
    assert len(found) >= 3
    for target, tried in found.items():
        assert set(tried.values()) <= UNTOUCHED | {"EINVAL"}, (target, tried)
    # Empty sandboxes come and go by themselves; these do not.
    assert {stage.pid, stage.spawner(), *victims} <= {stage.pid, *descendants(stage.pid)}, "all are alive"


def test_signal_to_everybody(stage, name):
    """kill(-1) reaches the function's own processes only."""
    stage.attacker(name)
    others = {stage.pid, stage.spawner(), *stage.victims()}

    def run():
        child = sleeper()
        os.kill(-1, signal.SIGKILL)
        return child.wait(10)

    assert stage.attack(run, by=name) == -9
    assert others <= set(host_processes(stage))


def test_signal_to_init(stage, name):
    """The init of the sandbox cannot be killed, stopped or asked to end from inside."""
    stage.attacker(name)

    def run():
        init = os.getppid()
        numbers = [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGCHLD]
        tried = {int(number): outcome(lambda number=number: os.kill(init, number)) for number in numbers}
        time.sleep(0.2)
        return [tried, read(f"/proc/{init}/stat").decode().split()[2], in_child(lambda: None)]

    tried, state, child = stage.attack(run, by=name)
    assert set(tried.values()) <= {"ok", "EPERM"}, tried
    assert state == "S"
    assert child == 0, "orphans are still reaped"
    assert stage.attack(run, by=name)[1] == "S"


def test_tracing(stage):
    """No process can be traced: not the init, not a child, and nobody can ask to be."""

    def run():
        child = sleeper()
        attach, seize, traceme = 16, 0x4206, 0
        try:
            return outcomes(
                {
                    "init": lambda: syscall("ptrace", attach, os.getppid(), 0, 0),
                    "seize init": lambda: syscall("ptrace", seize, os.getppid(), 0, 0),
                    "child": lambda: syscall("ptrace", attach, child.pid, 0, 0),
                    "me": lambda: syscall("ptrace", traceme, 0, 0, 0),
                }
            )
        finally:
            child.kill()
            child.wait()

    found = stage.attack(run)
    assert set(found.values()) <= {"EPERM", "ENOSYS"}, found


def test_memory_of_other_processes(stage):
    """The memory of its init and of the host's processes can be neither read nor written."""
    targets = host_processes(stage)

    def run(targets):
        place = ctypes.create_string_buffer(64)
        here = struct.pack("QQ", ctypes.addressof(place), 64)
        found = {}
        # Its own init, and whoever else has these numbers here.
        for target in {1, os.getppid(), *targets} - set(family()):
            found[target] = outcomes(
                {
                    "read": lambda t=target: syscall("process_vm_readv", t, here, 1, here, 1, 0),
                    "write": lambda t=target: syscall("process_vm_writev", t, here, 1, here, 1, 0),
                    "mem": lambda t=target: os.close(os.open(f"/proc/{t}/mem", os.O_RDWR)),
                    "maps": lambda t=target: read(f"/proc/{t}/maps"),
                    "auxv": lambda t=target: read(f"/proc/{t}/auxv"),
                    "pagemap": lambda t=target: read(f"/proc/{t}/pagemap"),
                    "advise": lambda t=target: syscall("process_madvise", t, here, 1, 21, 0),
                }
            )
        return found

    for target, tried in stage.attack(run, targets).items():
        assert set(tried.values()) <= UNTOUCHED | {"ENOENT"}, (target, tried)


def test_descriptors_of_other_processes(stage):
    """The init holds the line to the daemon: its descriptors can be neither taken nor seen nor compared."""

    def run():
        init = os.getppid()
        try:
            pidfd = os.pidfd_open(init)
        except OSError:
            pidfd = -1
        found = {fd: outcome(lambda fd=fd: syscall("pidfd_getfd", pidfd, fd, 0)) for fd in range(32)}
        found["listing"] = outcome(lambda: os.listdir(f"/proc/{init}/fd"))
        found["link"] = outcome(lambda: os.readlink(f"/proc/{init}/fd/0"))
        found["info"] = outcome(lambda: read(f"/proc/{init}/fdinfo/0"))
        found["open"] = outcome(lambda: os.open(f"/proc/{init}/fd/3", os.O_RDWR))
        found["compare"] = outcome(lambda: syscall("kcmp", os.getpid(), init, 0, 0, 0))
        return found

    found = stage.attack(run)
    assert set(found.values()) <= {"EPERM", "EACCES", "ENOSYS", "ESRCH", "ENOENT"}, found


def test_priorities(stage):
    """A function cannot put itself before others: no real time, no better nice value, no better disk queue."""

    def run():
        real_time, batch_class = 1 << 13, os.sched_param(1)
        return outcomes(
            {
                "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -1),
                "user": lambda: os.setpriority(os.PRIO_USER, os.getuid(), -5),
                "fifo": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, batch_class),
                "round robin": lambda: os.sched_setscheduler(0, os.SCHED_RR, batch_class),
                "deadline": lambda: syscall(314, 0, struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8), 0),
                "disk": lambda: syscall("ioprio_set", 1, 0, real_time),
                "init": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), -1),
            }
        )

    found = stage.attack(run)
    assert set(found.values()) <= {"EPERM", "EACCES"}, found


def test_killer_of_processes_spares_it_before_the_daemon(stage):
    """When memory runs out, a function is a better choice than the daemon, and cannot make itself a worse one."""

    def run():
        start = int(read("/proc/self/oom_score_adj"))
        numbers = (-1000, -1, 0, start - 1)
        tried = outcomes({str(n): lambda n=n: write("/proc/self/oom_score_adj", str(n).encode()) for n in numbers})
        tried["init"] = outcome(lambda: write(f"/proc/{os.getppid()}/oom_score_adj", b"-1000"))
        return [start, tried, int(read("/proc/self/oom_score_adj"))]

    start, tried, end = stage.attack(run)
    daemon = int(open(f"/proc/{stage.pid}/oom_score_adj").read())
    assert start == end > daemon
    assert set(tried.values()) <= {"EACCES", "EPERM"}, tried


def test_core_dumps(stage):
    """A crash writes no core, also where the host pipes cores to a program of its own, and nobody can change that."""

    def run():
        before = resource.getrlimit(resource.RLIMIT_CORE)
        tried = outcomes({"raise": lambda: syscall("setrlimit", 4, struct.pack("QQ", 1 << 30, 1 << 30))})
        # A limit of zero would start a core_pattern that is a pipe again: see core(5).
        for value in (0, 1 << 30):
            syscall_outcome = outcome(lambda v=value: syscall("prlimit64", 0, 4, struct.pack("QQ", v, v), 0))
            tried[f"prlimit64 {value}"] = syscall_outcome
        os.chdir(TMP)
        crash = in_child(lambda: os.kill(os.getpid(), signal.SIGSEGV))
        cores = [name for name in os.listdir(TMP) if name.startswith("core")]
        return [before, resource.getrlimit(resource.RLIMIT_CORE), crash, cores, tried]

    before, after, crash, cores, _ = stage.attack(run)
    (line,) = [line for line in open(f"/proc/{stage.pid}/limits") if line.startswith("Max core file size")]
    highest = 0 if line.split()[5] == "0" else 1
    assert before == after == [highest, highest]
    assert (crash, cores) == (-11, [])


def test_stopped_child(stage, name):
    """A child that is stopped keeps neither the event from ending nor the instance from being removed."""
    stage.attacker(name)
    mark = uuid.uuid4().hex

    def run(mark):
        children = [sleeper(mark) for _ in range(3)]
        for child in children:
            os.kill(child.pid, signal.SIGSTOP)
        return len(children)

    assert stage.attack(run, mark, by=name) == 3
    eventually(lambda: len(stage.marked(mark)) == 3, "the stopped children to be seen")
    stage.lambda_.delete_function(FunctionName=name)
    eventually(lambda: not stage.marked(mark), "the stopped children to be gone")


def test_child_of_vfork(stage, name):
    """A parent that hangs in vfork, with a child that never goes on, ends with its instance."""
    stage.attacker(name, Timeout=2)
    mark = uuid.uuid4().hex

    def run(mark):
        code = (
            "import ctypes, sys\n"
            "libc = ctypes.CDLL(None)\n"
            "pid = libc.vfork()\n"
            "while pid == 0:\n"
            "    libc.pause()\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code, mark])
        child.wait()

    answer = stage.invoke(name, run, mark)
    assert "timed out" in answer.failed("Sandbox.Timedout")["errorMessage"]
    eventually(lambda: not stage.marked(mark), "the processes of vfork to be gone")
    assert stage.attack(lambda_nothing, by=name) == "nothing"


def lambda_nothing():
    return "nothing"


def test_flood_of_zombies(stage, name):
    """Hundreds of orphans that end at once are reaped; the instance goes on."""
    stage.attacker(name)

    def run():
        for _ in range(80):
            pid = os.fork()
            if pid == 0:
                # Grandchildren become orphans of pid 1, and at once zombies.
                for _ in range(5):
                    if os.fork() == 0:
                        os._exit(0)
                os._exit(0)
            os.waitpid(pid, 0)
        until = time.monotonic() + 10
        while len(family()) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        return [family(), os.getpid()]

    left, own = stage.attack(run, by=name)
    assert left == [own]


def test_fork_bomb(stage, name):
    """A fork bomb ends at the limit of 1,024 processes; others can start processes meanwhile."""
    stage.attacker(name, Timeout=60, MemorySize=2048)
    others = len(occupied(stage.pid))

    def run():
        children = []
        try:
            while len(children) < 3000:
                pid = os.fork()
                if pid == 0:
                    signal.pause()
                    os._exit(0)
                children.append(pid)
        except OSError as error:
            return [len(children), errno.errorcode[error.errno]]
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)

    count, error = stage.attack(run, by=name)
    assert 500 < count <= 1024, count
    assert error == "EAGAIN"

    def bomb():
        while True:
            try:
                os.fork()
            except OSError:
                pass

    stage.functions.configure(name, Timeout=3)
    assert stage.invoke(name, bomb).error == "Unhandled"
    eventually(lambda: len(occupied(stage.pid)) <= others, "the bomb's processes to be gone")
    assert stage.attack(lambda_nothing, by=name) == "nothing"


def test_flood_of_threads(stage, name):
    """Threads count as processes do: 1,024, whatever the size of their stacks."""
    stage.attacker(name)

    def run():
        threading.stack_size(65536)
        stop = threading.Event()
        threads = []
        try:
            while len(threads) < 3000:
                threads.append(threading.Thread(target=stop.wait, daemon=True))
                threads[-1].start()
        except RuntimeError as error:
            return [len(threads), str(error)]
        finally:
            stop.set()

    count, error = stage.attack(run, by=name)
    assert 500 < count <= 1024
    assert "thread" in error


@pytest.mark.parametrize("way", ["deaf", "daemonised", "group", "stopped", "busy"])
def test_surviving_the_timeout(stage, name, way):
    """Nothing of a function outlives its timeout, however it hides."""
    stage.attacker(name, Timeout=1)
    mark = uuid.uuid4().hex

    def run(mark, way):
        deaf = "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        busy = "import os\nfor n in range(3): os.fork()\nwhile True: pass\n"
        code = busy if way == "busy" else deaf + "while True: time.sleep(1)\n"

        def start():
            if way == "group":
                os.setpgid(0, 0)
            os.execv(sys.executable, [sys.executable, "-c", code, mark])

        if way in ("daemonised", "stopped"):
            # Twice forked, a session of its own, no parent, nothing open.
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.closerange(0, 64)
                    if way == "stopped" and os.fork() == 0:
                        time.sleep(0.3)
                        os.kill(os.getppid(), signal.SIGSTOP)
                        os._exit(0)
                    start()
                os._exit(0)
        elif os.fork() == 0:
            start()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(30)

    answer = stage.invoke(name, run, mark, way)
    assert "timed out after 1" in answer.failed("Sandbox.Timedout")["errorMessage"]
    eventually(lambda: not stage.marked(mark), "every process of the function to be gone")
    assert stage.attack(lambda_nothing, by=name) == "nothing"


def test_surviving_its_deletion(stage, name):
    """A background process that ignores all signals ends with its function."""
    stage.attacker(name)
    mark = uuid.uuid4().hex

    def run(mark):
        code = "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(600)\n"
        subprocess.Popen([sys.executable, "-c", code, mark], start_new_session=True)
        return True

    assert stage.attack(run, mark, by=name) is True
    eventually(lambda: len(stage.marked(mark)) == 1, "the background process to be seen")
    stage.lambda_.delete_function(FunctionName=name)
    eventually(lambda: not stage.marked(mark), "the background process to be gone")


def test_the_marks_are_seen(tmp_path):
    """What the tests above wait for to be gone would be seen if it were there."""
    mark = uuid.uuid4().hex
    child = sleeper(mark)
    try:
        until = time.monotonic() + 10
        while mark.encode() not in command_line(child.pid):
            assert time.monotonic() < until
        assert child.pid in children(os.getpid())
        assert comm(child.pid).startswith("python")
    finally:
        child.kill()
        child.wait()
