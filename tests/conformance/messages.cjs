/*
 * SQS and SNS by AWS's SDK for Node.js: `node messages.cjs SCENARIO ENDPOINT NAME`. Ends with 0 if the scenario went as
 * it should. NAME is the beginning of all names. The SDK compares the digests of what it sends and receives.
 */
'use strict';

const assert = require('node:assert/strict');
const { SQS, BatchEntryIdsNotDistinct, QueueDoesNotExist } = require('@aws-sdk/client-sqs');
const { SNS, NotFoundException } = require('@aws-sdk/client-sns');

const [scenario, endpoint, name] = process.argv.slice(2);
const settings = {
  endpoint, region: 'us-east-1', maxAttempts: 1, credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
};
const sqs = new SQS(settings);
const sns = new SNS(settings);

const text = (value) => ({ DataType: 'String', StringValue: value });
const number = (value) => ({ DataType: 'Number', StringValue: String(value) });
const bodies = (messages) => messages.map((message) => message.Body);
const binary = { DataType: 'Binary', BinaryValue: new Uint8Array([0, 128, 255]) };

async function queue(suffix, Attributes = {}) {
  const { QueueUrl } = await sqs.createQueue({ QueueName: name + suffix, Attributes });
  const found = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['QueueArn'] });
  return { QueueUrl, arn: found.Attributes.QueueArn };
}

/* Receives until `count` messages have come; long polls end when there are some. */
async function receive({ QueueUrl }, count, more = {}) {
  const messages = [];
  while (messages.length < count) {
    const { Messages } = await sqs.receiveMessage({
      QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 10, MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'], ...more,
    });
    assert.ok(Messages, `${messages.length} of ${count} messages arrived`);
    messages.push(...Messages);
  }
  assert.equal(messages.length, count);
  return messages;
}

async function remove({ QueueUrl }, messages) {
  const Entries = messages.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle }));
  const { Successful, Failed } = await sqs.deleteMessageBatch({ QueueUrl, Entries });
  assert.equal(Successful.length, messages.length);
  assert.equal(Failed, undefined);
}

async function countOf({ QueueUrl }) {
  const AttributeNames = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'];
  const { Attributes } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames });
  return AttributeNames.map((attribute) => Number(Attributes[attribute]));
}

/* Batches there and back, with attributes of all types; visibility; what a batch could not do. */
async function standard() {
  const q = await queue('');
  const Entries = [...'0123456789'].map((Id) => ({
    Id, MessageBody: `hällo ${Id}`, MessageAttributes: { kind: text('ö'), n: number(Id), raw: binary },
  }));
  const { Successful } = await sqs.sendMessageBatch({ QueueUrl: q.QueueUrl, Entries });
  assert.equal(Successful.length, 10);
  assert.ok(Successful.every((entry) => entry.MD5OfMessageAttributes));
  const messages = await receive(q, 10);
  assert.deepEqual(bodies(messages).sort(), Entries.map((entry) => entry.MessageBody));
  for (const { Body, MessageAttributes, Attributes } of messages) {
    assert.equal(MessageAttributes.n.StringValue, Body.slice(-1));
    assert.deepEqual([...MessageAttributes.raw.BinaryValue], [0, 128, 255]);
    assert.equal(Attributes.ApproximateReceiveCount, '1');
  }
  assert.deepEqual(await countOf(q), [0, 10]);
  const [{ ReceiptHandle }] = messages;
  const changed = await sqs.changeMessageVisibilityBatch({
    QueueUrl: q.QueueUrl,
    Entries: [{ Id: 'good', ReceiptHandle, VisibilityTimeout: 0 }, { Id: 'bad', ReceiptHandle: 'x', VisibilityTimeout: 0 }],
  });
  assert.deepEqual(changed.Successful, [{ Id: 'good' }]);
  assert.deepEqual(changed.Failed.map(({ Id, SenderFault }) => [Id, SenderFault]), [['bad', true]]);
  const [again] = await receive(q, 1);
  assert.equal(again.Attributes.ApproximateReceiveCount, '2');
  await remove(q, [again, ...messages.slice(1)]);
  assert.deepEqual(await countOf(q), [0, 0]);
  await sqs.deleteQueue({ QueueUrl: q.QueueUrl });
}

