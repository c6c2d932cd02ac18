// Makes elements. Everything that comes from outside goes into text nodes and attributes of our choice: nothing is ever
// parsed as HTML, so a queue called <script> is a queue called <script>.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes (functions become listeners, `false` and `null` leave one out), then children. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces a text only if it changed: what a reader has selected stays selected. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A link within the page; each part is one name. */
export const link = (text, ...parts) => h("a", { href: href(...parts) }, text);

/** The address of a view; each part is one name, whatever it holds. */
export const href = (...parts) => `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
