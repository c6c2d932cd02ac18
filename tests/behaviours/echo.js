// Passes COUNT messages of the queue s17.there on to s17.back, as they are. amqplib is that of examples/quotes.
const { createRequire } = require('node:module');
const amqp = createRequire(require('node:path').join(__dirname, '../../examples/quotes/'))('amqplib');

async function main() {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await connection.createConfirmChannel();
  let left = Number(process.env.COUNT);
  await new Promise((done) => channel.consume('s17.there', ({ content, properties }) => {
    channel.sendToQueue('s17.back', content, properties);
    if (--left === 0) done();
  }, { noAck: true }));
  await channel.waitForConfirms();
  await connection.close();
}

main();
