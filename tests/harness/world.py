"""A network for a daemon to be in: a host of its own, and a world outside of it.

Both are network namespaces that live as long as the object. Nothing of this machine's network is touched. The
host has a default route to the outside, where a few servers are; the tests reach the daemon on it by a relay.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

from .daemon import Daemon, program

#: Addresses of the world outside, and of another network out there.
OUTSIDE, OUTSIDE_V6, INTERNAL = "10.99.0.2", "fd99::2", "10.98.0.1"
#: An address of nobody's: what is sent to it gets lost outside.
SILENT = "10.96.0.1"
#: Metadata services of clouds.
METADATA = ["169.254.169.254", "fd00:ec2::254"]
#: Addresses of the host: to the outside, and on another interface, as of a bridge for containers.
HOST = ["10.99.0.1", "fd99::1", "10.97.0.1"]
#: The port of the servers.
PORT = 7000

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """A network namespace, kept by a process that ends with its standard input."""

    def __init__(self, flags, script="true"):
        command = ["unshare", *flags, "sh", "-c", f"set -e; {script}; echo ready; exec cat"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "network namespaces need root"

    @property
    def enter(self):
        """The beginning of a command that is to run in it."""
        return ["nsenter", "--target", str(self.process.pid), "--net", "--mount"]

    def ip(self, *lines):
        """Runs lines of ip(8)."""
        subprocess.run([*self.enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def inside(self, action):
        """Calls ``action`` on a thread in this network; sockets that it makes stay there."""
        result = []

        def run():
            with open(f"/proc/{self.process.pid}/ns/net") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(action())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return result[0]

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class World:
    """A host and its outside."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        # Other users run the program from here.
        folder.chmod(0o755)
        self.program = folder / "lambd"
        shutil.copy(program(), self.program)
        resolv, tun = folder / "resolv.conf", folder / "tun"
        resolv.write_text(f"nameserver {OUTSIDE}\nsearch lab.example\n")
        # As nearly everywhere: everybody may make network interfaces, in networks of their own.
        script = f"mount --bind {resolv} /etc/resolv.conf; mknod -m 0666 {tun} c 10 200; mount --bind {tun} /dev/net/tun"
        self.host = Network(["--net", "--mount"], script)
        self.outside = Network(["--net"])
        self._sockets = []
        self.host.ip(
            "link set lo up",
            f"link add outer type veth peer name inner netns {self.outside.process.pid}",
            f"addr add {HOST[0]}/24 dev outer",
            f"addr add {HOST[1]}/64 dev outer nodad",
            f"addr add {HOST[2]}/32 dev lo",
            "link set outer up",
        )
        self.outside.ip(
            "link set lo up",
            f"addr add {OUTSIDE}/24 dev inner",
            f"addr add {OUTSIDE_V6}/64 dev inner nodad",
            f"addr add {INTERNAL}/32 dev inner",
            f"addr add {METADATA[0]}/32 dev inner",
            f"addr add {METADATA[1]}/128 dev inner nodad",
            "link set inner up",
        )
        self.host.ip(f"route add default via {OUTSIDE}", f"route add default via {OUTSIDE_V6}")
        self.asked_on_host, self.asked_outside = [], []
        for address in (OUTSIDE, OUTSIDE_V6, INTERNAL, *METADATA):
            self._serve(self.outside, address, self.asked_outside)
        for address in ("0.0.0.0", "::"):
            self._serve(self.host, address, self.asked_on_host)
        self._serve_names()

    def close(self):
        """Ends everything in it."""
        for network in (self.host, self.outside):
            network.close()
        for each in self._sockets:
            each.close()

    def daemon(self, folder: Path, *arguments, user=None) -> Daemon:
        """A daemon on this host, not yet started; as an ordinary user if one is given."""
        folder.mkdir()
        folder.chmod(0o777)
        prefix = list(self.host.enter)
        if user is not None:
            prefix += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        daemon = Daemon(folder, prefix=prefix, arguments=arguments, binary=str(self.program))
        self._relay(daemon.port)
        return daemon

    def udp(self, network: Network, address: str) -> socket.socket:
        """A socket for datagrams in one of the networks."""
        made = network.inside(lambda: _bound(address, 0, socket.SOCK_DGRAM))
        made.settimeout(10)
        self._sockets.append(made)
        return made

    def _serve(self, network, address, asked):
        """Servers for TCP and UDP: they answer with the address that they were asked at."""
        stream = network.inside(lambda: _bound(address, PORT, socket.SOCK_STREAM))
        datagrams = network.inside(lambda: _bound(address, PORT, socket.SOCK_DGRAM))
        self._sockets += [stream, datagrams]

        def accept(connection):
            asked.append(connection.getpeername())
            connection.sendall(f"tcp {connection.getsockname()[0]}".encode())

        def answer():
            _, client = datagrams.recvfrom(100)
            asked.append(client)
            datagrams.sendto(f"udp {address}".encode(), client)

        _forever(lambda: _one_connection(stream, accept))
        _forever(answer)

    def _serve_names(self):
        """A name server outside: every name has the address of the outside; ``large`` has a hundred."""
        stream = self.outside.inside(lambda: _bound(OUTSIDE, 53, socket.SOCK_STREAM))
        datagrams = self.outside.inside(lambda: _bound(OUTSIDE, 53, socket.SOCK_DGRAM))
        self._sockets += [stream, datagrams]

        def over_udp():
            question, client = datagrams.recvfrom(512)
            datagrams.sendto(_answer(question, over_tcp=False), client)

        def over_tcp(connection):
            reader = connection.makefile("rb")
            while length := reader.read(2):
                answer = _answer(reader.read(int.from_bytes(length)), over_tcp=True)
                connection.sendall(len(answer).to_bytes(2) + answer)

        _forever(over_udp)
        _forever(lambda: _one_connection(stream, over_tcp))

    def _relay(self, port):
        """Leads connections to this port of the test's own network to the same port of the host."""
        listener = _bound("127.0.0.1", port, socket.SOCK_STREAM)
        self._sockets.append(listener)

        def lead(client):
            with contextlib.suppress(OSError):
                server = self.host.inside(lambda: _connected(port))
                if server is None:
                    client.close()
                    return
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                _pump(client, server)

        def accept():
            client, _ = listener.accept()
            threading.Thread(target=lead, args=(client,), daemon=True).start()

        _forever(accept)


