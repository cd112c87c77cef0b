"""SQS and time, order and death: what happens when a clock is moved, and when the daemon is killed."""

import json
import threading
import urllib.request

import pytest

from harness.clients import boto
from harness.daemon import Daemon, wait_for
from harness.queues import arn, attributes, counts, create, receive, refused

HOUR = 3600


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A daemon whose clock stands still until it is moved."""
    daemon = Daemon(tmp_path_factory.mktemp("still"), arguments=["--clock", "manual"]).start()
    yield daemon
    assert daemon.stop() == 0, daemon.output()


@pytest.fixture(scope="module")
def sqs(still):
    return boto(still.url, "sqs")


@pytest.fixture
def advance(still):
    def move(seconds):
        body = json.dumps({"advanceSeconds": seconds}).encode()
        request = urllib.request.Request(f"{still.url}/_lambd/clock", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()

    return move


def bodies(messages):
    return [message["Body"] for message in messages]


def send(sqs, url, *texts, group=None, **more):
    for text in texts:
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": f"{group}-{text}"} if group else {}
        sqs.send_message(QueueUrl=url, MessageBody=text, **fifo, **more)


def delete(sqs, url, *messages):
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def fifo(sqs, name, **more):
    return create(sqs, f"{name}.fifo", FifoQueue="true", **more)


def test_a_message_that_is_not_deleted_comes_back(sqs, advance, name):
    """SVC2-131"""
    url = create(sqs, name, VisibilityTimeout="40")
    send(sqs, url, "x")
    [first] = receive(sqs, url)
    advance(39)
    assert receive(sqs, url) == []
    advance(1)
    [second] = receive(sqs, url, AttributeNames=["All"], VisibilityTimeout=5)
    found = second["Attributes"]
    assert (found["ApproximateReceiveCount"], second["MessageId"]) == ("2", first["MessageId"])
    advance(5)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=20)
    assert receive(sqs, url) == [], "the last receiver takes it back"
    message = refused(
        "InvalidParameterValue",
        sqs.change_message_visibility,
        QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=43200,
    )
    assert "beyond the limit [43200 seconds]" in message


def test_delays(sqs, advance, name):
    url = create(sqs, name, DelaySeconds="10")
    send(sqs, url, "queue's")
    send(sqs, url, "own", DelaySeconds=0)
    assert counts(sqs, url) == (1, 0, 1)
    assert bodies(receive(sqs, url, MaxNumberOfMessages=10)) == ["own"]
    advance(10)
    assert bodies(receive(sqs, url, MaxNumberOfMessages=10)) == ["queue's"]


def test_messages_expire(sqs, advance, name):
    url = create(sqs, name, MessageRetentionPeriod="60", VisibilityTimeout="0")
    send(sqs, url, "never received", "received")
    assert len(receive(sqs, url)) == 1
    advance(30)
    send(sqs, url, "young")
    advance(30)
    assert counts(sqs, url) == (1, 0, 0)
    assert bodies(receive(sqs, url, MaxNumberOfMessages=10)) == ["young"]


def test_a_long_poll_ends_when_the_clock_is_moved(sqs, still, advance, name, stopwatch):
    """No matter whether it was waiting for the end, or for a message to be visible."""
    url = create(sqs, name)
    for delay, found in [(None, []), (15, ["delayed"])]:
        if delay:
            send(sqs, url, "delayed", DelaySeconds=delay)
        got = []
        polling = threading.Event()

        def poll():
            polling.set()
            got.append(bodies(receive(boto(still.url, "sqs"), url, WaitTimeSeconds=20)))

        thread = threading.Thread(target=poll)
        thread.start()
        polling.wait()
        # A poll that comes after the clock was moved waits for the next move.
        wait_for(lambda: (advance(20), thread.join(0.1), not thread.is_alive())[2], "the poll to end")
        assert got == [found]
    assert stopwatch() < 15


def test_a_group_keeps_its_order_and_blocks_itself_alone(sqs, advance, name):
    """SVC2-133"""
    url = fifo(sqs, name, VisibilityTimeout="30")
    send(sqs, url, "a1", "a2", "a3", group="a")
    send(sqs, url, "b1", group="b")
    first = receive(sqs, url, MaxNumberOfMessages=2, AttributeNames=["All"])
    assert bodies(first) == ["a1", "a2"]
    numbers = [message["Attributes"]["SequenceNumber"] for message in first]
    assert numbers == sorted(numbers) and {len(number) for number in numbers} == {20}
    assert first[0]["Attributes"]["MessageGroupId"] == "a"
    assert first[0]["Attributes"]["MessageDeduplicationId"] == "a-a1"
    other = receive(sqs, url, MaxNumberOfMessages=10)
    assert bodies(other) == ["b1"], "group a waits for a1 and a2"
    delete(sqs, url, first[0])
    assert receive(sqs, url) == []
    delete(sqs, url, first[1])
    [third] = receive(sqs, url, MaxNumberOfMessages=10)
    assert third["Body"] == "a3"
    advance(30)
    assert sorted(bodies(receive(sqs, url, MaxNumberOfMessages=10))) == ["a3", "b1"]
    message = refused("InvalidParameterValue", sqs.delete_message, QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    assert message.endswith("for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")


def test_the_visible_beginning_of_a_group_can_be_received(sqs, advance, name):
    url = fifo(sqs, name, VisibilityTimeout="5")
    send(sqs, url, "1", "2", "3", group="g")
    _, _, third = receive(sqs, url, MaxNumberOfMessages=3)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"], VisibilityTimeout=60)
    advance(5)
    assert bodies(receive(sqs, url, MaxNumberOfMessages=10)) == ["1", "2"]


def test_the_same_message_is_taken_once_in_five_minutes(sqs, advance, name):
    url = fifo(sqs, name, ContentBasedDeduplication="true")
    put = lambda **more: sqs.send_message(**{"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g"} | more)
    first = put()
    assert put()["MessageId"] == put(MessageGroupId="h")["MessageId"] == first["MessageId"]
    assert put()["SequenceNumber"] == first["SequenceNumber"]
    assert put(MessageDeduplicationId="other")["MessageId"] != first["MessageId"]
    batch = [{"Id": str(n), "MessageBody": "y", "MessageGroupId": "g"} for n in range(2)]
    one, two = sqs.send_message_batch(QueueUrl=url, Entries=batch)["Successful"]
    assert one["MessageId"] == two["MessageId"]
    delete(sqs, url, *receive(sqs, url, MaxNumberOfMessages=10))
    advance(299)
    assert put()["MessageId"] == first["MessageId"], "also when it was deleted"
    advance(1)
    assert put()["MessageId"] != first["MessageId"]


def test_groups_can_be_deduplicated_alone(sqs, name):
    url = fifo(sqs, name, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in "ab":
        sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group, MessageDeduplicationId="same")
    assert sorted(bodies(receive(sqs, url, MaxNumberOfMessages=10))) == ["a", "b"]


def test_what_fifo_queues_do_not_take(sqs, name):
    url = fifo(sqs, name)
    put = lambda **more: sqs.send_message(QueueUrl=url, MessageBody="x", **more)
    assert refused("MissingParameter", put) == "The request must contain the parameter MessageGroupId."
    assert refused("InvalidParameterValue", put, MessageGroupId="g").startswith("The queue should either have Content")
    message = refused("InvalidParameterValue", put, MessageGroupId="g", MessageDeduplicationId="d", DelaySeconds=2)
    assert message.startswith("Value 2 for parameter DelaySeconds is invalid.")
    refused("InvalidParameterValue", put, MessageGroupId="a b", MessageDeduplicationId="d")
    entries = [{"Id": "a", "MessageBody": "x", "MessageDeduplicationId": "d"}]
    refused("InvalidParameterValue", sqs.send_message_batch, QueueUrl=url, Entries=entries)
    assert counts(sqs, url) == (0, 0, 0)


def test_a_fifo_queues_delay_is_for_all_its_messages(sqs, advance, name):
    url = fifo(sqs, name)
    send(sqs, url, "1", group="g")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "30"})
    assert receive(sqs, url) == []
    assert counts(sqs, url) == (0, 0, 1)
    advance(30)
    assert bodies(receive(sqs, url)) == ["1"]


def test_an_attempt_to_receive_can_be_repeated(sqs, advance, name):
    url = fifo(sqs, name, VisibilityTimeout="30")
    send(sqs, url, "1", "2", group="g")
    get = lambda attempt: receive(
        sqs, url, MaxNumberOfMessages=10, ReceiveRequestAttemptId=attempt, AttributeNames=["ApproximateReceiveCount"]
    )
    first = get("a")
    advance(20)
    assert get("a") == first, "the same messages with the same receipts"
    assert get("b") == []
    advance(29)
    assert receive(sqs, url) == [], "the second attempt has begun the timeout again"
    delete(sqs, url, first[0])
    advance(1)
    assert bodies(get("a")) == ["2"]


def redrive(sqs, name, times, suffix="", **more):
    dead = create(sqs, f"{name}-dead{suffix}", **more)
    policy = json.dumps({"deadLetterTargetArn": arn(f"{name}-dead{suffix}"), "maxReceiveCount": times})
    return create(sqs, f"{name}{suffix}", RedrivePolicy=policy, VisibilityTimeout="10", **more), dead


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_dead_letters(sqs, advance, name, suffix):
    """SVC2-136: after maxReceiveCount receives a message goes to the queue of dead letters."""
    more = {"FifoQueue": "true"} if suffix else {}
    url, dead = redrive(sqs, name, 2, suffix, **more)
    for text in ("1", "2"):
        send(sqs, url, text, group="g" if suffix else None)
    for _ in range(2):
        messages = receive(sqs, url, MaxNumberOfMessages=10)
        assert bodies(messages) == ["1", "2"]
        advance(10)
    assert counts(sqs, dead) == (0, 0, 0)
    assert receive(sqs, url) == []
    assert (counts(sqs, url), counts(sqs, dead)) == ((0, 0, 0), (2, 0, 0))
    found = receive(sqs, dead, MaxNumberOfMessages=10, AttributeNames=["All"])
    assert bodies(found) == ["1", "2"]
    assert [message["MessageId"] for message in found] == [message["MessageId"] for message in messages]
    assert found[0]["Attributes"]["DeadLetterQueueSourceArn"] == arn(f"{name}{suffix}")
    assert found[0]["Attributes"]["ApproximateReceiveCount"] == "3"
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]


def test_redrive_policies_that_are_none(sqs, name):
    dead = create(sqs, f"{name}-dead")
    create(sqs, f"{name}.fifo", FifoQueue="true")

    def policy(says, **policy):
        text = json.dumps(policy)
        message = refused("InvalidParameterValue", create, sqs=sqs, name=name, RedrivePolicy=text)
        assert message.startswith(f"Value {text} for parameter RedrivePolicy is invalid. Reason: ")
        assert says in message

    policy("Dead letter target does not exist.", deadLetterTargetArn=arn("none"), maxReceiveCount=1)
    policy("must be same type of queue", deadLetterTargetArn=arn(f"{name}.fifo"), maxReceiveCount=1)
    policy("valid values are from 1 to 1000", deadLetterTargetArn=arn(f"{name}-dead"), maxReceiveCount=0)
    policy("mandatory attribute: maxReceiveCount", deadLetterTargetArn=arn(f"{name}-dead"))
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn("friend")]}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(allow)})
    policy("does not allow this source queue", deadLetterTargetArn=arn(f"{name}-dead"), maxReceiveCount=1)
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": ""})
    assert attributes(sqs, dead, "RedriveAllowPolicy") == {}


def kill_all(sqs, advance, url, dead, count):
    """Receives messages until they are dead letters."""
    for _ in range(2):
        receive(sqs, url, MaxNumberOfMessages=10)
        advance(10)
    assert counts(sqs, dead)[0] == count


def tasks(sqs, source):
    return sqs.list_message_move_tasks(SourceArn=source, MaxResults=10)["Results"]


def test_dead_letters_are_moved_back(sqs, advance, name):
    url, dead = redrive(sqs, name, 1)
    source = arn(f"{name}-dead")
    send(sqs, url, "1", "2", "3")
    kill_all(sqs, advance, url, dead, 3)
    handle = sqs.start_message_move_task(SourceArn=source)["TaskHandle"]
    wait_for(lambda: tasks(sqs, source)[0]["Status"] == "COMPLETED", "the messages to be moved")
    [task] = tasks(sqs, source)
    assert (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]) == (3, 3)
    assert task["SourceArn"] == source and "TaskHandle" not in task
    found = receive(sqs, url, MaxNumberOfMessages=10, AttributeNames=["All"])
    assert bodies(found) == ["1", "2", "3"]
    assert found[0]["Attributes"]["ApproximateReceiveCount"] == "1", "they are new messages"
    refused("AWS.SimpleQueueService.UnsupportedOperation", sqs.cancel_message_move_task, TaskHandle=handle)


def test_a_slow_move_can_be_cancelled(sqs, advance, name):
    url, dead = redrive(sqs, name, 1)
    create(sqs, f"{name}-other")
    source = arn(f"{name}-dead")
    send(sqs, url, *"12345")
    kill_all(sqs, advance, url, dead, 5)
    start = lambda: sqs.start_message_move_task(
        SourceArn=source, DestinationArn=arn(f"{name}-other"), MaxNumberOfMessagesPerSecond=2
    )
    handle = start()["TaskHandle"]
    moved = lambda: tasks(sqs, source)[0]["ApproximateNumberOfMessagesMoved"]
    wait_for(lambda: moved() == 2, "the first two")
    assert tasks(sqs, source)[0]["TaskHandle"] == handle
    assert refused("InvalidParameterValue", start).startswith("There is already a task running.")
    advance(1)
    wait_for(lambda: moved() == 4, "the next two")
    assert sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] == 4
    wait_for(lambda: tasks(sqs, source)[0]["Status"] == "CANCELLED", "the end")
    assert counts(sqs, dead) == (1, 0, 0)


def test_moves_that_are_none(sqs, name):
    create(sqs, name)
    start = lambda **a: sqs.start_message_move_task(**a)
    assert refused("InvalidParameterValue", start, SourceArn=arn(name)) == (
        "Source queue must be configured as a Dead Letter Queue."
    )
    assert refused("ResourceNotFoundException", start, SourceArn=arn("none")) == (
        "The resource that you specified for the SourceArn parameter doesn't exist."
    )
    refused("InvalidParameterValue", start, SourceArn="none")
    refused("InvalidParameterValue", sqs.cancel_message_move_task, TaskHandle="none")


def test_names_and_purges_are_free_again_after_a_minute(sqs, advance, name):
    url = create(sqs, name)
    sqs.purge_queue(QueueUrl=url)
    advance(60)
    sqs.purge_queue(QueueUrl=url)
    sqs.delete_queue(QueueUrl=url)
    advance(59)
    refused("AWS.SimpleQueueService.QueueDeletedRecently", create, sqs=sqs, name=name)
    advance(1)
    create(sqs, name)


def test_everything_in_queues_survives_a_kill(own_daemon):
    sqs = boto(own_daemon.url, "sqs")
    url, dead = redrive(sqs, "kept", 1)
    ordered = create(sqs, "ordered.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    sqs.tag_queue(QueueUrl=url, Tags={"a": "b"})
    gone = create(sqs, "gone")
    sqs.delete_queue(QueueUrl=gone)
    given = {"n": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    send(sqs, url, "received")
    [held] = receive(sqs, url, VisibilityTimeout=600)
    send(sqs, url, "waiting", MessageAttributes=given)
    for text in "12":
        sqs.send_message(QueueUrl=ordered, MessageBody=text, MessageGroupId="g")
    [first] = receive(sqs, ordered, VisibilityTimeout=600)
    before = attributes(sqs, url)

    own_daemon.restart_after_kill()

    assert attributes(sqs, url) == before
    assert sorted(sqs.list_queues()["QueueUrls"]) == sorted([url, dead, ordered])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    [message] = receive(sqs, url, MessageAttributeNames=["All"])
    assert (message["Body"], message["MessageAttributes"]) == ("waiting", given)
    delete(sqs, url, held)
    assert counts(sqs, url) == (0, 1, 0), "a receipt outlives the daemon"
    assert receive(sqs, ordered) == [], "the group is still blocked"
    again = sqs.send_message(QueueUrl=ordered, MessageBody="1", MessageGroupId="g")
    assert again["MessageId"] == first["MessageId"], "duplicates are still recognised"
    delete(sqs, ordered, first)
    assert bodies(receive(sqs, ordered, MaxNumberOfMessages=10)) == ["2"]


def test_no_acknowledged_message_is_lost_by_kills(own_daemon):
    """Four senders, and a daemon that is killed twice while they send."""
    client = lambda: boto(own_daemon.url, "sqs")
    url = create(client(), "load")
    acknowledged, stop = set(), threading.Event()

    def sender(number):
        sqs = client()
        for at in range(100_000):
            if stop.is_set():
                return
            texts = [f"{number}-{at}-{n}" for n in range(10)]
            entries = [{"Id": str(n), "MessageBody": text} for n, text in enumerate(texts)]
            try:
                done = sqs.send_message_batch(QueueUrl=url, Entries=entries)
            except Exception:
                own_daemon_is_back.wait(20)
                continue
            acknowledged.update(texts[int(entry["Id"])] for entry in done["Successful"])

    own_daemon_is_back = threading.Event()
    threads = [threading.Thread(target=sender, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        level = len(acknowledged)
        wait_for(lambda: len(acknowledged) > level + 100, "messages to be sent")
        own_daemon_is_back.clear()
        own_daemon.kill()
        own_daemon.start()
        own_daemon_is_back.set()
    stop.set()
    for thread in threads:
        thread.join()
    sqs, found = client(), []
    while messages := receive(sqs, url, MaxNumberOfMessages=10, VisibilityTimeout=3600):
        found += bodies(messages)
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    assert acknowledged <= set(found), "every acknowledged message is there"
    assert len(found) == len(set(found)), "and each once"
