"""Function URLs, code signing, recursion and runtime management: the settings, as tools write and read them."""

import re

import pytest

from harness import packages
from harness.clients import ACCOUNT, REGION
from harness.functions import ROLE, Functions, arn, python_runtime

CODE = "def handler(event, context):\n    return 1\n"
OTHER = "def handler(event, context):\n    return 2\n"
PUBLISHERS = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/v"]}
VIOLATION = "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "
NONE = ("ResourceNotFoundException", "The resource you requested does not exist.")
NO_FUNCTION = ("ResourceNotFoundException", f"Function not found: {arn('no-such-function')}")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


def bare(answer) -> dict:
    """An answer without what every answer has."""
    answer.pop("ResponseMetadata")
    return answer


@pytest.fixture(scope="module")
def function(shared_lambda):
    """A function with a version and an alias."""
    name = "function-settings"
    functions = Functions(shared_lambda)
    functions.python(name, CODE)
    functions.publish(name)
    shared_lambda.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    return name


@pytest.mark.parametrize("holder", [{}, {"Qualifier": "prod"}])
def test_urls(lambda_, daemon, function, holder):
    """API-410..412, API-414: the whole life of a URL, of a function and of an alias."""
    name = {"FunctionName": function} | holder
    for call in (lambda_.get_function_url_config, lambda_.update_function_url_config, lambda_.delete_function_url_config):
        assert error(call, **name) == NONE
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["GET", "POST"], "MaxAge": 86400, "AllowCredentials": False}
    created = lambda_.create_function_url_config(**name, AuthType="NONE", Cors=cors)
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    address = rf"http://[a-z2-7]{{32}}\.lambda-url\.{REGION}\.localhost:{daemon.port}/"
    assert re.fullmatch(address, created["FunctionUrl"])
    assert re.fullmatch(TIME, created["CreationTime"])
    assert "LastModifiedTime" not in created
    assert (created["AuthType"], created["InvokeMode"], created["Cors"]) == ("NONE", "BUFFERED", cors)
    assert created["FunctionArn"] == ":".join([arn(function), *holder.values()])
    assert error(lambda_.create_function_url_config, **name, AuthType="NONE") == (
        "ResourceConflictException", "FunctionUrlConfig exists for this Lambda function",
    )  # fmt: skip
    updated = bare(lambda_.update_function_url_config(**name, AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM"))
    assert (updated["AuthType"], updated["InvokeMode"], updated["Cors"]) == ("AWS_IAM", "RESPONSE_STREAM", cors)
    assert re.fullmatch(TIME, updated["LastModifiedTime"])
    assert updated["FunctionUrl"] == created["FunctionUrl"]
    assert bare(lambda_.get_function_url_config(**name)) == updated
    assert "Cors" not in lambda_.update_function_url_config(**name, Cors={})
    done = lambda_.delete_function_url_config(**name)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error(lambda_.get_function_url_config, **name) == NONE


def test_lists_of_urls(lambda_, function):
    """API-413: those of the function and of its aliases, with paging."""
    for holder in ({}, {"Qualifier": "prod"}):
        lambda_.create_function_url_config(FunctionName=function, AuthType="NONE", **holder)
    paginator = lambda_.get_paginator("list_function_url_configs")
    for size in (1, 50):
        pages = paginator.paginate(FunctionName=function, PaginationConfig={"PageSize": size})
        found = [config["FunctionArn"] for page in pages for config in page["FunctionUrlConfigs"]]
        assert found == [arn(function), f"{arn(function)}:prod"]
    for holder in ({}, {"Qualifier": "prod"}):
        lambda_.delete_function_url_config(FunctionName=function, **holder)
    missing = ("ResourceNotFoundException", "Function does not exist")
    assert error(lambda_.list_function_url_configs, FunctionName="no-such-function") == missing


def items(longest: int, shortest: int) -> str:
    return (
        f"Member must satisfy constraint: [Member must have length less than or equal to {longest}, Member must have "
        f"length greater than or equal to {shortest}, Member must satisfy regular expression pattern: .*]"
    )


BAD_URLS = {
    "type": ({"AuthType": "SOME"}, "ValidationException", VIOLATION % ("SOME", "authType") + "Member must satisfy enum value set: [NONE, AWS_IAM]"),
    "mode": ({"InvokeMode": "SOME"}, "ValidationException", VIOLATION % ("SOME", "invokeMode") + "Member must satisfy enum value set: [BUFFERED, RESPONSE_STREAM]"),
    "version": ({"Qualifier": "1"}, "ValidationException", VIOLATION % ("1", "qualifier") + r"Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)"),
    "method": ({"Cors": {"AllowMethods": ["OPTIONS"]}}, "ValidationException", VIOLATION % ("[OPTIONS]", "cors.allowMethods") + items(6, 0)),
    "origin": ({"Cors": {"AllowOrigins": ["o" * 254]}}, "ValidationException", VIOLATION % (f"[{'o' * 254}]", "cors.allowOrigins") + items(253, 1)),
    "age": ({"Cors": {"MaxAge": 86401}}, "ValidationException", VIOLATION % ("86401", "cors.maxAge") + "Member must have value less than or equal to 86400"),
    "methods": ({"Cors": {"AllowMethods": ["GET"] * 7}}, "ValidationException", VIOLATION % ("[GET, GET, GET, GET, GET, GET, GET]", "cors.allowMethods") + "Member must have length less than or equal to 6"),
    "function": ({"FunctionName": "no-such-function"}, "ResourceNotFoundException", "Function does not exist"),
    "alias": ({"Qualifier": "no"}, "ResourceNotFoundException", "Function does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_URLS)
def test_urls_refused(lambda_, function, case):
    """API-410, API-706: each with the service's own words."""
    changes, code, text = BAD_URLS[case]
    request = {"FunctionName": function, "AuthType": "NONE"} | changes
    assert error(lambda_.create_function_url_config, **request) == (code, text)


def test_signing_configurations(lambda_):
    """API-401, API-402, API-404, API-406, API-409: the whole life of a configuration."""
    created = lambda_.create_code_signing_config(AllowedPublishers=PUBLISHERS, Description="d")
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    config = created["CodeSigningConfig"]
    name = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    assert re.fullmatch("csc-[a-z0-9]{17}", config["CodeSigningConfigId"])
    assert name["CodeSigningConfigArn"] == (
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:{config['CodeSigningConfigId']}"
    )
    assert re.fullmatch(TIME, config["LastModified"])
    assert config["AllowedPublishers"] == PUBLISHERS
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert lambda_.get_code_signing_config(**name)["CodeSigningConfig"] == config
    policies = {"UntrustedArtifactOnDeployment": "Enforce"}
    updated = lambda_.update_code_signing_config(**name, CodeSigningPolicies=policies)["CodeSigningConfig"]
    assert (updated["CodeSigningPolicies"], updated["Description"]) == (policies, "d")
    other = lambda_.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    arns = {name["CodeSigningConfigArn"], other["CodeSigningConfigArn"]}
    pages = lambda_.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 1})
    listed = [one["CodeSigningConfigArn"] for page in pages for one in page["CodeSigningConfigs"]]
    assert arns <= set(listed) and len(listed) == len(set(listed))
    for one in arns:
        assert lambda_.delete_code_signing_config(CodeSigningConfigArn=one)["ResponseMetadata"]["HTTPStatusCode"] == 204
    missing = (
        "ResourceNotFoundException",
        f"The Lambda code signing configuration {name['CodeSigningConfigArn']} can not be found.",
    )
    calls = (
        lambda_.get_code_signing_config, lambda_.update_code_signing_config, lambda_.delete_code_signing_config,
        lambda_.list_functions_by_code_signing_config,
    )  # fmt: skip
    for call in calls:
        assert error(call, **name) == missing


def test_tags_of_signing_configurations(lambda_):
    """API-143, API-144, API-134, API-401, API-603: given at creation, added, removed, kept by updates, and limited."""
    made = lambda_.create_code_signing_config(AllowedPublishers=PUBLISHERS, Tags={"a": "1"})["CodeSigningConfig"]
    name = {"CodeSigningConfigArn": made["CodeSigningConfigArn"]}
    resource = {"Resource": made["CodeSigningConfigArn"]}

    def tags():
        return lambda_.list_tags(**resource)["Tags"]

    assert tags() == {"a": "1"}
    assert "Tags" not in made
    lambda_.tag_resource(**resource, Tags={"b": "2"})
    lambda_.update_code_signing_config(**name, Description="d")
    assert tags() == {"a": "1", "b": "2"}
    lambda_.untag_resource(**resource, TagKeys=["a", "never"])
    assert tags() == {"b": "2"}
    too_many = ("InvalidParameterValueException", "Number of tags exceeds resource tag limit.")
    many = {f"k{number}": "v" for number in range(51)}
    assert error(lambda_.tag_resource, **resource, Tags=many) == too_many
    assert error(lambda_.create_code_signing_config, AllowedPublishers=PUBLISHERS, Tags=many) == too_many
    assert tags() == {"b": "2"}
    lambda_.delete_code_signing_config(**name)
    missing = ("ResourceNotFoundException", f"Resource not found: {resource['Resource']}")
    assert error(lambda_.list_tags, **resource) == missing
    assert error(lambda_.tag_resource, **resource, Tags={"k": "v"}) == missing


BAD_SIGNING = {
    "no publisher": ({"AllowedPublishers": {"SigningProfileVersionArns": ["p"] * 21}}, "2 validation errors detected: "),
    "publisher": ({"AllowedPublishers": {"SigningProfileVersionArns": ["p"]}}, VIOLATION % ("[p]", "allowedPublishers.signingProfileVersionArns") + "Member must satisfy constraint: [Member must satisfy regular expression pattern: arn:"),
    "policy": ({"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Pray"}}, VIOLATION % ("Pray", "codeSigningPolicies.untrustedArtifactOnDeployment") + "Member must satisfy enum value set: [Warn, Enforce]"),
    "description": ({"Description": "d" * 257}, VIOLATION % ("d" * 257, "description") + "Member must have length less than or equal to 256"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SIGNING)
def test_signing_configurations_refused(lambda_, case):
    """API-401, API-706."""
    changes, text = BAD_SIGNING[case]
    code, message = error(lambda_.create_code_signing_config, **({"AllowedPublishers": PUBLISHERS} | changes))
    assert code == "ValidationException"
    assert message.startswith(text)


def test_a_bad_signing_arn(lambda_):
    """API-404, API-706."""
    code, text = error(lambda_.get_code_signing_config, CodeSigningConfigArn="csc-1")
    assert code == "ValidationException"
    assert text.startswith(VIOLATION % ("csc-1", "codeSigningConfigArn") + "Member must satisfy regular expression")


def test_functions_that_are_to_be_signed(functions, lambda_, name):
    """API-403, API-405, API-407, API-408, API-503, API-522, API-713: Enforce lets no code pass unverified."""
    zipped = packages.package({"app.py": OTHER})
    functions.python(name, CODE)
    plain = {"FunctionName": name}
    assert bare(lambda_.get_function_code_signing_config(FunctionName=name)) == plain
    config = lambda_.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    given = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    signed = plain | given
    assert bare(lambda_.put_function_code_signing_config(**signed)) == signed
    assert bare(lambda_.get_function_code_signing_config(FunctionName=name)) == signed
    assert lambda_.list_functions_by_code_signing_config(**given)["FunctionArns"] == [arn(name)]
    assert error(lambda_.delete_code_signing_config, **given)[0] == "ResourceConflictException"
    functions.recode(name, zipped)
    assert functions.invoke(name).good() == 2

    enforce = {"UntrustedArtifactOnDeployment": "Enforce"}
    lambda_.update_code_signing_config(**given, CodeSigningPolicies=enforce)
    refused = (
        "CodeVerificationFailedException",
        "The code signature failed one or more of the validation checks for signature mismatch or expiry, and the code "
        "signing policy is set to ENFORCE. Lambda blocks the deployment.",
    )
    new = packages.package({"app.py": CODE})
    for more in ({}, {"DryRun": True}):
        assert error(lambda_.update_function_code, FunctionName=name, ZipFile=new, **more) == refused
    assert functions.invoke(name).good() == 2
    create = {
        "FunctionName": f"{name}-2", "Runtime": python_runtime(), "Handler": "app.handler", "Role": ROLE,
        "Code": {"ZipFile": new},
    } | given  # fmt: skip
    assert error(lambda_.create_function, **create) == refused
    assert error(lambda_.get_function, FunctionName=f"{name}-2")[0] == "ResourceNotFoundException"

    lambda_.update_code_signing_config(**given, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"})
    lambda_.create_function(**create)
    assert lambda_.get_function_code_signing_config(FunctionName=f"{name}-2")["CodeSigningConfigArn"] == given["CodeSigningConfigArn"]
    pages = lambda_.get_paginator("list_functions_by_code_signing_config").paginate(
        **given, PaginationConfig={"PageSize": 1}
    )
    assert [one for page in pages for one in page["FunctionArns"]] == [arn(name), f"{arn(name)}-2"]
    lambda_.delete_function(FunctionName=f"{name}-2")
    for _ in range(2):
        done = lambda_.delete_function_code_signing_config(FunctionName=name)
        assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    lambda_.delete_code_signing_config(**given)
    assert error(lambda_.put_function_code_signing_config, **signed) == (
        "CodeSigningConfigNotFoundException",
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
        f"{given['CodeSigningConfigArn']}.",
    )
    assert error(lambda_.get_function_code_signing_config, FunctionName="no-such-function") == NO_FUNCTION


def test_recursion(lambda_, function):
    """API-418, API-419."""
    assert lambda_.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Terminate"
    put = lambda_.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
    assert put["RecursiveLoop"] == "Allow"
    assert lambda_.get_function_recursion_config(FunctionName=function)["RecursiveLoop"] == "Allow"
    assert error(lambda_.put_function_recursion_config, FunctionName=function, RecursiveLoop="Maybe") == (
        "ValidationException",
        VIOLATION % ("Maybe", "recursiveLoop") + "Member must satisfy enum value set: [Allow, Terminate]",
    )
    assert error(lambda_.get_function_recursion_config, FunctionName="no-such-function") == NO_FUNCTION


RUNTIME = f"arn:aws:lambda:{REGION}::runtime:{'0' * 64}"


def test_runtime_management(lambda_, function):
    """API-416, API-417: per version, automatic by default."""
    latest = {"FunctionArn": f"{arn(function)}:$LATEST"}
    assert bare(lambda_.get_runtime_management_config(FunctionName=function)) == latest | {"UpdateRuntimeOn": "Auto"}
    manual = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": RUNTIME}
    put = bare(lambda_.put_runtime_management_config(FunctionName=function, Qualifier="1", **manual))
    assert put == {"FunctionArn": f"{arn(function)}:1"} | manual
    assert bare(lambda_.get_runtime_management_config(FunctionName=function, Qualifier="1")) == put
    lambda_.put_runtime_management_config(FunctionName=function, UpdateRuntimeOn="FunctionUpdate")
    found = lambda_.get_runtime_management_config(FunctionName=function)
    assert (found["UpdateRuntimeOn"], "RuntimeVersionArn" in found) == ("FunctionUpdate", False)


BAD_RUNTIMES = {
    "mode": ({"UpdateRuntimeOn": "Never"}, "ValidationException", VIOLATION % ("Never", "updateRuntimeOn") + "Member must satisfy enum value set: [Auto, Manual, FunctionUpdate]"),
    "manual without": ({"UpdateRuntimeOn": "Manual"}, "InvalidParameterValueException", "RuntimeVersionArn is required when UpdateRuntimeOn is Manual."),
    "automatic with": ({"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": RUNTIME}, "InvalidParameterValueException", "RuntimeVersionArn can only be specified when UpdateRuntimeOn is Manual."),
    "alias": ({"UpdateRuntimeOn": "Auto", "Qualifier": "prod"}, "InvalidParameterValueException", "Runtime management is for functions and versions. Aliases do not support this operation."),
    "version": ({"UpdateRuntimeOn": "Auto", "Qualifier": "9"}, "ResourceNotFoundException", "Function not found: ARN:9"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RUNTIMES)
def test_runtime_management_refused(lambda_, function, case):
    """API-417, API-706."""
    changes, code, text = BAD_RUNTIMES[case]
    found = error(lambda_.put_runtime_management_config, FunctionName=function, **changes)
    assert found == (code, text.replace("ARN:9", f"{arn(function)}:9"))


def test_settings_go_with_their_function(functions, lambda_, name):
    """API-108: what comes later under the same name starts afresh."""
    functions.python(name, CODE)
    lambda_.create_function_url_config(FunctionName=name, AuthType="NONE")
    lambda_.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    lambda_.delete_function(FunctionName=name)
    functions.python(name, CODE)
    assert error(lambda_.get_function_url_config, FunctionName=name) == NONE
    assert lambda_.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    assert error(lambda_.get_function_event_invoke_config, FunctionName=name)[0] == "ResourceNotFoundException"
