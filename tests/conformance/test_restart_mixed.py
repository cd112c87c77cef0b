"""``kill -9`` at random points of a mixed workload: what was acknowledged is there, nothing is half there."""

import copy
import json
import random
import threading
import time

import botocore.exceptions

from harness import packages
from harness.clients import ACCOUNT, REGION, boto
from harness.functions import PACE, ROLE, Functions, arn, python_runtime

CLIENTS = 3
ROUNDS = 5
SEED = 20261123
#: What a client's world has beside its functions.
NOT_FUNCTIONS = ("kept mappings", "layer versions")


class Unanswered(Exception):
    """The daemon went away before it answered."""


class Client(threading.Thread):
    """One client with functions of its own: at most one of its changes is unanswered when the daemon dies.

    ``world`` is what its acknowledged changes have made, ``maybe`` the same with the unanswered change done.
    """

    def __init__(self, url: str, number: int, seed: int, world: dict, acknowledged):
        super().__init__(name=f"client-{number}")
        self.lambda_ = boto(url, "lambda")
        self.random = random.Random(f"{seed}-{number}")
        self.number = number
        self.world = world
        self.maybe = world
        self.acknowledged = acknowledged
        self.changes = []
        self.failure = None

    def run(self):
        try:
            while True:
                self.one()
        except Unanswered:
            return
        except BaseException as failure:  # told by the test, which reads it after join
            self.failure = failure

    def one(self):
        """Makes one change and notes what has come of it."""
        name = f"c{self.number}-f{self.random.randrange(4)}"
        kinds = [self.create] if name not in self.world else [
            self.configure, self.configure, self.recode, self.recode_and_publish, self.publish, self.publish,
            self.alias, self.alias, self.drop_alias, self.tag, self.untag, self.map, self.map, self.drop_mapping,
            self.permit, self.permit, self.forbid, self.reserve, self.unreserve, self.publish_layer, self.use_layer,
            self.delete_version, self.delete,
        ]  # fmt: skip
        after = copy.deepcopy(self.world)
        call = self.random.choice(kinds)(name, after)
        if call is None:
            return
        method, parameters = call
        self.maybe = after
        self.changes.append(method)
        self.ask(method, **parameters)
        self.world = after
        self.acknowledged()
        if method == "create_function":
            self.wait("function_active_v2", name)
        if method in ("update_function_code", "update_function_configuration"):
            self.wait("function_updated_v2", name)

    def ask(self, method: str, **parameters):
        """One request, which the daemon may not live to answer."""
        try:
            return getattr(self.lambda_, method)(**parameters)
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as gone:
            raise Unanswered from gone

    def wait(self, waiter: str, name: str):
        try:
            self.lambda_.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=PACE)
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as gone:
            raise Unanswered from gone

    # Each change: the call, and what the world is after it. None when there is nothing to do it to.

    def code(self) -> tuple:
        package = packages.package({"app.py": f"def handler(event, context):\n    return {self.random.random()}\n"})
        return package, packages.sha256(package)

    def mark(self) -> str:
        return f"{self.random.randrange(10**9)}"

    def create(self, name, after):
        package, digest = self.code()
        mark, publish = self.mark(), self.random.random() < 0.3
        latest = {"code": digest, "description": mark, "environment": mark, "timeout": 3, "layers": []}
        kept = after.get("kept mappings", {}).get(name, {})
        after[name] = {
            "latest": latest, "versions": {}, "last": 0, "aliases": {}, "tags": {"made": mark},
            "mappings": dict(kept), "permissions": {}, "reserved": None,
        }  # fmt: skip
        if publish:
            self.add_version(after[name])
        return "create_function", {
            "FunctionName": name, "Runtime": python_runtime(), "Handler": "app.handler", "Role": ROLE,
            "Code": {"ZipFile": package}, "Description": mark, "Environment": {"Variables": {"MARK": mark}},
            "Tags": {"made": mark}, "Publish": publish,
        }  # fmt: skip

    def add_version(self, function):
        published = function["versions"].get(function["last"])
        if published != function["latest"]:
            function["last"] += 1
            function["versions"][function["last"]] = dict(function["latest"])

    def configure(self, name, after):
        mark, timeout = self.mark(), self.random.randrange(1, 60)
        after[name]["latest"] |= {"description": mark, "environment": mark, "timeout": timeout}
        settings = {"Description": mark, "Environment": {"Variables": {"MARK": mark}}, "Timeout": timeout}
        return "update_function_configuration", {"FunctionName": name, **settings}

    def recode(self, name, after, publish=False):
        package, digest = self.code()
        after[name]["latest"]["code"] = digest
        if publish:
            self.add_version(after[name])
        return "update_function_code", {"FunctionName": name, "ZipFile": package, "Publish": publish}

    def recode_and_publish(self, name, after):
        return self.recode(name, after, publish=True)

    def publish(self, name, after):
        self.add_version(after[name])
        return "publish_version", {"FunctionName": name}

    def alias(self, name, after):
        if not after[name]["versions"]:
            return None
        alias, version = f"a{self.random.randrange(3)}", self.random.choice(list(after[name]["versions"]))
        method = "update_alias" if alias in after[name]["aliases"] else "create_alias"
        after[name]["aliases"][alias] = version
        return method, {"FunctionName": name, "Name": alias, "FunctionVersion": str(version)}

    def drop_alias(self, name, after):
        if not after[name]["aliases"]:
            return None
        alias = self.random.choice(list(after[name]["aliases"]))
        del after[name]["aliases"][alias]
        return "delete_alias", {"FunctionName": name, "Name": alias}

    def tag(self, name, after):
        tags = {f"t{self.random.randrange(5)}": self.mark() for _ in range(2)}
        after[name]["tags"] |= tags
        return "tag_resource", {"Resource": arn(name), "Tags": tags}

    def untag(self, name, after):
        keys = [f"t{self.random.randrange(5)}", "made"]
        for key in keys:
            after[name]["tags"].pop(key, None)
        return "untag_resource", {"Resource": arn(name), "TagKeys": keys}

    def map(self, name, after):
        source = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-{self.random.randrange(3)}"
        batch = self.random.randrange(1, 11)
        uuid = after[name]["mappings"].get(source, {}).get("uuid")
        if uuid:
            after[name]["mappings"][source] = {"uuid": uuid, "batch": batch}
            return "update_event_source_mapping", {"UUID": uuid, "BatchSize": batch}
        return self.new_mapping(name, after, source, batch)

    def new_mapping(self, name, after, source, batch):
        """Its UUID is known only from the answer: so it is asked for here."""
        after[name]["mappings"][source] = {"uuid": None, "batch": batch}
        self.maybe = after
        self.changes.append("create_event_source_mapping")
        made = self.ask("create_event_source_mapping", FunctionName=name, EventSourceArn=source, BatchSize=batch)
        after[name]["mappings"][source]["uuid"] = made["UUID"]
        self.world = after
        self.acknowledged()

    def drop_mapping(self, name, after):
        if not after[name]["mappings"]:
            return None
        source = self.random.choice(list(after[name]["mappings"]))
        uuid = after[name]["mappings"].pop(source)["uuid"]
        return "delete_event_source_mapping", {"UUID": uuid}

    def permit(self, name, after):
        sid, account = f"s{self.random.randrange(4)}", f"{self.random.randrange(10**11, 10**12)}"
        if sid in after[name]["permissions"]:
            return None
        after[name]["permissions"][sid] = account
        action = {"StatementId": sid, "Action": "lambda:InvokeFunction", "Principal": account}
        return "add_permission", {"FunctionName": name, **action}

    def forbid(self, name, after):
        if not after[name]["permissions"]:
            return None
        sid = self.random.choice(list(after[name]["permissions"]))
        del after[name]["permissions"][sid]
        return "remove_permission", {"FunctionName": name, "StatementId": sid}

    def reserve(self, name, after):
        after[name]["reserved"] = self.random.randrange(10)
        return "put_function_concurrency", {
            "FunctionName": name,
            "ReservedConcurrentExecutions": after[name]["reserved"],
        }

    def unreserve(self, name, after):
        after[name]["reserved"] = None
        return "delete_function_concurrency", {"FunctionName": name}

    def publish_layer(self, _, after):
        content, _ = self.code()
        after["layer versions"] = after.get("layer versions", 0) + 1
        return "publish_layer_version", {"LayerName": f"c{self.number}-layer", "Content": {"ZipFile": content}}

    def use_layer(self, name, after):
        if not after.get("layer versions"):
            return None
        version = self.random.randrange(after["layer versions"]) + 1
        layers = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:c{self.number}-layer:{version}"]
        after[name]["latest"]["layers"] = layers
        return "update_function_configuration", {"FunctionName": name, "Layers": layers}

    def delete_version(self, name, after):
        free = [v for v in after[name]["versions"] if v not in after[name]["aliases"].values()]
        if not free or self.random.random() < 0.5:
            return None
        version = self.random.choice(free)
        del after[name]["versions"][version]
        return "delete_function", {"FunctionName": name, "Qualifier": str(version)}

    def delete(self, name, after):
        if self.random.random() < 0.3:
            return None
        after.setdefault("kept mappings", {})[name] = after.pop(name)["mappings"]
        return "delete_function", {"FunctionName": name}


