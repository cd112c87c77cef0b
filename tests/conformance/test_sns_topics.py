"""The API of topics and subscriptions, with boto3 and the AWS CLI."""

import json

import pytest

from harness.clients import ACCOUNT, REGION, CliSession, boto

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


@pytest.fixture(scope="module")
def shared_sns(shared_daemon):
    return boto(shared_daemon.url, "sns")


@pytest.fixture
def sns(daemon, shared_sns):
    """SNS of the shared daemon."""
    return shared_sns


@pytest.fixture
def topic(sns, name):
    return sns.create_topic(Name=name)["TopicArn"]


def error_of(call, **named):
    with pytest.raises(Exception) as raised:
        call(**named)
    response = raised.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_a_topic_is_made_listed_and_deleted(sns, name):
    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}"
    tags = [{"Key": "a", "Value": "1"}]
    assert sns.create_topic(Name=name, Attributes={"DisplayName": "D"}, Tags=tags)["TopicArn"] == arn
    assert sns.create_topic(Name=name)["TopicArn"] == arn
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["DisplayName"] == "D" and attributes["Owner"] == ACCOUNT
    assert attributes["SubscriptionsConfirmed"] == "0"
    retry = json.loads(attributes["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]
    assert (retry["numRetries"], retry["minDelayTarget"]) == (3, 20)
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == arn
    assert {"TopicArn": arn} in [t for page in sns.get_paginator("list_topics").paginate() for t in page["Topics"]]
    status, code, message = error_of(sns.create_topic, Name=name, Attributes={"DisplayName": "E"})
    assert (status, code) == (400, "InvalidParameter")
    assert message == "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    assert error_of(sns.get_topic_attributes, TopicArn=arn) == (404, "NotFound", "Topic does not exist")


def test_long_lists_have_pages(sns, topic, name):
    for number in range(101):
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-{number}"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    first = sns.list_subscriptions_by_topic(TopicArn=topic)
    assert len(first["Subscriptions"]) == 100
    rest = sns.list_subscriptions_by_topic(TopicArn=topic, NextToken=first["NextToken"])
    assert [s["Endpoint"][-4:] for s in rest["Subscriptions"]] == ["-100"] and "NextToken" not in rest
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "101"


def test_settings_tags_permissions_and_protection(sns, topic):
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SignatureVersion"] == "2"
    code = error_of(sns.set_topic_attributes, TopicArn=topic, AttributeName="Color", AttributeValue="2")
    assert code == (400, "InvalidParameter", "Invalid parameter: AttributeName")
    refused = error_of(sns.set_topic_attributes, TopicArn=topic, AttributeName="ArchivePolicy", AttributeValue="{}")
    assert "lambd keeps no archive" in refused[2]

    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["l"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "k", "Value": "v"}]
    gone = error_of(sns.list_tags_for_resource, ResourceArn=topic + "x")
    assert gone == (404, "ResourceNotFound", "Resource does not exist")

    sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=["123456789012"], ActionName=["Publish", "Subscribe"])
    statement = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])["Statement"][1]
    assert statement == {
        "Sid": "l",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": ["SNS:Publish", "SNS:Subscribe"],
        "Resource": topic,
    }
    sns.remove_permission(TopicArn=topic, Label="l")
    assert error_of(sns.remove_permission, TopicArn=topic, Label="l")[1] == "NotFound"

    sns.put_data_protection_policy(ResourceArn=topic, DataProtectionPolicy='{"Name": "p"}')
    assert sns.get_data_protection_policy(ResourceArn=topic)["DataProtectionPolicy"] == '{"Name": "p"}'


