// A browser for the test: browser.js ADDRESS COUNT fetches the page, then prints that many quotes as they are pushed.
const [address, count] = process.argv.slice(2);

const page = await (await fetch(address)).text();
if (!page.includes("EventSource('quotes')")) throw new Error(`not the page: ${page}`);

const response = await fetch(`${address}quotes`);
console.log('connected', response.headers.get('content-type'));
let text = '';
let quotes = 0;
for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
  text += chunk;
  const events = text.split('\n\n');
  text = events.pop();
  for (const event of events) console.log(event);
  quotes += events.length;
  if (quotes >= count) process.exit();
}