def seen(lambda_, functions, number: int) -> dict:
    """What the daemon has of a client's functions, in the words of ``Client.world``."""
    world = {}
    pages = lambda_.get_paginator("list_functions").paginate()
    names = [f["FunctionName"] for page in pages for f in page["Functions"] if f["FunctionName"].startswith(f"c{number}-")]
    for name in names:
        functions.active(name)
        functions.updated(name)
        found = lambda_.get_function(FunctionName=name)
        pages = lambda_.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        versions = {v["Version"]: says(v) for page in pages for v in page["Versions"]}
        latest = versions.pop("$LATEST")
        assert latest == says(found["Configuration"])
        aliases = lambda_.list_aliases(FunctionName=name)["Aliases"]
        world[name] = {
            "latest": latest,
            "versions": {int(version): value for version, value in versions.items()},
            "aliases": {alias["Name"]: int(alias["FunctionVersion"]) for alias in aliases},
            "tags": found.get("Tags", {}),
            "mappings": mappings(lambda_, name),
            "permissions": permissions(lambda_, name),
            "reserved": found.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        }
    layers = lambda_.list_layer_versions(LayerName=f"c{number}-layer")["LayerVersions"]
    world["layer versions"] = len(layers)
    assert [layer["Version"] for layer in layers] == list(range(len(layers), 0, -1))
    return world