def test_subscriptions_have_settings(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE, Attributes={"RawMessageDelivery": "true"})
    arn = arn["SubscriptionArn"]
    assert arn.startswith(topic + ":")
    again = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)
    assert again["SubscriptionArn"] == arn
    expected = {"SubscriptionArn": arn, "Owner": ACCOUNT, "Protocol": "sqs", "Endpoint": QUEUE, "TopicArn": topic}
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == [expected]

    def attributes():
        return sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]

    def set_to(name, value):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)

    assert attributes()["RawMessageDelivery"] == "true" and attributes()["PendingConfirmation"] == "false"
    set_to("FilterPolicy", '{"a": ["b"]}')
    assert attributes()["FilterPolicyScope"] == "MessageAttributes"
    set_to("FilterPolicy", "{}")
    assert "FilterPolicy" not in attributes()
    with pytest.raises(sns.exceptions.InvalidParameterException, match="Unrecognized match type x"):
        set_to("FilterPolicy", '{"a": [{"x": 1}]}')
    with pytest.raises(sns.exceptions.InvalidParameterException, match="deadLetterTargetArn is an invalid arn"):
        set_to("RedrivePolicy", '{"deadLetterTargetArn": "q"}')
    sns.unsubscribe(SubscriptionArn=arn)
    sns.unsubscribe(SubscriptionArn=arn)
    assert error_of(sns.get_subscription_attributes, SubscriptionArn=arn)[:2] == (404, "NotFound")


def test_what_cannot_be_delivered_to_says_so(sns, topic):
    mail = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.org")
    assert mail["SubscriptionArn"] == "pending confirmation"
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "1"
    for protocol, endpoint in [("sms", "+15550100"), ("application", "arn:x"), ("firehose", "arn:x")]:
        status, code, message = error_of(sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        assert (status, code) == (400, "UnsupportedOperation") and "docs/topic.md" in message
    assert error_of(sns.publish, PhoneNumber="+15550100", Message="x")[1] == "UnsupportedOperation"
    assert error_of(sns.get_sms_attributes)[1] == "UnsupportedOperation"
    new = {"Name": "x", "Platform": "GCM", "Attributes": {}}
    assert error_of(sns.create_platform_application, **new)[1] == "UnsupportedOperation"
    assert sns.list_platform_applications()["PlatformApplications"] == []


def test_bad_publications_are_refused(sns, topic, name):
    def refused(**named):
        return error_of(sns.publish, TopicArn=topic, **named)[1:]

    assert refused(Message="") == ("InvalidParameter", "Invalid parameter: Empty message")
    assert refused(Message="x" * 262145) == ("InvalidParameter", "Invalid parameter: Message too long")
    assert refused(Message="x", Subject="a\nb") == ("InvalidParameter", "Invalid parameter: Subject")
    structure = "Invalid parameter: Message Structure - No default entry in JSON message body"
    assert refused(Message='{"sqs": "x"}', MessageStructure="json") == ("InvalidParameter", structure)
    bad = {"n": {"DataType": "Number", "StringValue": "x"}}
    cast = "Could not cast message attribute 'n' value to number."
    assert refused(Message="x", MessageAttributes=bad) == ("ParameterValueInvalid", cast)
    assert sns.publish(TopicArn=topic, Message="x" * 262144)["MessageId"]
    missing = error_of(sns.publish, TopicArn=topic + "x", Message="x")
    assert missing == (404, "NotFound", "Topic does not exist")
    elsewhere = topic.replace(REGION, "eu-west-1")
    assert error_of(sns.publish, TopicArn=elsewhere, Message="x")[2] == "Invalid parameter: TopicArn"
    fifo = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    assert "MessageGroupId parameter is required" in error_of(sns.publish, TopicArn=fifo, Message="x")[2]
    ungrouped = error_of(sns.publish, TopicArn=fifo, Message="x", MessageGroupId="g")
    assert "ContentBasedDeduplication enabled or MessageDeduplicationId" in ungrouped[2]


def test_batches_fail_in_part_or_as_a_whole(sns, topic):
    def batch(*entries):
        return sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=list(entries))

    done = batch({"Id": "a", "Message": "x"}, {"Id": "b", "Message": "x", "Subject": "\n"})
    assert [entry["Id"] for entry in done["Successful"]] == ["a"]
    assert done["Failed"] == [
        {"Id": "b", "Code": "InvalidParameter", "Message": "Invalid parameter: Subject", "SenderFault": True}
    ]
    with pytest.raises(sns.exceptions.BatchEntryIdsNotDistinctException):
        batch({"Id": "a", "Message": "x"}, {"Id": "a", "Message": "y"})
    with pytest.raises(sns.exceptions.EmptyBatchRequestException):
        batch()
    with pytest.raises(sns.exceptions.TooManyEntriesInBatchRequestException):
        batch(*[{"Id": str(number), "Message": "x"} for number in range(11)])
    with pytest.raises(sns.exceptions.InvalidBatchEntryIdException):
        batch({"Id": "a b", "Message": "x"})
    with pytest.raises(sns.exceptions.BatchRequestTooLongException):
        batch({"Id": "a", "Message": "x" * 200_000}, {"Id": "b", "Message": "x" * 100_000})


