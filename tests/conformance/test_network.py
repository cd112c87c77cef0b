"""What functions reach: under each network policy, from a daemon in a world made for the test."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import wait_for
from harness.functions import ROLE, Functions, python_runtime
from harness.world import (
    HOST,
    INTERNAL,
    METADATA,
    OUTSIDE,
    OUTSIDE_V6,
    PORT,
    SILENT,
    World,
    processes_in,
    uplinks,
)

#: Tries what it is told and tells how each ended.
PROBE = """
import json, os, socket, time, urllib.error, urllib.request

def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET

def tcp(address, port, bound=False):
    with socket.socket(family(address)) as s:
        s.settimeout(0.5 if bound else 10)
        if bound:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        s.connect((address, port))
        return s.recv(100).decode()

def connect(address, port, patience):
    socket.create_connection((address, port), patience).close()

def udp(address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(b"?", (address, port))
        return s.recv(100).decode()

def name(host):
    return sorted({a[4][0] for a in socket.getaddrinfo(host, 1, proto=socket.IPPROTO_TCP)})

def endpoint():
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/20260101/{os.environ['AWS_REGION']}/lambda/aws4_request"
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/2015-03-31/functions/",
        headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return len(json.load(response)["Functions"]) > 0

def xray(segment):
    address = os.environ["_AWS_XRAY_DAEMON_ADDRESS"], int(os.environ["_AWS_XRAY_DAEMON_PORT"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b'{"format": "json", "version": 1}\\n' + json.dumps(segment).encode(), address)
    return os.environ["AWS_XRAY_DAEMON_ADDRESS"]

def sampling():
    address = os.environ["AWS_XRAY_DAEMON_ADDRESS"]
    parts = dict(part.split(":", 1) for part in address.split()) if " " in address else {"tcp": address}
    try:
        with urllib.request.urlopen(f"http://{parts['tcp']}/GetSamplingRules", b"{}", timeout=10) as response:
            return [response.status, response.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]

def sleep(seconds):
    time.sleep(seconds)
    return seconds

def read(path):
    return open(path).read()

def interfaces():
    return [name for _, name in socket.if_nameindex()]

def handler(event, context):
    results = []
    for action, *arguments in event:
        try:
            results.append(globals()[action](*arguments))
        except OSError as error:
            results.append(f"{type(error).__name__}: {error.strerror or error}")
    return results
"""

UNREACHABLE = "OSError: No route to host"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A host and its outside."""
    world = World(tmp_path_factory.mktemp("world") / "world")
    yield world
    world.close()


class Prober:
    """Functions of one daemon that try things."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.functions = Functions(boto(daemon.url, "lambda"))
        self.made = set()

    def __call__(self, *event, network=None):
        """What comes of the actions under a policy, that of the daemon by default."""
        return self.invoke(*event, network=network).good()

    def invoke(self, *event, network=None):
        """The same with whatever went wrong."""
        name = f"probe-{network}"
        if name not in self.made:
            tags = {"lambd:network": network} if network else {}
            self.functions.python(name, PROBE, Timeout=60, MemorySize=256, Tags=tags)
            self.made.add(name)
        return self.functions.invoke(name, event)


@pytest.fixture(scope="module")
def traces(world):
    """What an X-Ray daemon on the host receives."""
    return world.udp(world.host, "127.0.0.1")


@pytest.fixture(scope="module")
def connected(world, traces, tmp_path_factory):
    """A daemon with connections to the outside, and functions of it."""
    xray = f"127.0.0.1:{traces.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("connected") / "daemon"
    daemon = world.daemon(folder, "--network", "nat", "--allow-host-network", "--xray-daemon", xray).start()
    yield Prober(daemon)
    assert daemon.stop() == 0, daemon.output()
    wait_for(lambda: not uplinks(world), "all uplinks to end")


@pytest.fixture
def another(world, tmp_path):
    """Starts daemons with other options."""
    started = []

    def start(*arguments, user=None):
        daemon = world.daemon(tmp_path / f"daemon-{len(started)}", *arguments, user=user)
        started.append(daemon)
        return daemon

    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    yield start
    for daemon in started:
        if daemon.alive():
            assert daemon.stop() == 0, daemon.output()


def test_nat_reaches_the_outside(connected):
    """CORE-228: under nat a function opens connections and sends datagrams, over IPv4 and IPv6, to addresses and names."""
    assert connected(
        ["tcp", OUTSIDE, PORT],
        ["udp", OUTSIDE, PORT],
        ["tcp", OUTSIDE_V6, PORT],
        ["udp", OUTSIDE_V6, PORT],
        ["tcp", OUTSIDE, PORT, True],
        ["name", "service.test"],
        ["tcp", "service.test", PORT],
    ) == [
        f"tcp {OUTSIDE}",
        f"udp {OUTSIDE}",
        f"tcp {OUTSIDE_V6}",
        f"udp {OUTSIDE_V6}",
        f"tcp {OUTSIDE}",
        [OUTSIDE, OUTSIDE_V6],
        f"tcp {OUTSIDE}",
    ]


def test_answers_too_large_for_a_datagram(connected):
    """A name with a hundred addresses is looked up whole."""
    (found,) = connected(["name", "large.test"])
    assert len(found) == 101, found


def test_nat_reaches_neither_the_host_nor_metadata_services(world, connected):
    """CORE-005: the cloud's metadata, the host's addresses and loopback, and the daemon's own listener."""
    targets = [(address, PORT) for address in METADATA + HOST]
    targets += [(address, connected.daemon.port) for address in HOST]
    plain = connected(*(["tcp", *target] for target in targets))
    assert plain == [UNREACHABLE] * len(targets)
    # Nor by a socket that is bound to the interface, which the routes alone would not hold.
    targets += [("127.0.0.1", PORT), ("127.0.0.1", connected.daemon.port), ("::1", PORT)]
    for target, result in zip(targets, connected(*(["tcp", *target, True] for target in targets)), strict=True):
        assert result == "TimeoutError: timed out", target
    assert world.asked_on_host == []


def test_none_reaches_nothing(connected):
    """Under none there is a loopback interface, and no way from it."""
    addresses = [OUTSIDE, OUTSIDE_V6, *METADATA, *HOST]
    results = connected(*(["tcp", address, PORT] for address in addresses), network="none")
    assert set(results) == {"OSError: Network is unreachable"}
    (found, names) = connected(["name", "service.test"], ["interfaces"], network="none")
    assert found.startswith("gaierror: ")
    assert names == ["lo"]


def test_host_is_the_hosts(connected):
    """Under host a function reaches what the host reaches, its loopback included."""
    result = connected(
        ["tcp", OUTSIDE, PORT],
        ["tcp", METADATA[0], PORT],
        ["tcp", "127.0.0.1", PORT],
        ["tcp", "service.test", PORT],
        ["read", "/etc/resolv.conf"],
        ["interfaces"],
        network="host",
    )
    assert result == [
        f"tcp {OUTSIDE}",
        f"tcp {METADATA[0]}",
        "tcp 127.0.0.1",
        f"tcp {OUTSIDE}",
        f"nameserver {OUTSIDE}\nsearch lab.example\n",
        ["lo", "outer"],
    ]


@pytest.mark.parametrize("network", ["none", "nat", "host"])
def test_endpoints_under_each_policy(connected, traces, network):
    """SVC2-157: the Runtime API, the AWS endpoint and the X-Ray daemon's address are always there."""
    segment = {"name": f"seen under {network}"}
    there, address = connected(["endpoint"], ["xray", segment], network=network)
    assert there is True
    header, document = traces.recv(1000).split(b"\n", 1)
    assert json.loads(header) == {"format": "json", "version": 1}
    assert json.loads(document) == segment
    if network == "host":
        assert re.fullmatch(r"tcp:127\.0\.0\.1:\d+ udp:127\.0\.0\.1:\d+", address)
    else:
        assert address == "127.0.0.1:2000"


def test_sampling_rules_without_an_xray_daemon(functions, name):
    """SVC2-157: without a daemon to ask, segments are taken all the same and sampling questions get a clear no."""
    functions.python(name, PROBE, Timeout=20)
    address, (status, said) = functions.invoke(name, [["xray", {}], ["sampling"]]).good()
    assert address == "127.0.0.1:2000"
    assert status == 503
    assert "--xray-daemon" in said


def test_sampling_rules_come_from_the_xray_daemon(world, connected, traces):
    """SVC2-157: questions about sampling are handed on to the daemon that the operator has."""
    listener = world.host.inside(lambda: socket.create_server(("127.0.0.1", traces.getsockname()[1])))
    listener.settimeout(30)

    def answer():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as reader:
            request = reader.readline()
            while line := reader.readline().strip():
                assert line
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nrules")
            return request

    with concurrent.futures.ThreadPoolExecutor() as pool, listener:
        asked = pool.submit(answer)
        assert connected(["sampling"]) == [[200, "rules"]]
        assert asked.result() == b"POST /GetSamplingRules HTTP/1.1\r\n"


def create(client, tags):
    return client.create_function(
        FunctionName="tagged",
        Runtime=python_runtime(),
        Handler="app.handler",
        Role=ROLE,
        Tags=tags,
        Code={"ZipFile": packages.package({"app.py": PROBE})},
    )


@pytest.mark.parametrize(
    "tags,said",
    [
        ({"lambd:network": "bridge"}, "'bridge'|\"bridge\""),
        ({"lambd:network": ""}, "none, nat and host"),
        ({"lambd:netwrok": "none"}, "lambd:netwrok"),
        ({"lambd:network": "host"}, "--allow-host-network"),
    ],
)
def test_refused_tags(lambda_, tags, said):
    """A tag that asks for what there is not, or for what the operator has not allowed, is refused by name."""
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException, match=said):
        create(lambda_, tags)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName="tagged")