def says(configuration: dict) -> dict:
    return {
        "code": configuration["CodeSha256"],
        "description": configuration["Description"],
        "environment": configuration["Environment"]["Variables"]["MARK"],
        "timeout": configuration["Timeout"],
        "layers": [layer["Arn"] for layer in configuration.get("Layers", [])],
    }


def mappings(lambda_, name: str) -> dict:
    found = lambda_.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    return {m["EventSourceArn"]: {"uuid": m["UUID"], "batch": m["BatchSize"]} for m in found}


def permissions(lambda_, name: str) -> dict:
    try:
        policy = json.loads(lambda_.get_policy(FunctionName=name)["Policy"])
    except lambda_.exceptions.ResourceNotFoundException:
        return {}
    return {s["Sid"]: s["Principal"]["AWS"].split(":")[4] for s in policy["Statement"]}


def comparable(world: dict, found: dict) -> dict:
    """A client's idea of the world as the daemon shows it. A UUID that never arrived is the daemon's to say."""
    shown = {"layer versions": world.get("layer versions", 0)}
    for name, function in world.items():
        if name in NOT_FUNCTIONS:
            continue
        kept = {}
        for source, mapping in function["mappings"].items():
            told = found.get(name, {}).get("mappings", {}).get(source, {}).get("uuid")
            kept[source] = mapping | {"uuid": mapping["uuid"] or told}
        shown[name] = {k: v for k, v in function.items() if k != "last"} | {"mappings": kept}
    return shown


def test_a_kill_at_any_point_loses_nothing(own_daemon):
    """API-103..107, API-137, API-143..148, CORE-004, API-707: several clients change what they have; the daemon is
    killed in the middle, again and again. What was acknowledged is there, what was not is there whole or not at all."""
    chance = random.Random(SEED)
    worlds = [{} for _ in range(CLIENTS)]
    unanswered = 0
    for turn in range(ROUNDS):
        count, changed = 0, threading.Condition()

        def acknowledged():
            nonlocal count
            with changed:
                count += 1
                changed.notify()

        clients = [Client(own_daemon.url, n, SEED + turn, worlds[n], acknowledged) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        target = chance.randrange(20, 60)
        with changed:
            enough = changed.wait_for(lambda: count >= target or not all(c.is_alive() for c in clients), 30)
        # Not at the moment of an answer: somewhere in the work on the next change.
        time.sleep(chance.random() * 0.01)
        own_daemon.kill()
        for client in clients:
            client.join(30)
            if client.failure:
                raise client.failure
        assert enough, f"only {count} changes in 30 s"
        own_daemon.start()

        lambda_ = boto(own_daemon.url, "lambda")
        for number, client in enumerate(clients):
            found = seen(lambda_, Functions(lambda_), number)
            before, after = comparable(client.world, found), comparable(client.maybe, found)
            context = f"seed {SEED}, round {turn}, client {number}, last changes {client.changes[-3:]}"
            assert found in (before, after), context
            if client.world is not client.maybe:
                unanswered += 1
            worlds[number] = settle(client.world if found == before else client.maybe, found)
    assert unanswered >= ROUNDS, "the kills came at quiet moments, which proves nothing"


def settle(world: dict, found: dict) -> dict:
    """What a client knows after it has looked: UUIDs too."""
    world = copy.deepcopy(world)
    for name, function in world.items():
        if name not in NOT_FUNCTIONS:
            function["mappings"] = copy.deepcopy(found[name]["mappings"])
    return world
