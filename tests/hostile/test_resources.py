"""Using up what all share: memory, disk, descriptors."""

import os
import uuid

from stage import eventually
from tools import *  # noqa: F403 - what attacks use is defined there

MB = 1 << 20


def nothing():
    return "nothing"


def refused_for_memory(answer) -> bool:
    """Whether an invocation ended for want of memory, or was told that there is none."""
    if answer.error is None:
        return "refused" in answer.value
    return answer.value["errorType"] in {"Runtime.OutOfMemory", "Runtime.ExitError", "MemoryError"}


def test_memory_of_one_process(stage, name):
    """One process that takes more and more memory ends, or gets no more; the next event finds a working function."""
    stage.attacker(name, MemorySize=128)

    def run():
        taken = []
        while len(taken) < 1000:
            taken.append(bytearray(os.urandom(1 << 20)) * 4)
        return len(taken)

    assert refused_for_memory(stage.invoke(name, run))
    assert stage.attack(nothing, by=name) == "nothing"


def test_memory_of_many_processes(stage, name):
    """Many processes have no more memory together than one has."""
    stage.attacker(name, MemorySize=256)

    def run():
        code = "import time\nx = bytearray(100 << 20)\nfor n in range(0, len(x), 4096): x[n] = 1\nprint(len(x), flush=True)\ntime.sleep(60)"
        children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(12)]
        for child in children:
            child.stdout.readline()
        time.sleep(0.2)
        return sum(1 for child in children if child.poll() is None)

    answer = stage.invoke(name, run)
    assert refused_for_memory(answer) or answer.value["value"] <= 2, answer


def test_memory_in_shared_files(stage, name):
    """Memory that belongs to no process counts as well: in files of memory, in /tmp and in pieces of System V."""
    stage.attacker(name, MemorySize=256)

    def in_a_file():
        file = os.memfd_create("large")
        for _ in range(1024):
            os.write(file, b"x" * (1 << 20))

    def in_tmp():
        with open(f"{TMP}/large", "wb") as file:
            for _ in range(500):
                file.write(b"x" * (1 << 20))

    def in_system_v():
        for number in range(16):
            place = ctypes.c_void_p(syscall("shmat", syscall("shmget", 0, 64 << 20, 0o1600), 0, 0))
            ctypes.memset(place, 1, 64 << 20)

    # As root, /tmp is on disk.
    for run in (in_a_file, in_system_v) if stage.user == "root" else (in_a_file, in_tmp, in_system_v):
        assert refused_for_memory(stage.invoke(name, run)), run.__name__
    assert stage.attack(nothing, by=name) == "nothing"


def test_memory_in_sockets(stage, name):
    """What waits in sockets counts as memory: TCP's buffers alone would hold gigabytes."""
    stage.attacker(name, MemorySize=256)

    def tcp():
        pairs, total = [], 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(450):
                sender = socket.socket()
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
                sender.connect(listener.getsockname())
                pairs.append((sender, listener.accept()[0]))
                sender.setblocking(False)
                try:
                    while True:
                        total += sender.send(b"x" * 65536)
                except BlockingIOError:
                    pass
        return total

    def unix():
        pairs, total = [], 0
        for _ in range(450):
            sender, receiver = socket.socketpair()
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
            sender.setblocking(False)
            pairs.append((sender, receiver))
            try:
                while True:
                    total += sender.send(b"x" * 65536)
            except BlockingIOError:
                pass
        return total

    for run in (tcp, unix):
        answer = stage.invoke(name, run)
        assert refused_for_memory(answer) or answer.value["value"] < 320 * MB, (run.__name__, answer)


def test_flood_of_descriptors(stage, name):
    """1,024 descriptors for a process, of whatever kind, and the daemon keeps its own."""
    stage.attacker(name)

    def run():
        kinds = {
            "file": lambda: os.open("/dev/null", os.O_RDONLY),
            "pipe": lambda: os.pipe(),
            "socket": lambda: socket.socket().detach(),
            "memory": lambda: os.memfd_create("x"),
            "event": lambda: os.eventfd(0),
        }
        ends = {}
        for kind, make in kinds.items():
            try:
                for _ in range(3000):
                    make()
            except OSError as error:
                ends[kind] = errno.errorcode[error.errno]
            os.closerange(64, 1100)
            for fd in range(8, 64):
                if os.path.realpath(f"/proc/self/fd/{fd}").startswith(("/dev/null", "/proc/")):
                    outcome(lambda fd=fd: os.close(fd))
        return ends

    assert set(stage.attack(run, by=name).values()) == {"EMFILE"}


def test_objects_counted_for_their_user(stage, name):
    """Objects of which the kernel gives each user a few are not taken away from other functions, nor from the host."""
    stage.attacker(name)

    def take():
        # Kept until the instance ends.
        files = 0
        while libc.inotify_init() >= 0:
            files += 1
        signals = 0
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
        while libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None) == 0 and signals < 100_000:
            signals += 1
        return [files, signals]

    def use():
        watch = libc.inotify_init()
        if watch >= 0:
            os.close(watch)
        timer = ctypes.c_void_p()
        made = libc.timer_create(1, None, ctypes.byref(timer))
        return [watch >= 0, made, made or libc.timer_delete(timer)]

    files, signals = stage.attack(take, by=name)
    # At the level `process` a user of its own has as many as any other.
    assert files <= (16 if stage.own_view else 128) and signals <= 1024, (files, signals)
    assert stage.attack(use) == [True, 0, 0]
    assert use() == [True, 0, 0], "on the host"


