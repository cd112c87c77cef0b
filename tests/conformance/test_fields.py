"""Every member of every request: values that are taken, and values that the model refuses.

botocore checks next to nothing (API-706), so the server must. A row names the requirement, the operation, what is
changed in a good request, and what comes of it: members of the answer, or the error.
"""

import itertools

import botocore.exceptions
import pytest

from harness import packages
from harness.clients import ACCOUNT, REGION, boto
from harness.functions import ROLE, Functions, arn, python_runtime

NAME = "fields"
#: Not changed by rows whose function must not change its code.
TARGET = "fields-target"
CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{NAME}"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{NAME}/stream/2020-01-01T00:00:00.000"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
RUNTIME = python_runtime()
ORGANISATION = "o-abcdefghij"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def loose(shared_daemon, shared_lambda):
    """A client that sends what it is given, and what its rows need."""
    functions = Functions(shared_lambda)
    for name in (NAME, TARGET):
        functions.create(name, CODE, RUNTIME)
        functions.publish(name)
        shared_lambda.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    shared_lambda.publish_layer_version(LayerName=NAME, Content={"ZipFile": CODE})
    return boto(shared_daemon.url, "lambda", parameter_validation=False)


def fresh() -> str:
    return f"{NAME}-{next(_numbers)}"


#: A good request of each operation, made anew for each row.
GOOD = {
    "add_layer_version_permission": lambda: {"LayerName": NAME, "VersionNumber": 1, "StatementId": fresh(), "Action": "lambda:GetLayerVersion", "Principal": "*"},
    "add_permission": lambda: {"FunctionName": NAME, "StatementId": fresh(), "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"},
    "create_alias": lambda: {"FunctionName": NAME, "Name": fresh(), "FunctionVersion": "1"},
    "create_event_source_mapping": lambda: {"FunctionName": NAME, "EventSourceArn": f"{STREAM}-{fresh()}", "StartingPosition": "LATEST"},
    "create_function": lambda: {"FunctionName": fresh(), "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": CODE}},
    "delete_alias": lambda: {"FunctionName": NAME, "Name": "never"},
    "delete_event_source_mapping": lambda: {"UUID": "never"},
    "delete_function": lambda: {"FunctionName": "never-made"},
    "delete_function_concurrency": lambda: {"FunctionName": NAME},
    "delete_function_event_invoke_config": lambda: {"FunctionName": NAME},
    "delete_layer_version": lambda: {"LayerName": NAME, "VersionNumber": 99},
    "get_alias": lambda: {"FunctionName": NAME, "Name": "live"},
    "get_event_source_mapping": lambda: {"UUID": "never"},
    "get_function": lambda: {"FunctionName": NAME},
    "get_function_concurrency": lambda: {"FunctionName": NAME},
    "get_function_configuration": lambda: {"FunctionName": NAME},
    "get_function_event_invoke_config": lambda: {"FunctionName": NAME},
    "get_layer_version": lambda: {"LayerName": NAME, "VersionNumber": 1},
    "get_layer_version_by_arn": lambda: {"Arn": f"{LAYER}:1"},
    "get_layer_version_policy": lambda: {"LayerName": NAME, "VersionNumber": 1},
    "get_policy": lambda: {"FunctionName": NAME},
    "invoke": lambda: {"FunctionName": TARGET, "InvocationType": "DryRun"},
    "invoke_async": lambda: {"FunctionName": TARGET, "InvokeArgs": b"{}"},
    "list_aliases": lambda: {"FunctionName": NAME},
    "list_event_source_mappings": lambda: {},
    "list_function_event_invoke_configs": lambda: {"FunctionName": NAME},
    "list_functions": lambda: {},
    "list_layers": lambda: {},
    "list_layer_versions": lambda: {"LayerName": NAME},
    "list_tags": lambda: {"Resource": arn(NAME)},
    "list_versions_by_function": lambda: {"FunctionName": NAME},
    "publish_layer_version": lambda: {"LayerName": fresh(), "Content": {"ZipFile": CODE}},
    "publish_version": lambda: {"FunctionName": NAME},
    "put_function_concurrency": lambda: {"FunctionName": NAME, "ReservedConcurrentExecutions": 1},
    "put_function_event_invoke_config": lambda: {"FunctionName": NAME, "MaximumRetryAttempts": 1},
    "remove_layer_version_permission": lambda: {"LayerName": NAME, "VersionNumber": 1, "StatementId": "never"},
    "remove_permission": lambda: {"FunctionName": NAME, "StatementId": "never"},
    "tag_resource": lambda: {"Resource": arn(NAME), "Tags": {"a": "b"}},
    "untag_resource": lambda: {"Resource": arn(NAME), "TagKeys": ["a"]},
    "update_alias": lambda: {"FunctionName": NAME, "Name": "live"},
    "update_event_source_mapping": lambda: {"UUID": "never"},
    "update_function_code": lambda: {"FunctionName": NAME, "ZipFile": CODE, "DryRun": True},
    "update_function_configuration": lambda: {"FunctionName": NAME},
    "update_function_event_invoke_config": lambda: {"FunctionName": NAME, "MaximumRetryAttempts": 1},
}  # fmt: skip


def bad(at: str, text: str = "failed to satisfy constraint"):
    """The model refuses the value of a member."""
    return ("ValidationException", f"at '{at}' {text}")


def shown(**members):
    """The answer has these members, with these values."""
    return members


