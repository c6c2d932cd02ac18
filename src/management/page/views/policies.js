// Policies, and those of operators, which only ever tighten.

import { get, path, put, remove } from "../api.js";
import { h } from "../dom.js";
import { count, table as inline } from "../format.js";
import { asking, jsonObject } from "../forms.js";
import { table } from "../table.js";
import { changed, vhostNames } from "./shared.js";

const APPLY_TO = ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"];

export function policies() {
  const layers = [
    layer("policies", "Policies", "Set a policy"),
    layer("operator-policies", "Operator policies", "Set an operator policy"),
  ];
  vhostNames();
  return {
    title: "Policies",
    element: h("section", {}, h("h1", {}, "Policies"), layers.map((one) => one.element)),
    refresh: async () => {
      await Promise.all(layers.map((one) => one.refresh()));
    },
  };
}

function layer(kind, title, button) {
  const rows = table({
    caption: title,
    key: (row) => JSON.stringify([row.vhost, row.name]),
    columns: [
      { title: "Name", text: (row) => row.name },
      { title: "Vhost", text: (row) => row.vhost },
      { title: "Pattern", text: (row) => row.pattern },
      { title: "Applies to", text: (row) => row["apply-to"] },
      { title: "Priority", text: (row) => count(row.priority), number: true },
      { title: "Definition", text: (row) => inline(row.definition) },
      { title: "", node: (row) => asking("Delete", () => ({
        title: `Delete ${row.name}?`,
        text: "What it governed changes at once.",
        button: "Delete",
        danger: true,
        act: async () => {
          await remove(`${kind}/${path(row.vhost, row.name)}`);
          changed();
        },
      }), { class: "small" }) },
    ],
  });
  const add = asking(button, () => ({
    title: button,
    button: "Set",
    fields: [
      { name: "vhost", label: "Vhost", type: "select", options: vhostNames() },
      { name: "name", label: "Name", required: true },
      { name: "pattern", label: "Pattern", required: true, hint: "A regular expression, searched for in names" },
      { name: "apply-to", label: "Applies to", type: "select", options: APPLY_TO },
      { name: "priority", label: "Priority", type: "number", value: "0", hint: "The highest that matches governs" },
      { name: "definition", label: "Definition", type: "textarea", hint: 'JSON, as {"max-length": 100000, "overflow": "reject-publish"}' },
    ],
    act: async ({ vhost, name, definition, ...rest }) => {
      await put(`${kind}/${path(vhost, name)}`, { ...rest, definition: jsonObject(definition, "Definition") });
      changed();
    },
  }));
  return {
    element: h("section", {}, h("div", { class: "bar" }, h("h2", {}, title), h("span", { class: "grow" }), add), rows.element),
    refresh: async () => rows.show(await get(kind)),
  };
}
