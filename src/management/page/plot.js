// Lines over time, drawn as SVG: a plot with axes, legend and a hair under the pointer, and a sparkline for table rows.
// A series is `{ name, points: [[unix ms, value], …] }`, oldest first.

import { h, setText, svg } from "./dom.js";
import { bytes, short, time } from "./format.js";

const [WIDTH, HEIGHT] = [560, 170];
const EDGE = { left: 52, right: 10, top: 10, bottom: 22 };

/** A plot; `show(series)` draws it anew. */
export function plot(title, format = short) {
  const lines = svg("g");
  const grid = svg("g", { class: "grid" });
  const hair = svg("line", { class: "hair", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" }, grid, lines, hair);
  const legend = h("ul", { class: "legend" });
  const element = h("figure", { class: "plot" }, h("figcaption", {}, title), picture, legend);
  let shown = [];
  let scale = null;

  function tell(at) {
    shown.forEach((one, index) => {
      const value = at === undefined ? last(one.points) : nearest(one.points, at);
      setText(legend.children[index].lastElementChild, value === undefined ? "–" : format(value));
    });
  }

  picture.addEventListener("pointermove", (event) => {
    if (!scale) return;
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    hair.setAttribute("x1", x);
    hair.setAttribute("x2", x);
    hair.setAttribute("visibility", "visible");
    tell(scale.timeAt(x));
  });
  picture.addEventListener("pointerleave", () => {
    hair.setAttribute("visibility", "hidden");
    tell();
  });

  return {
    element,
    show(series) {
      shown = series;
      scale = scaleOf(series, format === bytes ? 1024 : 10);
      lines.replaceChildren(...series.map((one, index) => line(one.points, scale, index)));
      grid.replaceChildren(...(scale ? gridOf(scale, format) : []));
      if (legend.children.length !== series.length) {
        legend.replaceChildren(...series.map((one, index) =>
          h("li", {}, h("span", { class: `key line-${index}` }), h("span", {}, one.name), h("b"))));
      }
      tell();
      const now = series.map((one) => `${one.name} ${format(last(one.points) ?? 0)}`).join(", ");
      picture.setAttribute("aria-label", `${title}: now ${now}`);
    },
  };
}

/** A line without axes, 100 by 22. */
export function sparkline(points, label) {
  const values = points.map(([, value]) => value);
  const top = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const path = values.map((value, index) => `${(index * step).toFixed(1)},${(21 - (value / top) * 20).toFixed(1)}`);
  return svg("svg", { class: "sparkline", viewBox: "0 0 100 22", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    svg("polyline", { points: path.join(" ") }));
}

/** Samples of the API, newest first, as points. */
export const lengths = (details) => (details?.samples ?? []).map(({ timestamp, sample }) => [timestamp, sample]).reverse();

/** What was counted, as the rate between each two samples. */
export function rates(details) {
  const points = lengths(details);
  return points.slice(1).map(([at, value], index) => {
    const [before, earlier] = points[index];
    return [at, Math.max(0, ((value - earlier) * 1000) / Math.max(1, at - before))];
  });
}

const last = (points) => points[points.length - 1]?.[1];

function nearest(points, at) {
  let best;
  for (const point of points) {
    if (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
  }
  return best?.[1];
}

function scaleOf(series, base) {
  const points = series.flatMap((one) => one.points);
  if (points.length === 0) return null;
  const times = points.map(([at]) => at);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const top = ceiling(Math.max(1, ...points.map(([, value]) => value)), base);
  const [wide, high] = [WIDTH - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom];
  return {
    from,
    to,
    top,
    x: (at) => EDGE.left + (wide * (at - from)) / Math.max(1, to - from),
    y: (value) => HEIGHT - EDGE.bottom - (high * value) / top,
    timeAt: (x) => from + ((x - EDGE.left) / wide) * (to - from),
  };
}

/** The next round number: of 1, 2, 5, 10, 20, … or, for bytes, of 1, 2, 4, … of their unit. */
function ceiling(value, base) {
  const power = base ** Math.floor(Math.log(value) / Math.log(base));
  const factors = base === 10 ? [1, 2, 5, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
  return factors.map((factor) => factor * power).find((round) => round >= value) ?? value;
}

function line(points, scale, index) {
  const path = points.map(([at, value]) => `${scale.x(at).toFixed(1)},${scale.y(value).toFixed(1)}`).join(" ");
  return svg("polyline", { class: `line line-${index}`, points: path });
}

function gridOf(scale, format) {
  const levels = [0, scale.top / 2, scale.top].flatMap((value) => [
    svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: scale.y(value), y2: scale.y(value) }),
    svg("text", { x: EDGE.left - 6, y: scale.y(value) + 4, "text-anchor": "end" }, format(value)),
  ]);
  const ends = [
    svg("text", { x: EDGE.left, y: HEIGHT - 6 }, time(scale.from)),
    svg("text", { x: WIDTH - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" }, time(scale.to)),
  ];
  return [...levels, ...(scale.to > scale.from ? ends : [])];
}
