// All queues: searched, sorted and paged by the broker, so that a hundred thousand of them are no matter.

import { path, put } from "../api.js";
import { href } from "../dom.js";
import { count, rate } from "../format.js";
import { asking, jsonObject } from "../forms.js";
import { list } from "../list.js";
import { lengths, sparkline } from "../plot.js";
import { changed, vhostNames } from "./shared.js";

export function queues() {
  const view = list({
    title: "Queues",
    path: () => "queues",
    empty: "No queues yet. A client declares one, or the button above does.",
    key: (row) => JSON.stringify([row.vhost, row.name]),
    extra: { lengths_age: 60, lengths_incr: 5, msg_rates_age: 60, msg_rates_incr: 5 },
    actions: [asking("Declare a queue", declare, { class: "primary" })],
    columns: [
      { title: "Name", text: (row) => row.name, href: (row) => href("queues", row.vhost, row.name), sort: "name" },
      { title: "Vhost", text: (row) => row.vhost, sort: "vhost" },
      { title: "Type", text: (row) => kind(row), sort: "type" },
      { title: "Policy", text: (row) => row.policy ?? "" },
      { title: "State", text: (row) => row.state ?? "", sort: "state" },
      { title: "Ready", text: (row) => count(row.messages_ready ?? 0), number: true, sort: "messages_ready" },
      { title: "Unacked", text: (row) => count(row.messages_unacknowledged ?? 0), number: true, sort: "messages_unacknowledged" },
      { title: "Depth", hint: "The last minute", node: (row) => sparkline(lengths(row.messages_details), `depth of ${row.name}`) },
      { title: "In", text: (row) => rate(row.message_stats?.publish_details?.rate ?? 0), number: true, sort: "message_stats.publish_details.rate" },
      { title: "Out", text: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0), number: true, sort: "message_stats.deliver_get_details.rate" },
      { title: "Consumers", text: (row) => count(row.consumers ?? 0), number: true, sort: "consumers" },
    ],
  });
  vhostNames();
  return view;
}

function kind(row) {
  const also = [row.durable ? "durable" : "transient", row.auto_delete && "auto-delete", row.exclusive && "exclusive"];
  return [row.type ?? "classic", ...also].filter(Boolean).join(", ");
}

function declare() {
  return {
    title: "Declare a queue",
    button: "Declare",
    fields: [
      { name: "vhost", label: "Vhost", type: "select", options: vhostNames() },
      { name: "name", label: "Name", required: true },
      { name: "type", label: "Type", type: "select", options: ["classic", "quorum", "stream"] },
      { name: "durable", label: "Durable: it is there after a restart", type: "checkbox", value: true },
      { name: "auto_delete", label: "Deleted with its last consumer", type: "checkbox" },
      { name: "arguments", label: "Arguments", type: "textarea", hint: 'JSON, as {"x-message-ttl": 60000, "x-dead-letter-exchange": "late"}' },
    ],
    act: async ({ vhost, name, type, durable, auto_delete, arguments: text }) => {
      const extra = jsonObject(text, "Arguments");
      await put(`queues/${path(vhost, name)}`, { durable, auto_delete, arguments: { "x-queue-type": type, ...extra } });
      changed();
    },
  };
}
