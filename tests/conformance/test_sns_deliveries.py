"""Messages on their way: to queues that are not ours, to functions, to web servers; across crashes."""

import json
import urllib.error
import urllib.request

import boto3
import pytest

from harness import packages
from harness.clients import REGION, boto
from harness.daemon import Daemon, free_port, wait_for
from harness.functions import ROLE, Functions, arn, python_runtime
from harness.s3 import S3
from harness.sns import Subscriber, follow, verify


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    """SQS that is not ours."""
    server = S3(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, moto):
    """A daemon that sends messages to the queues of moto."""
    daemon = Daemon(tmp_path_factory.mktemp("topics"), arguments=["--sqs-endpoint", moto.url]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture(scope="module")
def sns(world):
    return boto(world.url, "sns")


@pytest.fixture(scope="module")
def sqs(moto):
    session = boto3.session.Session(aws_access_key_id="moto", aws_secret_access_key="moto", region_name=REGION)
    return session.client("sqs", endpoint_url=moto.url)


@pytest.fixture
def subscriber():
    server = Subscriber()
    yield server
    server.stop()


@pytest.fixture
def topic(sns, name):
    return sns.create_topic(Name=name)["TopicArn"]


class Queue:
    """A queue with what arrived in it."""

    def __init__(self, sqs, name, **attributes):
        self.sqs = sqs
        self.url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = asked["Attributes"]["QueueArn"]
        self.messages = []

    def wait(self, count=1):
        def arrived():
            got = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
            ).get("Messages", [])
            self.messages += got
            for message in got:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            return len(self.messages) >= count and self.messages

        return wait_for(arrived, f"{count} messages")

    def subscribe(self, sns, topic, **attributes):
        return sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn, Attributes=attributes)[
            "SubscriptionArn"
        ]


