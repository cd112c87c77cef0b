"""Reading and changing files: of the host, of the daemon, of other functions, of the platform."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

from harness.clients import ACCOUNT, boto
from harness.daemon import Daemon
from harness.functions import Functions
from stage import CANARY, ORDINARY_USER, arguments, eventually
from tools import *  # noqa: F403 - what attacks use is defined there

#: Errors that say "it is not there" or "you may not".
GONE = {"ENOENT", "EACCES", "EPERM", "ENOTDIR", "ENXIO"}
#: Errors that say "this cannot be written".
READ_ONLY = {"EROFS", "EACCES", "EPERM"}


def test_secrets_of_the_host(stage):
    """Passwords and keys of the host cannot be read."""
    secrets = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/root/.ssh", "/boot", "/var/lib/dpkg"]

    def run(paths):
        return readable(paths)

    assert stage.attack(run, secrets) == []


def test_files_of_the_host_are_not_there(stage):
    """Not even a file that everybody may read can be found."""

    def run(paths):
        return readable(paths)

    with tempfile.NamedTemporaryFile(prefix="hostile-canary-") as canary:
        canary.write(b"host")
        canary.flush()
        os.chmod(canary.name, 0o644)
        places = ["/home", "/srv", "/boot", "/var/log", "/var/lib", "/etc/fstab", "/run/systemd", "/lost+found"]
        assert stage.attack(run, [canary.name, *places]) == []


def test_data_of_the_daemon(stage):
    """Neither the data directory nor databases nor packages can be read, under whatever name."""
    data = stage.daemon.data
    names = ["", "lambd.db", "lambd.db-wal", "logs.db", "lock", "code", "code/packages", "code/unpacked"]
    prefixes = ["", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../..", "/proc/thread-self/root"]

    def run(paths):
        mounted = [line.split()[3] for line in open("/proc/self/mountinfo") if "/unpacked/" in line]
        return readable(paths + [path for place in mounted for path in (place, os.path.dirname(place))])

    assert stage.attack(run, [f"{prefix}{data}/{name}" for prefix in prefixes for name in names]) == []


def test_data_is_closed_to_other_users(stage):
    """Other users of the host cannot enter the data directory, where variables of functions are as they are."""
    status = os.stat(stage.daemon.data)
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == os.stat(f"/proc/{stage.pid}").st_uid


def test_neighbours_of_the_toolchain(stage):
    """Of a toolchain in somebody's home folder, what is beside it is not shown."""
    home = Path(tempfile.mkdtemp(prefix="hostile-home-"))
    home.chmod(0o755)
    local = home / ".local"
    for folder in ("bin", "lib", "share/keyrings"):
        (local / folder).mkdir(parents=True)
    shutil.copy(os.path.realpath(shutil.which("node")), local / "bin" / "node")
    (local / "share" / "keyrings" / "login").write_text("secret")
    if stage.prefix:
        subprocess.run(["chown", "-R", f"{ORDINARY_USER}:{ORDINARY_USER}", home], check=True)
    setting = [f"HOME={home}", f"PATH={local}/bin:/usr/local/bin:/usr/bin:/bin"]
    data = local / "share" / "lambd"
    daemon = Daemon(home, data=data, prefix=[*stage.prefix, "env", *setting], arguments=arguments(stage.level))
    daemon.program = stage.daemon.program
    source = (
        "const fs = require('fs')\n"
        "const shown = (path) => { try { return fs.statSync(path).isDirectory() ? fs.readdirSync(path).length > 0 : fs.readFileSync(path).length > 0 } catch { return false } }\n"
        "exports.handler = async (paths) => [process.execPath, paths.filter(shown)]\n"
    )
    daemon.start()
    try:
        functions = Functions(boto(daemon.url, "lambda"))
        functions.node("beside", source)
        hidden = [local / "share", local / "share" / "keyrings" / "login", data, data / "lambd.db"]
        program, shown = functions.invoke("beside", [str(path) for path in hidden]).good()
        assert program == str(local / "bin" / "node"), "it is this one that runs"
        assert shown == []
    finally:
        daemon.stop()
        shutil.rmtree(home)