def test_descriptors_in_flight(stage, name):
    """Descriptors that are on their way between sockets run out for the function, not for the daemon."""
    stage.attacker(name)

    mark, sign = uuid.uuid4().hex, f"{name}-sign"

    def run(mark, sign):
        null = os.open("/dev/null", os.O_RDONLY)
        pairs, sent = [], 0
        try:
            while sent < 20000:
                sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                sender.setblocking(False)
                pairs.append((sender, receiver))
                try:
                    while True:
                        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))
                        sender.sendmsg([b"x"], [rights])
                        sent += 250
                except BlockingIOError:
                    pass
        except OSError as error:
            child = sleeper(mark)
            await_sign(sign)  # meanwhile the test has a new instance made
            child.kill()
            child.wait()
            return [sent, errno.errorcode[error.errno]]

    answers = []
    busy = threading.Thread(target=lambda: answers.append(stage.attack(run, mark, sign, by=name)))
    busy.start()
    try:
        eventually(lambda: stage.marked(mark), "the descriptors to be on their way")
        stage.attacker(f"{name}-other")
        assert stage.attack(nothing, by=f"{name}-other") == "nothing"
    finally:
        stage.give_sign(sign)
        busy.join()
    assert answers[0][1] == "ETOOMANYREFS", answers
    assert answers[0][0] <= 2048


def test_disk_in_tmp(stage, name):
    """/tmp holds what EphemeralStorage says, however it is filled; sparse files cost nothing."""
    stage.attacker(name, MemorySize=2048)

    def run():
        found = {}
        for kind in ("written", "allocated"):
            total = 0
            try:
                for number in range(700):
                    with open(f"{TMP}/{kind}", "ab") as file:
                        if kind == "allocated":
                            os.posix_fallocate(file.fileno(), number << 20, 1 << 20)
                        else:
                            file.write(b"x" * (1 << 20))
                    total += 1
            except OSError as error:
                found[kind] = [total, errno.errorcode[error.errno]]
            os.unlink(f"{TMP}/{kind}")
        with open(f"{TMP}/sparse", "wb") as file:
            os.ftruncate(file.fileno(), 1 << 40)
        found["sparse"] = os.stat(f"{TMP}/sparse").st_blocks
        return found

    found = stage.attack(run, by=name)
    assert found.pop("sparse") == 0
    for kind, (total, error) in found.items():
        assert (450 < total <= 512, error) == (True, "ENOSPC"), (kind, total, error)


def test_disk_in_its_directory(stage, name):
    """Files that are together more than EphemeralStorage end their instance, and go with it."""
    stage.attacker(name)

    def run():
        print(TMP, flush=True)
        for number in range(3):
            with open(f"{TMP}/{number}", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 300 << 20)
        time.sleep(50)

    answer = stage.invoke(name, run)
    assert answer.error == "Unhandled", answer
    assert "timed out" not in answer.payload.decode(), answer
    (place,) = [line for line in answer.log.splitlines() if line.startswith("/")]
    eventually(lambda: not os.path.exists(place), "its files to be gone")
    assert stage.attack(nothing, by=name) == "nothing"


def test_inodes_in_tmp(stage, name):
    """/tmp holds so many files, folders and links, empty ones too: each costs memory of the kernel."""
    stage.attacker(name, MemorySize=1024)

    def run():
        makers = [os.mknod, os.mkdir, os.mkfifo, lambda path: os.symlink("x" * 100, path)]
        count = 0
        try:
            while count < 500_000:
                makers[count % len(makers)](f"{TMP}/{count}")
                count += 1
        except OSError as error:
            return [count, errno.errorcode[error.errno]]

    count, error = stage.attack(run, by=name)
    # On disk one for each 4 KB, in memory one for each 16 KB.
    most = 150_000 if stage.user == "root" else 65_536
    assert (10_000 < count <= most, error) == (True, "ENOSPC"), (count, error)


def test_writing_to_dev_shm(stage):
    """/dev/shm is no second /tmp without a limit."""

    def run():
        return outcomes(
            {
                "file": lambda: write("/dev/shm/x"),
                "folder": lambda: os.mkdir("/dev/shm/d"),
                "semaphore": lambda: os.mknod("/dev/shm/sem.x"),
            }
        )

    found = stage.attack(run)
    assert set(found.values()) <= {"EROFS", "EACCES", "ENOENT"}, found


def test_raising_its_limits(stage):
    """No limit can be raised again, for itself or for a child, by the old call or the new."""

    def run():
        found = {}
        names = {"files": 7, "processes": 6, "core": 4, "real time": 14, "nice": 13, "queues": 12, "locked": 8}
        for name, number in names.items():
            soft, hard = resource.getrlimit(number)
            if hard == resource.RLIM_INFINITY:
                continue
            more = struct.pack("QQ", hard + 1, hard + 1)
            found[name] = [
                outcome(lambda n=number: syscall("setrlimit", n, more)),
                outcome(lambda n=number: syscall("prlimit64", 0, n, more, 0)),
                resource.getrlimit(number)[1] == hard,
            ]
        return found

    found = stage.attack(run)
    assert {"files", "processes", "core", "real time", "nice"} <= set(found)
    for limit, (old, new, same) in found.items():
        assert same is True, limit
        assert limit == "core" or {old, new} <= {"EPERM"}, (limit, old, new)
