// Channels of all connections.

import { href } from "../dom.js";
import { count, rate } from "../format.js";
import { list } from "../list.js";

/** Also shown with a connection. */
export const CHANNEL_COLUMNS = [
  { title: "Channel", text: (row) => row.name, href: (row) => href("connections", row.connection_details?.name ?? ""), sort: "name" },
  { title: "Mode", text: (row) => (row.confirm ? "confirms" : row.transactional ? "transactions" : "") },
  { title: "State", text: (row) => row.state ?? "", sort: "state" },
  { title: "Consumers", text: (row) => count(row.consumer_count ?? 0), number: true, sort: "consumer_count" },
  { title: "Prefetch", text: (row) => (row.prefetch_count ? count(row.prefetch_count) : "no limit"), number: true, sort: "prefetch_count" },
  { title: "Unacked", text: (row) => count(row.messages_unacknowledged ?? 0), number: true, sort: "messages_unacknowledged" },
  { title: "Unconfirmed", text: (row) => count(row.messages_unconfirmed ?? 0), number: true, sort: "messages_unconfirmed" },
  { title: "Publish", text: (row) => rate(row.message_stats?.publish_details?.rate ?? 0), number: true },
  { title: "Deliver", text: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0), number: true },
  { title: "Ack", text: (row) => rate(row.message_stats?.ack_details?.rate ?? 0), number: true },
];

export function channels() {
  return list({
    title: "Channels",
    path: () => "channels",
    empty: "No channels are open.",
    key: (row) => row.name,
    columns: [
      ...CHANNEL_COLUMNS.slice(0, 1),
      { title: "User", text: (row) => row.user, sort: "user" },
      { title: "Vhost", text: (row) => row.vhost, sort: "vhost" },
      ...CHANNEL_COLUMNS.slice(1),
    ],
  });
}
