"""IAM and STS with boto3 and the ``aws`` command: CORE-053, CORE-054, EX-4."""

import json
import re
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.clients import ACCOUNT, REGION, boto

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


@pytest.fixture
def iam(daemon):
    """The IAM API of the shared daemon."""
    return boto(daemon.url, "iam")


@pytest.fixture
def role(iam, name):
    """A role without policies."""
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]


def error_of(call, **arguments):
    """Status, code and message of a call that must fail."""
    with pytest.raises(ClientError) as failure:
        call(**arguments)
    response = failure.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def test_create_role(role, name):
    """CORE-053, EX-4: every field of a new role, and no other."""
    assert set(role) == {"Path", "RoleName", "RoleId", "Arn", "CreateDate", "AssumeRolePolicyDocument"}
    assert role["Path"] == "/"
    assert role["RoleName"] == name
    assert re.fullmatch("AROA[A-Z0-9]{17}", role["RoleId"])
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{name}"
    assert role["AssumeRolePolicyDocument"] == TRUST
    assert abs((datetime.now(UTC) - role["CreateDate"]).total_seconds()) < 60


def test_role_with_everything(iam, name):
    """Path, description, session, boundary and tags come back."""
    given = {
        "Path": "/team/a/",
        "Description": 'x & y <z> "q"',
        "MaxSessionDuration": 7200,
        "Tags": [{"Key": "k", "Value": "v 1"}],
    }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **given)["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/team/a/{name}"
    read = iam.get_role(RoleName=name)["Role"]
    assert {key: read[key] for key in given} == given
    iam.update_role(RoleName=name, Description="new")
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "new"
    iam.tag_role(RoleName=name, Tags=[{"Key": "l", "Value": ""}])
    iam.untag_role(RoleName=name, TagKeys=["k"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "l", "Value": ""}]
    other = json.loads(json.dumps(TRUST).replace("lambda.", "ec2."))
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(other))
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == other


def test_attach_with_the_command(cli, role, name):
    """CORE-054: the basic execution role is attached and listed."""
    arguments = ["--role-name", name, "--policy-arn", BASIC]
    assert cli.run("iam", "attach-role-policy", *arguments).stdout == ""
    listed = cli.json("iam", "list-attached-role-policies", "--role-name", name)
    assert listed["AttachedPolicies"] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
    document = cli.json("iam", "get-policy-version", "--policy-arn", BASIC, "--version-id", "v1")
    assert "logs:PutLogEvents" in document["PolicyVersion"]["Document"]["Statement"][0]["Action"]
    assert cli.json("iam", "get-role", "--role-name", name)["Role"]["Arn"] == role["Arn"]


def test_a_role_with_policies_cannot_be_deleted(iam, role, name):
    """The order in which deployment tools take a role apart."""
    iam.attach_role_policy(RoleName=name, PolicyArn=BASIC)
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(ALLOW))
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["inline"]
    assert iam.get_role_policy(RoleName=name, PolicyName="inline")["PolicyDocument"] == ALLOW
    conflict = (409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
    assert error_of(iam.delete_role, RoleName=name) == conflict
    iam.detach_role_policy(RoleName=name, PolicyArn=BASIC)
    conflict = (409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
    assert error_of(iam.delete_role, RoleName=name) == conflict
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.delete_role(RoleName=name)
    missing = (404, "NoSuchEntity", f"The role with name {name} cannot be found.")
    assert error_of(iam.get_role, RoleName=name) == missing


def test_roles_are_listed_in_pages(iam, name, cli):
    """Markers lead through all roles of a path."""
    names = [f"{name}-{i}" for i in range(5)]
    for each in names:
        iam.create_role(RoleName=each, Path=f"/{name}/", AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = iam.get_paginator("list_roles").paginate(PathPrefix=f"/{name}/", PaginationConfig={"PageSize": 2})
    pages = list(pages)
    assert len(pages) == 3
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names
    listed = cli.json("iam", "list-roles", "--path-prefix", f"/{name}/", "--max-items", "3")
    assert [role["RoleName"] for role in listed["Roles"]] == names[:3]


def test_managed_policies(iam, role, name):
    """A policy of the account, its versions, and what keeps it from being deleted."""
    made = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(ALLOW))["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    assert made["DefaultVersionId"] == "v1"
    assert error_of(iam.create_policy, PolicyName=name, PolicyDocument=json.dumps(ALLOW))[:2] == (
        409,
        "EntityAlreadyExists",
    )
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == ALLOW
    assert version["IsDefaultVersion"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert name in [policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]]
    assert error_of(iam.delete_policy, PolicyArn=arn)[:2] == (409, "DeleteConflict")
    iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(ALLOW), SetAsDefault=True)
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in versions] == [("v2", True), ("v1", False)]
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    assert error_of(iam.get_policy, PolicyArn=arn)[:2] == (404, "NoSuchEntity")


def test_errors(iam, role, name):
    """Codes, statuses and texts of the service."""
    again = {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(TRUST)}
    exists = (409, "EntityAlreadyExists", f"Role with name {name} already exists.")
    assert error_of(iam.create_role, **again) == exists
    broken = error_of(iam.create_role, RoleName=f"{name}-x", AssumeRolePolicyDocument="{")
    assert broken == (400, "MalformedPolicyDocument", "This policy contains invalid Json")
    invalid = error_of(iam.create_role, RoleName="a b", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert invalid[:2] == (400, "ValidationError")
    missing = error_of(iam.attach_role_policy, RoleName=name, PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/none")
    assert missing[:2] == (404, "NoSuchEntity")
    status, code, message = error_of(iam.create_user, UserName="u")
    assert (status, code) == (400, "InvalidAction")
    assert "docs/compatibility.md" in message


def test_caller_identity(daemon, cli):
    """The credential decides the account: twelve digits are their own."""
    root = {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"}
    assert cli.json("sts", "get-caller-identity") == root
    session = boto3.session.Session("123456789012", "secret", region_name=REGION)
    identity = session.client("sts", endpoint_url=daemon.url).get_caller_identity()
    assert identity["Account"] == "123456789012"
    assert identity["Arn"] == "arn:aws:iam::123456789012:root"
