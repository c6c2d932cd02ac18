// Exchanges: the list, and one of them with what it routes where.

import { get, path, post, put, remove } from "../api.js";
import { h, href, link } from "../dom.js";
import { exchange as shown, rate, table as inline } from "../format.js";
import { asking, jsonObject } from "../forms.js";
import { list } from "../list.js";
import { plot, rates } from "../plot.js";
import { publishing } from "./messages.js";
import { bindings, changed, facts, given, vhostNames } from "./shared.js";

const TYPES = ["direct", "fanout", "topic", "headers", "x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history", "x-delayed-message"];

export function exchanges() {
  const view = list({
    title: "Exchanges",
    path: () => "exchanges",
    key: (row) => JSON.stringify([row.vhost, row.name]),
    extra: { msg_rates_age: 60, msg_rates_incr: 5 },
    actions: [asking("Declare an exchange", declare, { class: "primary" })],
    columns: [
      { title: "Name", text: (row) => shown(row.name), href: (row) => href("exchanges", row.vhost, row.name), sort: "name" },
      { title: "Vhost", text: (row) => row.vhost, sort: "vhost" },
      { title: "Type", text: (row) => row.type, sort: "type" },
      { title: "Lives", text: lives },
      { title: "Policy", text: (row) => row.policy ?? "" },
      { title: "Arguments", text: (row) => inline(row.arguments) },
      { title: "In", text: (row) => rate(row.message_stats?.publish_in_details?.rate ?? 0), number: true, sort: "message_stats.publish_in_details.rate" },
      { title: "Out", text: (row) => rate(row.message_stats?.publish_out_details?.rate ?? 0), number: true, sort: "message_stats.publish_out_details.rate" },
    ],
  });
  vhostNames();
  return view;
}

const lives = (row) =>
  [row.durable ? "durable" : "transient", row.auto_delete && "auto-delete", row.internal && "internal"].filter(Boolean).join(", ");

function declare() {
  return {
    title: "Declare an exchange",
    button: "Declare",
    fields: [
      { name: "vhost", label: "Vhost", type: "select", options: vhostNames() },
      { name: "name", label: "Name", required: true },
      { name: "type", label: "Type", type: "select", options: TYPES },
      { name: "durable", label: "Durable: it is there after a restart", type: "checkbox", value: true },
      { name: "auto_delete", label: "Deleted with its last binding", type: "checkbox" },
      { name: "internal", label: "Internal: clients may not publish to it", type: "checkbox" },
      { name: "arguments", label: "Arguments", type: "textarea", hint: 'JSON, as {"alternate-exchange": "unrouted"}' },
    ],
    act: async ({ vhost, name, arguments: text, ...rest }) => {
      await put(`exchanges/${path(vhost, name)}`, { ...rest, arguments: jsonObject(text, "Arguments") });
      changed();
    },
  };
}

export function exchange(vhost, name) {
  const at = `exchanges/${path(vhost, name || "amq.default")}`;
  const moving = plot("Messages a second", rate);
  const about = h("div", { class: "card" });
  const from = bindings("Bindings from here", unbind);
  const to = bindings("Bindings to here", unbind);

  async function refresh() {
    const [row, source, destination] = await Promise.all([
      get(`${at}?msg_rates_age=600&msg_rates_incr=5`), get(`${at}/bindings/source`), get(`${at}/bindings/destination`),
    ]);
    const stats = row.message_stats ?? {};
    moving.show([{ name: "in", points: rates(stats.publish_in_details) }, { name: "out", points: rates(stats.publish_out_details) }]);
    about.replaceChildren(facts([["Type", row.type], ["Lives", lives(row)], ["Policy", row.policy]]), given("Arguments", row.arguments));
    from.show(source);
    to.show(destination);
  }

  const change = name === "" ? [] : [
    asking("Bind", () => ({
      title: `Bind to ${name}`,
      button: "Bind",
      fields: [
        { name: "kind", label: "Destination is", type: "select", options: ["queue", "exchange"] },
        { name: "destination", label: "Name", required: true },
        { name: "routing_key", label: "Routing key" },
        { name: "arguments", label: "Arguments", type: "textarea", hint: 'JSON, as {"x-match": "all", "type": "report"}' },
      ],
      act: async ({ kind, destination, routing_key, arguments: text }) => {
        const target = path(vhost, "e", name, kind === "queue" ? "q" : "e", destination);
        await post(`bindings/${target}`, { routing_key, arguments: jsonObject(text, "Arguments") });
        changed();
      },
    })),
    asking("Delete", () => ({
      title: `Delete ${name}?`,
      text: "The exchange and its bindings are deleted. Queues and their messages stay.",
      button: "Delete",
      danger: true,
      fields: [{ name: "unused", label: "Only if it has no bindings", type: "checkbox", value: true }],
      act: async ({ unused }) => {
        await remove(`${at}${unused ? "?if-unused=true" : ""}`);
        location.hash = href("exchanges");
      },
    }), { class: "danger" }),
  ];
  return {
    title: shown(name),
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, link("Exchanges", "exchanges"), " / ", shown(name)), h("span", { class: "hint" }, `in ${vhost}`),
        h("span", { class: "grow" }), change),
      h("div", { class: "plots" }, moving.element, about),
      h("h2", {}, "Bindings from here"), from.element,
      h("h2", {}, "Bindings to here"), to.element,
      publishing(vhost, name)),
    refresh,
  };

  function unbind(row) {
    if (!row.source) return null;
    const kind = row.destination_type === "queue" ? "q" : "e";
    return asking("Unbind", () => ({
      title: "Remove this binding?",
      text: `${row.source} → ${row.destination} with key "${row.routing_key}"`,
      button: "Remove",
      danger: true,
      act: async () => {
        await remove(`bindings/${path(vhost, "e", row.source, kind, row.destination, row.properties_key)}`);
        changed();
      },
    }), { class: "small" });
  }
}
