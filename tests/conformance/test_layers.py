"""Layers: publishing, listing, policies, and what functions see of them."""

import json
import urllib.request
import uuid

import pytest

from harness import packages
from harness.clients import ACCOUNT, REGION, boto
from harness.daemon import Daemon
from harness.functions import ROLE, Functions, node_runtime, python_runtime
from harness.s3 import S3

MB = 1024 * 1024
OTHER = "210987654321"
STRANGER = "111111111111"

CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})


def layer_arn(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:lambda:{REGION}:{account}:layer:{name}"


def python_layer(word: str, place: str = "python") -> bytes:
    """A layer with the module ``word``, which says who it is."""
    return packages.package({f"{place}/word.py": f"WORD = {word!r}\n", f"{place}/{word}.py": f"WORD = {word!r}\n"})


def publish(client, name: str, content: bytes, **parameters) -> str:
    """Publishes a layer and returns the version's ARN."""
    return client.publish_layer_version(LayerName=name, Content={"ZipFile": content}, **parameters)["LayerVersionArn"]


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


# ------------------------------------------------------------------------------------------------ the API


def test_life(lambda_, name):
    """API-061,
    API-111.4, API-120.3..10, API-121.1, API-121.3, API-136.6, API-136.7, API-159, API-160, API-219, API-510, API-511,
    CORE-210, CORE-214, RT-76, API-111, API-120, API-121, API-136, EX-30, EX-32: published, shown, deleted."""
    content = python_layer("one")
    published = lambda_.publish_layer_version(
        LayerName=name,
        Description="My layer",
        LicenseInfo="MIT",
        Content={"ZipFile": content},
        CompatibleRuntimes=["python3.6", "python3.7"],
        CompatibleArchitectures=["x86_64", "arm64"],
    )
    answer = published.pop("ResponseMetadata")
    assert answer["HTTPStatusCode"] == 201
    location = published["Content"].pop("Location")
    created = published.pop("CreatedDate")
    assert created.endswith("+0000") and len(created) == len("2018-11-14T23:03:52.894+0000")
    assert published == {
        "Content": {"CodeSha256": packages.sha256(content), "CodeSize": len(content)},
        "LayerArn": layer_arn(name),
        "LayerVersionArn": layer_arn(name) + ":1",
        "Description": "My layer",
        "Version": 1,
        "LicenseInfo": "MIT",
        "CompatibleRuntimes": ["python3.6", "python3.7"],
        "CompatibleArchitectures": ["x86_64", "arm64"],
    }
    assert urllib.request.urlopen(location).read() == content

    for got in (
        lambda_.get_layer_version(LayerName=name, VersionNumber=1),
        lambda_.get_layer_version(LayerName=layer_arn(name), VersionNumber=1),
        lambda_.get_layer_version_by_arn(Arn=layer_arn(name) + ":1"),
    ):
        assert got.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        assert urllib.request.urlopen(got["Content"].pop("Location")).read() == content
        assert got == {**published, "CreatedDate": created}

    plain = lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": content})
    assert (plain["Version"], plain["Description"]) == (2, "")
    assert not {"LicenseInfo", "CompatibleRuntimes", "CompatibleArchitectures"} & plain.keys()

    for _ in range(2):
        deleted = lambda_.delete_layer_version(LayerName=name, VersionNumber=2)
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone = ("ResourceNotFoundException", "The resource you requested does not exist.")
    assert error(lambda_.get_layer_version, LayerName=name, VersionNumber=2) == gone
    assert error(lambda_.get_layer_version_by_arn, Arn=layer_arn(name) + ":2") == gone
    elsewhere = layer_arn(name).replace(REGION, "eu-west-1")
    assert error(lambda_.get_layer_version_by_arn, Arn=elsewhere + ":1") == gone
    assert error(lambda_.delete_layer_version, LayerName=elsewhere, VersionNumber=1) == gone
    assert lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": content})["Version"] == 3, "CORE-215"


def test_lists(lambda_, name):
    """API-131.3, API-132.5, API-220,
    CORE-212, CORE-213, API-131, API-132, API-515, API-516, EX-31: filters, order, pages."""
    for number, (runtimes, architectures) in enumerate(
        [(["python3.12"], ["arm64"]), (["python3.13", "python3.12"], ["x86_64"]), ([], [])], 1
    ):
        publish(
            lambda_,
            name,
            python_layer("x"),
            CompatibleRuntimes=runtimes,
            CompatibleArchitectures=architectures,
            Description=f"number {number}",
        )
    other = name + "-other"
    publish(lambda_, other, python_layer("x"), CompatibleRuntimes=["python3.13"])

    def versions(**parameters):
        return [v["Version"] for v in lambda_.list_layer_versions(LayerName=name, **parameters)["LayerVersions"]]

    assert versions() == [3, 2, 1]
    assert versions(CompatibleRuntime="python3.12") == [2, 1]
    assert versions(CompatibleRuntime="python3.12", CompatibleArchitecture="arm64") == [1]
    assert versions(CompatibleArchitecture="x86_64") == [2]
    first = lambda_.list_layer_versions(LayerName=name, MaxItems=2)
    assert [v["Version"] for v in first["LayerVersions"]] == [3, 2]
    assert versions(MaxItems=2, Marker=first["NextMarker"]) == [1]
    item = first["LayerVersions"][1]
    item.pop("CreatedDate")
    assert item == {
        "LayerVersionArn": layer_arn(name) + ":2",
        "Version": 2,
        "Description": "number 2",
        "CompatibleRuntimes": ["python3.13", "python3.12"],
        "CompatibleArchitectures": ["x86_64"],
    }

    def latest(**parameters):
        pages = lambda_.get_paginator("list_layers").paginate(**parameters)
        layers = [layer for page in pages for layer in page["Layers"]]
        assert all(layer["LayerArn"] == layer_arn(layer["LayerName"]) for layer in layers)
        found = {layer["LayerName"]: layer["LatestMatchingVersion"]["Version"] for layer in layers}
        assert len(found) == len(layers)
        return {key: found[key] for key in (name, other) if key in found}

    assert latest() == {name: 3, other: 1}
    assert latest(PaginationConfig={"PageSize": 1}) == {name: 3, other: 1}
    assert latest(CompatibleRuntime="python3.12") == {name: 2}
    assert latest(CompatibleRuntime="python3.13", CompatibleArchitecture="x86_64") == {name: 2}
    lambda_.delete_layer_version(LayerName=name, VersionNumber=3)
    assert (versions(), latest()) == ([2, 1], {name: 2, other: 1})
    assert lambda_.list_layer_versions(LayerName="never-published")["LayerVersions"] == []


def test_policies(lambda_, name):
    """API-015, API-101.8..10, API-122.2, API-141.3, API-164,
    CORE-109, CORE-110, CORE-115, RT-80, API-101, API-122, API-141, EX-14, EX-15."""
    version = publish(lambda_, name, python_layer("x"))
    of = {"LayerName": name, "VersionNumber": 1}
    none = ("ResourceNotFoundException", "No policy is associated with the given resource.")
    assert error(lambda_.get_layer_version_policy, **of) == none
    grant = {**of, "Action": "lambda:GetLayerVersion"}
    first = lambda_.add_layer_version_permission(**grant, StatementId="xaccount", Principal=OTHER)
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert first["Statement"] == (
        f'{{"Sid":"xaccount","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{OTHER}:root"}},'
        f'"Action":"lambda:GetLayerVersion","Resource":"{version}"}}'
    )
    uuid.UUID(first["RevisionId"])
    second = lambda_.add_layer_version_permission(
        **grant, StatementId="org", Principal="*", OrganizationId="o-t194hfs8cz", RevisionId=first["RevisionId"]
    )
    policy = lambda_.get_layer_version_policy(**of)
    assert policy["RevisionId"] == second["RevisionId"] != first["RevisionId"]
    assert json.loads(policy["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [json.loads(first["Statement"]), json.loads(second["Statement"])],
    }
    assert json.loads(second["Statement"])["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-t194hfs8cz"}}

    taken = error(lambda_.add_layer_version_permission, **grant, StatementId="org", Principal="*")
    assert taken[0] == "ResourceConflictException" and "statement id (org) provided already exists" in taken[1]
    stale = {"RevisionId": first["RevisionId"]}
    assert error(lambda_.remove_layer_version_permission, **of, StatementId="org", **stale)[0] == (
        "PreconditionFailedException"
    )
    assert error(lambda_.add_layer_version_permission, **grant, StatementId="s", Principal="*", **stale)[0] == (
        "PreconditionFailedException"
    )
    absent = ("ResourceNotFoundException", "Statement absent is not found in resource policy.")
    assert error(lambda_.remove_layer_version_permission, **of, StatementId="absent") == absent
    for statement in ("org", "xaccount"):
        removed = lambda_.remove_layer_version_permission(**of, StatementId=statement)
        assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error(lambda_.get_layer_version_policy, **of) == none
    lambda_.delete_layer_version(**of)
    gone = ("ResourceNotFoundException", f"Layer version {version} does not exist.")
    assert error(lambda_.get_layer_version_policy, **of) == gone


def test_a_policy_has_a_limit(lambda_, name):
    """API-304: PolicyLengthExceededException, and the policy stays."""
    publish(lambda_, name, python_layer("x"))
    grant = {"LayerName": name, "VersionNumber": 1, "Action": "lambda:GetLayerVersion", "Principal": "*"}
    with pytest.raises(lambda_.exceptions.PolicyLengthExceededException):
        for number in range(200):
            lambda_.add_layer_version_permission(**grant, StatementId=f"{number:0100}")
    policy = lambda_.get_layer_version_policy(LayerName=name, VersionNumber=1)["Policy"]
    assert len(policy) <= 20 * 1024
    assert len(json.loads(policy)["Statement"]) == number


BAD = {
    "name": ("publish_layer_version", {"LayerName": "a.b", "Content": {"ZipFile": CODE}}, "layerName"),
    "long name": ("publish_layer_version", {"LayerName": "a" * 141, "Content": {"ZipFile": CODE}}, "layerName"),
    "description": (
        "publish_layer_version",
        {"LayerName": "l", "Content": {"ZipFile": CODE}, "Description": "d" * 257},
        "description",
    ),
    "license": (
        "publish_layer_version",
        {"LayerName": "l", "Content": {"ZipFile": CODE}, "LicenseInfo": "d" * 513},
        "licenseInfo",
    ),
    "runtime": (
        "publish_layer_version",
        {"LayerName": "l", "Content": {"ZipFile": CODE}, "CompatibleRuntimes": ["cobol"]},
        "compatibleRuntimes",
    ),
    "16 runtimes": (
        "publish_layer_version",
        {"LayerName": "l", "Content": {"ZipFile": CODE}, "CompatibleRuntimes": ["python3.12"] * 16},
        "compatibleRuntimes",
    ),
    "architecture": (
        "publish_layer_version",
        {"LayerName": "l", "Content": {"ZipFile": CODE}, "CompatibleArchitectures": ["mips"]},
        "compatibleArchitectures",
    ),
    "ARN": ("get_layer_version_by_arn", {"Arn": "arn:aws:lambda:us-east-1:000000000000:layer:l"}, "arn"),
    "page": ("list_layers", {"MaxItems": 51}, "maxItems"),
    "listed runtime": ("list_layers", {"CompatibleRuntime": "cobol"}, "compatibleRuntime"),
    "listed architecture": (
        "list_layer_versions",
        {"LayerName": "l", "CompatibleArchitecture": "mips"},
        "compatibleArchitecture",
    ),
    "action": (
        "add_layer_version_permission",
        {"LayerName": "l", "VersionNumber": 1, "StatementId": "s", "Action": "lambda:*", "Principal": "*"},
        "action",
    ),
    "principal": (
        "add_layer_version_permission",
        {
            "LayerName": "l",
            "VersionNumber": 1,
            "StatementId": "s",
            "Action": "lambda:GetLayerVersion",
            "Principal": "root",
        },
        "principal",
    ),
    "statement": (
        "remove_layer_version_permission",
        {"LayerName": "l", "VersionNumber": 1, "StatementId": "a.b"},
        "statementId",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_constraints(lambda_, case):
    """API-060, API-062, API-063, API-068..070, API-136, API-608: the words of the model."""
    operation, parameters, member = BAD[case]
    code, text = error(getattr(lambda_, operation), **parameters)
    assert code == "ValidationException", text
    assert f"at '{member}' failed to satisfy constraint" in text


def test_numbers_begin_with_one(lambda_):
    text = "Layer Version Cannot be less than 1."
    for operation in ("get_layer_version", "delete_layer_version"):
        refused = error(getattr(lambda_, operation), LayerName="l", VersionNumber=0)
        assert refused == ("InvalidParameterValueException", text)


def zip_with_link(target: str) -> bytes:
    return packages.package({"link": target}, {"link": packages.LINK})


HOSTILE = {
    "no zip": lambda: b"no zip",
    "empty": lambda: packages.package({}),
    "climbs out": lambda: packages.package({"../../evil": "x"}),
    "absolute": lambda: packages.package({"/etc/evil": "x"}),
    "link out": lambda: zip_with_link("../../../etc/passwd"),
    "link to root": lambda: zip_with_link("/etc/passwd"),
    "file below a link": lambda: packages.package({"d": "python", "d/x": "y"}, {"d": packages.LINK}),
    "too large": lambda: packages.package({"x": b"\0" * (251 * MB)}),
    "lie about its size": lambda: packages.declared_size(packages.package({"x": b"\0" * MB}), 10),
    "damaged": lambda: packages.package({"x": "y" * 100}).replace(packages.package({"x": "y" * 100})[31:34], b"\xff\xff\xff", 1),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives(daemon, lambda_, name, case):
    """CORE-083, API-302: refused as packages of functions are; nothing is left, and no number is used."""
    before = daemon.files()
    code, text = error(lambda_.publish_layer_version, LayerName=name, Content={"ZipFile": HOSTILE[case]()})
    assert code == "InvalidParameterValueException", text
    assert "nzip" in text
    assert daemon.files() == before
    publish(lambda_, name, python_layer("x"))
    assert lambda_.list_layer_versions(LayerName=name)["LayerVersions"][0]["Version"] == 1


# ---------------------------------------------------------------------------------------- functions and layers


def test_configuration(functions, lambda_, name):
    """CORE-207, RT-77..79, API-216, EX-29: the list is replaced as a whole, kept by other updates, cleared by []."""
    content = python_layer("one")
    one, two = publish(lambda_, name + "-1", content), publish(lambda_, name + "-2", python_layer("two"))
    created = functions.create(name, CODE, python_runtime(), Layers=[one])
    assert created["Layers"] == [{"Arn": one, "CodeSize": len(content)}]

    def layers(**parameters):
        shown = lambda_.get_function_configuration(FunctionName=name, **parameters)
        return [layer["Arn"] for layer in shown.get("Layers", [])]

    changed = functions.configure(name, Layers=[two, one])
    assert changed["LastUpdateStatus"] == "InProgress"
    assert layers() == [two, one]
    functions.configure(name, Timeout=5)
    functions.recode(name, packages.package({"app.py": "def handler(event, context):\n    return 2\n"}))
    assert layers() == [two, one]
    assert functions.publish(name) == "1"
    functions.configure(name, Layers=[])
    assert "Layers" not in lambda_.get_function_configuration(FunctionName=name)
    assert layers(Qualifier="1") == [two, one]
    assert functions.publish(name) == "2", "another list of layers is a change"
    functions.configure(name, Layers=[two, one])
    assert functions.publish(name) == "3"
    functions.configure(name, Layers=[one, two])
    assert functions.publish(name) == "4", "so is another order"
    assert functions.publish(name) == "4"


def test_refused_lists(functions, lambda_, name):
    """CORE-078, CORE-206, CORE-209: the service's words; the function stays as it is."""
    arns = [publish(lambda_, f"{name}-{n}", python_layer("x")) for n in range(6)]
    again = publish(lambda_, f"{name}-0", python_layer("y"))
    functions.create(name, CODE, python_runtime())
    revision = lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    elsewhere = arns[0].replace(REGION, "eu-west-1")
    cases = [
        (arns, "Cannot reference more than 5 layers."),
        (
            [arns[0], arns[1], again],
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            f"{arns[0]} and {again} are versions of the same layer.",
        ),
        ([layer_arn("never") + ":1"], f"Layer version {layer_arn('never')}:1 does not exist."),
        (
            [elsewhere],
            f"Layers are not in the same region as the function. Layers are expected to be in region {REGION}.",
        ),
    ]
    create = {"Runtime": python_runtime(), "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": CODE}}
    for layers, text in cases:
        refused = ("InvalidParameterValueException", text)
        assert error(lambda_.update_function_configuration, FunctionName=name, Layers=layers) == refused
        assert error(lambda_.create_function, FunctionName=name + "-new", Layers=layers, **create) == refused
    for bad in (f"{name}-0", layer_arn(name), "x" * 141):
        code, text = error(lambda_.update_function_configuration, FunctionName=name, Layers=[bad])
        assert code == "ValidationException" and "at 'layers' failed to satisfy constraint" in text
    assert lambda_.get_function_configuration(FunctionName=name)["RevisionId"] == revision
    functions.configure(name, Layers=arns[:5])


def test_the_size_limit_counts_layers(functions, lambda_, name):
    """CORE-083, CORE-206: 250 MB together, by whichever way it is passed."""
    large = packages.package({"x": b"\0" * (150 * MB)})
    one, two = publish(lambda_, name + "-1", large), publish(lambda_, name + "-2", large)
    functions.create(name, CODE, python_runtime(), Layers=[one])
    assert error(lambda_.update_function_configuration, FunctionName=name, Layers=[one, two]) == (
        "InvalidParameterValueException",
        "Layers consume more than the available size of 262144000 bytes",
    )
    together = "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
    code, text = error(lambda_.update_function_code, FunctionName=name, ZipFile=large)
    assert (code, text) == ("InvalidParameterValueException", together + "The actual size is 314572800 bytes.")
    functions.create(name + "-large", large, python_runtime())
    code, text = error(lambda_.update_function_configuration, FunctionName=name + "-large", Layers=[one])
    assert text.startswith(together)


def test_other_accounts(daemon, functions, lambda_, name):
    """CORE-108..111, CORE-217, W9: what a policy permits, and nothing else."""
    version = publish(lambda_, name, python_layer("shared"))
    friend, stranger = (boto(daemon.url, "lambda", key=account) for account in (OTHER, STRANGER))

    def create(client, function):
        return client.create_function(
            FunctionName=function,
            Runtime=python_runtime(),
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": packages.package({"app.py": "import word\ndef handler(e, c):\n    return word.WORD\n"})},
            Layers=[version],
        )

    def denied(call, account, **parameters):
        code, text = error(call, **parameters)
        assert code == "AccessDeniedException"
        assert text == (
            f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:GetLayerVersion on resource: "
            f"{version} because no resource-based policy allows the lambda:GetLayerVersion action"
        )

    denied(friend.get_layer_version_by_arn, OTHER, Arn=version)
    denied(lambda **_: create(friend, name), OTHER)
    lambda_.add_layer_version_permission(
        LayerName=name, VersionNumber=1, StatementId="friend", Action="lambda:GetLayerVersion", Principal=OTHER
    )
    assert friend.get_layer_version_by_arn(Arn=version)["Version"] == 1
    assert friend.get_layer_version(LayerName=layer_arn(name), VersionNumber=1)["LayerVersionArn"] == version
    assert create(friend, name)["Layers"][0]["Arn"] == version
    theirs = Functions(friend)
    theirs.active(name)
    denied(stranger.get_layer_version_by_arn, STRANGER, Arn=version)
    assert error(friend.delete_layer_version, LayerName=layer_arn(name), VersionNumber=1)[0] == "AccessDeniedException"
    lambda_.remove_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="friend")
    assert theirs.invoke(name).good() == "shared", "what is configured stays"
    lambda_.add_layer_version_permission(
        LayerName=name, VersionNumber=1, StatementId="all", Action="lambda:GetLayerVersion", Principal="*"
    )
    assert stranger.get_layer_version_by_arn(Arn=version)["Version"] == 1


# ------------------------------------------------------------------------------------------------ at run time

LOOK = """import os, sys
import word, one, two
def handler(event, context):
    def attempt(action):
        try:
            action()
            return "done"
        except OSError as error:
            return type(error).__name__
    return {
        "word": word.WORD,
        "opt": sorted(os.listdir("/opt")),
        "write": attempt(lambda: open("/opt/new", "w")),
        "tool": os.popen("tool").read(),
        "argv": sys.argv[1:],
    }
"""


def test_python_and_the_order_of_layers(functions, lambda_, name):
    """CORE-205, CORE-208, CORE-216, LANG1-037: merged in order, found by the runtime, read-only."""
    place = f"python/lib/{python_runtime()}/site-packages"
    one = publish(lambda_, name + "-1", python_layer("one"))
    two = publish(lambda_, name + "-2", python_layer("two"))
    site = publish(lambda_, name + "-site", python_layer("site", place))
    tool = packages.package({"bin/tool": "#!/bin/sh\necho ran\n", "lib/x.so": ""}, {"bin/tool": packages.PROGRAM})
    tools = publish(lambda_, name + "-tools", tool)
    functions.python(name, LOOK, Layers=[one, two, tools])
    found = functions.invoke(name).good()
    assert found == {
        "word": "two",
        "opt": ["bin", "lib", "python"],
        "write": found["write"],
        "tool": "ran\n",
        "argv": [],
    }
    assert found["write"] in ("OSError", "PermissionError"), found
    functions.configure(name, Layers=[two, tools, one])
    assert functions.invoke(name).good()["word"] == "one"
    functions.configure(name, Layers=[two, one, site])
    assert functions.invoke(name).good()["word"] == "site", "site-packages come before the folder above them"
    functions.configure(name, Layers=[])
    functions.invoke(name).failed("Runtime.ImportModuleError")


def test_node(functions, lambda_, name):
    """CORE-216: nodejs/node_modules, and before it that of the version."""
    major = node_runtime().removeprefix("nodejs").removesuffix(".x")

    def module(place, word):
        return {f"{place}/{word}/index.js": f"exports.word = {word!r};\n", f"{place}/both/index.js": f"exports.word = {place!r};\n"}  # fmt: skip

    plain, versioned = "nodejs/node_modules", f"nodejs/node{major}/node_modules"
    layer = publish(lambda_, name, packages.package({**module(plain, "one"), **module(versioned, "two")}))
    source = "exports.handler = async () => ['one', 'two', 'both'].map((m) => require(m).word);\n"
    functions.node(name, source, Layers=[layer])
    assert functions.invoke(name).good() == ["one", "two", versioned]


RUNTIME = """printf '"%s"' "$0" | curl -sS -X POST --data-binary @- "$URL/invocation/$ID/response" > /dev/null"""


def test_a_bootstrap_in_a_layer(functions, lambda_, name):
    """RT-25, RT-44, RT-54, W-3: a runtime from a layer; the package's own goes first."""
    runtime = packages.bash(f'  ID="${{ID}}"\n  {RUNTIME}')
    layer = publish(lambda_, name, runtime)
    functions.custom(name, packages.package({"function.sh": ""}))
    assert "/opt/bootstrap" in functions.invoke(name).failed("Runtime.InvalidEntrypoint")["errorMessage"]
    functions.configure(name, Layers=[layer])
    assert functions.invoke(name).good() == "/opt/bootstrap"
    functions.recode(name, runtime)
    assert functions.invoke(name).good() == "/var/task/bootstrap"


WORD = packages.package({"app.py": "import word\ndef handler(event, context):\n    return word.WORD\n"})


def test_a_deleted_layer_stays_with_its_users(own_daemon, name):
    """API-111.3, CORE-209, CORE-215, RT-82, RT-83, W26: also over a restart, which collects what nobody uses."""
    client = boto(own_daemon.url, "lambda")
    functions = Functions(client)
    used, merged = publish(client, "used", python_layer("used")), publish(client, "merged", python_layer("merged"))
    publish(client, "unused", python_layer("unused"))
    kept = publish(client, "kept", python_layer("kept"))
    functions.create(name, WORD, python_runtime(), Layers=[used])
    functions.create(name + "-2", WORD, python_runtime(), Layers=[merged, used])
    for layer in ("used", "merged", "unused"):
        client.delete_layer_version(LayerName=layer, VersionNumber=1)
    assert functions.invoke(name).good() == "used"
    packages_of = own_daemon.data / "code" / "packages"
    before = len(list(packages_of.iterdir()))
    own_daemon.restart_after_kill()
    assert len(list(packages_of.iterdir())) == before - 1, "the unused one is gone, and no other"
    assert functions.invoke(name).good() == "used"
    assert functions.invoke(name + "-2").good() == "used"
    assert urllib.request.urlopen(client.get_layer_version_by_arn(Arn=kept)["Content"]["Location"]).status == 200

    gone = ("InvalidParameterValueException", f"Layer version {used} does not exist.")
    assert error(client.update_function_configuration, FunctionName=name, Layers=[used, kept]) == gone
    functions.configure(name, Timeout=7)
    assert functions.invoke(name).good() == "used", "another setting does not touch the layers"
    functions.configure(name, Layers=[kept])
    assert functions.invoke(name).good() == "kept"
    assert publish(client, "used", python_layer("used")).endswith(":2")


def test_a_layer_from_s3(tmp_path, name):
    """CORE-210, API-218: the archive of a layer can be an object."""
    store = S3(tmp_path)
    content = python_layer("from_s3")
    store.client.create_bucket(Bucket="layers")
    store.client.put_object(Bucket="layers", Key="layer.zip", Body=content)
    daemon = Daemon(tmp_path, arguments=["--s3-endpoint", store.url]).start()
    try:
        client = boto(daemon.url, "lambda")
        source = {"S3Bucket": "layers", "S3Key": "layer.zip"}
        published = client.publish_layer_version(LayerName=name, Content=source)
        assert published["Content"]["CodeSha256"] == packages.sha256(content)
        functions = Functions(client)
        functions.create(name, WORD, python_runtime(), Layers=[published["LayerVersionArn"]])
        assert functions.invoke(name).good() == "from_s3"
    finally:
        store.stop()
        assert daemon.stop() == 0, daemon.output()
