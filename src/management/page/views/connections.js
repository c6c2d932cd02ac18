// Connections: the list, and one of them with its channels.

import { get, path, remove } from "../api.js";
import { h, href, link } from "../dom.js";
import { bytes, count, plain, time } from "../format.js";
import { asking } from "../forms.js";
import { list } from "../list.js";
import { table } from "../table.js";
import { CHANNEL_COLUMNS } from "./channels.js";
import { facts, given } from "./shared.js";

const perSecond = (details) => `${bytes(details?.rate ?? 0)}/s`;
const client = (row) => [row.client_properties?.product, row.client_properties?.version].filter(Boolean).map(plain).join(" ");

export function connections() {
  return list({
    title: "Connections",
    path: () => "connections",
    empty: "Nobody is connected.",
    key: (row) => row.name,
    columns: [
      { title: "Name", text: (row) => row.user_provided_name ?? row.name, href: (row) => href("connections", row.name), sort: "name" },
      { title: "User", text: (row) => row.user, sort: "user" },
      { title: "Vhost", text: (row) => row.vhost, sort: "vhost" },
      { title: "State", text: (row) => row.state ?? "", sort: "state" },
      { title: "TLS", text: (row) => (row.ssl ? row.ssl_protocol ?? "yes" : "") },
      { title: "Client", text: client },
      { title: "Channels", text: (row) => count(row.channels ?? 0), number: true, sort: "channels" },
      { title: "From client", text: (row) => perSecond(row.recv_oct_details), number: true, sort: "recv_oct_details.rate" },
      { title: "To client", text: (row) => perSecond(row.send_oct_details), number: true, sort: "send_oct_details.rate" },
    ],
  });
}

export function connection(name) {
  const at = `connections/${path(name)}`;
  const about = h("div", { class: "card" });
  const channels = table({ caption: "Channels", key: (row) => row.name, empty: "It has no channels.", columns: CHANNEL_COLUMNS });

  async function refresh() {
    const [row, all] = await Promise.all([get(at), get(`${at}/channels`)]);
    about.replaceChildren(
      facts([
        ["User", row.user], ["Vhost", row.vhost], ["State", row.state], ["Connected", time(row.connected_at)],
        ["Protocol", row.protocol], ["Login by", row.auth_mechanism], ["TLS", row.ssl ? `${row.ssl_protocol ?? ""} ${row.ssl_cipher ?? ""}` : "no"],
        ["Certificate", row.peer_cert_subject],
        ["Heartbeat", row.timeout ? `${row.timeout} s` : "off"], ["Frame size", bytes(row.frame_max)], ["Channels at most", count(row.channel_max)],
        ["From client", `${bytes(row.recv_oct)}, ${perSecond(row.recv_oct_details)}`], ["To client", `${bytes(row.send_oct)}, ${perSecond(row.send_oct_details)}`],
      ]),
      given("The client says of itself", row.client_properties));
    channels.show(all);
  }

  return {
    title: name,
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, link("Connections", "connections"), " / ", name), h("span", { class: "grow" }),
        asking("Close", () => ({
          title: "Close this connection?",
          text: "Its client hears CONNECTION_FORCED with your reason. Messages it had not acknowledged go back to their queues.",
          button: "Close",
          danger: true,
          fields: [{ name: "reason", label: "Reason", value: "Closed via management page" }],
          act: async ({ reason }) => {
            await remove(at, { "X-Reason": reason });
            location.hash = href("connections");
          },
        }), { class: "danger" })),
      about, h("h2", {}, "Channels"), channels.element),
    refresh,
  };
}