ATTRIBUTES = {
    "kind": {"DataType": "String", "StringValue": "order"},
    "price": {"DataType": "Number", "StringValue": "12.5"},
    "photo": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_queue_gets_a_signed_envelope(sns, sqs, topic, name, version):
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
    queue = Queue(sqs, name)
    subscription = queue.subscribe(sns, topic)
    sent = sns.publish(TopicArn=topic, Message="Hellö\n<&>", Subject="Subj", MessageAttributes=ATTRIBUTES)
    message = json.loads(queue.wait()[0]["Body"])
    verify(message)
    assert message["SignatureVersion"] == version
    assert (message["Type"], message["MessageId"]) == ("Notification", sent["MessageId"])
    assert (message["TopicArn"], message["Subject"], message["Message"]) == (topic, "Subj", "Hellö\n<&>")
    assert message["MessageAttributes"] == {
        "kind": {"Type": "String", "Value": "order"},
        "price": {"Type": "Number", "Value": "12.5"},
        "photo": {"Type": "Binary", "Value": "AP8="},
    }
    follow(message["UnsubscribeURL"])
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.get_subscription_attributes(SubscriptionArn=subscription)


def test_raw_messages_have_the_attributes_of_the_publication(sns, sqs, topic, name):
    queue = Queue(sqs, name)
    queue.subscribe(sns, topic, RawMessageDelivery="true")
    texts = json.dumps({"default": "d", "sqs": "for queues"})
    sns.publish(TopicArn=topic, Message=texts, MessageStructure="json", MessageAttributes=ATTRIBUTES)
    message = queue.wait()[0]
    assert message["Body"] == "for queues"
    assert {n: a["DataType"] for n, a in message["MessageAttributes"].items()} == {
        "kind": "String",
        "price": "Number",
        "photo": "Binary",
    }
    assert message["MessageAttributes"]["photo"]["BinaryValue"] == b"\x00\xff"


def test_a_subscription_gets_what_its_filter_lets_pass(sns, sqs, topic, name):
    by_attribute, by_body = Queue(sqs, f"{name}-a"), Queue(sqs, f"{name}-b")
    policy = {"kind": ["order"], "price": [{"numeric": [">", 10]}]}
    by_attribute.subscribe(sns, topic, RawMessageDelivery="true", FilterPolicy=json.dumps(policy))
    policy = {"order": {"city": [{"prefix": "Ber"}]}}
    by_body.subscribe(
        sns, topic, RawMessageDelivery="true", FilterPolicy=json.dumps(policy), FilterPolicyScope="MessageBody"
    )
    sns.publish(TopicArn=topic, Message="no")
    cheap = ATTRIBUTES | {"price": {"DataType": "Number", "StringValue": "9"}}
    sns.publish(TopicArn=topic, Message='{"order": {"city": "Bern"}}', MessageAttributes=cheap)
    sns.publish(TopicArn=topic, Message='{"order": {"city": "Bonn"}}', MessageAttributes=ATTRIBUTES)
    last = json.dumps({"order": {"city": "Berlin"}})
    sns.publish(TopicArn=topic, Message=last, MessageAttributes=ATTRIBUTES)
    assert {m["Body"] for m in by_attribute.wait(2)} == {'{"order": {"city": "Bonn"}}', last}
    assert {m["Body"] for m in by_body.wait(2)} == {'{"order": {"city": "Bern"}}', last}


def test_a_fifo_topic_keeps_the_order_of_a_group(sns, sqs, name):
    topic = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    queue = Queue(sqs, f"{name}.fifo", FifoQueue="true")
    queue.subscribe(sns, topic)
    sent = []
    for number in range(0, 30, 10):
        entries = [
            {"Id": str(n), "Message": str(n), "MessageGroupId": "g", "MessageDeduplicationId": str(n)}
            for n in range(number, number + 10)
        ]
        done = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        sent += [entry["SequenceNumber"] for entry in done["Successful"]]
    assert sent == sorted(sent) and len(set(sent)) == 30
    messages = [json.loads(message["Body"]) for message in queue.wait(30)]
    assert [message["Message"] for message in messages] == [str(n) for n in range(30)]
    assert [message["SequenceNumber"] for message in messages] == sent
    assert queue.messages[0]["Attributes"]["MessageGroupId"] == "g"
    assert queue.messages[7]["Attributes"]["MessageDeduplicationId"] == "7"


def test_what_nobody_takes_goes_to_the_dead_letter_queue(sns, sqs, topic, name, subscriber):
    dead = Queue(sqs, f"{name}-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn})
    missing = dead.arn.replace("-dead", "-missing")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=missing, Attributes={"RedrivePolicy": redrive})
    subscriber.subscribe(sns, topic, RedrivePolicy=redrive)
    subscriber.status = 404
    sns.publish(TopicArn=topic, Message="x")
    assert [json.loads(message["Body"])["Message"] for message in dead.wait(2)] == ["x", "x"]


def test_a_function_gets_the_event(world, sns, topic, name):
    """SVC2-115: asynchronously, with the documented event."""
    client, logs = boto(world.url, "lambda"), boto(world.url, "logs")
    source = "import json\ndef handler(event, context):\n    print('EVENT' + json.dumps(event))\n"
    code = {"ZipFile": packages.package({"app.py": source})}
    client.create_function(FunctionName=name, Runtime=python_runtime(), Handler="app.handler", Role=ROLE, Code=code)
    Functions(client).active(name)
    subscription = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn(name))["SubscriptionArn"]
    attributes = {"Test": {"DataType": "String", "StringValue": "TestString"}}
    sns.publish(TopicArn=topic, Message="Hello from SNS!", Subject="TestInvoke", MessageAttributes=attributes)

    def event():
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="EVENT")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return events and json.loads(events[0]["message"].strip()[5:])

    (record,) = wait_for(event, "the event")["Records"]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert record["EventSubscriptionArn"] == subscription
    message = record["Sns"]
    assert (message["Subject"], message["Message"]) == ("TestInvoke", "Hello from SNS!")
    assert message["MessageAttributes"] == {"Test": {"Type": "String", "Value": "TestString"}}
    verify(message | {"SigningCertURL": message["SigningCertUrl"]})


def test_a_web_server_confirms_gets_messages_and_leaves(sns, topic, subscriber):
    arn = subscriber.subscribe(sns, topic)
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["ConfirmationWasAuthenticated"] == "false"
    sent = sns.publish(TopicArn=topic, Message="Hi")["MessageId"]
    message = json.loads(subscriber.wait()[0])
    verify(message)
    headers = subscriber.got[-1][1]
    assert (headers["x-amz-sns-message-id"], headers["x-amz-sns-subscription-arn"]) == (sent, arn)
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert headers["User-Agent"] == "Amazon Simple Notification Service Agent"

    follow(message["UnsubscribeURL"])
    goodbye = json.loads(subscriber.wait(kind="UnsubscribeConfirmation")[0])
    verify(goodbye)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    follow(goodbye["SubscribeURL"])
    sns.publish(TopicArn=topic, Message="again")
    assert json.loads(subscriber.wait(2)[1])["Message"] == "again"


