"""Becoming more than one is: ids, capabilities, namespaces."""

from tools import *  # noqa: F403 - what attacks use is defined there

#: Flags of clone(2) and unshare(2), see namespaces(7).
NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
TIME = {"time": 0x00000080}


def test_becoming_somebody_else(stage):
    """No id of another user or group can be taken, real or effective, saved or of the file system."""

    def run():
        found = {}
        for other in (0, 1, 65534, 1000):
            found[other] = outcomes(
                {
                    "setuid": lambda other=other: os.setuid(other),
                    "seteuid": lambda other=other: os.seteuid(other),
                    "setresuid": lambda other=other: os.setresuid(other, other, other),
                    "setgid": lambda other=other: os.setgid(other),
                    "setresgid": lambda other=other: os.setresgid(other, other, other),
                    "setgroups": lambda other=other: os.setgroups([other]),
                    "syscall": lambda other=other: syscall("setuid", other),
                }
            )
        found["no groups"] = outcomes({"setgroups": lambda: os.setgroups([])})
        return found

    for who, found in stage.attack(run).items():
        assert set(found.values()) <= {"EPERM", "EINVAL"}, (who, found)


def test_taking_capabilities(stage):
    """No capability is in any set, and none can be put into one."""

    def run():
        header = struct.pack("Ii", 0x20080522, 0)
        full = struct.pack("IIIIII", *[0xFFFFFFFF] * 6)
        one = struct.pack("IIIIII", 1 << 21, 1 << 21, 1 << 21, 0, 0, 0)
        status = open("/proc/self/status").read().splitlines()
        tried = outcomes(
            {
                "all": lambda: syscall("capset", header, full),
                "sys_admin": lambda: syscall("capset", header, one),
                "ambient": lambda: syscall("prctl", 47, 2, 21, 0, 0),
                "securebits": lambda: syscall("prctl", 28, 0x2F, 0, 0, 0),
                "keep": lambda: syscall("prctl", 24, 21, 0, 0, 0),
            }
        )
        return [tried, [line.split()[1] for line in status if line.startswith("Cap")]]

    tried, sets = stage.attack(run)
    assert len(sets) == 5
    if (stage.level, stage.user) == ("process", "rootless"):
        # The fourth bounds what programs may give, and nobody without capabilities can empty it. no_new_privs
        # is what keeps programs from giving any.
        sets.pop(3)
    assert {int(one, 16) for one in sets} == {0}
    assert set(tried.values()) <= {"EPERM", "EINVAL"}, tried


def test_switching_off_no_new_privs(stage):
    """no_new_privs and the filter stay for good, in children and new programs as well."""

    def run():
        tried = outcomes(
            {
                "no_new_privs": lambda: syscall("prctl", 38, 0, 0, 0, 0),
                "seccomp": lambda: syscall("prctl", 22, 0, 0, 0, 0),
                "memory map": lambda: syscall("prctl", 35, 1, 0x10000, 0, 0),
                "program": lambda: syscall("prctl", 35, 13, 0, 0, 0),
            }
        )
        script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; sh -c 'sh -c \"grep NoNewPrivs /proc/self/status\"'"
        return [tried, subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout.split()]

    tried, status = stage.attack(run)
    assert "ok" not in tried.values(), tried
    assert status == ["NoNewPrivs:", "1", "Seccomp:", "2", "NoNewPrivs:", "1"]


def test_personality(stage):
    """Old execution domains, and memory that is executable because it is readable, are refused."""

    def run():
        # READ_IMPLIES_EXEC, MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT, SVR4, and one hidden in the upper half.
        wanted = [0x0400000, 0x0100000, 0x0200000, 0x0001, 0x4000000]
        before = syscall("personality", 0xFFFFFFFF)
        found = [outcome(lambda value=value: syscall("personality", value)) for value in wanted]
        return [found, before, syscall("personality", 0xFFFFFFFF)]

    found, before, after = stage.attack(run)
    assert set(found) == {"EPERM"}, found
    assert before == after


def test_new_namespaces_by_unshare(stage):
    """No namespace of any kind can be made: with one of its own, a function would have capabilities again."""

    def run(flags):
        return {name: in_child(lambda flag=flag: syscall("unshare", flag)) for name, flag in flags.items()}

    everything = sum(NAMESPACES.values())
    found = stage.attack(run, {**NAMESPACES, **TIME, "all": everything, "upper half": 0x10000000 | 1 << 32})
    assert set(found.values()) == {99}, found


def test_new_namespaces_by_clone(stage):
    """Neither clone nor clone3 makes a namespace."""

    def run(flags):
        def clone(flag):
            pid = syscall("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

        def clone3(flag):
            arguments = struct.pack("QQQQQQQQQQQ", flag, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
            pid = syscall("clone3", arguments, len(arguments))
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

        found = {}
        for name, flag in flags.items():
            found[name] = [outcome(lambda flag=flag: clone(flag)), outcome(lambda flag=flag: clone3(flag))]
        return found

    found = stage.attack(run, {**NAMESPACES, "all": sum(NAMESPACES.values())})
    assert {clone for clone, _ in found.values()} == {"EPERM"}, found
    assert {clone3 for _, clone3 in found.values()} <= {"EPERM", "ENOSYS"}, found


def test_other_namespaces(stage):
    """No namespace can be entered, neither its own nor that of pid 1 nor by pidfd."""

    def run():
        found = {}
        for path in glob.glob("/proc/self/ns/*") + glob.glob(f"/proc/{os.getppid()}/ns/*"):
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError as error:
                found[path] = errno.errorcode[error.errno]
                continue
            found[path] = outcome(lambda fd=fd: syscall("setns", fd, 0))
            os.close(fd)
        pidfd = os.pidfd_open(os.getpid())
        found["pidfd"] = outcome(lambda: syscall("setns", pidfd, 0x10000000))
        found["all of pidfd"] = outcome(lambda: syscall("setns", pidfd, 0x7E020000))
        os.close(pidfd)
        return found

    found = stage.attack(run)
    assert len(found) > 10
    assert set(found.values()) <= {"EPERM", "EACCES"}, found


def test_no_namespace_may_be_made(stage):
    """Even if a way round the filter is found, the sandbox's own limit of new namespaces is zero."""

    def run():
        return {path: read(path).decode().strip() for path in glob.glob("/proc/sys/user/max_*_namespaces")}

    found = stage.attack(run)
    assert len(found) >= 7
    assert set(found.values()) == {"0"}, found