def test_roots_of_other_processes(stage):
    """Other processes' roots, working directories, programs and files lead nowhere."""
    pids = [1, 2, stage.pid, stage.spawner(), os.getpid()]

    def run(pids, canary):
        own = set(family())
        names = ["root/etc/shadow", "root/root", "cwd/", "map_files/", f"root{canary}"]
        names += ["fd/0", "fd/1", "fd/3", "fdinfo/0", "fdinfo/1"]
        return readable([f"/proc/{pid}/{name}" for pid in pids if pid not in own for name in names])

    assert stage.attack(run, pids, str(stage.daemon.log)) == []


def test_environment_of_other_processes(stage):
    """No environment but its own can be read, and no secret of another is in any of them."""

    def run(secrets):
        found = []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                text = read(path, 1 << 20).decode(errors="replace")
            except OSError:
                continue
            found += [path for secret in secrets if secret in text]
        return found

    assert stage.attack(run, [stage.canary, stage.secret]) == []


def test_environment_has_nothing_of_the_daemon(stage):
    """The function's own environment has nothing of the daemon's: canary, credentials, home, user or search path."""

    def run():
        return dict(os.environ)

    found = stage.attack(run)
    assert CANARY not in found
    assert stage.canary not in str(found)
    assert found["AWS_ACCESS_KEY_ID"] == ACCOUNT, "its credentials name its own account"
    foreign = {"HOME", "USER", "LOGNAME", "SHELL", "OLDPWD"}
    if stage.level == "oci":
        # The specification has the runtime set it where it is not set, to what the sandbox's own passwd says.
        foreign.remove("HOME")
    if stage.level == "process":
        # Nothing says where the home of its user is, so its own directory for temporary files is.
        assert found.pop("HOME") == found["TMPDIR"]
    assert not foreign & set(found)
    if stage.own_view:
        assert str(stage.folder) not in str(found)
    assert str(stage.folder / "home" / "bin") not in found["PATH"]


def test_memory_of_the_kernel(stage):
    """The memory of machine and kernel cannot be opened."""

    def run():
        paths = ["/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/proc/kmsg", "/proc/kpageflags", "/dev/kmsg"]
        paths += ["/proc/vmallocinfo", "/proc/slabinfo", "/proc/pagetypeinfo", "/proc/timer_list", "/proc/vmcore"]
        return readable(paths)

    assert stage.attack(run) == []


def test_addresses_of_the_kernel(stage):
    """No file tells where the kernel lies in memory, whatever the host's own settings allow its users."""

    def run():
        addresses = []
        for path in ("/proc/kallsyms", "/proc/modules", "/proc/iomem", "/proc/self/stack", "/proc/self/syscall"):
            try:
                text = read(path, 1 << 16).decode(errors="replace")
            except OSError:
                continue
            words = text.replace("-", " ").split()
            addresses += [f"{path}: {word}" for word in words if word.startswith("ffff") and len(word) == 16]
        addresses += ["/proc/kallsyms has names"] if readable(["/proc/kallsyms"]) else []
        return addresses

    assert stage.attack(run) == []


def test_system_files(stage):
    """Nothing of sysfs, debugfs, securityfs or the cgroup file systems can be read or written."""

    def run():
        places = ["/sys/kernel/debug", "/sys/kernel/security", "/sys/firmware", "/sys/fs/cgroup", "/sys/class/net"]
        places += ["/sys/devices", "/sys/block", "/sys/module", "/sys/kernel/vmcoreinfo", "/sys/power"]
        return readable(places)

    assert stage.attack(run) == []


def test_descriptions_of_the_host_are_covered(stage):
    """Entries of /proc that describe the host's devices, keys and interrupts are empty."""

    def run():
        names = ["acpi", "scsi", "asound", "keys", "key-users", "sched_debug", "latency_stats", "interrupts"]
        names += ["timer_list", "timer_stats", "kallsyms", "kcore"]
        return readable([f"/proc/{name}" for name in names])

    assert stage.attack(run) == []


