// Numbers and times as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function count(value) {
  return value === undefined || value === null ? "–" : Number(value).toLocaleString("en");
}

/** A number and what it counts: 1 queue, 2 queues. */
export const many = (value, what) => `${count(value)} ${what}${value === 1 ? "" : "s"}`;

export function bytes(value) {
  if (value === undefined || value === null) return "–";
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${UNITS[unit]}`;
}

export function rate(value) {
  if (value === undefined || value === null) return "–";
  if (value > 0 && value < 10) return `${value.toFixed(1)}/s`;
  return `${short(value)}/s`;
}

/** At most four digits: 1,234 → 1.2 k. */
export function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    const scale = letter === "k" ? 1e3 : size;
    if (value >= size) return `${(value / scale).toFixed(value / scale >= 100 ? 0 : 1)} ${letter}`;
  }
  return Math.round(value * 10) / 10 === Math.round(value) ? count(Math.round(value)) : value.toFixed(1);
}

/** Microseconds. */
export function micros(value) {
  if (value === undefined || value === null) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} s`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(value >= 1e4 ? 0 : 1)} ms`;
  return `${Math.round(value)} µs`;
}

/** Milliseconds, as a span of time. */
export function span(ms) {
  if (ms === undefined || ms === null) return "–";
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return `${Math.round(ms)} ms`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  const [size, unit] = parts[at];
  const next = parts[at + 1];
  const rest = next && Math.floor((seconds % size) / next[0]);
  return rest ? `${Math.floor(seconds / size)} ${unit} ${rest} ${next[1]}` : `${Math.floor(seconds / size)} ${unit}`;
}

/** Milliseconds since 1970, as the time of day, with the date if it was another day. */
export function time(unixMs) {
  if (!unixMs) return "–";
  const date = new Date(unixMs);
  const clock = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? clock : `${date.toLocaleDateString("en-CA")} ${clock}`;
}

/** Arguments, tags, properties: `key: value, …`. */
export function table(object) {
  return Object.entries(object ?? {}).map(([key, value]) => `${key}: ${plain(value)}`).join(", ");
}

export const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** The name of an exchange: the default one has none. */
export const exchange = (name) => name || "(default)";