def test_permission_withdrawn(another):
    """A function that was allowed the host's network does not keep it when the operator thinks again."""
    daemon = another("--network", "none", "--allow-host-network").start()
    probe = Prober(daemon)
    assert probe(["tcp", "127.0.0.1", PORT], network="host") == ["tcp 127.0.0.1"]
    assert daemon.stop() == 0
    daemon.arguments.remove("--allow-host-network")
    daemon.start()
    with pytest.raises(probe.functions.client.exceptions.ClientError, match="--allow-host-network"):
        probe.invoke(["interfaces"], network="host")


def test_denied_networks(another):
    """--deny-network keeps more out of reach; names are looked up all the same."""
    probe = Prober(another("--deny-network", "10.98.0.0/16", "--deny-network", f"{OUTSIDE}/32,fd99::/64").start())
    assert probe(
        ["tcp", INTERNAL, PORT], ["tcp", OUTSIDE, PORT], ["tcp", OUTSIDE_V6, PORT], ["name", "service.test"]
    ) == [UNREACHABLE, UNREACHABLE, UNREACHABLE, [OUTSIDE, OUTSIDE_V6]]


def test_an_ordinary_users_daemon(world, another):
    """CORE-005, CORE-228: without root functions reach the same, and not more."""
    daemon = another("--network", "nat", user=65534).start()
    probe = Prober(daemon)
    assert probe(["tcp", OUTSIDE, PORT], ["udp", OUTSIDE_V6, PORT], ["tcp", "service.test", PORT]) == [
        f"tcp {OUTSIDE}",
        f"udp {OUTSIDE_V6}",
        f"tcp {OUTSIDE}",
    ]
    before = len(world.asked_on_host)
    targets = [*METADATA, *HOST, "127.0.0.1"]
    assert not [r for r in probe(*(["tcp", a, PORT, True] for a in targets)) if r != "TimeoutError: timed out"]
    assert len(world.asked_on_host) == before
    mine = uplinks(world)
    daemon.kill()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in mine if owner(pid) == 65534), "them to end")


