// Vhosts, and all definitions as one file.

import { get, path, post, put, remove } from "../api.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { asking } from "../forms.js";
import { table } from "../table.js";
import { changed } from "./shared.js";

export function vhosts() {
  const rows = table({
    caption: "Vhosts",
    key: (row) => row.name,
    columns: [
      { title: "Name", text: (row) => row.name },
      { title: "Description", text: (row) => row.description ?? "" },
      { title: "Queue type", text: (row) => row.default_queue_type ?? "", hint: "Of queues that name none" },
      { title: "Firehose", text: (row) => (row.tracing ? "on" : "") },
      { title: "Ready", text: (row) => count(row.messages_ready ?? 0), number: true },
      { title: "Unacked", text: (row) => count(row.messages_unacknowledged ?? 0), number: true },
      { title: "", node: (row) => asking("Delete", () => ({
        title: `Delete vhost ${row.name}?`,
        text: `Everything in it goes: ${count(row.messages ?? 0)} messages, all queues, exchanges and permissions. Its connections are closed. This cannot be undone.`,
        button: "Delete",
        danger: true,
        fields: [{ name: "again", label: "Type its name", required: true }],
        act: async ({ again }) => {
          if (again !== row.name) throw new Error("That is another name.");
          await remove(`vhosts/${path(row.name)}`);
          changed();
        },
      }), { class: "small danger" }) },
    ],
  });
  return {
    title: "Vhosts",
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, "Vhosts"), h("span", { class: "grow" }),
        h("button", { type: "button", click: download }, "Export definitions"),
        asking("Import definitions", upload),
        asking("Add a vhost", () => ({
          title: "Add a vhost",
          button: "Add",
          fields: [
            { name: "name", label: "Name", required: true },
            { name: "description", label: "Description" },
            { name: "default_queue_type", label: "Type of queues that name none", type: "select", options: ["classic", "quorum", "stream"] },
          ],
          act: async ({ name, ...rest }) => {
            await put(`vhosts/${path(name)}`, rest);
            changed();
          },
        }), { class: "primary" })),
      rows.element),
    refresh: async () => rows.show(await get("vhosts")),
  };
}

async function download() {
  const text = JSON.stringify(await get("definitions"), null, 2);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: address, download: "definitions.json" }).click();
  URL.revokeObjectURL(address);
}

function upload() {
  return {
    title: "Import definitions",
    text: "Users, vhosts, permissions, policies, queues, exchanges and bindings are added or changed; nothing is removed. Exports of RabbitMQ are welcome.",
    button: "Import",
    fields: [{ name: "text", label: "Definitions", type: "textarea", required: true, hint: "The JSON of an export" }],
    act: async ({ text }) => {
      let definitions;
      try {
        definitions = JSON.parse(text);
      } catch (error) {
        throw new Error(`This is no JSON: ${error.message}`);
      }
      await post("definitions", definitions);
      changed();
    },
  };
}
