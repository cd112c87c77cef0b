"""The AWS endpoint as a function sees it."""

from harness import packages
from harness.clients import boto
from harness.functions import python_runtime

CALLER = """
import json, os, urllib.error, urllib.request

def handler(event, context):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/20260101/{os.environ['AWS_REGION']}/lambda/aws4_request"
    request = urllib.request.Request(
        f"{endpoint}/2015-03-31/functions/{event['call']}/invocations",
        data=json.dumps({"from": context.function_name}).encode(),
        headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)
"""

CALLEE = "def handler(event, context):\n    return {'called by': event['from'], 'as': context.invoked_function_arn}\n"


def test_a_function_calls_another_through_the_endpoint(functions, name):
    """LANG1-005: the credentials of a function act in its own account, so it finds its neighbours."""
    functions.create(f"{name}-callee", packages.package({"app.py": CALLEE}), python_runtime())
    functions.create(name, packages.package({"app.py": CALLER}), python_runtime(), Timeout=20)
    answer = functions.invoke(name, {"call": f"{name}-callee"}).good()
    assert answer == {
        "called by": name,
        "as": f"arn:aws:lambda:us-east-1:000000000000:function:{name}-callee",
    }


SNOOP = """
import json, os, urllib.error, urllib.request

def handler(event, context):
    credential = f"{event['account']}/20260101/us-east-1/lambda/aws4_request"
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/2015-03-31/functions/{event['name']}/configuration",
        headers={"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
"""


def test_a_function_cannot_act_as_another_account(functions, daemon, name):
    """LANG1-005: from inside, the account is the function's own, whatever access key is shown."""
    other = "999999999999"
    theirs = boto(daemon.url, "lambda", key=other)
    theirs.create_function(
        FunctionName=f"{name}-theirs",
        Runtime=python_runtime(),
        Handler="app.handler",
        Role=f"arn:aws:iam::{other}:role/r",
        Code={"ZipFile": packages.package({"app.py": CALLEE})},
    )
    functions.create(name, packages.package({"app.py": SNOOP}), python_runtime(), Timeout=20)
    assert functions.invoke(name, {"account": other, "name": f"{name}-theirs"}).good() == 404
    assert functions.invoke(name, {"account": other, "name": name}).good() == 200