def test_a_container_is_connected(another):
    """At the level oci the container has the sandbox's network: names and the outside, and not the machine."""
    probe = Prober(another("--isolation", "oci", "--oci-runtime", "crun", "--network", "nat").start())
    assert probe(["tcp", "service.test", PORT], ["udp", OUTSIDE_V6, PORT], ["tcp", HOST[0], PORT]) == [
        f"tcp {OUTSIDE}",
        f"udp {OUTSIDE_V6}",
        UNREACHABLE,
    ]


def test_the_level_process_has_none_or_host(another):
    """Without a network of its own, a function has its own endpoints or the machine's whole network."""
    refused = another("--isolation", "process", "--network", "nat").spawn()
    assert refused.process.wait(30) != 0
    assert "the isolation level process has no network of its own" in refused.output()

    probe = Prober(another("--isolation", "process", "--allow-host-network").start())
    assert probe(["endpoint"], ["tcp", OUTSIDE, PORT]) == [True, "PermissionError: Permission denied"]
    assert probe(["endpoint"], ["tcp", OUTSIDE, PORT], network="host") == [True, f"tcp {OUTSIDE}"]


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def network_of_uplinks(pids):
    """The network namespaces that these programs have entered, by the interface that they hold there."""
    parents = {int(field(pid, "PPid")) for pid in pids}
    children = []
    for parent in parents:
        with open(f"/proc/{parent}/task/{parent}/children") as listing:
            children += [int(child) for child in listing.read().split()]
    return {os.readlink(f"/proc/{child}/ns/net") for child in children if child not in pids}


