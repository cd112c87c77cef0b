"""Every ``aws lambda`` subcommand once: those of operations that are offered succeed, the others say what they are."""

import json
import re
import zipfile
from pathlib import Path

import awscli.clidriver
import boto3
import pytest
from botocore import xform_name

from harness.clients import ACCOUNT, REGION, Cli, CliSession
from harness.functions import ROLE, arn, python_runtime

PAGE = Path(__file__).resolve().parents[2] / "docs/compatibility.md"
MODEL = boto3.client("lambda", region_name="us-east-1").meta.service_model
NAME = "of-the-command-line"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"

#: The subcommands that are no operation, and the operations that are no subcommand: the command has no event streams.
NO_OPERATION = {"wait"}
NO_COMMAND = {"InvokeWithResponseStream"}

#: A life with every operation, in an order in which each has what it needs. ``{…}`` is the name of the function, its
#: ARN, or what an earlier answer gave; the third column says what to keep of the answer. Operations that are not
#: offered (yet) are tried with the error that is documented for them.
LIFE = [
    ("GetAccountSettings", "", {}),
    ("CreateFunction", f"--function-name {{name}} --runtime {python_runtime()} --role {ROLE} --handler app.handler --zip-file fileb://f.zip", {}),
    ("wait", "function-active-v2 --function-name {name}", {}),
    ("wait", "function-exists --function-name {name}", {}),
    ("GetFunction", "--function-name {name}", {}),
    ("GetFunctionConfiguration", "--function-name {name}", {}),
    ("ListFunctions", "--max-items 1", {}),
    ("Invoke", "--function-name {name} out.json", {}),
    ("InvokeAsync", "--function-name {name} --invoke-args event.json", {}),
    ("PublishVersion", "--function-name {name}", {"version": "Version"}),
    ("wait", "published-version-active --function-name {name} --qualifier {version}", {}),
    ("ListVersionsByFunction", "--function-name {name}", {}),
    ("CreateAlias", "--function-name {name} --name live --function-version {version}", {}),
    ("GetAlias", "--function-name {name} --name live", {}),
    ("ListAliases", "--function-name {name}", {}),
    ("UpdateAlias", "--function-name {name} --name live --description d", {}),
    ("TagResource", "--resource {arn} --tags a=1,b=2", {}),
    ("ListTags", "--resource {arn}", {}),
    ("UntagResource", "--resource {arn} --tag-keys a b", {}),
    ("UpdateFunctionConfiguration", "--function-name {name} --timeout 5", {}),
    ("UpdateFunctionCode", "--function-name {name} --zip-file fileb://f.zip", {}),
    ("wait", "function-updated-v2 --function-name {name}", {}),
    ("AddPermission", "--function-name {name} --statement-id s --action lambda:InvokeFunction --principal s3.amazonaws.com", {}),
    ("GetPolicy", "--function-name {name}", {}),
    ("RemovePermission", "--function-name {name} --statement-id s", {}),
    ("PutFunctionConcurrency", "--function-name {name} --reserved-concurrent-executions 2", {}),
    ("GetFunctionConcurrency", "--function-name {name}", {}),
    ("DeleteFunctionConcurrency", "--function-name {name}", {}),
    ("PutProvisionedConcurrencyConfig", "--function-name {name} --qualifier live --provisioned-concurrent-executions 1", {}),
    ("GetProvisionedConcurrencyConfig", "--function-name {name} --qualifier live", {}),
    ("ListProvisionedConcurrencyConfigs", "--function-name {name}", {}),
    ("DeleteProvisionedConcurrencyConfig", "--function-name {name} --qualifier live", {}),
    ("PutFunctionEventInvokeConfig", "--function-name {name} --maximum-retry-attempts 1", {}),
    ("UpdateFunctionEventInvokeConfig", "--function-name {name} --maximum-event-age-in-seconds 60", {}),
    ("GetFunctionEventInvokeConfig", "--function-name {name}", {}),
    ("ListFunctionEventInvokeConfigs", "--function-name {name}", {}),
    ("DeleteFunctionEventInvokeConfig", "--function-name {name}", {}),
    ("CreateFunctionUrlConfig", "--function-name {name} --auth-type NONE", {}),
    ("GetFunctionUrlConfig", "--function-name {name}", {}),
    ("UpdateFunctionUrlConfig", "--function-name {name} --auth-type AWS_IAM", {}),
    ("ListFunctionUrlConfigs", "--function-name {name}", {}),
    ("DeleteFunctionUrlConfig", "--function-name {name}", {}),
    ("CreateCodeSigningConfig", f"--allowed-publishers SigningProfileVersionArns={PROFILE}", {"csc": "CodeSigningConfig.CodeSigningConfigArn"}),
    ("GetCodeSigningConfig", "--code-signing-config-arn {csc}", {}),
    ("UpdateCodeSigningConfig", "--code-signing-config-arn {csc} --description d", {}),
    ("ListCodeSigningConfigs", "", {}),
    ("PutFunctionCodeSigningConfig", "--code-signing-config-arn {csc} --function-name {name}", {}),
    ("GetFunctionCodeSigningConfig", "--function-name {name}", {}),
    ("ListFunctionsByCodeSigningConfig", "--code-signing-config-arn {csc}", {}),
    ("DeleteFunctionCodeSigningConfig", "--function-name {name}", {}),
    ("DeleteCodeSigningConfig", "--code-signing-config-arn {csc}", {}),
    ("PutFunctionRecursionConfig", "--function-name {name} --recursive-loop Allow", {}),
    ("GetFunctionRecursionConfig", "--function-name {name}", {}),
    ("PutRuntimeManagementConfig", "--function-name {name} --update-runtime-on Auto", {}),
    ("GetRuntimeManagementConfig", "--function-name {name}", {}),
    ("PublishLayerVersion", "--layer-name {name} --zip-file fileb://f.zip", {"layer": "LayerVersionArn"}),
    ("GetLayerVersion", "--layer-name {name} --version-number 1", {}),
    ("GetLayerVersionByArn", "--arn {layer}", {}),
    ("ListLayers", "", {}),
    ("ListLayerVersions", "--layer-name {name}", {}),
    ("AddLayerVersionPermission", "--layer-name {name} --version-number 1 --statement-id s --action lambda:GetLayerVersion --principal *", {}),
    ("GetLayerVersionPolicy", "--layer-name {name} --version-number 1", {}),
    ("RemoveLayerVersionPermission", "--layer-name {name} --version-number 1 --statement-id s", {}),
    ("DeleteLayerVersion", "--layer-name {name} --version-number 1", {}),
    ("CreateEventSourceMapping", f"--function-name {{name}} --event-source-arn {QUEUE}", {"uuid": "UUID"}),
    ("GetEventSourceMapping", "--uuid {uuid}", {}),
    ("ListEventSourceMappings", "--function-name {name}", {}),
    ("UpdateEventSourceMapping", "--uuid {uuid} --no-enabled --batch-size 5", {}),
    ("DeleteEventSourceMapping", "--uuid {uuid}", {}),
    ("DeleteAlias", "--function-name {name} --name live", {}),
    ("DeleteFunction", "--function-name {name}", {}),
]  # fmt: skip


