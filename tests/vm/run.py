"""Boots a small virtual machine for each situation, runs tests in it and prints their results.

Environment: LAMBD_BIN (the daemon), LAMBD_SANDBOX_TESTS and LAMBD_SANDBOX_HELPER (the sandbox crate's test
program and the helper it starts), LAMBD_VM_CACHE (a directory that stays between runs). LAMBD_VM_KERNEL may
name a kernel of your own; otherwise Debian's cloud kernel is fetched. An argument runs only the tests with that
word in their name. Ends with 0 if each guest said that everything passed.
"""

import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image import PROGRAMS, Image

HERE = Path(__file__).parent
KERNEL_PACKAGE = "linux-image-cloud-amd64"
# Megabytes. The guest's files take 60 of it, and tests fill sandboxes of up to 128.
MEMORY = 1024
# See RFC 854.
IAC, BREAK = 255, 243
# When a suite hangs, and a guest that does not notice. On an idle machine they take a tenth of it.
SECONDS_PER_SUITE = 450
SECONDS = 2 * SECONDS_PER_SUITE + 120
# How long a guest that hangs may take to say where.
LAST_SECONDS = 60
# So many lines of the kernel's are shown of it, and of one that failed.
LINES_OF_HUNG, LINES_OF_FAILED = 400, 15
# root: as root with version 2. delegated: as an ordinary user in a group of its own, as systemd gives it. alone: as
# an ordinary user without any group. v1: as root with version 1, for machines that have only version 2.
SITUATIONS = ["root", "delegated", "alone", "v1"]


def main():
    """Runs the tests."""
    if platform.machine() != "x86_64":
        sys.exit(f"error: the virtual machine is made for x86_64, this is {platform.machine()}")
    cache = Path(os.environ["LAMBD_VM_CACHE"])
    cache.mkdir(parents=True, exist_ok=True)
    own = os.environ.get("LAMBD_VM_KERNEL")
    kernel = Path(own) if own else debian_kernel(cache)
    archive = cache / "initramfs.cpio"
    build(archive, sys.argv[1] if len(sys.argv) > 1 else "")
    all_passed = True
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() // 2)) as pool:
        guests = [pool.submit(boot, situation, kernel, archive, cache) for situation in SITUATIONS]
        for guest in guests:
            # In one piece: the words of guests that run at once would mix.
            words, passed = guest.result()
            all_passed = all_passed and passed
            print("\n".join(words), flush=True)
    return 0 if all_passed else 1


def debian_kernel(cache):
    """The kernel of Debian's package, downloaded once and not installed."""
    kernel = cache / "vmlinuz"
    if not kernel.exists():
        print(f"fetching {KERNEL_PACKAGE}", flush=True)
        try:
            package = download(cache)
        except (OSError, subprocess.CalledProcessError):
            package = download_anew(cache)
        with tempfile.TemporaryDirectory(dir=cache) as unpacked:
            subprocess.run(["dpkg-deb", "--extract", package, unpacked], check=True)
            # At once, so that what has this name is whole.
            next(Path(unpacked, "boot").glob("vmlinuz-*")).rename(kernel)
        package.unlink()
    return kernel


def download(cache):
    """Downloads the package of the kernel that the package of that name depends on."""
    listed = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True, check=True)
    names = re.findall(r"Depends: (linux-image-\S+)", listed.stdout)
    if not names:
        raise subprocess.CalledProcessError(1, listed.args)
    get = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", names[0]]
    subprocess.run(get, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    return next(cache.glob("linux-image-*.deb"))


def download_anew(cache):
    """The same when the lists of packages are missing or older than the archive."""
    try:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        return download(cache)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {KERNEL_PACKAGE} could not be had: {error}; name a kernel in LAMBD_VM_KERNEL")


def build(archive, word):
    """Writes the guest's file system."""
    begin = time.monotonic()
    image = Image()
    found = [shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in PROGRAMS]
    if None in found:
        missing = [name for name, path in zip(PROGRAMS, found) if path is None]
        sys.exit(f"error: the guest needs programs that are not on this machine: {' '.join(missing)}")
    image.programs(found)
    image.python()
    tested = {name: os.path.abspath(os.environ[name]) for name in ("LAMBD_BIN", "LAMBD_SANDBOX_TESTS")}
    image.programs([*tested.values(), os.path.abspath(os.environ["LAMBD_SANDBOX_HELPER"])], strip=True)
    settings = {
        "LAMBD_BIN": tested["LAMBD_BIN"],
        "SANDBOX_TESTS": tested["LAMBD_SANDBOX_TESTS"],
        "FILTER": word,
        "SECONDS_PER_SUITE": str(SECONDS_PER_SUITE),
    }
    image.add("suites.sh", "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()).encode())
    image.add("init", (HERE / "init").read_bytes(), 0o755)
    for name in ("daemon.py", "loopback.py"):
        image.add(name, (HERE / name).read_bytes())
    image.write(archive)
    print(f"made the guest's files ({archive.stat().st_size >> 20} MB) in {time.monotonic() - begin:.1f} s", flush=True)


def boot(situation, kernel, archive, cache):
    """Runs one guest to its end; returns its words, and whether the last of them is good."""
    log = cache / f"kernel-{situation}.log"
    console = cache / f"console-{situation}"
    # Without KVM, which test machines seldom have. The other options save time: a simple processor without vector
    # extensions, no mitigations (nobody is attacked), and RCU's grace periods at once.
    command = ["qemu-system-x86_64", "-accel", "tcg,tb-size=256", "-cpu", "Nehalem", "-m", str(MEMORY)]
    command += ["-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(kernel), "-initrd", str(archive)]
    options = "mitigations=off rcupdate.rcu_expedited=1 random.trust_cpu=on"
    # The check counts interrupts in a loop, and panics on a machine so busy that the loop is late.
    options += " no_timer_check console=ttyS1 loglevel=7 panic=-1 sysrq_always_enabled"
    command += ["-append", f"{options} SITUATION={situation}"]
    # The kernel's console speaks telnet, which can send a break.
    command += ["-serial", "stdio", "-chardev"]
    command += [f"socket,id=console,path={console},server=on,wait=off,telnet=on,logfile={log}"]
    command += ["-serial", "chardev:console"]
    guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    watch = threading.Timer(SECONDS, end, (guest, console))
    watch.start()
    words = []
    for line in guest.stdout:
        words.append(line.decode(errors="replace").rstrip())
        if words[-1].startswith("vm: "):
            print(words[-1], file=sys.stderr, flush=True)
    watch.cancel()
    guest.wait()
    passed = words[-1:] == [f"vm: {situation}: passed"]
    if not passed:
        lines = LINES_OF_FAILED
        if watch.finished.is_set() and guest.returncode:
            words.append(f"vm: {situation}: did not end within {SECONDS} s")
            lines = LINES_OF_HUNG
        words.append(f"vm: {situation}: failed; the last words of its kernel, of {log}:")
        words += log.read_text(errors="replace").splitlines()[-lines:]
    return words, passed


def end(guest, console):
    """Ends a guest that hangs, once its kernel has said where (see "magic SysRq" in its documentation)."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(console))
            # Tasks, then those that wait for a lock or a device.
            for key in b"tw":
                connection.sendall(bytes([IAC, BREAK, key]))
                time.sleep(LAST_SECONDS / 2)
    finally:
        guest.kill()


sys.exit(main())