def field(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(line.split()[1] for line in status if line.startswith(f"{name}:"))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_left_behind(world, connected, another, end):
    """No process, interface or namespace outlives the daemon, however it ends."""
    others = set(uplinks(world))
    interfaces = subprocess.check_output([*world.host.enter, "ip", "-o", "link"])
    daemon = another("--network", "nat").start()
    assert Prober(daemon)(["tcp", OUTSIDE, PORT]) == [f"tcp {OUTSIDE}"]
    mine = set(uplinks(world)) - others
    assert mine
    namespaces = network_of_uplinks(mine)
    assert namespaces
    if end == "stop":
        assert daemon.stop() == 0
    else:
        daemon.kill()
    wait_for(lambda: not mine & set(uplinks(world)), "the uplinks to end")
    wait_for(lambda: not any(processes_in(namespace) for namespace in namespaces), "the sandboxes to end")
    assert subprocess.check_output([*world.host.enter, "ip", "-o", "link"]) == interfaces


def test_functions_that_send_nothing_have_no_uplink(world, another):
    """CORE-005: what nobody needs is not started, and all is there as soon as somebody does."""
    daemon = another("--network", "nat").start()
    probe = Prober(daemon)
    others = set(uplinks(world))
    assert probe(["endpoint"], ["interfaces"], ["tcp", METADATA[0], PORT]) == [True, ["lo", "eth0"], UNREACHABLE]
    assert set(uplinks(world)) <= others
    assert probe(["udp", OUTSIDE, PORT], ["tcp", OUTSIDE_V6, PORT]) == [f"udp {OUTSIDE}", f"tcp {OUTSIDE_V6}"]
    assert len(set(uplinks(world)) - others) == 1


def test_an_uplink_ends_with_its_instance(world, another):
    """A deleted function takes its connection along."""
    daemon = another("--network", "none", "--started-ahead", "0").start()
    others = set(uplinks(world))
    probe = Prober(daemon)
    probe(["tcp", OUTSIDE, PORT], network="nat")
    mine = set(uplinks(world)) - others
    assert len(mine) == 1
    probe.functions.client.delete_function(FunctionName="probe-nat")
    wait_for(lambda: not mine & set(uplinks(world)), "the uplink to end")


def test_an_uplink_that_was_killed(world, another):
    """The event under way fails as when the instance dies; the next one has a connection again."""
    daemon = another("--network", "none", "--started-ahead", "0").start()
    others = set(uplinks(world))
    probe = Prober(daemon)
    assert probe(["tcp", OUTSIDE, PORT], network="nat") == [f"tcp {OUTSIDE}"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        heard = len(world.asked_outside)
        under_way = pool.submit(probe.invoke, ["udp", OUTSIDE, PORT], ["sleep", 30], network="nat")
        wait_for(lambda: len(world.asked_outside) > heard, "the event to be under way")
        (uplink,) = set(uplinks(world)) - others
        os.kill(uplink, 9)
        result = under_way.result()
    assert "environment was lost" in result.failed("Sandbox.Failure")["errorMessage"]
    assert probe(["tcp", OUTSIDE, PORT], network="nat") == [f"tcp {OUTSIDE}"]


def test_twenty_at_once(connected):
    """Instances that start at the same time are all connected."""
    connected.invoke(["sleep", 0])
    event = (["sleep", 1], ["tcp", OUTSIDE, PORT])
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda _: connected(*event), range(20)))
    assert results == [[1, f"tcp {OUTSIDE}"]] * 20