/* A receive that waits has the message when it is sent, not at the end of its time. */
async function longPoll() {
  const q = await queue('', { ReceiveMessageWaitTimeSeconds: '20' });
  const start = Date.now();
  const waiting = receive(q, 1, { WaitTimeSeconds: undefined });
  // The poll was sent before this; if it came later all the same, it finds the message.
  await countOf(q);
  const sent = await sqs.sendMessage({ QueueUrl: q.QueueUrl, MessageBody: 'at last' });
  const [message] = await waiting;
  assert.equal(message.MessageId, sent.MessageId);
  assert.ok(Date.now() - start < 15000);
}

/* Groups keep their order and wait for themselves only; what was sent twice is there once. */
async function fifo() {
  const q = await queue('.fifo', { FifoQueue: 'true', ContentBasedDeduplication: 'true' });
  const Entries = ['a1', 'b1', 'a2', 'b2'].map((MessageBody) => ({ Id: MessageBody, MessageBody, MessageGroupId: MessageBody[0] }));
  for (let times = 0; times < 2; times++) {
    const { Successful } = await sqs.sendMessageBatch({ QueueUrl: q.QueueUrl, Entries });
    assert.equal(Successful.length, 4);
  }
  assert.deepEqual(await countOf(q), [4, 0]);
  const [first] = await receive(q, 1, { MaxNumberOfMessages: 1 });
  const group = first.Body[0];
  assert.equal(first.Body, `${group}1`);
  const others = await receive(q, 2);
  const other = group === 'a' ? 'b' : 'a';
  assert.deepEqual(bodies(others), [`${other}1`, `${other}2`]);
  const [one, two] = others.map((message) => BigInt(message.Attributes.SequenceNumber));
  assert.ok(one < two);
  await remove(q, [first, ...others]);
  const [last] = await receive(q, 1);
  assert.equal(last.Body, `${group}2`);
  assert.equal(last.Attributes.MessageGroupId, group);
}

/* What was received too often goes to the queue of dead letters, and comes back when it is told to. */
async function redrive() {
  const dead = await queue('-dead');
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 1 });
  const q = await queue('', { RedrivePolicy, VisibilityTimeout: '0' });
  await sqs.sendMessage({ QueueUrl: q.QueueUrl, MessageBody: 'poison' });
  await receive(q, 1);
  assert.equal((await sqs.receiveMessage({ QueueUrl: q.QueueUrl })).Messages, undefined);
  const [letter] = await receive(dead, 1, { VisibilityTimeout: 0 });
  assert.equal(letter.Body, 'poison');
  assert.equal(letter.Attributes.DeadLetterQueueSourceArn, q.arn);
  assert.deepEqual((await sqs.listDeadLetterSourceQueues({ QueueUrl: dead.QueueUrl })).queueUrls, [q.QueueUrl]);
  assert.ok((await sqs.startMessageMoveTask({ SourceArn: dead.arn })).TaskHandle);
  assert.deepEqual(bodies(await receive(q, 1)), ['poison']);
  // The task's own account comes behind what it has moved.
  let task;
  do {
    [task] = (await sqs.listMessageMoveTasks({ SourceArn: dead.arn })).Results;
  } while (task.Status === 'RUNNING');
  assert.deepEqual([task.Status, Number(task.ApproximateNumberOfMessagesMoved)], ['COMPLETED', 1]);
}

/* Errors are the SDK's own classes. */
async function errors() {
  const q = await queue('');
  const same = { Id: 'a', MessageBody: 'x' };
  await assert.rejects(sqs.sendMessageBatch({ QueueUrl: q.QueueUrl, Entries: [same, same] }), BatchEntryIdsNotDistinct);
  await assert.rejects(sqs.getQueueUrl({ QueueName: `${name}-none` }), QueueDoesNotExist);
  const TopicArn = `arn:aws:sns:us-east-1:000000000000:${name}-none`;
  await assert.rejects(sns.getTopicAttributes({ TopicArn }), NotFoundException);
}

