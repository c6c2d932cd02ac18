// One queue: how deep it is and was, who consumes, where its messages come from, and the messages at its head.

import { get, path, post, remove } from "../api.js";
import { h, href, link, setText } from "../dom.js";
import { bytes, count, rate, table as inline, time } from "../format.js";
import { asking, jsonObject } from "../forms.js";
import { lengths, plot, rates } from "../plot.js";
import { table } from "../table.js";
import { peeking, publishing } from "./messages.js";
import { bindings, changed, facts, given } from "./shared.js";

const SAMPLES = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";

export function queue(vhost, name) {
  const at = `queues/${path(vhost, name)}`;
  const depth = plot("Messages");
  const moving = plot("Messages a second", rate);
  const about = h("div", { class: "card" });
  const consumers = table({
    caption: "Consumers",
    key: (row) => JSON.stringify([row.channel_details?.name, row.consumer_tag]),
    empty: "Nobody consumes from this queue.",
    columns: [
      { title: "Tag", text: (row) => row.consumer_tag },
      { title: "Channel", text: (row) => row.channel_details?.name ?? "", href: (row) => href("connections", row.channel_details?.connection_name ?? "") },
      { title: "Acks", text: (row) => (row.ack_required ? "by the client" : "none") },
      { title: "Prefetch", text: (row) => (row.prefetch_count ? count(row.prefetch_count) : "no limit"), number: true },
      { title: "Exclusive", text: (row) => (row.exclusive ? "yes" : "") },
      { title: "Active", text: (row) => row.activity_status ?? "" },
      { title: "Arguments", text: (row) => inline(row.arguments) },
    ],
  });
  const bound = bindings("Bindings", (row) => row.source && asking("Unbind", () => ({
    title: "Remove this binding?",
    text: `${row.source} → ${name} with key "${row.routing_key}"`,
    button: "Remove",
    danger: true,
    act: async () => {
      await remove(`bindings/${path(vhost, "e", row.source, "q", name, row.properties_key)}`);
      changed();
    },
  }), { class: "small" }));
  const total = h("span", { class: "total", role: "status" });

  async function refresh() {
    const [row, all] = await Promise.all([get(`${at}?${SAMPLES}`), get(`${at}/bindings`)]);
    const stats = row.message_stats ?? {};
    depth.show([
      { name: "ready", points: lengths(row.messages_ready_details) },
      { name: "unacked", points: lengths(row.messages_unacknowledged_details) },
    ]);
    moving.show([
      { name: "in", points: rates(stats.publish_details) },
      { name: "out", points: rates(stats.deliver_get_details) },
      { name: "ack", points: rates(stats.ack_details) },
      { name: "redelivered", points: rates(stats.redeliver_details) },
    ]);
    setText(total, `${count(row.messages_ready ?? 0)} ready, ${count(row.messages_unacknowledged ?? 0)} unacked`);
    about.replaceChildren(facts([
      ["Type", row.type],
      ["Lives", [row.durable ? "durable" : "transient", row.auto_delete && "deleted with its last consumer", row.exclusive && "exclusive"].filter(Boolean).join(", ")],
      ["State", row.state],
      ["Policy", row.policy],
      ["Operator policy", row.operator_policy],
      ["Bodies", bytes(row.message_bytes)],
      ["Memory", bytes(row.memory)],
      ["Oldest message", row.head_message_timestamp && time(row.head_message_timestamp * 1000)],
      ["Idle since", row.idle_since],
      ["Single active consumer", row.single_active_consumer_tag],
    ]), given("Arguments", row.arguments));
    consumers.show(row.consumer_details ?? []);
    bound.show(all);
  }

  return {
    title: name,
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, link("Queues", "queues"), " / ", name), h("span", { class: "hint" }, `in ${vhost}`), total,
        h("span", { class: "grow" }), actions(vhost, name, at)),
      h("div", { class: "plots" }, depth.element, moving.element),
      about,
      h("h2", {}, "Consumers"), consumers.element,
      h("h2", {}, "Bindings"), bound.element,
      peeking(vhost, name),
      publishing(vhost, "", name)),
    refresh,
  };
}

function actions(vhost, name, at) {
  return [
    asking("Bind", () => ({
      title: `Bind ${name}`,
      button: "Bind",
      fields: [
        { name: "source", label: "From exchange", required: true },
        { name: "routing_key", label: "Routing key" },
        { name: "arguments", label: "Arguments", type: "textarea", hint: 'JSON, as {"x-match": "all", "type": "report"}' },
      ],
      act: async ({ source, routing_key, arguments: text }) => {
        await post(`bindings/${path(vhost, "e", source, "q", name)}`, { routing_key, arguments: jsonObject(text, "Arguments") });
        changed();
      },
    })),
    asking("Move messages", () => ({
      title: `Move messages out of ${name}`,
      text: "They go to the end of the other queue, each step in one record of the log: none is lost or doubled, whatever happens.",
      button: "Move",
      fields: [
        { name: "to", label: "To queue", required: true },
        { name: "count", label: "At most", type: "number", hint: "Nothing: all that are ready now" },
      ],
      act: async ({ to, count: most }) => {
        await post(`${at}/move`, { to, count: most });
        changed();
      },
    })),
    asking("Purge", () => ({
      title: `Purge ${name}?`,
      text: "All messages that are ready are deleted. Those with consumers stay.",
      button: "Purge",
      danger: true,
      act: async () => {
        await remove(`${at}/contents`);
        changed();
      },
    })),
    asking("Delete", () => ({
      title: `Delete ${name}?`,
      text: "The queue, its bindings and all its messages are deleted.",
      button: "Delete",
      danger: true,
      fields: [
        { name: "empty", label: "Only if it is empty", type: "checkbox", value: true },
        { name: "unused", label: "Only if nobody consumes", type: "checkbox", value: true },
      ],
      act: async ({ empty, unused }) => {
        const only = new URLSearchParams();
        if (empty) only.set("if-empty", "true");
        if (unused) only.set("if-unused", "true");
        await remove(`${at}?${only}`);
        location.hash = href("queues");
      },
    }), { class: "danger" }),
  ];
}
