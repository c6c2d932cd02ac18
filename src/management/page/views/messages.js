// Messages as people look at them and write them: the list of a queue's first ones, and the form that publishes one.

import { get, path, post } from "../api.js";
import { h, setText } from "../dom.js";
import { bytes, count, exchange, time } from "../format.js";
import { input, jsonObject, label, valueOf } from "../forms.js";
import { changed, entries } from "./shared.js";

const COUNTS = ["5", "20", "100"];

/** Looks at the first messages of a queue and leaves them as they are. */
export function peeking(vhost, queue) {
  const field = { name: "count", label: "How many", type: "select", options: COUNTS };
  const how = input(field);
  const shown = h("div", { class: "messages" });
  const told = h("p", { class: "hint", role: "status" },
    "Looking changes nothing: no message is taken, none is marked as redelivered, no count goes up.");
  async function look() {
    try {
      const messages = await get(`queues/${path(vhost, queue)}/peek?count=${valueOf(field, how)}`);
      shown.replaceChildren(...messages.map(message));
      setText(told, messages.length === 0 ? "No message is ready." : `${count(messages.length)} from the head.`);
    } catch (error) {
      setText(told, error.message);
    }
  }
  return h("section", {}, h("h2", {}, "First messages"),
    h("div", { class: "bar" }, label(field, how), h("button", { type: "button", click: look }, "Look")), told, shown);
}

function message(one, index) {
  if (one.problem) return h("p", { class: "message problem" }, `${index + 1}. cannot be read: ${one.problem}`);
  const properties = { ...one.properties };
  const headers = properties.headers;
  delete properties.headers;
  if (typeof properties.timestamp === "number") properties.timestamp = `${properties.timestamp} (${time(properties.timestamp * 1000)})`;
  const marks = [one.redelivered && "redelivered"].filter(Boolean);
  return h("details", { class: "message", open: index === 0 },
    h("summary", {}, h("b", {}, `${index + 1}. ${one.routing_key || "(no key)"}`), ` from ${exchange(one.exchange)}, ${bytes(one.payload_bytes)}`,
      marks.map((mark) => h("span", { class: "mark" }, mark))),
    entries(properties), headers && entries(headers), h("pre", {}, readable(one)));
}

/** JSON is set in lines; what is no text is said to be base64. */
function readable({ payload, payload_encoding: encoding }) {
  if (encoding === "base64") return `base64: ${payload}`;
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

/** Publishes to an exchange; `key` stands in the form at first. */
export function publishing(vhost, to, key = "") {
  const fields = [
    { name: "routing_key", label: "Routing key", value: key },
    { name: "persistent", label: "Persistent: it survives a crash", type: "checkbox", value: true },
    { name: "properties", label: "Properties", type: "textarea", hint: 'JSON, as {"content_type": "application/json", "headers": {"attempt": 1}}' },
    { name: "payload", label: "Body", type: "textarea" },
  ];
  const rows = fields.map((field) => ({ field, control: input(field) }));
  const told = h("p", { role: "status" });
  const form = h("form", { class: "narrow", submit: async (event) => {
    event.preventDefault();
    try {
      const values = Object.fromEntries(rows.map(({ field, control }) => [field.name, valueOf(field, control)]));
      const properties = { delivery_mode: values.persistent ? 2 : 1, ...jsonObject(values.properties, "Properties") };
      const answer = await post(`exchanges/${path(vhost, to || "amq.default")}/publish`, {
        routing_key: values.routing_key, properties, payload: values.payload, payload_encoding: "string",
      });
      setText(told, answer.routed ? "Published; a queue has it." : "Nobody took it: no binding fits.");
      changed();
    } catch (error) {
      setText(told, error.message);
    }
  } }, rows.map(({ field, control }) => label(field, control)), h("button", { class: "primary" }, "Publish"), told);
  return h("details", { class: "card" }, h("summary", {}, "Publish a message"), form);
}