/* A subscription of a queue gets those messages of a batch that its policy wants, as they were published. */
async function topic() {
  const q = await queue('');
  const { TopicArn } = await sns.createTopic({ Name: name, Tags: [{ Key: 'team', Value: 'post' }] });
  const { SubscriptionArn } = await sns.subscribe({
    TopicArn, Protocol: 'sqs', Endpoint: q.arn, ReturnSubscriptionArn: true,
    Attributes: { RawMessageDelivery: 'true', FilterPolicy: JSON.stringify({ n: [{ numeric: ['>=', 2] }] }) },
  });
  const entry = (n) => ({ Id: `e${n}`, Message: `message ${n}`, MessageAttributes: { n: number(n), raw: binary } });
  const { Successful, Failed } = await sns.publishBatch({
    TopicArn, PublishBatchRequestEntries: [1, 2, 3].map(entry),
  });
  assert.equal(Successful.length, 3);
  assert.deepEqual(Failed ?? [], []);
  const messages = await receive(q, 2);
  assert.deepEqual(bodies(messages).sort(), ['message 2', 'message 3']);
  assert.deepEqual([...messages[0].MessageAttributes.raw.BinaryValue], [0, 128, 255]);
  await remove(q, messages);

  await sns.setSubscriptionAttributes({ SubscriptionArn, AttributeName: 'RawMessageDelivery', AttributeValue: 'false' });
  const { MessageId } = await sns.publish({ TopicArn, Message: 'ö', Subject: 'Subject', MessageAttributes: { n: number(7) } });
  const [{ Body }] = await receive(q, 1);
  const envelope = JSON.parse(Body);
  assert.deepEqual([envelope.Type, envelope.MessageId, envelope.Message], ['Notification', MessageId, 'ö']);
  assert.deepEqual(envelope.MessageAttributes, { n: { Type: 'Number', Value: '7' } });

  assert.deepEqual((await sns.listTagsForResource({ ResourceArn: TopicArn })).Tags, [{ Key: 'team', Value: 'post' }]);
  const listed = await sns.listSubscriptionsByTopic({ TopicArn });
  assert.deepEqual(listed.Subscriptions.map((subscription) => subscription.Endpoint), [q.arn]);
  await sns.unsubscribe({ SubscriptionArn });
  await sns.deleteTopic({ TopicArn });
}

/* A FIFO topic hands its order to a FIFO queue. */
async function fifoTopic() {
  const q = await queue('.fifo', { FifoQueue: 'true' });
  const { TopicArn } = await sns.createTopic({
    Name: `${name}.fifo`, Attributes: { FifoTopic: 'true', ContentBasedDeduplication: 'true' },
  });
  await sns.subscribe({ TopicArn, Protocol: 'sqs', Endpoint: q.arn, Attributes: { RawMessageDelivery: 'true' } });
  const words = ['one', 'two', 'three', 'four'];
  const entries = words.map((Message) => ({ Id: Message, Message, MessageGroupId: 'g' }));
  const { Successful } = await sns.publishBatch({ TopicArn, PublishBatchRequestEntries: entries });
  assert.ok(Successful.every((entry) => entry.SequenceNumber));
  const got = [];
  while (got.length < words.length) {
    const messages = (await sqs.receiveMessage({ QueueUrl: q.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 10 })).Messages;
    assert.ok(messages, `only ${got} arrived`);
    got.push(...bodies(messages));
    await remove(q, messages);
  }
  assert.deepEqual(got, words);
}

const scenarios = { standard, longPoll, fifo, redrive, errors, topic, fifoTopic };
scenarios[scenario]().catch((error) => {
  console.error(error);
  process.exit(1);
});
