// RabbitMQ's six tutorials in JavaScript: a word, work for several, a broadcast, routing, topics, and calls.
'use strict';

const assert = require('node:assert');
const { randomUUID } = require('node:crypto');
const amqp = require('amqplib');

const named = (name) => `${name}-${randomUUID().slice(0, 8)}`;

/** The next bodies of a queue, acknowledged. */
async function take(channel, queue, count) {
  const bodies = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (bodies.length === count) return; // comes back when the consumer ends
    bodies.push(message.content.toString());
    channel.ack(message);
    if (bodies.length === count) done();
  });
  await all;
  await channel.cancel(consumerTag);
  return bodies;
}

/** A queue of its own, bound with these keys. */
async function listener(channel, exchange, keys) {
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const key of keys) await channel.bindQueue(queue, exchange, key);
  return queue;
}

async function hello(sender, receiver) {
  const queue = named('hello');
  const out = await sender.createChannel();
  await out.assertQueue(queue, { durable: false });
  out.sendToQueue(queue, Buffer.from('Hello World!'));
  await out.close();
  const channel = await receiver.createChannel();
  assert.deepStrictEqual(await take(channel, queue, 1), ['Hello World!']);
  await channel.deleteQueue(queue);
}

/** A slow worker with one task at a time leaves the others to a quick one; the task of one that dies is done by the other. */
async function workQueues(boss, quick) {
  const queue = named('task_queue');
  const slow = await amqp.connect(process.env.INTEROP_URL);
  const tasks = await boss.createConfirmChannel();
  await tasks.assertQueue(queue, { durable: true });
  const slowly = await slow.createChannel();
  await slowly.prefetch(1);
  const held = new Promise((resolve) => { slowly.consume(queue, (message) => message && resolve(message.content.toString())); });
  tasks.sendToQueue(queue, Buffer.from('task 0'), { persistent: true });
  assert.strictEqual(await held, 'task 0');
  for (let number = 1; number < 6; number++) tasks.sendToQueue(queue, Buffer.from(`task ${number}`), { persistent: true });
  await tasks.waitForConfirms();
  const quickly = await quick.createChannel();
  await quickly.prefetch(1);
  assert.deepStrictEqual(await take(quickly, queue, 5), [1, 2, 3, 4, 5].map((number) => `task ${number}`));
  await slow.close();
  assert.deepStrictEqual(await take(quickly, queue, 1), ['task 0']);
  await tasks.deleteQueue(queue);
}

async function publishSubscribe(connection) {
  const logs = named('logs');
  const channel = await connection.createChannel();
  await channel.assertExchange(logs, 'fanout', { durable: false, autoDelete: true });
  channel.publish(logs, '', Buffer.from('before anybody listens'));
  const screens = [];
  for (let number = 0; number < 3; number++) screens.push(await listener(channel, logs, ['']));
  channel.publish(logs, 'ignored', Buffer.from('info: Hello World!'));
  for (const screen of screens) assert.deepStrictEqual(await take(channel, screen, 1), ['info: Hello World!']);
}

async function routing(connection) {
  const logs = named('direct_logs');
  const channel = await connection.createChannel();
  await channel.assertExchange(logs, 'direct', { durable: false, autoDelete: true });
  const disk = await listener(channel, logs, ['error']);
  const screen = await listener(channel, logs, ['info', 'warning', 'error']);
  for (const severity of ['info', 'debug', 'error', 'warning']) channel.publish(logs, severity, Buffer.from(severity));
  assert.deepStrictEqual(await take(channel, screen, 3), ['info', 'error', 'warning']);
  assert.deepStrictEqual(await take(channel, disk, 1), ['error']);
  assert.strictEqual(await channel.get(disk), false);
}

async function topics(connection) {
  const logs = named('topic_logs');
  const expected = {
    '#': ['kern.critical', 'kern', 'auth.info.user', 'cron.critical'],
    'kern.*': ['kern.critical'],
    '*.critical': ['kern.critical', 'cron.critical'],
    'auth.#': ['auth.info.user'],
  };
  const channel = await connection.createChannel();
  await channel.assertExchange(logs, 'topic', { durable: false, autoDelete: true });
  const queues = {};
  for (const pattern of Object.keys(expected)) queues[pattern] = await listener(channel, logs, [pattern]);
  for (const key of expected['#']) channel.publish(logs, key, Buffer.from(key));
  for (const [pattern, keys] of Object.entries(expected)) {
    assert.deepStrictEqual(await take(channel, queues[pattern], keys.length), keys, pattern);
    assert.strictEqual(await channel.get(queues[pattern]), false, pattern);
  }
}

async function rpc(serverSide, clientSide) {
  const queue = named('rpc_queue');
  const server = await serverSide.createChannel();
  await server.assertQueue(queue, { durable: false, autoDelete: true });
  await server.prefetch(1);
  await server.consume(queue, (message) => {
    const { replyTo, correlationId } = message.properties;
    server.sendToQueue(replyTo, Buffer.from(String(fibonacci(Number(message.content)))), { correlationId });
    server.ack(message);
  });
  const client = await clientSide.createChannel();
  const replyTo = (await client.assertQueue('', { exclusive: true })).queue;
  const waiting = new Map();
  await client.consume(replyTo, (message) => waiting.get(message.properties.correlationId)(Number(message.content)), { noAck: true });
  const call = (number) => new Promise((resolve) => {
    const correlationId = randomUUID();
    waiting.set(correlationId, resolve);
    client.sendToQueue(queue, Buffer.from(String(number)), { replyTo, correlationId });
  });
  const numbers = [10, 11, 12, 13, 14, 15, 16, 17];
  assert.deepStrictEqual(await Promise.all(numbers.map(call)), numbers.map(fibonacci));
}

const fibonacci = (number) => (number < 2 ? number : fibonacci(number - 1) + fibonacci(number - 2));

(async () => {
  for (const [name, tutorial] of Object.entries({ hello, 'work queues': workQueues, 'publish subscribe': publishSubscribe, routing, topics, rpc })) {
    const connections = [await amqp.connect(process.env.INTEROP_URL), await amqp.connect(process.env.INTEROP_URL)];
    try {
      await tutorial(...connections);
      console.log(`ok JavaScript, ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`not ok JavaScript, ${name}: ${error.stack}`);
    }
    for (const connection of connections) await connection.close();
  }
})();