def test_devices(stage):
    """Only harmless devices can be opened, and no block device; with a view of its own, no other exists."""

    def run():
        there, opened = {}, {}
        for folder, _, names in os.walk("/dev"):
            for name in names:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
                    there[path] = [os.major(status.st_rdev), os.minor(status.st_rdev), stat.S_ISBLK(status.st_mode)]
        paths = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/loop-control", "/dev/fuse", "/dev/kvm", "/dev/net/tun"]
        for path in sorted({*paths, *there}):
            for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
                if outcome(lambda p=path, f=flags: os.close(os.open(p, f | os.O_NONBLOCK | os.O_NOCTTY))) == "ok":
                    number = os.stat(path).st_rdev
                    opened[path] = [os.major(number), os.minor(number), stat.S_ISBLK(os.stat(path).st_mode)]
        return [there, opened]

    harmless = {"/dev/null": [1, 3], "/dev/zero": [1, 5], "/dev/full": [1, 7], "/dev/random": [1, 8], "/dev/urandom": [1, 9]}
    harmless = {path: [*numbers, False] for path, numbers in harmless.items()}
    there, opened = stage.attack(run)
    assert opened == harmless
    if stage.own_view:
        # The specification of OCI has the runtime add a terminal, which is none: nothing controls it.
        assert {path: device for path, device in there.items() if path != "/dev/tty" or stage.level != "oci"} == harmless


def test_device_nodes(stage):
    """Device nodes cannot be made, of whatever kind, by whatever call; a named pipe can."""

    def run():
        disk, memory, null = os.makedev(254, 0), os.makedev(1, 1), os.makedev(1, 3)
        return outcomes(
            {
                "block": lambda: os.mknod(f"{TMP}/disk", stat.S_IFBLK | 0o666, disk),
                "memory": lambda: os.mknod(f"{TMP}/mem", stat.S_IFCHR | 0o666, memory),
                "null": lambda: os.mknod(f"{TMP}/null", stat.S_IFCHR | 0o666, null),
                "mknodat": lambda: syscall("mknodat", -100, f"{TMP}/at".encode(), stat.S_IFBLK | 0o666, disk),
                "pipe": lambda: os.mkfifo(f"{TMP}/pipe-{os.getpid()}-{time.time()}"),
            }
        )

    found = stage.attack(run)
    assert found.pop("pipe") == "ok"
    assert set(found.values()) <= {"EPERM", "EACCES"}, found


def test_devices_cannot_be_changed(stage):
    """The nodes of /dev are the host's own: their times, modes, owners and attributes stay."""
    before = os.stat("/dev/null")

    def run():
        return outcomes(
            {
                "times": lambda: os.utime("/dev/null", (1, 1)),
                "touch": lambda: os.utime("/dev/null"),
                "mode": lambda: os.chmod("/dev/null", 0o600),
                "owner": lambda: os.chown("/dev/null", os.getuid(), -1),
                "attribute": lambda: os.setxattr("/dev/null", "user.x", b"x"),
                "remove": lambda: os.unlink("/dev/null"),
            }
        )

    found = stage.attack(run)
    if (stage.level, stage.user) == ("process", "root") or stage.level == "oci":
        # Who may write to a file may set its time to the present.
        found.pop("touch")
    assert set(found.values()) <= READ_ONLY | {"ENOTSUP", "EBUSY"}, found
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def test_sockets_of_services(stage):
    """Services of the host that listen on Unix sockets cannot be reached."""

    def run():
        paths = ["/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock"]
        paths += ["/run/podman/podman.sock", "/run/dbus/system_bus_socket", "/run/systemd/private", "/dev/log"]
        paths += ["/run/snapd.socket", "/run/user/0/bus", "/run/udev/control", "/tmp/.X11-unix/X0"]

        def connect(path):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)

        return outcomes({path: lambda path=path: connect(path) for path in paths})

    found = stage.attack(run)
    assert set(found.values()) <= GONE | {"ECONNREFUSED"}, found


def test_abstract_sockets_of_the_host(stage):
    """Abstract Unix sockets, which have no file and no permissions, end at the sandbox's wall."""
    listener = socket.socket(socket.AF_UNIX)
    address = f"\0hostile-{stage.canary}"
    listener.bind(address)
    listener.listen()

    def run(address):
        with socket.socket(socket.AF_UNIX) as connection:
            return outcome(lambda: connection.connect(address))

    with listener:
        assert stage.attack(run, address) in {"ECONNREFUSED", "EPERM", "EACCES"}


def test_code_and_tmp_of_the_victim(stage):
    """The victim's code and its secret in /tmp are nowhere to be found."""

    def run(secret, places):
        found = []
        for root in ("/tmp", "/var", "/opt", "/run", "/mnt", "/srv", "/dev", "/home", *places):
            for folder, _, names in os.walk(root):
                for path in (os.path.join(folder, name) for name in names):
                    try:
                        text = read(path, 1 << 16).decode(errors="replace") if os.path.isfile(path) else ""
                    except OSError:
                        continue
                    if secret in text or "The function that must not notice" in text:
                        found.append(path)
        return found

    stage.unharmed()
    assert stage.attack(run, stage.secret, [str(stage.daemon.data), str(stage.shared)]) == []


