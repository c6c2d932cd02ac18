// The market: publishes a quote of a random walk every INTERVAL_MS (default 1000) until it is stopped, or COUNT of them.
import amqp from 'amqplib';

const interval = Number(process.env.INTERVAL_MS ?? 1000);
const count = Number(process.env.COUNT ?? Infinity);
const connection = await amqp.connect(process.env.AMQP_URL ?? 'amqp://localhost');
const channel = await connection.createChannel();
await channel.assertExchange('quotes', 'fanout', { durable: false });

const prices = { ACME: 100, GLOBEX: 40, INITECH: 7 };
const symbols = Object.keys(prices);
for (let number = 1; number <= count; number++) {
  const symbol = symbols[number % symbols.length];
  prices[symbol] *= 1 + (Math.random() - 0.5) / 50;
  const quote = { number, symbol, price: prices[symbol].toFixed(2) };
  channel.publish('quotes', '', Buffer.from(JSON.stringify(quote)), { contentType: 'application/json' });
  await new Promise((resolve) => setTimeout(resolve, interval));
}
await channel.close();
await connection.close();