def unoffered() -> dict:
    """Operation to the reason why it is not offered, as the documentation has it."""
    table = PAGE.read_text().split("## Lambda")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| not offered: (.*) \|$", table, re.MULTILINE))


@pytest.fixture(scope="module")
def aws(shared_daemon, tmp_path_factory):
    """Runs commands in a folder with the files that they need."""
    home = tmp_path_factory.mktemp("aws")
    with zipfile.ZipFile(home / "f.zip", "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return 'from the command line'\n")
    (home / "event.json").write_text("{}")
    (home / "blob").write_bytes(b"x")
    session = CliSession(Cli(shared_daemon.url, home))
    yield lambda *arguments: session.run("lambda", *arguments)
    session.close()


def check_refusal(done: dict, operation: str):
    """The command must have ended as one does whose operation is not offered."""
    assert done["status"] == 255, done
    sentence = f"lambd does not offer the operation {operation}: {unoffered()[operation]}; see docs/compatibility.md"
    text = f"An error occurred (OperationNotOffered) when calling the {operation} operation: {sentence}"
    assert text in done["stderr"], done


def test_no_operation_is_forgotten():
    """Every operation of the model is a subcommand, and is in the life above if it is offered."""
    everything = awscli.clidriver.create_clidriver().create_help_command().command_table
    commands = set(everything["lambda"].create_help_command().command_table)
    names = {xform_name(operation, "-"): operation for operation in MODEL.operation_names}
    assert commands - set(names) == NO_OPERATION
    assert {names[name] for name in set(names) - commands} == NO_COMMAND
    lived = {operation for operation, _, _ in LIFE} - NO_OPERATION
    assert set(MODEL.operation_names) - set(unoffered()) - NO_COMMAND - lived == set(), "offered, but not in LIFE"


def test_a_life(aws):
    """W15..W26, W32, CORE-001: each subcommand of an operation that is offered, with an answer that it prints."""
    known = {"name": NAME, "arn": arn(NAME)}
    missing = unoffered()
    for operation, template, keep in LIFE:
        if operation in missing:
            continue
        name = operation if operation in NO_OPERATION else xform_name(operation, "-")
        done = aws(name, *(word.format_map(known) for word in template.split()))
        assert done["status"] == 0, f"aws lambda {name} {template}: {done}"
        for key, path in keep.items():
            value = json.loads(done["stdout"])
            for part in path.split("."):
                value = value[part]
            known[key] = value
    done = aws("get-function", "--function-name", NAME)
    assert done["status"] == 255 and "(ResourceNotFoundException)" in done["stderr"]


@pytest.mark.parametrize("operation", [o for o in MODEL.operation_names if o in unoffered() and o not in NO_COMMAND])
def test_what_is_not_offered_says_so(aws, operation):
    """API-707: the documented error, with the fewest parameters that the command takes."""
    model = MODEL.operation_model(operation)
    words = []
    for member in model.input_shape.required_members if model.input_shape else []:
        shape = model.input_shape.members[member]
        words.append("--" + xform_name(member, "-"))
        if shape.type_name == "blob":
            words.append("event.json" if operation == "InvokeAsync" else "fileb://blob")
        elif shape.type_name != "boolean":
            value = least(shape)
            words.append(value if isinstance(value, str) else json.dumps(value))
    check_refusal(aws(xform_name(operation, "-"), *words), operation)


def least(shape):
    """The smallest value of a shape that the command accepts."""
    if getattr(shape, "enum", None):
        return shape.enum[0]
    match shape.type_name:
        case "structure":
            return {name: least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [least(shape.member)] * max(1, shape.metadata.get("min", 0))
        case "map":
            return {}
        case "boolean":
            return True
        case "integer" | "long":
            return shape.metadata.get("min", 1)
        case "timestamp":
            return 0
        case _:
            return "x" * max(1, shape.metadata.get("min", 1))
