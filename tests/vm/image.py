"""The guest's file system: an initramfs made of the host's own programs and what they need.

The programs under test are linked against the host's C library, so the guest gets the same one. Everything
is in the archive: the guest needs no disk and no kernel module.
"""

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

# What the tests' scripts, /init and the daemon's functions call.
PROGRAMS = """
    bash sh cat chmod chown chroot cp crun cut date dd echo env false find grep head hostname id kill ldd ln ls mkdir mktemp
    mount mv nproc ps readlink rm rmdir sed seq setpriv setsid sleep sort stat sync tail tee test timeout touch tr true
    tty umount uname wc
""".split()

PYTHON = "/usr/bin/python3"
# What is large, or brings large libraries, and is not used: the archive is unpacked at each start.
NOT_OF_PYTHON = tuple(
    """
    _codecs_ _curses _dbm _gdbm _hashlib _sqlite3 _ssl _test _tkinter config- dist-packages distutils ensurepip
    idlelib lib2to3 nis. pydoc_data readline site-packages test tkinter turtle
    """.split()
)

DIRECTORIES = "dev dev/shm etc home home/dev proc root run sys sys/fs sys/fs/cgroup tmp usr/local var var/tmp".split()

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndev:x:1000:1000::/home/dev:/bin/bash\n"
    "nobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\ndev:x:1000:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}


class Image:
    """The files of the archive by their path in the guest."""

    def __init__(self):
        self.entries = {}
        self.links = {}
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                self.links[name] = os.readlink(path)
        for name in DIRECTORIES:
            self.directory(name)
        for name, text in FILES.items():
            self.add(name, text.encode())
        self.entries["dev/console"] = (stat.S_IFCHR | 0o600, b"", (5, 1))
        for name, target in self.links.items():
            self.entries[name] = (stat.S_IFLNK | 0o777, target.encode(), (0, 0))

    def directory(self, name):
        """Makes a directory and those above it."""
        parts = Path(name).parts
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if path not in self.entries:
                self.entries[path] = (stat.S_IFDIR | 0o755, b"", (0, 0))

    def add(self, name, contents, mode=0o644):
        """Makes a file with these contents."""
        if "/" in name:
            self.directory(str(Path(name).parent))
        self.entries[name] = (stat.S_IFREG | mode, contents, (0, 0))

    def host_file(self, path, contents=None):
        """Copies a file of the host to the same path."""
        path = Path(path)
        # The way there without links: /bin/cat is at /usr/bin/cat where /bin is a link.
        name = str(Path(os.path.realpath(path.parent), path.name)).lstrip("/")
        self.add(name, contents or path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def programs(self, paths, strip=False):
        """Copies programs and libraries with every library that they are linked to."""
        paths = [str(path) for path in paths]
        # ldd ends with 1 when any of the files is no dynamic program.
        listed = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=False).stdout
        libraries = set(re.findall(r"(?:=> |^\s)(/\S+) \(0x", listed, re.MULTILINE))
        for path in libraries:
            self.host_file(path)
        for path in paths:
            self.host_file(path, without_symbols(path) if strip else None)

    def python(self):
        """Copies the system's Python with its library."""
        query = "import sysconfig; print(sysconfig.get_path('stdlib'))"
        library = Path(subprocess.check_output([PYTHON, "-c", query], text=True).strip())
        extensions = []
        for folder, folders, names in os.walk(library):
            folders[:] = [name for name in folders if not name.startswith(NOT_OF_PYTHON)]
            for name in names:
                path = Path(folder, name)
                if name.startswith(NOT_OF_PYTHON):
                    continue
                if name.endswith(".so"):
                    extensions.append(path)
                else:
                    self.host_file(path)
        interpreter = Path(os.path.realpath(PYTHON))
        self.programs([interpreter, *extensions])
        if interpreter != Path(PYTHON):
            self.entries[PYTHON.lstrip("/")] = (stat.S_IFLNK | 0o777, str(interpreter).encode(), (0, 0))

    def write(self, path):
        """Writes the archive in the format that the kernel unpacks (newc)."""
        with open(path, "wb") as archive:
            for number, (name, (mode, contents, device)) in enumerate(sorted(self.entries.items()), 1):
                _member(archive, name, (number, mode, 0, 0, 1, 0, len(contents), 0, 0, *device), contents)
            _member(archive, "TRAILER!!!", (0,) * 11, b"")


def without_symbols(program):
    """The program's bytes without what only a debugger reads: most of them."""
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, program], check=True)
        return Path(stripped.name).read_bytes()


def _member(archive, name, numbers, contents):
    name = name.encode() + b"\0"
    fields = (*numbers, len(name), 0)
    archive.write(b"070701" + b"".join(b"%08X" % field for field in fields))
    archive.write(name + b"\0" * (-(110 + len(name)) % 4))
    archive.write(contents + b"\0" * (-len(contents) % 4))