NOT_FOUND = ("ResourceNotFoundException", "")
NO_POLICY = ("ResourceNotFoundException", "No policy is associated with the given resource.")
INVALID = ("InvalidParameterValueException", "")
STALE = ("PreconditionFailedException", "does not match the latest Revision Id")
SERIALIZATION = ("SerializationException", "")
LONG = "length less than or equal to"
LEVELS_OF_TEXT = 'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request'


def destinations(value: str) -> dict:
    return {"DestinationConfig": {"OnFailure": {"Destination": value}}}


LAYER_PERMISSIONS = [
    ("API-101.1", "add_layer_version_permission", {"LayerName": LAYER}, {}),
    ("API-101.1", "add_layer_version_permission", {"LayerName": "a.b"}, bad("layerName")),
    ("API-101.2", "add_layer_version_permission", {"VersionNumber": 9}, NOT_FOUND),
    ("API-101.2", "add_layer_version_permission", {"VersionNumber": 0}, INVALID),
    ("API-101.3", "add_layer_version_permission", {"RevisionId": "stale"}, ("PreconditionFailedException", "")),
    ("API-101.4 API-068", "add_layer_version_permission", {"Action": "lambda:GetLayerVersio"}, bad("action")),
    ("API-101.4", "add_layer_version_permission", {"Action": None}, bad("action", "failed to satisfy constraint: Member must not be null")),
    ("API-101.5 API-070", "add_layer_version_permission", {"OrganizationId": ORGANISATION}, {}),
    ("API-101.5 API-070", "add_layer_version_permission", {"OrganizationId": "o-short"}, bad("organizationId")),
    ("API-101.6 API-069", "add_layer_version_permission", {"Principal": "123456789012"}, {}),
    ("API-101.6 API-069", "add_layer_version_permission", {"Principal": "arn:aws:iam::123456789012:root"}, {}),
    ("API-101.6 API-069", "add_layer_version_permission", {"Principal": "arn:aws:iam::123456789012:user/u"}, bad("principal")),
    ("API-101.7 API-063", "add_layer_version_permission", {"StatementId": "s" * 100}, {}),
    ("API-101.7 API-063", "add_layer_version_permission", {"StatementId": "s" * 101}, bad("statementId")),
    ("API-101.7 API-063", "add_layer_version_permission", {"StatementId": "a b"}, bad("statementId")),
    ("API-141.1", "remove_layer_version_permission", {}, NOT_FOUND),
    ("API-141.1", "remove_layer_version_permission", {"StatementId": "s" * 101}, bad("statementId")),
    ("API-141.2", "remove_layer_version_permission", {"RevisionId": "stale"}, ("PreconditionFailedException", "")),
]  # fmt: skip

