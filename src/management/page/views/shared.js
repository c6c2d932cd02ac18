// What several views say and ask alike.

import { get } from "../api.js";
import { h, href } from "../dom.js";
import { exchange, plain, table as inline } from "../format.js";
import { table } from "../table.js";

/** Something was changed: what is seen is asked for again. */
export const changed = () => document.dispatchEvent(new Event("changed"));

let names = ["/"];

/** Names of the vhosts, as they were last known; asks for them anew. */
export function vhostNames() {
  get("vhosts").then((all) => { names = all.map((vhost) => vhost.name); }, () => {});
  return names;
}

/** Names and values, one below the other; `rows` is `[[name, value], …]`, those without a value left out. */
export function facts(rows) {
  const known = rows.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("dl", { class: "facts" }, known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Arguments, properties, headers. */
export const entries = (object) => facts(Object.entries(object ?? {}).map(([name, value]) => [name, plain(value)]));

/** The same under a heading; nothing if there are none. */
export const given = (title, object) =>
  (Object.keys(object ?? {}).length === 0 ? "" : h("div", {}, h("h3", {}, title), entries(object)));

/** A table of bindings; `actions(row)` is what can be done with one. */
export function bindings(caption, actions) {
  return table({
    caption,
    key: (row) => JSON.stringify([row.source, row.destination_type, row.destination, row.properties_key]),
    empty: "No bindings.",
    columns: [
      { title: "From", text: (row) => exchange(row.source), href: (row) => row.source && href("exchanges", row.vhost, row.source) },
      { title: "To", text: (row) => row.destination, href: (row) => href(`${row.destination_type}s`, row.vhost, row.destination) },
      { title: "Routing key", text: (row) => row.routing_key },
      { title: "Arguments", text: (row) => inline(row.arguments) },
      ...(actions ? [{ title: "", node: actions }] : []),
    ],
  });
}
