// The write-ahead log: what its segments hold, how long the disk takes to sync, what the last start had to read.

import { get } from "../api.js";
import { h, setText, svg } from "../dom.js";
import { bytes, count, micros, span } from "../format.js";
import { plot } from "../plot.js";
import { facts } from "./shared.js";

/** Samples kept: ten minutes of them. */
const SAMPLES_MAX = 120;

/** Drawn of those that are ready for use. */
const SPARE_MAX = 32;

/** What the broker says of its log; nothing if it has none to speak of. */
export const wal = () => get("wal").catch((error) => {
  if (error.status === 401) throw error;
  return null;
});

export function log() {
  const about = h("div", { class: "card" });
  const segments = h("div", { class: "segments", role: "img" });
  const legend = h("p", { class: "hint" });
  const syncs = plot("Time of a disk sync", micros);
  const written = plot("Written", (value) => `${bytes(value)}/s`);
  const own = { p50: [], p99: [], written: [] };
  let before = null;

  async function refresh() {
    const now = await get("wal");
    const at = Date.now();
    push(own.p50, [at, now.sync_us?.p50]);
    push(own.p99, [at, now.sync_us?.p99]);
    if (before) push(own.written, [at, ((now.appended_bytes - before.bytes) * 1000) / Math.max(1, at - before.at)]);
    before = { at, bytes: now.appended_bytes };
    syncs.show([{ name: "p50", points: own.p50 }, { name: "p99", points: own.p99 }]);
    written.show([{ name: "log", points: own.written }]);
    about.replaceChildren(facts([
      ["Segments", count(now.segments)],
      ["Size", bytes(now.bytes)],
      ["Live", bytes(now.live_bytes)],
      ["Written, not yet synced", bytes(now.staged_bytes)],
      ["On disk up to record", count(now.durable_lsn)],
      ["Syncs", count(now.syncs)],
      ["Checkpoint", now.checkpoint && `up to record ${count(now.checkpoint.lsn)}`],
      ["Last recovery", now.recovery && `${span(now.recovery.ms)}: ${count(now.recovery.replayed_records)} records behind the checkpoint, ${count(now.recovery.messages)} messages`],
    ]));
    // Files that hold nothing yet are counted and not listed.
    const spare = Math.max(0, Math.min(now.segments - now.segment_list.length, SPARE_MAX));
    const list = [...now.segment_list, ...Array(spare).fill({ state: "spare" })];
    segments.replaceChildren(...list.map(segment));
    segments.setAttribute("aria-label", `${list.length} segments, ${bytes(now.live_bytes)} of ${bytes(now.bytes)} live`);
    setText(legend, "One square a file: green is what is still needed, grey what is settled; the outlined one is written now, dashed ones are ready for what comes.");
  }

  function push(series, point) {
    if (point[1] === undefined || point[1] === null) return;
    series.push(point);
    if (series.length > SAMPLES_MAX) series.shift();
  }

  return {
    title: "Log",
    element: h("section", {}, h("div", { class: "bar" }, h("h1", {}, "Write-ahead log")),
      h("p", { class: "hint" }, "Every confirm waits until its record is here and the disk has said so."),
      h("div", { class: "plots" }, syncs.element, written.element), about,
      h("h2", {}, "Segments"), segments, legend),
    refresh,
  };
}

/** A file of the log as a square that is green from below as far as it is live. */
function segment({ id, bytes: size, live_bytes: live, state }) {
  const high = size > 0 ? Math.min(40, (40 * live) / size) : 0;
  return svg("svg", { class: "segment", viewBox: "0 0 42 42" },
    svg("title", {}, state === "spare" ? "ready for use" : `segment ${id}: ${state}, ${bytes(live)} of ${bytes(size)} live`),
    state === "spare"
      ? svg("rect", { class: "spare", x: 1, y: 1, width: 40, height: 40, rx: 4 })
      : [svg("rect", { class: "dead", x: 1, y: 1, width: 40, height: 40, rx: 4 }),
        svg("rect", { class: "live", x: 1, y: 41 - high, width: 40, height: high, rx: 4 }),
        state === "active" && svg("rect", { class: "active", x: 2, y: 2, width: 38, height: 38, rx: 4 })]);
}