def test_a_fifo_topic_numbers_messages_and_knows_repetitions(sns, name):
    attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    topic = sns.create_topic(Name=f"{name}.fifo", Attributes=attributes)["TopicArn"]
    first = sns.publish(TopicArn=topic, Message="one", MessageGroupId="g")
    again = sns.publish(TopicArn=topic, Message="one", MessageGroupId="g")
    second = sns.publish(TopicArn=topic, Message="two", MessageGroupId="g")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert len(first["SequenceNumber"]) == 20 and second["SequenceNumber"] > first["SequenceNumber"]
    assert error_of(sns.subscribe, TopicArn=topic, Protocol="http", Endpoint="http://x")[1] == "InvalidParameter"


def test_accounts_are_apart(daemon, name):
    """SVC2-117, SVC2-123: another account needs the topic's permission."""
    a, b = (boto(daemon.url, "sns", key=key) for key in ("111111111111", "222222222222"))
    topic = a.create_topic(Name=name)["TopicArn"]
    assert topic == f"arn:aws:sns:{REGION}:111111111111:{name}"
    assert b.list_topics()["Topics"] == []
    function = f"arn:aws:lambda:{REGION}:222222222222:function:f"
    denied = error_of(b.subscribe, TopicArn=topic, Protocol="lambda", Endpoint=function)
    assert denied[:2] == (403, "AuthorizationError") and "to perform: SNS:Subscribe on" in denied[2]
    a.add_permission(TopicArn=topic, Label="b", AWSAccountId=["222222222222"], ActionName=["Subscribe"])
    assert error_of(b.publish, TopicArn=topic, Message="x")[:2] == (403, "AuthorizationError")
    assert error_of(b.delete_topic, TopicArn=topic)[:2] == (403, "AuthorizationError")
    subscribed = b.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"]
    assert a.get_subscription_attributes(SubscriptionArn=subscribed)["Attributes"]["Owner"] == "222222222222"


def test_the_cli_subscribes_and_publishes(cli, name, tmp_path):
    """SVC2-118, SVC2-121, SVC2-122: the commands of the guide's walk-through."""
    session = CliSession(cli)

    def aws(*arguments):
        done = session.run("sns", *arguments, "--output", "json")
        assert done["status"] == 0, done["stderr"]
        return json.loads(done["stdout"] or "null")

    topic = aws("create-topic", "--name", name)["TopicArn"]
    allow = ["--label", "lambda-access", "--aws-account-id", "123456789012", "--topic-arn", topic]
    aws("add-permission", *allow, "--action-name", "Subscribe", "ListSubscriptionsByTopic", "Receive")
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    subscribe = ["--protocol", "lambda", "--topic-arn", topic, "--notification-endpoint", function]
    arn = aws("subscribe", *subscribe)["SubscriptionArn"]
    assert arn.rsplit(":", 1)[0] == topic
    (tmp_path / "message.txt").write_text("two\nlines")
    publish = ["--message", f"file://{tmp_path}/message.txt", "--subject", "Test", "--topic-arn", topic]
    assert len(aws("publish", *publish)["MessageId"]) == 36
    session.close()
