// A picture of what routes where in a vhost: exchanges on the left, queues on the right, a line for each pair that is
// bound, with its keys. Exchanges that feed other exchanges stand further left.

import { get, path } from "../api.js";
import { h, href, setText, svg } from "../dom.js";
import { count } from "../format.js";
import { vhostNames } from "./shared.js";

const ROW = 34;
const BOX = { width: 230, height: 24 };
const GAP = 170;
/** More is no picture any more; the lists show the rest. */
const LINES_MAX = 300;

export function routing(vhost = "/") {
  const picture = svg("svg", { class: "routing", role: "img" });
  const told = h("p", { class: "hint", role: "status" });
  const choice = h("select", { "aria-label": "Vhost", change: () => { location.hash = href("routing", choice.value); } });
  let drawn = "";

  async function refresh() {
    const [names, all] = await Promise.all([get("vhosts"), get(`bindings/${path(vhost)}`)]);
    const options = names.map((row) => row.name);
    if (choice.children.length !== options.length) {
      choice.replaceChildren(...options.map((name) => h("option", { value: name, selected: name === vhost }, name)));
    }
    const bound = all.filter((row) => row.source !== "");
    const state = JSON.stringify(bound);
    if (state === drawn) return;
    drawn = state;
    const lines = merged(bound);
    draw(picture, vhost, lines.slice(0, LINES_MAX));
    setText(told, bound.length === 0
      ? "Nothing is bound to an exchange here. Each queue still gets what is published to the default exchange with its name as the key."
      : `${count(bound.length)} bindings${lines.length > LINES_MAX ? `; drawn are the first ${LINES_MAX} pairs` : ""}. A box leads to its page.`);
  }

  vhostNames();
  return {
    title: "Routing",
    element: h("section", {}, h("div", { class: "bar" }, h("h1", {}, "Routing"), choice), told,
      h("div", { class: "table", tabindex: 0, role: "region", "aria-label": "What routes where" }, picture)),
    refresh,
  };
}

/** One line for all bindings of a pair. */
function merged(rows) {
  const lines = new Map();
  for (const { source, destination, destination_type: type, routing_key: key, arguments: given } of rows) {
    const name = JSON.stringify([source, type, destination]);
    if (!lines.has(name)) lines.set(name, { source, destination, type, keys: [] });
    const extra = Object.entries(given ?? {}).map(([one, value]) => `${one}=${value}`).join(" ");
    lines.get(name).keys.push([key, extra].filter(Boolean).join(" ") || "(no key)");
  }
  return [...lines.values()];
}

function draw(picture, vhost, lines) {
  const columns = columnsOf(lines);
  const places = new Map();
  const tallest = Math.max(1, ...columns.map((boxes) => boxes.length));
  columns.forEach((boxes, column) => boxes.forEach((box, row) => {
    places.set(box, { x: 4 + column * (BOX.width + GAP), y: 6 + (row + (tallest - boxes.length) / 2) * ROW });
  }));
  const width = columns.length * (BOX.width + GAP) - GAP + 8;
  const height = tallest * ROW + 8;
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.style.width = `${width}px`;
  picture.setAttribute("aria-label", lines.map((line) => `${line.source} to ${line.destination} with ${line.keys.join(" or ")}`).join("; "));
  picture.replaceChildren(
    ...lines.map((line) => curve(places.get(`e:${line.source}`), places.get(`${line.type[0]}:${line.destination}`), line)),
    ...[...places].map(([box, place]) => node(vhost, box, place)));
}

/** Exchanges by how far they are from the last exchange on their way, then the queues. */
function columnsOf(lines) {
  const level = new Map();
  for (const line of lines) level.set(`e:${line.source}`, 0);
  const between = lines.filter((line) => line.type === "exchange");
  for (const line of between) level.set(`e:${line.destination}`, 0);
  // A cycle would go on for ever: as many rounds as there are exchanges are enough.
  for (let round = 0; round < Math.min(level.size, 8); round += 1) {
    for (const line of between) {
      const [from, to] = [`e:${line.source}`, `e:${line.destination}`];
      if (from !== to) level.set(from, Math.min(7, Math.max(level.get(from), level.get(to) + 1)));
    }
  }
  const deepest = Math.max(0, ...level.values());
  const columns = Array.from({ length: deepest + 1 }, () => []);
  for (const [box, far] of level) columns[deepest - far].push(box);
  columns.push([...new Set(lines.filter((line) => line.type === "queue").map((line) => `q:${line.destination}`))]);
  return columns.map((boxes) => boxes.sort());
}

function node(vhost, box, { x, y }) {
  const name = box.slice(2);
  const area = box[0] === "q" ? "queues" : "exchanges";
  const cut = name.length > 30 ? `${name.slice(0, 29)}…` : name;
  return svg("a", { href: href(area, vhost, name), class: area },
    svg("title", {}, name),
    svg("rect", { x, y, width: BOX.width, height: BOX.height, rx: box[0] === "q" ? 3 : 12 }),
    svg("text", { x: x + 12, y: y + 16 }, cut));
}

function curve(from, to, line) {
  const [x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2];
  const back = to.x <= from.x;
  const [x2, y2] = [back ? to.x + BOX.width : to.x, to.y + BOX.height / 2];
  const bend = GAP / 2;
  const keys = line.keys.join(", ");
  return svg("g", { class: "edge" }, svg("title", {}, `${line.source} → ${line.destination}: ${keys}`),
    svg("path", { d: `M${x1},${y1} C${x1 + bend},${y1} ${back ? x2 + bend : x2 - bend},${y2} ${x2},${y2}` }),
    svg("text", { x: back ? x2 + 8 : x2 - 8, y: y2 - 3, "text-anchor": back ? "start" : "end" }, keys.length > 22 ? `${keys.slice(0, 21)}…` : keys));
}
