// How the broker is: what goes through it, what waits, and what the disk does.

import { get } from "../api.js";
import { h, setText } from "../dom.js";
import { bytes, count, many, micros, rate, span } from "../format.js";
import { lengths, plot, rates } from "../plot.js";
import { table } from "../table.js";
import { wal } from "./log.js";

const SAMPLES = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5&data_rates_age=600&data_rates_incr=5";
/** Samples of what only this page collects: ten minutes of them. */
const OWN_SAMPLES_MAX = 120;

export function overview() {
  const tiles = new Map();
  const grid = h("dl", { class: "tiles" });
  const alarms = h("p", { class: "alarm", role: "alert", hidden: true });
  const waiting = plot("Messages in queues");
  const moving = plot("Messages a second", rate);
  const syncs = plot("Time of a disk sync", micros);
  const memory = plot("Memory and log", bytes);
  const about = h("p", { class: "about" });
  const listeners = table({
    caption: "Listeners",
    key: (row) => `${row.protocol} ${row.ip_address}:${row.port}`,
    columns: [
      { title: "Protocol", text: (row) => row.protocol },
      { title: "Address", text: (row) => row.ip_address },
      { title: "Port", text: (row) => String(row.port), number: true },
    ],
  });
  const own = { p50: [], p99: [], resident: [], log: [] };

  function tile(name, value, hint) {
    if (!tiles.has(name)) {
      const shown = h("dd");
      const below = h("dd", { class: "hint" });
      grid.append(h("div", { class: "tile" }, h("dt", {}, name), shown, below));
      tiles.set(name, [shown, below]);
    }
    const [shown, below] = tiles.get(name);
    setText(shown, value);
    setText(below, hint ?? "");
  }

  function collect(series, value) {
    if (value === undefined || value === null) return;
    series.push([Date.now(), value]);
    if (series.length > OWN_SAMPLES_MAX) series.shift();
  }

  async function refresh() {
    const [all, nodes, disk] = await Promise.all([get(`overview?${SAMPLES}`), get("nodes").catch(() => []), wal()]);
    const stats = all.message_stats ?? {};
    const totals = all.queue_totals ?? {};
    const objects = all.object_totals ?? {};
    const node = nodes[0] ?? {};
    tile("Ready", count(totals.messages_ready ?? 0), "messages that wait");
    tile("Unacked", count(totals.messages_unacknowledged ?? 0), "messages with consumers");
    tile("Published", rate(stats.publish_details?.rate ?? 0), `${count(stats.publish ?? 0)} in all`);
    tile("Confirmed", rate(stats.confirm_details?.rate ?? 0), `${count(stats.confirm ?? 0)} on disk before the confirm`);
    tile("Delivered", rate(stats.deliver_get_details?.rate ?? 0), `${count(stats.deliver_get ?? 0)} in all`);
    tile("Acked", rate(stats.ack_details?.rate ?? 0), `${count(stats.ack ?? 0)} in all`);
    tile("Connections", count(objects.connections), many(objects.channels, "channel"));
    tile("Queues", count(objects.queues), `${many(objects.consumers, "consumer")}, ${many(objects.exchanges, "exchange")}`);
    tile("Memory", bytes(node.mem_used), node.mem_limit ? `alarm above ${bytes(node.mem_limit)}` : "");
    tile("Disk free", bytes(node.disk_free), node.disk_free_limit ? `alarm below ${bytes(node.disk_free_limit)}` : "");
    if (disk) {
      tile("Disk sync", micros(disk.sync_us?.p50), `p99 ${micros(disk.sync_us?.p99)}, ${count(disk.syncs)} syncs`);
      tile("Log", bytes(disk.bytes), `${many(disk.segments, "segment")}, ${bytes(disk.live_bytes)} live`);
    }
    waiting.show([
      { name: "ready", points: lengths(totals.messages_ready_details) },
      { name: "unacked", points: lengths(totals.messages_unacknowledged_details) },
    ]);
    moving.show([
      { name: "publish", points: rates(stats.publish_details) },
      { name: "confirm", points: rates(stats.confirm_details) },
      { name: "deliver", points: rates(stats.deliver_get_details) },
      { name: "ack", points: rates(stats.ack_details) },
    ]);
    collect(own.p50, disk?.sync_us?.p50);
    collect(own.p99, disk?.sync_us?.p99);
    collect(own.resident, node.mem_used);
    collect(own.log, disk?.bytes);
    syncs.show([{ name: "p50", points: own.p50 }, { name: "p99", points: own.p99 }]);
    memory.show([{ name: "memory", points: own.resident }, { name: "log", points: own.log }]);
    const on = [node.mem_alarm && "memory", node.disk_free_alarm && "disk space"].filter(Boolean);
    alarms.hidden = on.length === 0;
    setText(alarms, `Alarm: ${on.join(" and ")}. Publishers are blocked until it is over; consumers go on.`);
    setText(about, `${all.product_name ?? "RabbitMQ"} ${all.product_version ?? all.rabbitmq_version}, node ${all.node}, up ${span(node.uptime)}`);
    listeners.show(all.listeners ?? []);
  }

  return {
    title: "Overview",
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, "Overview"), about),
      alarms, grid,
      h("div", { class: "plots" }, moving.element, waiting.element, syncs.element, memory.element),
      h("h2", {}, "Listeners"), listeners.element),
    refresh,
  };
}
