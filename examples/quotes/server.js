// A web server that pushes quotes to its browsers. Start several: each has a queue of its own on the exchange, so each
// gets every quote, and the queue goes when the server does. Prints its address; PORT=0 (the default) takes a free one.
import amqp from 'amqplib';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('page.html', import.meta.url));
const browsers = new Set();

const connection = await amqp.connect(process.env.AMQP_URL ?? 'amqp://localhost');
const channel = await connection.createChannel();
await channel.assertExchange('quotes', 'fanout', { durable: false });
const { queue } = await channel.assertQueue('', { exclusive: true });
await channel.bindQueue(queue, 'quotes', '');
await channel.consume(queue, (message) => {
  for (const browser of browsers) browser.write(`data: ${message.content}\n\n`);
}, { noAck: true });

const server = createServer((request, response) => {
  if (request.url === '/') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
  } else if (request.url === '/quotes') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders();
    browsers.add(response);
    response.on('close', () => browsers.delete(response));
  } else {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});

// Without its broker a server has nothing to tell; whoever runs it starts it again.
connection.on('close', () => process.exit(1));