def test_a_raw_message_comes_as_it_is_with_its_own_type(sns, topic, subscriber):
    policy = json.dumps({"requestPolicy": {"headerContentType": "application/json"}})
    subscriber.subscribe(sns, topic, "/raw", RawMessageDelivery="true", DeliveryPolicy=policy)
    sns.publish(TopicArn=topic, Message='{"a": 1}')
    assert subscriber.wait(1, "/raw") == ['{"a": 1}']
    headers = subscriber.got[-1][1]
    assert (headers["x-amz-sns-rawdelivery"], headers["Content-Type"]) == ("true", "application/json")


def test_only_who_signs_may_end_what_was_confirmed_so(sns, topic, subscriber):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)
    token = json.loads(subscriber.wait(kind="SubscriptionConfirmation")[0])["Token"]
    with pytest.raises(sns.exceptions.InvalidParameterException):
        sns.confirm_subscription(TopicArn=topic, Token=token[:-1])
    arn = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="x")
    link = json.loads(subscriber.wait()[0])["UnsubscribeURL"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        follow(link)
    sns.unsubscribe(SubscriptionArn=arn)


def test_certificates_have_the_name_that_messages_give(world):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        follow(f"{world.url}/_lambd/sns/SimpleNotificationService-0.pem")


@pytest.fixture
def manual(tmp_path):
    """A daemon whose clock stands still."""
    daemon = Daemon(tmp_path, arguments=["--clock", "manual"]).start()
    yield daemon
    if daemon.alive():
        assert daemon.stop() == 0, daemon.output()


def advance(daemon, seconds):
    body = json.dumps({"advanceSeconds": seconds}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{daemon.url}/_lambd/clock", body, headers)).read()


def test_a_failing_web_server_is_tried_again_and_delays_nobody(manual, name, subscriber):
    sns = boto(manual.url, "sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    subscriber.subscribe(sns, topic, "/bad")
    other = Subscriber()
    other.subscribe(sns, topic)
    subscriber.status = 503
    sns.publish(TopicArn=topic, Message="one")
    subscriber.wait(1, "/bad")
    sns.publish(TopicArn=topic, Message="two")
    assert len(other.wait(2)) == 2
    subscriber.wait(2, "/bad")
    for attempts in (4, 6):
        advance(manual, 20)
        subscriber.wait(attempts, "/bad")
    subscriber.status = 200
    advance(manual, 20)
    assert len(subscriber.wait(8, "/bad")) == 8
    # Delivered, and so not tried once more.
    advance(manual, 3600)
    sns.publish(TopicArn=topic, Message="three")
    assert json.loads(subscriber.wait(9, "/bad")[8])["Message"] == "three"
    other.stop()


def test_what_was_published_survives_a_crash(own_daemon, name, subscriber):
    """The server is away while the daemon is killed; whatever got its answer arrives."""
    sns = boto(own_daemon.url, "sns", retries=2)
    topic = sns.create_topic(Name=name)["TopicArn"]
    policy = {"healthyRetryPolicy": {"numRetries": 100, "minDelayTarget": 1, "maxDelayTarget": 1}}
    subscriber.subscribe(sns, topic, RawMessageDelivery="true", DeliveryPolicy=json.dumps(policy))
    subscriber.status = 503
    for number in range(20):
        sns.publish(TopicArn=topic, Message=str(number))
    own_daemon.restart_after_kill()
    subscriber.wait(21)
    subscriber.got.clear()
    subscriber.status = 200
    wait_for(lambda: len(set(subscriber.bodies())) == 20, "all messages")


def test_a_port_where_nobody_listens_holds_up_nobody(own_daemon, name, subscriber):
    sns = boto(own_daemon.url, "sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:000000000000:missing")
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{free_port()}/")
    subscriber.subscribe(sns, topic)
    for number in range(10):
        sns.publish(TopicArn=topic, Message=str(number))
    assert {json.loads(body)["Message"] for body in subscriber.wait(10)} == {str(n) for n in range(10)}