PERMISSIONS = [
    ("API-102.1", "add_permission", {"FunctionName": f"{NAME}:live"}, {}),
    ("API-102.1 API-619", "add_permission", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-102.2", "add_permission", {"Qualifier": "1"}, {}),
    ("API-102.2", "add_permission", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-102.3 API-064", "add_permission", {"Action": "lambda:*"}, {}),
    ("API-102.3 API-064", "add_permission", {"Action": "*"}, {}),
    ("API-102.3 API-064", "add_permission", {"Action": "s3:GetObject"}, bad("action")),
    ("API-102.4 API-066", "add_permission", {"EventSourceToken": "t" * 256}, {}),
    ("API-102.4 API-066", "add_permission", {"EventSourceToken": "t" * 257}, bad("eventSourceToken")),
    ("API-102.4 API-066", "add_permission", {"EventSourceToken": "a b"}, bad("eventSourceToken")),
    ("API-102.5 API-065", "add_permission", {"Principal": "123456789012"}, {}),
    ("API-102.5 API-065 API-625", "add_permission", {"Principal": "a b"}, bad("principal")),
    ("API-102.6", "add_permission", {"RevisionId": "stale"}, STALE),
    ("API-102.7 API-067 API-627", "add_permission", {"SourceAccount": "123456789012", "Principal": "sns.amazonaws.com"}, {}),
    ("API-102.7 API-067", "add_permission", {"SourceAccount": "1234"}, bad("sourceAccount")),
    ("API-102.8 API-057", "add_permission", {"SourceArn": "arn:aws:s3:::bucket"}, {}),
    ("API-102.8 API-057", "add_permission", {"SourceArn": "bucket"}, bad("sourceArn")),
    ("API-102.9 API-063", "add_permission", {"StatementId": "p" * 100}, {}),
    ("API-102.9 API-063", "add_permission", {"StatementId": "p" * 101}, bad("statementId")),
    ("API-102.9 API-063", "add_permission", {"StatementId": "a.b"}, bad("statementId")),
    ("API-142.1 API-063 API-626", "remove_permission", {"StatementId": "a.b"}, NOT_FOUND),
    ("API-142.1", "remove_permission", {"StatementId": "a b"}, bad("statementId")),
    ("API-142.1 API-619", "remove_permission", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-142.2", "remove_permission", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-123.1 API-051 API-620", "get_policy", {"FunctionName": f"{NAME}.dotted"}, ("ResourceNotFoundException", f"Function not found: {arn(NAME)}.dotted")),
    ("API-123.2", "get_policy", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-122.1", "get_layer_version_policy", {"LayerName": "a.b"}, bad("layerName")),
    ("API-122.1", "get_layer_version_policy", {"VersionNumber": 9}, NOT_FOUND),
]  # fmt: skip

ALIASES = [
    ("API-103.1", "create_alias", {"FunctionName": arn(NAME)}, {}),
    ("API-103.1 API-621", "create_alias", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-103.2 API-078", "create_alias", {"Description": "d" * 256}, shown(Description="d" * 256)),
    ("API-103.2 API-078", "create_alias", {"Description": "d" * 257}, bad("description")),
    ("API-103.3 API-053", "create_alias", {"FunctionVersion": "live"}, bad("functionVersion")),
    ("API-103.3 API-053", "create_alias", {"FunctionVersion": "9" * 1025}, bad("functionVersion")),
    ("API-103.3 API-053 API-624", "create_alias", {"FunctionVersion": "$LATEST"}, shown(FunctionVersion="$LATEST")),
    ("API-103.4 API-054", "create_alias", {"Name": "a" * 128}, shown(Name="a" * 128)),
    ("API-103.4 API-054", "create_alias", {"Name": "a" * 129}, bad("name")),
    ("API-103.4 API-054", "create_alias", {"Name": "123"}, bad("name")),
    ("API-103.5 API-076 API-204", "create_alias", {"RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.1}}}, bad("routingConfig.additionalVersionWeights")),
    ("API-103.5 API-076 API-204", "create_alias", {"RoutingConfig": {"AdditionalVersionWeights": {"2": 1.1}}}, bad("routingConfig.additionalVersionWeights")),
    ("API-103.5 API-076", "create_alias", {"RoutingConfig": {"AdditionalVersionWeights": {"2": -0.1}}}, bad("routingConfig.additionalVersionWeights")),
    ("API-106.1", "delete_alias", {"FunctionName": f"{ACCOUNT}:function:{NAME}"}, {}),
    ("API-106.2", "delete_alias", {"Name": "123"}, bad("name")),
    ("API-114.1", "get_alias", {"FunctionName": arn(NAME)}, shown(Name="live")),
    ("API-114.2", "get_alias", {"Name": "123"}, bad("name")),
    ("API-127.1", "list_aliases", {"FunctionName": arn(NAME)}, {}),
    ("API-127.2 API-624", "list_aliases", {"FunctionVersion": "live"}, bad("functionVersion")),
    ("API-127.3", "list_aliases", {"MaxItems": 10_000}, {}),
    ("API-127.3", "list_aliases", {"MaxItems": 10_001}, bad("maxItems")),
    ("API-127.3", "list_aliases", {"Marker": "not ours"}, INVALID),
    ("API-145.1", "update_alias", {"FunctionName": arn(NAME)}, shown(Name="live")),
    ("API-145.1", "update_alias", {"Name": "123"}, bad("name")),
    ("API-145.2", "update_alias", {"Description": "d" * 257}, bad("description")),
    ("API-145.2", "update_alias", {"FunctionVersion": "x"}, bad("functionVersion")),
    ("API-145.2", "update_alias", {"RevisionId": "stale"}, ("PreconditionFailedException", "")),
    ("API-145.2", "update_alias", {"RoutingConfig": {"AdditionalVersionWeights": {"x": 0.1}}}, bad("routingConfig.additionalVersionWeights")),
]  # fmt: skip

SQS = {"EventSourceArn": QUEUE, "StartingPosition": None}
MAPPINGS = [
    ("API-104.1", "create_event_source_mapping", {"BatchSize": 10_000}, shown(BatchSize=10_000)),
    ("API-104.1", "create_event_source_mapping", {"BatchSize": 10_001}, bad("batchSize")),
    ("API-104.2", "create_event_source_mapping", {"BisectBatchOnFunctionError": True}, shown(BisectBatchOnFunctionError=True)),
    ("API-104.2", "create_event_source_mapping", {"BisectBatchOnFunctionError": "yes"}, SERIALIZATION),
    ("API-104.3 API-221", "create_event_source_mapping", destinations(QUEUE), shown(**destinations(QUEUE))),
    ("API-104.3 API-221", "create_event_source_mapping", destinations("q" * 351), ("ValidationException", LONG)),
    ("API-104.4", "create_event_source_mapping", {"Enabled": "yes"}, SERIALIZATION),
    ("API-104.5 API-057", "create_event_source_mapping", {"EventSourceArn": "queue"}, bad("eventSourceArn")),
    ("API-104.5", "create_event_source_mapping", {"EventSourceArn": f"{STREAM}/consumer/c:1"}, {}),
    ("API-104.6", "create_event_source_mapping", {"FunctionName": f"{NAME}:live"}, shown(FunctionArn=f"{arn(NAME)}:live")),
    ("API-104.6", "create_event_source_mapping", {"FunctionName": None}, bad("functionName")),
    ("API-104.6 API-619", "create_event_source_mapping", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-104.7", "create_event_source_mapping", {"MaximumBatchingWindowInSeconds": 300}, shown(MaximumBatchingWindowInSeconds=300)),
    ("API-104.7", "create_event_source_mapping", {"MaximumBatchingWindowInSeconds": 301}, bad("maximumBatchingWindowInSeconds")),
    ("API-104.8 API-614", "create_event_source_mapping", {"MaximumRecordAgeInSeconds": 60}, shown(MaximumRecordAgeInSeconds=60)),
    ("API-104.8 API-614", "create_event_source_mapping", {"MaximumRecordAgeInSeconds": 604_801}, bad("maximumRecordAgeInSeconds")),
    ("API-104.9 API-615", "create_event_source_mapping", {"MaximumRetryAttempts": 10_000}, shown(MaximumRetryAttempts=10_000)),
    ("API-104.9 API-615", "create_event_source_mapping", {}, shown(MaximumRetryAttempts=-1)),
    ("API-104.9 API-615", "create_event_source_mapping", {"MaximumRetryAttempts": 10_001}, bad("maximumRetryAttempts")),
    ("API-104.10", "create_event_source_mapping", {"ParallelizationFactor": 10}, shown(ParallelizationFactor=10)),
    ("API-104.10", "create_event_source_mapping", {"ParallelizationFactor": 11}, bad("parallelizationFactor")),
    ("API-104.11 API-088", "create_event_source_mapping", {"StartingPosition": None}, ("InvalidParameterValueException", "'startingPosition'")),
    ("API-104.11 API-088", "create_event_source_mapping", {"StartingPosition": "NOW"}, bad("startingPosition")),
    ("API-104.12 API-088", "create_event_source_mapping", {"StartingPosition": "AT_TIMESTAMP"}, ("InvalidParameterValueException", "timestamp")),
    ("API-104.12 API-617", "create_event_source_mapping", {"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1}, ("InvalidParameterValueException", "Unsupported starting position")),
    ("API-104.14", "create_event_source_mapping", SQS | {"BisectBatchOnFunctionError": True}, INVALID),
    ("API-104.14", "create_event_source_mapping", SQS | destinations(QUEUE), INVALID),
    ("API-104.14", "create_event_source_mapping", SQS | {"MaximumRecordAgeInSeconds": 60}, INVALID),
    ("API-104.14", "create_event_source_mapping", SQS | {"MaximumRetryAttempts": 1}, INVALID),
    ("API-104.14", "create_event_source_mapping", SQS | {"ParallelizationFactor": 1}, INVALID),
    ("API-107.1", "delete_event_source_mapping", {}, NOT_FOUND),
    ("API-115.1", "get_event_source_mapping", {}, NOT_FOUND),
    ("API-128.1", "list_event_source_mappings", {"EventSourceArn": "queue"}, bad("eventSourceArn")),
    ("API-128.2", "list_event_source_mappings", {"FunctionName": f"{NAME}:live"}, {}),
    ("API-128.2 API-619", "list_event_source_mappings", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-128.3", "list_event_source_mappings", {"MaxItems": 10_000}, {}),
    ("API-128.3", "list_event_source_mappings", {"MaxItems": 10_001}, bad("maxItems")),
    ("API-146.1", "update_event_source_mapping", {}, NOT_FOUND),
    ("API-146.2", "update_event_source_mapping", {"BatchSize": 0}, bad("batchSize")),
    ("API-146.3", "update_event_source_mapping", {"BisectBatchOnFunctionError": 1}, SERIALIZATION),
    ("API-146.4", "update_event_source_mapping", destinations("queue"), bad("destinationConfig.onFailure.destination")),
    ("API-146.5", "update_event_source_mapping", {"Enabled": "no"}, SERIALIZATION),
    ("API-146.6", "update_event_source_mapping", {"FunctionName": "a b"}, bad("functionName")),
    ("API-146.7", "update_event_source_mapping", {"MaximumBatchingWindowInSeconds": 301}, bad("maximumBatchingWindowInSeconds")),
    ("API-146.8", "update_event_source_mapping", {"MaximumRecordAgeInSeconds": 604_801}, bad("maximumRecordAgeInSeconds")),
    ("API-146.9", "update_event_source_mapping", {"MaximumRetryAttempts": 10_001}, bad("maximumRetryAttempts")),
    ("API-146.10", "update_event_source_mapping", {"ParallelizationFactor": 0}, bad("parallelizationFactor")),
]  # fmt: skip

#: Settings of a version: the members that CreateFunction and UpdateFunctionConfiguration share. What is refused until
#: it has an effect must be well-formed all the same.
SETTINGS = [
    ("API-105.3 API-148.3 API-078", {"Description": "d" * 256}, shown(Description="d" * 256)),
    ("API-105.3 API-148.3 API-078", {"Description": "d" * 257}, bad("description")),
    ("API-105.4 API-148.4 API-208", {"Environment": {"Variables": {"AB": "1"}}}, shown(Environment={"Variables": {"AB": "1"}})),
    ("API-105.4 API-148.4 API-075 API-208", {"Environment": {"Variables": {"A": "1"}}}, bad("environment.variables")),
    ("API-105.6 API-148.5 API-071", {"Handler": "h" * 128}, shown(Handler="h" * 128)),
    ("API-105.6 API-148.5 API-071", {"Handler": "h" * 129}, bad("handler")),
    ("API-105.6 API-148.5 API-071", {"Handler": "a b"}, bad("handler")),
    ("API-059 API-105.7 API-148.6", {"KMSKeyArn": ""}, {}),
    ("API-059 API-105.7 API-148.6", {"KMSKeyArn": "key"}, bad("kMSKeyArn")),
    ("API-059 API-105.7 API-148.6", {"KMSKeyArn": KEY}, ("InvalidParameterValueException", "lambd does not support KMSKeyArn yet")),
    ("API-062 API-105.8 API-148.7", {"Layers": [LAYER]}, bad("layers")),
    ("API-062 API-105.8 API-148.7", {"Layers": []}, {}),
    ("API-105.9 API-148.8 API-607", {"MemorySize": 128}, shown(MemorySize=128)),
    ("API-105.9 API-148.8 API-607", {"MemorySize": 10_240}, shown(MemorySize=10_240)),
    ("API-105.9 API-148.8 API-607", {"MemorySize": 129}, shown(MemorySize=129)),
    ("API-105.9 API-148.8", {"MemorySize": 127}, bad("memorySize")),
    ("API-105.9 API-148.8", {"MemorySize": 10_241}, bad("memorySize")),
    ("API-105.11 API-148.10 API-058", {"Role": ROLE}, shown(Role=ROLE)),
    ("API-105.11 API-148.10 API-058", {"Role": "lambda-ex"}, bad("role")),
    ("API-105.12 API-148.11 API-080", {"Runtime": "java11"}, shown(Runtime="java11")),
    ("API-105.12 API-148.11 API-080", {"Runtime": "cobol"}, ("InvalidParameterValueException", "Member must satisfy enum value set")),
    ("API-105.14 API-148.12 API-633", {"Timeout": 900}, shown(Timeout=900)),
    ("API-105.14 API-148.12 API-633", {"Timeout": 1}, shown(Timeout=1)),
    ("API-105.14 API-148.12 API-633", {"Timeout": 901}, bad("timeout")),
    ("API-105.14 API-148.12 API-633", {"Timeout": 0}, bad("timeout")),
    ("API-085 API-105.15 API-148.13 API-224 API-225", {"TracingConfig": {"Mode": "PassThrough"}}, shown(TracingConfig={"Mode": "PassThrough"})),
    ("API-085 API-105.15 API-148.13 API-224", {"TracingConfig": {"Mode": "Sometimes"}}, bad("tracingConfig.mode")),
    ("API-085 API-105.15 API-148.13 API-224", {"TracingConfig": {"Mode": "Active"}}, ("InvalidParameterValueException", "lambd does not support active tracing")),
    ("API-105.2 API-148.2 API-206", {"DeadLetterConfig": {"TargetArn": ""}}, {}),
    ("API-105.2 API-148.2 API-206 API-059", {"DeadLetterConfig": {"TargetArn": "queue"}}, bad("deadLetterConfig.targetArn")),
    ("API-105.2 API-148.2 API-206", {"DeadLetterConfig": {"TargetArn": QUEUE}}, {"DeadLetterConfig": {"TargetArn": QUEUE}}),
    ("API-105.16 API-148.14 API-226", {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}, {}),
    ("API-105.16 API-148.14 API-226", {"VpcConfig": {"SubnetIds": ["s"] * 17}}, bad("vpcConfig.subnetIds")),
    ("API-105.16 API-148.14 API-226", {"VpcConfig": {"SecurityGroupIds": ["s"] * 6}}, bad("vpcConfig.securityGroupIds")),
    ("API-105.16 API-148.14 API-226", {"VpcConfig": {"SubnetIds": ["s"] * 16, "SecurityGroupIds": ["s"] * 5}}, ("InvalidParameterValueException", "lambd does not support VpcConfig yet")),
    ("API-503 API-523", {"EphemeralStorage": {"Size": 10_240}}, shown(EphemeralStorage={"Size": 10_240})),
    ("API-503 API-523", {"EphemeralStorage": {"Size": 511}}, bad("ephemeralStorage.size")),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "Text", "LogGroup": "/my/group"}}, shown(LoggingConfig={"LogFormat": "Text", "LogGroup": "/my/group"})),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "XML"}}, bad("loggingConfig.logFormat")),
    ("API-503 API-523", {"LoggingConfig": {"ApplicationLogLevel": "LOUD"}}, bad("loggingConfig.applicationLogLevel")),
    ("API-503 API-523", {"LoggingConfig": {"SystemLogLevel": "ERROR"}}, bad("loggingConfig.systemLogLevel")),
    ("API-503 API-523", {"LoggingConfig": {"ApplicationLogLevel": "WARN"}}, ("InvalidParameterValueException", LEVELS_OF_TEXT)),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "Text", "SystemLogLevel": "WARN"}}, ("InvalidParameterValueException", LEVELS_OF_TEXT)),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/g"}}, shown(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": "/g"})),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/g", "ApplicationLogLevel": "FATAL", "SystemLogLevel": "DEBUG"}}, shown(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "FATAL", "SystemLogLevel": "DEBUG", "LogGroup": "/g"})),
    ("API-503 API-523", {"LoggingConfig": {"LogFormat": "Text", "LogGroup": "/g"}}, shown(LoggingConfig={"LogFormat": "Text", "LogGroup": "/g"})),
    ("API-503 API-523", {"SnapStart": {"ApplyOn": "None"}}, shown(SnapStart={"ApplyOn": "None", "OptimizationStatus": "Off"})),
    ("API-503 API-523", {"SnapStart": {"ApplyOn": "Always"}}, bad("snapStart.applyOn")),
    ("API-503 API-523", {"FileSystemConfigs": [{"Arn": "a", "LocalMountPath": "/mnt/x"}]}, ("InvalidParameterValueException", "FileSystemConfigs")),
    ("API-503 API-523", {"ImageConfig": {"Command": ["c"]}}, ("InvalidParameterValueException", "ImageConfig")),
]  # fmt: skip