def _connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None


def _pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _bound(address, port, kind):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in address:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    if kind == socket.SOCK_STREAM:
        made.listen(64)
    return made


def _one_connection(listener, action):
    connection, _ = listener.accept()

    def run():
        with connection, contextlib.suppress(OSError):
            action(connection)

    threading.Thread(target=run, daemon=True).start()


def _forever(action):
    """Repeats an action on a thread until its sockets are closed."""

    def run():
        with contextlib.suppress(OSError, ValueError):
            while True:
                action()

    threading.Thread(target=run, daemon=True).start()


def _answer(question, over_tcp):
    """The answer to a question, RFC 1035."""
    end = question.index(b"\0", 12) + 5
    (kind,) = struct.unpack(">H", question[end - 4 : end - 2])
    large = question[13:].startswith(b"large")
    cut = large and not over_tcp
    family, address = (socket.AF_INET6, OUTSIDE_V6) if kind == 28 else (socket.AF_INET, OUTSIDE)
    addresses = [socket.inet_pton(family, address)]
    if large and kind == 1:
        addresses = [bytes([10, 99, 1, number]) for number in range(100)]
    if cut:
        addresses = []
    records = b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, 9, len(a)) + a for a in addresses)
    flags = 0x8600 if cut else 0x8400
    return question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0) + question[12:end] + records


def uplinks(world: World) -> list:
    """Process ids of the programs that connect sandboxes to this host's network."""
    found = []
    namespace = os.readlink(f"/proc/{world.host.process.pid}/ns/net")
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/net") == namespace:
                if Path(f"/proc/{entry}/comm").read_text().startswith(("pasta", "passt")):
                    found.append(int(entry))
    return found


def processes_in(namespace: str) -> list:
    """Process ids with this network namespace."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/net") == namespace:
                found.append(int(entry))
    return found
