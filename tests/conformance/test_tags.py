"""Tags of functions."""

import pytest

from harness import packages
from harness.functions import arn, python_runtime

CODE = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})


@pytest.fixture
def tagged(functions, name):
    """A function with one tag, by its ARN."""
    functions.create(name, CODE, python_runtime(), Tags={"first": "1"})
    return arn(name)


def error(call, **parameters):
    """Code and text of the error that a call must end in."""
    with pytest.raises(Exception) as refusal:
        call(**parameters)
    found = refusal.value.response["Error"]
    return found["Code"], found["Message"]


def test_life(lambda_, tagged):
    """API-116.6, API-134.2, API-143.3, API-144.3,
    CORE-235..238, API-134, API-143, API-144, API-704: added, replaced, removed, shown in both places."""

    def tags():
        listed = lambda_.list_tags(Resource=tagged)["Tags"]
        assert lambda_.get_function(FunctionName=tagged).get("Tags", {}) == listed
        return listed

    assert tags() == {"first": "1"}
    answer = lambda_.tag_resource(Resource=tagged, Tags={"first": "one", "b c": "ü", "empty": ""})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags() == {"first": "one", "b c": "ü", "empty": ""}
    answer = lambda_.untag_resource(Resource=tagged, TagKeys=["first", "b c", "never there"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags() == {"empty": ""}
    lambda_.untag_resource(Resource=tagged, TagKeys=["empty"])
    assert tags() == {}


def test_tags_are_no_part_of_versions(functions, lambda_, tagged, name):
    """API-105.20,
    CORE-234, API-603: they are the function's, make no new version, and versions cannot have their own."""
    functions.publish(name)
    revision = lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    lambda_.tag_resource(Resource=tagged, Tags={"second": "2"})
    assert lambda_.get_function_configuration(FunctionName=name)["RevisionId"] == revision
    assert functions.publish(name) == "1"
    assert lambda_.get_function(FunctionName=name, Qualifier="1")["Tags"] == {"first": "1", "second": "2"}
    text = "Tags on function aliases and versions are not supported. Please specify a function ARN."
    for qualifier in ("1", "$LATEST", "live"):
        resource = f"{tagged}:{qualifier}"
        refused = ("InvalidParameterValueException", text)
        assert error(lambda_.tag_resource, Resource=resource, Tags={"k": "v"}) == refused
        assert error(lambda_.untag_resource, Resource=resource, TagKeys=["k"]) == refused
        assert error(lambda_.list_tags, Resource=resource) == refused


def test_limits(lambda_, tagged):
    """CORE-240: 50 tags, keys of 128 and values of 256 characters, no aws: of one's own; all or nothing."""
    too_many = ("InvalidParameterValueException", "Number of tags exceeds resource tag limit.")
    fifty = {f"k{number}": "v" for number in range(50)}
    assert error(lambda_.tag_resource, Resource=tagged, Tags=fifty) == too_many
    assert lambda_.list_tags(Resource=tagged)["Tags"] == {"first": "1"}
    lambda_.tag_resource(Resource=tagged, Tags={"k" * 128: "v" * 256} | dict(list(fifty.items())[:48]))
    assert len(lambda_.list_tags(Resource=tagged)["Tags"]) == 50
    for bad in ({"k" * 129: "v"}, {"first": "v" * 257}, {"aws:x": "v"}):
        assert error(lambda_.tag_resource, Resource=tagged, Tags=bad)[0] == "InvalidParameterValueException"


def test_refusals(lambda_, wire, name, tagged):
    """API-134, API-143, API-144, API-306: what has no tags, and requests that lack what they need."""
    missing = ("ResourceNotFoundException", f"Function not found: {tagged}-no")
    assert error(lambda_.list_tags, Resource=f"{tagged}-no") == missing
    assert error(lambda_.tag_resource, Resource=f"{tagged}-no", Tags={"k": "v"}) == missing
    assert error(lambda_.untag_resource, Resource=f"{tagged}-no", TagKeys=["k"]) == missing
    for other in (name, "arn:aws:s3:::bucket", tagged.replace(":function:", ":foobar:")):
        code, text = error(lambda_.list_tags, Resource=other)
        assert code == "ValidationException"
        assert f"Value '{other}' at 'resource' failed to satisfy constraint" in text
    path = f"/2017-03-31/tags/{tagged}"
    reply = wire.send("DELETE", path)
    assert (reply.status, reply.error) == (400, "ValidationException")
    assert "Value null at 'tagKeys' failed" in reply.message
    assert wire.json("POST", path, {}).error == "ValidationException"
    assert wire.json("POST", path, {"Tags": {}}).error == "InvalidParameterValueException"
    assert wire.send("DELETE", f"{path.replace(':', '%3A')}?tagKeys=first&tagKeys=x").status == 204
    assert lambda_.list_tags(Resource=tagged)["Tags"] == {}


def test_tags_of_lambd_are_checked(functions, lambda_, tagged, name):
    """API-143: a tag that changes how functions run is checked as at creation, and takes effect."""
    functions.recode(name, packages.package({"app.py": "def handler(event, context):\n    return context.log_stream_name\n"}))
    before = functions.invoke(name).good()
    assert error(lambda_.tag_resource, Resource=tagged, Tags={"lambd:network": "bridge"})[0] == "InvalidParameterValueException"
    assert error(lambda_.tag_resource, Resource=tagged, Tags={"lambd:other": "x"})[0] == "InvalidParameterValueException"
    assert functions.invoke(name).good() == before
    lambda_.tag_resource(Resource=tagged, Tags={"lambd:network": "none"})
    assert functions.invoke(name).good() != before
