"""Reaching beyond the sandbox's own loopback."""

import socket
import threading

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
        udp.settimeout(0.5)
        ports = [tcp.getsockname()[1], udp.getsockname()[1]]

        def run(ports, addresses):
            hosts = ["127.0.0.1", "::1", "::ffff:127.0.0.1", *addresses]
            found = [outcome(lambda h=host: socket.create_connection((h, ports[0]), 3)) for host in hosts]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for host in ["127.0.0.1", *[a for a in addresses if ":" not in a]]:
                    outcome(lambda h=host: sender.sendto(b"hostile", (h, ports[1])))
            return found

        found = stage.attack(run, ports, own_addresses())
        assert set(found) <= NOBODY, found
        try:
            received = udp.recv(100)
        except TimeoutError:
            received = None
        assert received is None


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
    ids = []

    def wait(seconds):
        time.sleep(seconds)
        return context.aws_request_id  # noqa: F821 - the handler's

    def forge(request_id):
        answers = [runtime_api("POST", f"invocation/{request_id}/{kind}", b'"forged"') for kind in ("response", "error")]
        listeners = {}
        for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::1"):
            listeners[host] = outcome(lambda h=host: socket.create_connection((h, 9001), 2))
        return [answers, listeners, runtime_api("GET", "invocation/next")]

    busy = threading.Thread(target=lambda: ids.append(stage.attack(wait, 2, by=name)))
    busy.start()
    # The id is a secret of the other's; tried here is the best case, in which the attacker guessed it.
    answers, _, taken = stage.attack(forge, "00000000-0000-0000-0000-000000000000")
    assert answers == [400, 400]
    assert taken == 403, "it has an event already, and gets no other"
    busy.join()
    (request_id,) = ids
    answers, listeners, _ = stage.attack(forge, request_id)
    assert answers == [400, 400]
    assert listeners["127.0.0.1"] == "ok"


def test_taking_the_platforms_ports(stage, name):
    """The ports of the Runtime API and of the endpoint cannot be taken over inside the sandbox."""
    stage.attacker(name)

    def run():
        found = {}
        for port in (9001, 4566):
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                with socket.socket() as taken:
                    taken.setsockopt(socket.SOL_SOCKET, option, 1)
                    found[f"{port} {option}"] = outcome(lambda: (taken.bind(("127.0.0.1", port)), taken.listen()))
        return [found, runtime_api("GET", "invocation/next")]

    found, status = stage.attack(run, by=name)
    assert set(found.values()) == {"EADDRINUSE"}, found
    assert status == 403, "the platform's own listener still answers"


def test_names_and_packets_to_the_world(stage):
    """Without a network no name is resolved and no packet leaves, over IPv4, IPv6, UDP or broadcast."""

    def run():
        found = {}
        for host in ("192.0.2.1", "8.8.8.8", "2001:4860:4860::8888", "255.255.255.255", "224.0.0.1", "10.0.0.1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                found[host] = outcome(lambda h=host: sender.sendto(b"x", (h, 53)))
        try:
            found["name"] = str(socket.getaddrinfo("example.com", 80))
        except socket.gaierror:
            found["name"] = "ENETUNREACH"
        return found

    found = stage.attack(run)
    assert set(found.values()) <= NOBODY, found
