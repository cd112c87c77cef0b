"""Reaching beyond the sandbox's own loopback."""

import socket
import threading

from harness import logs
from stage import eventually
from tools import *  # noqa: F403 - what attacks use is defined there

#: Errors that say that there is nobody, or no way.
NOBODY = {"ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EACCES", "EPERM"}


def own_addresses() -> list:
    """Addresses of this machine beside the loopback's."""
    found = set()
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))
                found.add(probe.getsockname()[0])
            except OSError:
                pass
    return sorted(found)


def test_listener_of_the_daemon(stage):
    """The daemon's own listener, where the function could be anybody, cannot be reached."""
    targets = [["127.0.0.1", stage.daemon.port], ["localhost", stage.daemon.port], ["127.0.0.2", stage.daemon.port]]
    targets += [["0.0.0.0", stage.daemon.port], *([address, stage.daemon.port] for address in own_addresses())]

    def run(targets):
        return [outcome(lambda t=target: socket.create_connection(tuple(t), 3)) for target in targets]

    found = stage.attack(run, targets)
    assert set(found) <= NOBODY, found


def test_services_of_the_host(stage):
    """Services on the host's loopback, over TCP and UDP and IPv6, cannot be reached."""
    with socket.create_server(("0.0.0.0", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("0.0.0.0", 0))
        udp.setblocking(False)
        ports = [tcp.getsockname()[1], udp.getsockname()[1]]

        def run(ports, addresses):
            hosts = ["127.0.0.1", "::1", "::ffff:127.0.0.1", *addresses]
            found = [outcome(lambda h=host: socket.create_connection((h, ports[0]), 3)) for host in hosts]
            for host in ["127.0.0.1", *[a for a in addresses if ":" not in a]]:
                found.append(outcome(lambda h=host: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hostile", (h, ports[1]))))
            return found

        # A datagram to nobody leaves; what counts is that it does not arrive.
        sent = {"ok"}

        found = stage.attack(run, ports, own_addresses())
        hosts = 3 + len(own_addresses())
        assert set(found[:hosts]) <= NOBODY, found
        assert set(found[hosts:]) <= NOBODY | sent, found
        # What arrives at all over the loopback has arrived when it is sent.
        assert outcome(lambda: udp.recv(100)) == "EAGAIN"


def test_metadata_address(stage):
    """The address from which clouds hand out credentials is not there, nor are its relatives."""

    def run():
        targets = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "169.254.169.253"]
        return {host: outcome(lambda h=host: socket.create_connection((h, 80), 3)) for host in targets}

    found = stage.attack(run)
    assert set(found.values()) <= NOBODY, found


def test_interfaces_of_the_host(stage):
    """The function has a loopback interface and nothing else, and learns no address of the host."""

    def run():
        tables = {}
        for name in ("arp", "route", "tcp", "udp", "unix", "dev", "fib_trie", "if_inet6", "packet"):
            try:
                tables[name] = read(f"/proc/net/{name}", 1 << 16).decode()
            except OSError:
                tables[name] = ""
        return [[name for _, name in socket.if_nameindex()], tables]

    interfaces, tables = stage.attack(run)
    assert interfaces == ["lo"]
    for address in own_addresses():
        assert address not in str(tables)
    # Of the route table and the neighbours only the headings.
    assert len(tables["route"].splitlines()) <= 1
    assert len(tables["arp"].splitlines()) <= 1
    assert "@" not in tables["unix"]
    daemons_port = f":{stage.daemon.port:04X}"
    assert daemons_port not in tables["tcp"]


def test_runtime_api_of_another(stage, name):
    """The Runtime API that a function reaches is its own: it can neither answer nor take another's events."""
    stage.attacker(name)
    sign, answers = f"{name}-sign", []

    def wait(sign):
        print(f"id: {context.aws_request_id} {API}", flush=True)
        await_sign(sign)
        return "its own"

    def forge(request_id, port):
        path = f"/2018-06-01/runtime/invocation/{request_id}"
        body = "Host: x\r\nContent-Length: 8\r\n\r\n\"forged\""
        posts = [f"POST {path}/{kind} HTTP/1.1\r\n{body}".encode() for kind in ("response", "error")]
        found = [status(exchange(API, post)) for post in posts]
        # Where the port is the same, these go to its own.
        for post in (*posts, b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n") if port != API else ():
            try:
                found.append(status(exchange(port, post)))
            except OSError as error:
                found.append(errno.errorcode[error.errno])
        return [found, runtime_api("GET", "invocation/next")]

    busy = threading.Thread(target=lambda: answers.append(stage.attack(wait, sign, by=name)))
    busy.start()
    # The id is a secret of the other's; tried here is the best case, in which the attacker guessed it.
    line = eventually(lambda: said(stage, name, "id: "), "the other to be at work")
    _, request_id, port = line.split()
    found, taken = stage.attack(forge, request_id, int(port))
    assert found[:2] == [400, 400]
    assert set(found[2:]) <= {"EACCES", "EPERM"}, "the other's port is closed to it"
    assert taken == 200, "the event that it has already, and no other"
    stage.give_sign(sign)
    busy.join()
    assert answers == ["its own"]


def said(stage, name, start) -> str | None:
    """The line of a function's log that starts like this, once there is one."""
    try:
        lines = [line for stream in logs.streams(stage.logs, name) for line in logs.messages(stage.logs, name, stream)]
    except stage.logs.exceptions.ResourceNotFoundException:
        return None
    return next((line for line in lines if line.startswith(start)), None)


def test_taking_the_platforms_ports(stage, name):
    """The ports of the Runtime API and of the endpoint cannot be taken over inside the sandbox."""
    stage.attacker(name)

    def run():
        found = {}
        for port in (API, ENDPOINT):
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                with socket.socket() as taken:
                    taken.setsockopt(socket.SOL_SOCKET, option, 1)
                    found[f"{port} {option}"] = outcome(lambda: (taken.bind(("127.0.0.1", port)), taken.listen()))
        return [found, runtime_api("GET", "invocation/next")]

    found, answered = stage.attack(run, by=name)
    assert set(found.values()) <= ({"EADDRINUSE"} if stage.own_view else {"EACCES", "EPERM"}), found
    assert answered == 200, "the platform's own listener still answers"


def test_names_and_packets_to_the_world(stage):
    """Without a network no name is resolved and no packet leaves, over IPv4, IPv6, UDP or broadcast."""

    def run():
        def send(host):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sender.sendto(b"x", (host, 53))

        hosts = ("192.0.2.1", "8.8.8.8", "2001:4860:4860::8888", "255.255.255.255", "224.0.0.1", "10.0.0.1")
        found = outcomes({host: lambda host=host: send(host) for host in hosts})
        found["tcp"] = outcome(lambda: socket.create_connection(("192.0.2.1", 80), 3))
        try:
            found["name"] = str(socket.getaddrinfo("example.com", 80))
        except socket.gaierror:
            found["name"] = "ENETUNREACH"
        return found

    found = stage.attack(run)
    assert set(found.values()) <= NOBODY, found