FUNCTIONS = [
    ("API-105.1 API-212", "create_function", {"Code": None}, bad("code")),
    ("API-105.1 API-212", "create_function", {"Code": {}}, INVALID),
    ("API-105.1 API-212", "create_function", {"Code": {"S3Bucket": "bucket", "S3Key": "k", "ZipFile": CODE}}, INVALID),
    ("API-072 API-212", "create_function", {"Code": {"S3Bucket": "ab", "S3Key": "k"}}, bad("code.s3Bucket")),
    ("API-072 API-212", "create_function", {"Code": {"S3Bucket": "bucket.", "S3Key": "k"}}, bad("code.s3Bucket")),
    ("API-073 API-212", "create_function", {"Code": {"S3Bucket": "bucket", "S3Key": "k" * 1025}}, bad("code.s3Key")),
    ("API-073 API-212", "create_function", {"Code": {"S3Bucket": "bucket", "S3Key": "k", "S3ObjectVersion": "v" * 1025}}, bad("code.s3ObjectVersion")),
    ("API-105.5 API-050 API-004", "create_function", {"FunctionName": "n" * 65}, bad("functionName")),
    ("API-105.5 API-050 API-621", "create_function", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-105.5 API-604", "create_function", {"FunctionName": None}, bad("functionName")),
    ("API-105.6 API-604", "create_function", {"Handler": None}, INVALID),
    ("API-105.11 API-604", "create_function", {"Role": None}, bad("role")),
    ("API-105.12 API-604", "create_function", {"Runtime": None}, INVALID),
    ("API-105.10", "create_function", {"Publish": True}, shown(Version="1")),
    ("API-105.13", "create_function", {"Tags": {"aws:a": "b"}}, INVALID),
    ("API-105.13", "create_function", {"Tags": {"a": 1}}, SERIALIZATION),
    ("API-105.9 API-105.14", "create_function", {}, shown(MemorySize=128, Timeout=3)),
    ("API-503", "create_function", {"PackageType": "Rpm"}, bad("packageType")),
    ("API-503", "create_function", {"PackageType": "Image"}, INVALID),
    ("API-503", "create_function", {"Architectures": ["vax"]}, bad("architectures")),
    ("API-503", "create_function", {"PublishTo": "LATEST_PUBLISHED"}, ("InvalidParameterValueException", "PublishTo")),
    ("API-503", "create_function", {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}, ("InvalidParameterValueException", "TenancyConfig")),
    ("API-503", "create_function", {"Code": {"ImageUri": "i"}}, ("InvalidParameterValueException", "ImageUri")),
    ("API-503", "create_function", {"Code": {"ZipFile": CODE, "SourceKMSKeyArn": KEY}}, ("InvalidParameterValueException", "SourceKMSKeyArn")),
    ("API-108.1 API-619", "delete_function", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-108.1", "delete_function", {"FunctionName": f"{TARGET}:9"}, {}),
    ("API-108.2", "delete_function", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-116.1 API-051 API-620", "get_function", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-116.1 API-051", "get_function", {"FunctionName": "with.a.dot:live"}, NOT_FOUND),
    ("API-051 API-620", "get_function", {"FunctionName": "with.a.dot:li.ve"}, bad("functionName")),
    ("API-051 API-056 API-620", "get_function", {"FunctionName": arn("with.a.dot")}, ("ResourceNotFoundException", f"Function not found: {arn('with.a.dot')}")),
    ("API-116.2 API-052", "get_function", {"Qualifier": "live"}, {}),
    ("API-116.2 API-052", "get_function", {"Qualifier": "q" * 129}, bad("qualifier")),
    ("API-118.1 API-620", "get_function_configuration", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-118.1", "get_function_configuration", {"FunctionName": f"{arn(NAME)}:live"}, shown(Version="1", FunctionArn=f"{arn(NAME)}:live")),
    ("API-118.2 API-623", "get_function_configuration", {"Qualifier": "a$b"}, bad("qualifier")),
    ("API-118.2 API-623", "get_function_configuration", {"Qualifier": "1"}, shown(Version="1")),
    ("API-130.1 API-091", "list_functions", {"FunctionVersion": "SOME"}, bad("functionVersion")),
    ("API-130.2 API-077", "list_functions", {"MasterRegion": "ALL"}, ("InvalidParameterValueException", "FunctionVersion must be set to ALL")),
    ("API-130.2 API-077", "list_functions", {"MasterRegion": "us-east-1", "FunctionVersion": "ALL"}, shown(Functions=[])),
    ("API-130.2 API-077", "list_functions", {"MasterRegion": "Mars", "FunctionVersion": "ALL"}, bad("masterRegion")),
    ("API-130.3", "list_functions", {"MaxItems": 10_001}, bad("maxItems")),
    ("API-135.1 API-620", "list_versions_by_function", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-135.2", "list_versions_by_function", {"MaxItems": 10_001}, bad("maxItems")),
    ("API-137.1 API-621", "publish_version", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-137.2", "publish_version", {"CodeSha256": "wrong"}, INVALID),
    ("API-137.3 API-078", "publish_version", {"Description": "d" * 257}, bad("description")),
    ("API-137.4", "publish_version", {"RevisionId": "stale"}, STALE),
    ("API-519", "publish_version", {"PublishTo": "LATEST_PUBLISHED"}, ("InvalidParameterValueException", "PublishTo")),
    ("API-147.1 API-621", "update_function_code", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-147.1", "update_function_code", {"FunctionName": arn(NAME)}, shown(FunctionName=NAME)),
    ("API-147.2", "update_function_code", {"DryRun": "yes"}, SERIALIZATION),
    ("API-147.4", "update_function_code", {"RevisionId": "stale"}, STALE),
    ("API-147.5 API-072", "update_function_code", {"ZipFile": None, "S3Bucket": "ab", "S3Key": "k"}, bad("s3Bucket")),
    ("API-147.6 API-073", "update_function_code", {"ZipFile": None, "S3Bucket": "bucket", "S3Key": "k" * 1025}, bad("s3Key")),
    ("API-147.7 API-073", "update_function_code", {"ZipFile": None, "S3Bucket": "bucket", "S3Key": "k", "S3ObjectVersion": "v" * 1025}, bad("s3ObjectVersion")),
    ("API-147.8", "update_function_code", {"ZipFile": b"no zip"}, INVALID),
    ("API-147.8", "update_function_code", {"ZipFile": None}, INVALID),
    ("API-522", "update_function_code", {"Architectures": ["vax"]}, bad("architectures")),
    ("API-522", "update_function_code", {"PublishTo": "LATEST_PUBLISHED"}, ("InvalidParameterValueException", "PublishTo")),
    ("API-522", "update_function_code", {"ZipFile": None, "ImageUri": "i"}, ("InvalidParameterValueException", "ImageUri")),
    ("API-522", "update_function_code", {"SourceKMSKeyArn": KEY}, ("InvalidParameterValueException", "SourceKMSKeyArn")),
    ("API-148.1 API-621", "update_function_configuration", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-148.9", "update_function_configuration", {"RevisionId": "stale"}, STALE),
    *((ids, "create_function", changes, outcome) for ids, changes, outcome in SETTINGS),
    *((ids, "update_function_configuration", changes, outcome) for ids, changes, outcome in SETTINGS),
]  # fmt: skip

LAYERS = [
    ("API-060 API-111.1", "delete_layer_version", {"LayerName": LAYER}, {}),
    ("API-060 API-111.1", "delete_layer_version", {"LayerName": "a.b"}, bad("layerName")),
    ("API-111.2", "delete_layer_version", {"VersionNumber": 0}, INVALID),
    ("API-120.1 API-060", "get_layer_version", {"LayerName": LAYER}, shown(Version=1)),
    ("API-120.1 API-060", "get_layer_version", {"LayerName": "l" * 141}, bad("layerName")),
    ("API-120.2", "get_layer_version", {"VersionNumber": 9}, NOT_FOUND),
    ("API-121.2 API-062", "get_layer_version_by_arn", {"Arn": LAYER}, bad("arn")),
    ("API-131.1", "list_layers", {"CompatibleRuntime": "cobol"}, bad("compatibleRuntime")),
    ("API-131.2", "list_layers", {"MaxItems": 50}, {}),
    ("API-131.2", "list_layers", {"MaxItems": 51}, bad("maxItems")),
    ("API-132.1", "list_layer_versions", {"LayerName": LAYER}, {}),
    ("API-132.1", "list_layer_versions", {"LayerName": "a.b"}, bad("layerName")),
    ("API-132.2", "list_layer_versions", {"CompatibleRuntime": "cobol"}, bad("compatibleRuntime")),
    ("API-132.3", "list_layer_versions", {"MaxItems": 51}, bad("maxItems")),
    ("API-136.1 API-060", "publish_layer_version", {"LayerName": "a b"}, bad("layerName")),
    ("API-136.2 API-608", "publish_layer_version", {"CompatibleRuntimes": ["python3.8"] * 16}, bad("compatibleRuntimes")),
    ("API-136.3 API-218", "publish_layer_version", {"Content": None}, bad("content")),
    ("API-136.3 API-218 API-072", "publish_layer_version", {"Content": {"S3Bucket": "ab", "S3Key": "k"}}, bad("content.s3Bucket")),
    ("API-136.3 API-218 API-073", "publish_layer_version", {"Content": {"S3Bucket": "bucket", "S3Key": "k" * 1025}}, bad("content.s3Key")),
    ("API-136.4 API-078", "publish_layer_version", {"Description": "d" * 256}, shown(Description="d" * 256)),
    ("API-136.4 API-078", "publish_layer_version", {"Description": "d" * 257}, bad("description")),
    ("API-136.5 API-079", "publish_layer_version", {"LicenseInfo": "l" * 512}, shown(LicenseInfo="l" * 512)),
    ("API-136.5 API-079", "publish_layer_version", {"LicenseInfo": "l" * 513}, bad("licenseInfo")),
    ("API-518", "publish_layer_version", {"CompatibleArchitectures": ["arm64", "x86_64"]}, shown(CompatibleArchitectures=["arm64", "x86_64"])),
    ("API-518", "publish_layer_version", {"CompatibleArchitectures": ["vax"]}, bad("compatibleArchitectures")),
]  # fmt: skip

ATTACHED = [
    ("API-109.1", "delete_function_concurrency", {"FunctionName": arn(NAME)}, {}),
    ("API-109.1 API-621", "delete_function_concurrency", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-117.1 API-621", "get_function_concurrency", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-138.1 API-621", "put_function_concurrency", {"FunctionName": "with.a.dot"}, bad("functionName")),
    ("API-138.2", "put_function_concurrency", {"ReservedConcurrentExecutions": None}, bad("reservedConcurrentExecutions")),
    ("API-138.2 API-205", "put_function_concurrency", {"ReservedConcurrentExecutions": -1}, bad("reservedConcurrentExecutions")),
    ("API-138.3", "put_function_concurrency", {"ReservedConcurrentExecutions": 3}, shown(ReservedConcurrentExecutions=3)),
    ("API-110.1 API-619", "delete_function_event_invoke_config", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-110.2", "delete_function_event_invoke_config", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-119.1 API-619", "get_function_event_invoke_config", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-119.2", "get_function_event_invoke_config", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-129.1 API-619", "list_function_event_invoke_configs", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-129.2", "list_function_event_invoke_configs", {"MaxItems": 50}, {}),
    ("API-129.2", "list_function_event_invoke_configs", {"MaxItems": 51}, bad("maxItems")),
    *(
        row
        for operation, name, settings in (("put_function_event_invoke_config", ("API-139.1", "API-139.2"), ("API-139.3", "API-139.4", "API-139.5")), ("update_function_event_invoke_config", ("API-149.1", "API-149.2"), ("API-149.3",) * 3))
        for row in (
            (f"{name[0]}", operation, {"FunctionName": f"{NAME}:live"}, shown(FunctionArn=f"{arn(NAME)}:live")),
            (f"{name[0]} API-619", operation, {"FunctionName": "with.a.dot"}, NOT_FOUND),
            (f"{name[1]}", operation, {"Qualifier": "1"}, shown(FunctionArn=f"{arn(NAME)}:1")),
            (f"{name[1]}", operation, {"Qualifier": "a b"}, bad("qualifier")),
            (f"{settings[0]} API-074 API-207 API-222", operation, {"DestinationConfig": {"OnSuccess": {"Destination": "queue"}}}, bad("destinationConfig.onSuccess.destination")),
            (f"{settings[0]} API-074 API-207 API-221", operation, destinations("q" * 351), bad("destinationConfig.onFailure.destination")),
            (f"{settings[1]} API-215", operation, {"MaximumEventAgeInSeconds": 59}, bad("maximumEventAgeInSeconds")),
            (f"{settings[1]} API-215", operation, {"MaximumEventAgeInSeconds": 21_601}, bad("maximumEventAgeInSeconds")),
            (f"{settings[1]} API-215", operation, {"MaximumEventAgeInSeconds": 21_600}, shown(MaximumEventAgeInSeconds=21_600)),
            (f"{settings[2]} API-215", operation, {"MaximumRetryAttempts": 3}, bad("maximumRetryAttempts")),
            (f"{settings[2]} API-215", operation, {"MaximumRetryAttempts": 2}, shown(MaximumRetryAttempts=2)),
        )
    ),
    ("API-134.1 API-055 API-603", "list_tags", {"Resource": NAME}, bad("resource")),
    ("API-134.1 API-055", "list_tags", {"Resource": f"{arn(NAME)}-never"}, NOT_FOUND),
    ("API-143.1 API-055", "tag_resource", {"Resource": NAME}, bad("resource")),
    ("API-143.2", "tag_resource", {"Tags": None}, bad("tags")),
    ("API-144.1 API-055", "untag_resource", {"Resource": NAME}, bad("resource")),
    ("API-144.2", "untag_resource", {"TagKeys": []}, bad("tagKeys")),
]  # fmt: skip

INVOCATIONS = [
    ("API-125.1 API-051 API-620", "invoke", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-125.1", "invoke", {"FunctionName": f"{TARGET}:live"}, shown(ExecutedVersion="1")),
    ("API-125.2", "invoke", {"Qualifier": "1"}, shown(ExecutedVersion="1")),
    ("API-125.2", "invoke", {"Qualifier": "a b"}, bad("qualifier")),
    ("API-125.3 API-086", "invoke", {"InvocationType": "Later"}, bad("invocationType")),
    ("API-125.3 API-086", "invoke", {"InvocationType": "RequestResponse"}, shown(StatusCode=200)),
    ("API-125.4 API-087", "invoke", {"LogType": "Head"}, bad("logType")),
    ("API-125.5", "invoke", {"ClientContext": "no base64"}, ("InvalidRequestContentException", "")),
    ("API-125.6", "invoke", {"Payload": b"{"}, ("InvalidRequestContentException", "")),
    ("API-512", "invoke", {"TenantId": "t"}, ("InvalidParameterValueException", "lambd does not support tenants (TenantId) yet")),
    ("API-512", "invoke", {"DurableExecutionName": "d"}, ("InvalidParameterValueException", "lambd does not support durable executions")),
    ("API-126.1 API-051 API-620", "invoke_async", {"FunctionName": "with.a.dot"}, NOT_FOUND),
    ("API-126.1", "invoke_async", {"FunctionName": f"{arn(TARGET)}:live"}, shown(Status=202)),
    ("API-126.2", "invoke_async", {"InvokeArgs": b"{"}, ("InvalidRequestContentException", "Could not parse request body into json")),
    ("API-126.2", "invoke_async", {"InvokeArgs": b""}, ("InvalidRequestContentException", "Could not parse request body into json")),
]  # fmt: skip

ROWS = LAYER_PERMISSIONS + PERMISSIONS + ALIASES + MAPPINGS + FUNCTIONS + LAYERS + ATTACHED + INVOCATIONS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {str(row[2])[:40]}")
def test_row(loose, row):
    """Each row names its own requirements."""
    _, operation, changes, outcome = row
    request = {key: value for key, value in (GOOD[operation]() | changes).items() if value is not None}
    call = getattr(loose, operation)
    if isinstance(outcome, dict):
        answer = call(**request)
        assert {key: answer.get(key) for key in outcome} == outcome
        return
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        call(**request)
    error = refusal.value.response["Error"]
    assert (error["Code"], outcome[1] in error["Message"]) == (outcome[0], True), error


#: The runtimes of 2020.
RUNTIMES = (
    "nodejs10.x nodejs12.x java8 java11 python2.7 python3.6 python3.7 python3.8 dotnetcore2.1 dotnetcore3.1 go1.x ruby2.5 "
    "ruby2.7 provided"
).split()  # fmt: skip


def test_runtimes(loose):
    """API-080, API-606: those of 2020 are taken; each of today's is taken too, or is known to be no longer supported."""
    model = loose.meta.service_model.shape_for("Runtime").enum
    assert set(RUNTIMES) < set(model)
    for runtime in model:
        try:
            answer = loose.update_function_configuration(FunctionName=NAME, Runtime=runtime)
            assert answer["Runtime"] == runtime
        except botocore.exceptions.ClientError as error:
            assert runtime not in RUNTIMES, runtime
            refusal = f"The runtime parameter of {runtime} is no longer supported"
            assert refusal in error.response["Error"]["Message"], error
