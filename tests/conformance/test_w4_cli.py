"""Workflow W4 with the real ``aws`` command: from a role to a deleted function whose logs remain."""

import base64
import hashlib
import io
import json
import re
import urllib.request
import zipfile

from harness import logs as function_logs
from harness.clients import ACCOUNT, REGION, Cli, boto
from harness.functions import Functions, arn, node_runtime

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
SOURCE = """exports.handler = async function(event, context) {
  console.log("ENVIRONMENT VARIABLES\\n" + JSON.stringify(process.env, null, 2))
  console.log("EVENT\\n" + JSON.stringify(event, null, 2))
  return context.logStreamName
}
"""
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def make_role(cli, name):
    """create-role and attach-role-policy, as the guide's tutorial does it."""
    (cli.home / "trust-policy.json").write_text(json.dumps(TRUST))
    document = "file://trust-policy.json"
    role = cli.json("iam", "create-role", "--role-name", name, "--assume-role-policy-document", document)["Role"]
    assert cli.run("iam", "attach-role-policy", "--role-name", name, "--policy-arn", BASIC).stdout == ""
    return role


def test_role(cli, name):
    """CORE-053, CORE-054, EX-4, EX-5: the role comes back with every field, and can be read again."""
    role = make_role(cli, name)
    assert role["Path"] == "/"
    assert role["RoleName"] == name
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{name}"
    assert re.fullmatch(r"AROA[A-Z0-9]{17}", role["RoleId"]), role["RoleId"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", role["CreateDate"])
    assert role["AssumeRolePolicyDocument"] == TRUST
    read = cli.json("iam", "get-role", "--role-name", name)["Role"]
    assert {k: read[k] for k in role} == role
    again = cli.run(
        "iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(TRUST), fails=True
    )
    assert "(EntityAlreadyExists)" in again.stderr
    assert "(NoSuchEntity)" in cli.run("iam", "get-role", "--role-name", f"{name}-not", fails=True).stderr


def test_end_to_end(cli, logs, name):
    """W4, CORE-055..061, CORE-064, CORE-065, LANG1-040, LANG1-043..046, LANG1-102, EX-6..8, EX-10."""
    role = make_role(cli, f"{name}-role")
    zipped = cli.home / "function.zip"
    (cli.home / "index.js").write_text(SOURCE)
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(cli.home / "index.js", "index.js")
    digest = base64.b64encode(hashlib.sha256(zipped.read_bytes()).digest()).decode()

    made = cli.json(
        "lambda", "create-function", "--function-name", name, "--zip-file", "fileb://function.zip",
        "--handler", "index.handler", "--runtime", node_runtime(), "--role", role["Arn"],
    )  # fmt: skip
    assert made["FunctionName"] == name
    assert made["FunctionArn"] == arn(name)
    assert made["Runtime"] == node_runtime()
    assert made["Role"] == role["Arn"]
    assert made["Handler"] == "index.handler"
    assert made["CodeSha256"] == digest
    assert made["CodeSize"] == zipped.stat().st_size
    assert made["Version"] == "$LATEST"
    assert made["TracingConfig"] == {"Mode": "PassThrough"}
    assert re.fullmatch(UUID, made["RevisionId"])
    cli.run("lambda", "wait", "function-active-v2", "--function-name", name)

    event = '{"key": "value"}'
    invoked = cli.json(
        "lambda", "invoke", "--function-name", name, "--payload", event, "--log-type", "Tail", "out"
    )
    assert invoked["StatusCode"] == 200
    assert invoked["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in invoked
    stream = json.loads((cli.home / "out").read_text())
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream), stream

    tail = base64.b64decode(invoked["LogResult"]).decode()
    lines = tail.splitlines()
    request = re.search(rf"END RequestId: ({UUID})\n", tail).group(1)
    assert len(tail.encode()) <= 4096
    assert lines[0] == f"START RequestId: {request} Version: $LATEST", lines[0]
    report = (
        rf"REPORT RequestId: {request}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms ?\tMemory Size: 128 MB\t"
    )
    report += r"Max Memory Used: \d+ MB\t(Init Duration: \d+\.\d\d ms\t)?\n"
    assert re.search(report, tail), tail

    # The API answers once the log has the REPORT line; from then on it is read as users read it.
    function_logs.of_request(logs, name, stream, request)
    read = cli.json(
        "logs",
        "get-log-events",
        "--log-group-name",
        f"/aws/lambda/{name}",
        "--log-stream-name",
        stream,
        "--limit",
        "5",
    )
    events = read["events"]
    assert len(events) == 5, events
    assert events[0]["message"] == f"START RequestId: {request} Version: $LATEST\n"
    console = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{request}\tINFO\t"
    assert re.match(console + r"ENVIRONMENT VARIABLES\r\{\r", events[1]["message"]), events[1]
    assert re.fullmatch(console + r'EVENT\r\{\r  "key": "value"\r\}\n', events[2]["message"]), events[2]
    assert events[3]["message"] == f"END RequestId: {request}\n"
    assert re.fullmatch(report, events[4]["message"]), events[4]
    for event in events:
        assert 0 <= event["ingestionTime"] - event["timestamp"] < 15_000
    assert re.fullmatch(r"f/\d{56}", read["nextForwardToken"])
    assert re.fullmatch(r"b/\d{56}", read["nextBackwardToken"])

    got = cli.json("lambda", "get-function", "--function-name", name)
    assert got["Configuration"]["CodeSha256"] == digest
    assert got["Code"]["RepositoryType"] == "S3"
    with urllib.request.urlopen(got["Code"]["Location"]) as download:
        content = download.read()
    assert hashlib.sha256(content).digest() == base64.b64decode(digest)
    assert zipfile.ZipFile(io.BytesIO(content)).read("index.js").decode() == SOURCE

    deleted = cli.run("lambda", "delete-function", "--function-name", name).stdout
    assert json.loads(deleted or "{}") in ({}, {"StatusCode": 204})  # newer versions of the command show the status
    gone = cli.run("lambda", "get-function", "--function-name", name, fails=True)
    assert "(ResourceNotFoundException)" in gone.stderr
    assert request in "".join(function_logs.messages(logs, name, stream))


def test_list_functions_with_paging(own_daemon, tmp_path):
    """CORE-063, CORE-066, EX-9: --max-items gives a NextToken, --starting-token goes on from there."""
    cli = Cli(own_daemon.url, tmp_path)
    functions = Functions(boto(own_daemon.url, "lambda"))
    for number in range(5):
        functions.python(f"f-{number}", "def handler(event, context): pass")
    everything = cli.json("lambda", "list-functions")["Functions"]
    seen, token = [], None
    for _ in range(len(everything)):
        more = ["--starting-token", token] if token else []
        page = cli.json("lambda", "list-functions", "--max-items", "2", *more)
        assert len(page["Functions"]) <= 2
        seen += [function["FunctionName"] for function in page["Functions"]]
        token = page.get("NextToken")
        if not token:
            break
    assert seen == [function["FunctionName"] for function in everything]
    assert seen == [f"f-{number}" for number in range(5)]


def test_function_error_is_no_error_of_the_command(cli, functions, name):
    """LANG1-059, LANG1-069, CORE-314: the terminal shows FunctionError, the file holds the document."""
    functions.python(name, "def handler(event, context):\n    raise KeyError('no such thing')\n")
    shown = cli.json("lambda", "invoke", "--function-name", name, "out.json")
    assert shown == {"StatusCode": 200, "FunctionError": "Unhandled", "ExecutedVersion": "$LATEST"}
    assert json.loads((cli.home / "out.json").read_text())["errorType"] == "KeyError"


def test_log_commands(cli, functions, logs, name):
    """LANG1-038, LANG1-054: describe-log-groups, describe-log-streams, filter-log-events work."""
    functions.python(
        name, "def handler(event, context):\n    print('needle in the log')\n    return context.log_stream_name\n"
    )
    result = functions.invoke(name)
    stream = result.good()
    function_logs.of_request(logs, name, stream, result.request_id)
    group = f"/aws/lambda/{name}"
    groups = cli.json("logs", "describe-log-groups", "--log-group-name-prefix", group)["logGroups"]
    assert [g["logGroupName"] for g in groups] == [group]
    assert groups[0]["arn"].startswith(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}")
    streams = cli.json("logs", "describe-log-streams", "--log-group-name", group)["logStreams"]
    assert [s["logStreamName"] for s in streams] == [stream]
    found = cli.json("logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "needle")[
        "events"
    ]
    assert [(e["message"].strip(), e["logStreamName"]) for e in found] == [("needle in the log", stream)]
    none = cli.run(
        "logs", "get-log-events", "--log-group-name", f"{group}-x", "--log-stream-name", "s", fails=True
    )
    assert "(ResourceNotFoundException)" in none.stderr