def test_an_uplink_that_is_slow(world, another):
    """A connection is made although the uplink reads its first packet only after it was sent again."""
    daemon = another("--network", "none").start()
    others = set(uplinks(world))
    probe = Prober(daemon)
    # The uplink is started by the first packet.
    probe(["udp", OUTSIDE, PORT], network="nat")
    mine = set(uplinks(world)) - others
    namespaces = network_of_uplinks(mine)
    for address in (OUTSIDE, OUTSIDE_V6):
        before = retransmitted(namespaces)
        signal_all(mine, signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            under_way = pool.submit(probe, ["tcp", address, PORT], network="nat")
            wait_for(lambda n=before: retransmitted(namespaces) > n, "the packet to be sent again")
            signal_all(mine, signal.SIGCONT)
            assert under_way.result() == [f"tcp {address}"]


def signal_all(pids, number):
    for pid in pids:
        os.kill(pid, number)


def retransmitted(namespaces):
    """How many TCP segments were sent again in network namespaces."""
    total = 0
    for namespace in namespaces:
        with open(f"/proc/{processes_in(namespace)[0]}/net/snmp") as counters:
            names, values = (line.split() for line in counters if line.startswith("Tcp:"))
        total += int(values[names.index("RetransSegs")])
    return total


def test_a_host_that_does_not_answer(connected):
    """What is silent is tried again for as long as the function cares to wait; it does not count as refused."""
    assert connected(["connect", SILENT, PORT, 2.5]) == ["TimeoutError: timed out"]


@pytest.fixture
def without_pasta(world):
    """The same host without pasta on it."""
    hide = "mount --bind /dev/null /usr/bin/pasta"
    subprocess.run([*world.host.enter, "sh", "-c", hide], check=True)
    yield
    subprocess.run([*world.host.enter, "umount", "/usr/bin/pasta"], check=True)


def test_without_pasta_functions_have_no_outside_and_operators_know(world, another, without_pasta):
    """`auto` falls back to none and says why and what to install; so does doctor."""
    daemon = another().start()
    said = wait_for(lambda: re.search(r"network +(none .*)", daemon.output()), "the start-up line").group(1)
    assert "pasta is not installed" in said
    assert "passt" in said
    probe = Prober(daemon)
    assert probe(["tcp", OUTSIDE, PORT]) == ["OSError: Network is unreachable"]
    with pytest.raises(probe.functions.client.exceptions.InvalidParameterValueException, match="pasta is not"):
        create(probe.functions.client, {"lambd:network": "nat"})
    command = [*world.host.enter, str(world.program), "doctor", "--data", str(daemon.data)]
    doctor = subprocess.run(command, capture_output=True, text=True)
    assert re.search(r"! nat +pasta is not installed\n +try: .*passt", doctor.stdout), doctor.stdout


def test_a_demanded_policy_that_does_not_work_stops_the_start(another, without_pasta):
    """--network nat is not silently something else."""
    daemon = another("--network", "nat").spawn()
    assert daemon.wait_for_exit() > 0
    said = daemon.output()
    assert "nat does not work here: pasta is not installed" in said
    assert "passt" in said