def test_instances_of_one_function_share_no_tmp(stage, name):
    """Two instances of one function at the same time: neither sees what the other writes."""
    stage.attacker(name)

    marks = {"one": uuid.uuid4().hex, "two": uuid.uuid4().hex}
    sign = f"{name}-sign"

    def run(name, mark, sign):
        before = os.listdir(TMP)
        write(f"{TMP}/{name}")
        child = sleeper(mark)
        await_sign(sign)
        child.kill()
        child.wait()
        return [before, os.listdir(TMP)]

    answers = {}
    threads = [
        threading.Thread(target=lambda one=one: answers.update({one: stage.attack(run, one, marks[one], sign, by=name)}))
        for one in marks
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: all(stage.marked(mark) for mark in marks.values()), "both to be at work")
    stage.give_sign(sign)
    for thread in threads:
        thread.join()
    assert [answers["one"][0], answers["two"][0]] == [[], []]
    assert [answers["one"][1], answers["two"][1]] == [["one"], ["two"]]


def test_writing_outside_tmp(stage):
    """Code, bootstrap, layers, toolchain and system can neither be written nor replaced nor extended."""

    def run():
        toolchain = os.path.dirname(os.path.realpath(sys.executable))
        folders = ["/", "/var", TASK, RUNTIME, os.path.dirname(TASK), os.path.dirname(TMP), "/opt", "/etc", "/usr", "/usr/bin", "/usr/lib", "/bin"]
        folders += ["/lib", "/run", "/mnt", "/dev", "/proc", "/root", "/var/tmp", "/var/lang/lib", toolchain]
        found = {}
        for folder in folders:
            intruder = os.path.join(folder, "intruder")
            found[folder] = outcomes(
                {
                    "file": lambda path=intruder: write(path),
                    "folder": lambda path=intruder: os.mkdir(path),
                    "link": lambda path=intruder: os.symlink(TMP, path),
                    "times": lambda path=folder: os.utime(path),
                }
            )
        for path in ["/etc/passwd", "/etc/hosts", "/etc/ld.so.cache", os.path.realpath(sys.executable)]:
            found[path] = outcomes(
                {
                    "write": lambda path=path: os.close(os.open(path, os.O_WRONLY)),
                    "remove": lambda path=path: os.unlink(path),
                    "rename": lambda path=path: os.rename(path, path + "-"),
                    "truncate": lambda path=path: os.truncate(path, 0),
                }
            )
        return found

    found = stage.attack(run)
    if (stage.level, stage.user) == ("process", "root"):
        # Who may write to a folder may set its time to the present, even where Landlock forbids writing.
        found["/var/tmp"].pop("times")
    allowed = READ_ONLY | {"ENOENT", "ETXTBSY", "EBUSY", "EXDEV"}
    bad = {p: o for p, o in found.items() if not set(o.values()) <= allowed}
    assert bad == {}


def test_changing_its_own_code(stage):
    """A function owns neither its code nor the bootstrap: no change of mode, owner, time or name."""

    def run():
        found = {}
        for path in (f"{TASK}/app.py", TASK, f"{RUNTIME}/bootstrap.py", RUNTIME):
            found[path] = outcomes(
                {
                    "mode": lambda path=path: os.chmod(path, 0o777),
                    "owner": lambda path=path: os.chown(path, os.getuid(), os.getgid()),
                    "times": lambda path=path: os.utime(path),
                    "attribute": lambda path=path: os.setxattr(path, "user.x", b"x"),
                    "rename": lambda path=path: os.rename(path, path + "-"),
                    "hard link": lambda path=path: os.link(path, f"{TMP}/linked"),
                    "exchange": lambda path=path: os.replace(f"{TMP}/nothing", path),
                }
            )
        return found

    bad = {p: o for p, o in stage.attack(run).items() if not set(o.values()) <= READ_ONLY | {"EXDEV", "ENOENT"}}
    assert bad == {}
    # Another instance still has the code as it was uploaded.
    stage.renew_attacker()
    assert stage.attack(run) is not None


