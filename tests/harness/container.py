"""Runs a program as an unprivileged container would: ``container.py [--uid N] [--no-landlock] PROGRAM...``.

Docker's default set of capabilities (without the one that passes file permissions, which stricter
platforms take away as well), and of its default filter what lambd notices: no namespaces, no mounts,
and a clone3 that seems not to exist.
"""

import ctypes
import errno
import os
import struct
import sys

#: chown, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot, mknod, setfcap.
CAPABILITIES = sum(1 << number for number in (0, 3, 4, 5, 6, 7, 8, 10, 18, 27, 31))

#: On x86-64: mount, umount2, pivot_root, unshare, setns, and the calls of the newer mount interface.
DENIED = (165, 166, 155, 272, 308, 428, 429, 430, 431, 432, 433, 442)
CLONE, CLONE3 = 56, 435
LANDLOCK = (444, 445, 446)
NAMESPACES = 0x7E020000

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 24, 38, 22
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    """Raises what the call left in errno."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def drop_capabilities():
    """Keeps CAPABILITIES, also over exec."""
    for number in range(64):
        if not CAPABILITIES >> number & 1:
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    header = struct.pack("Ii", 0x20080522, 0)
    low, high = CAPABILITIES & 0xFFFFFFFF, CAPABILITIES >> 32
    check(libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)))


def install_filter(missing):
    """The filter as a program for the kernel, see seccomp(2)."""
    program = [(LOAD, 0, 0, 0)]
    for number in DENIED:
        program += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | errno.EPERM)]
    for number in missing:
        program += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    program += [(JUMP_EQUAL, 0, 3, CLONE), (LOAD, 0, 0, 16)]
    program += [(JUMP_SET, 0, 1, NAMESPACES), (RETURN, 0, 0, ERRNO | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0))


def main(arguments):
    """Restricts this process and becomes the program."""
    missing = [CLONE3]
    if arguments[0] == "--uid":
        uid = int(arguments[1])
        arguments = arguments[2:]
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if arguments[0] == "--no-landlock":
        arguments = arguments[1:]
        missing += LANDLOCK
    if os.geteuid() == 0:
        drop_capabilities()
    install_filter(missing)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