def test_reopening_code_for_writing(stage):
    """An open file leads to no other rights: neither by /proc/self/fd nor by mapping nor by a lease."""

    def run():
        with open(f"{TASK}/app.py", "rb") as file:
            again = f"/proc/self/fd/{file.fileno()}"

            def map_shared():
                mmap.mmap(file.fileno(), 64, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)

            return outcomes(
                {
                    "reopen": lambda: os.close(os.open(again, os.O_RDWR)),
                    "truncate": lambda: os.truncate(again, 0),
                    "map": map_shared,
                    "deduplicate": lambda: fcntl.ioctl(file.fileno(), 0x40049409, 0),
                    "flags": lambda: fcntl.ioctl(file.fileno(), 0x40086602, struct.pack("L", 0x10)),
                }
            )

    found = stage.attack(run)
    assert not set(found.values()) & {"ok"}, found


def test_links_to_what_it_may_not_read(stage):
    """Links in /tmp do not widen what can be read."""

    def run(data):
        found = {}
        for number, target in enumerate(["/etc/shadow", "/root", data, "/proc/1/root/etc/shadow", "/proc/1/environ"]):
            link = f"{TMP}/link-{number}"
            if not os.path.lexists(link):
                os.symlink(target, link)
            found[target] = readable([link, link + "/."])
        return found

    found = stage.attack(run, f"{stage.daemon.data}/lambd.db")
    assert not any(found.values()), found


def test_links_in_tmp_are_not_followed(stage, name):
    """What removes an instance's /tmp does not follow links out of it."""
    precious = Path(tempfile.mkdtemp(prefix="hostile-precious-"))
    precious.chmod(0o777)
    kept = precious / "kept"
    kept.write_text("kept")
    kept.chmod(0o666)
    stage.attacker(name)

    def run(target):
        os.makedirs(f"{TMP}/a/b/c", exist_ok=True)
        for link in (f"{TMP}/direct", f"{TMP}/a/b/c/deep", f"{TMP}/a/b/loop"):
            if not os.path.lexists(link):
                os.symlink(target, link)
        os.symlink(f"{TMP}/a/b/loop2", f"{TMP}/a/b/loop2")
        os.chmod(f"{TMP}/a/b", 0o000)
        return True

    assert stage.attack(run, str(precious), by=name) is True
    stage.lambda_.delete_function(FunctionName=name)
    stage.unharmed()
    assert kept.read_text() == "kept"
    assert precious.stat().st_mode & 0o777 == 0o777
    shutil.rmtree(precious)


def test_handles_of_files(stage):
    """Files cannot be opened by handle, which passes all directories (the trick of "shocker")."""

    def run():
        handle = struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0)
        mount = ctypes.c_int()
        room = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
        root = os.open("/usr", os.O_RDONLY)
        return outcomes(
            {
                "open": lambda: syscall("open_by_handle_at", root, handle, os.O_RDONLY),
                "name": lambda: syscall("name_to_handle_at", -100, b"/usr/bin", room, ctypes.byref(mount), 0),
            }
        )

    found = stage.attack(run)
    assert set(found.values()) <= {"EPERM", "ENOSYS"}, found


def test_climbing_out_of_the_root(stage):
    """Neither ".." nor a kept descriptor leads above the root."""

    def run():
        root = os.open("/", os.O_RDONLY)
        os.fchdir(root)
        for _ in range(50):
            os.chdir("..")
        here = sorted(os.listdir("."))
        os.chdir(TASK)
        return [here, sorted(os.listdir("/")), outcome(lambda: os.chroot("/tmp")), os.path.exists("/../../etc/shadow")]

    here, root, chroot, shadow = stage.attack(run)
    assert here == root
    assert not {"home", "boot", "sys", "srv", "lost+found"} & set(root)
    assert (chroot, shadow) == ("EPERM", False)


def test_descriptors_left_open(stage, name):
    """A function starts with three descriptors: nothing to read from, and pipes to write to."""
    stage.attacker(name)

    def run():
        listed = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 3}
        # The interpreter's own: the connection to the Runtime API, and what is open for this listing.
        others = [os.readlink(path) for path in glob.glob("/proc/self/fd/*") if os.path.lexists(path)]
        peers = []
        for fd in range(3, 64):
            try:
                with socket.socket(fileno=os.dup(fd)) as found:
                    peers.append([found.family, str(found.getpeername())])
            except OSError:
                pass
        return [listed, others, peers, TASK]

    listed, others, peers, task = stage.attack(run, by=name)
    assert listed["0"] == "/dev/null"
    assert listed["1"].startswith("pipe:") and listed["2"].startswith("pipe:")
    allowed = task if stage.level == "process" else "/var/task"
    assert not [path for path in others if ("lambd" in path or str(stage.folder) in path) and not path.startswith(allowed)]
    assert [family for family, _ in peers] == [socket.AF_INET], "its connection to the Runtime API"
    assert stage.level == "process" or peers[0][1] == str(("127.0.0.1", 9001))


def test_set_user_id_programs(stage):
    """Programs of the host that make their user root do not."""
    programs = [path for path in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/newgrp") if os.path.exists(path)]
    assert any(os.stat(path).st_mode & stat.S_ISUID for path in programs), "no such program on this machine"

    def run(programs):
        found = {}
        for program in programs:
            # Stopped at its start, its identity can be looked at in peace.
            child = subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=-3, stderr=-3)
            try:
                status = open(f"/proc/{child.pid}/status").read()
            except OSError:
                status = ""
            child.stdin.close()
            child.wait(20)
            found[program] = [line.split()[1:] for line in status.splitlines() if line.startswith(("Uid", "CapEff"))]
        os_flags = os.statvfs("/usr").f_flag
        return [found, bool(os_flags & os.ST_NOSUID)]

    found, nosuid = stage.attack(run, programs)
    for program, identity in found.items():
        assert not identity or "0" not in identity[0], (program, identity)
        assert not identity or int(identity[1][0], 16) == 0, (program, identity)
    assert nosuid or stage.level == "process"


def test_set_user_id_files_of_its_own(stage):
    """A file that the function marks set-user-id makes nobody anything."""

    def run():
        subprocess.run(["cp", "/usr/bin/id", f"{TMP}/id"], check=True)
        before = outcome(lambda: os.chown(f"{TMP}/id", 0, 0))
        os.chmod(f"{TMP}/id", 0o6755)
        return [before, subprocess.run([f"{TMP}/id", "-u"], capture_output=True, text=True).stdout.strip()]

    owner, uid = stage.attack(run)
    # EINVAL where root has no number in the sandbox at all.
    assert owner in {"EPERM", "EINVAL"}
    assert uid != "0"


def test_capabilities_of_files(stage):
    """No capability can be written into a file, and those of the host's files give none."""

    def run():
        write(f"{TMP}/capable")
        value = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0xFFFFFFFF, 0x1FF, 0x1FF)
        effective = subprocess.run(
            ["sh", "-c", "grep CapEff /proc/self/status"], capture_output=True, text=True
        ).stdout.split()[1]
        return [outcome(lambda: os.setxattr(f"{TMP}/capable", "security.capability", value)), effective]

    refused, effective = stage.attack(run)
    assert refused in {"EPERM", "ENOTSUP", "EOPNOTSUPP"}
    assert int(effective, 16) == 0


def test_programs_in_memory_have_no_more_rights(stage):
    """A program that exists in memory only runs, and has no right that others lack."""

    def run():
        fd = os.memfd_create("program")
        with open("/usr/bin/id", "rb") as file:
            os.write(fd, file.read())
        outcome(lambda: os.fchmod(fd, 0o6755))
        identity = subprocess.run([f"/proc/self/fd/{fd}"], pass_fds=[fd], capture_output=True, text=True).stdout
        status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
        os.close(fd)
        return [identity, [line for line in status.splitlines() if line.startswith(("NoNewPrivs", "Seccomp:"))]]

    identity, restrictions = stage.attack(run)
    assert identity.startswith("uid=") and not identity.startswith("uid=0")
    assert restrictions == ["NoNewPrivs:\t1", "Seccomp:\t2"]


def test_groups_of_the_daemon(stage):
    """The groups of the user who started the daemon are not the function's."""

    def run():
        return [os.getgroups(), [line for line in open("/proc/self/status") if line.startswith(("Uid", "Gid", "Groups"))]]

    groups, identity = stage.attack(run)
    assert groups == []
    assert identity[1].split()[1:] == [identity[1].split()[1]] * 4, "real, effective, saved and file id agree"
    assert "0" not in identity[0].split()[1:]
