// A table whose rows keep their elements from one refresh to the next: nothing flickers, focus and selection stay.

import { h, setText } from "./dom.js";

/**
 * `columns`: `{ title, text(row), href(row)?, node(row)?, number?, sort?, hint? }`; `sort` is the name the API sorts by.
 * `key(row)` tells rows apart. `onSort(name)` is called for a click on a head that has a `sort`.
 */
export function table({ caption, columns, key, empty = "Nothing here.", onSort }) {
  const heads = columns.map((column) => {
    const sortable = column.sort && onSort;
    const title = sortable ? h("button", { type: "button", click: () => onSort(column.sort) }, column.title) : column.title;
    return h("th", { scope: "col", class: column.number && "number", title: column.hint }, title);
  });
  const body = h("tbody");
  const none = h("p", { class: "empty", hidden: true }, empty);
  const grid = h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, heads)), body);
  const element = h("div", { class: "table", role: "region", tabindex: 0, "aria-label": caption }, grid, none);
  const known = new Map();

  return {
    element,
    sorted(name, reverse) {
      columns.forEach((column, index) => {
        const order = reverse ? "descending" : "ascending";
        if (column.sort) heads[index].setAttribute("aria-sort", column.sort === name ? order : "none");
      });
    },
    show(rows) {
      const wanted = rows.map((row) => {
        const name = key(row);
        const line = known.get(name) ?? newLine(columns);
        known.set(name, line);
        columns.forEach((column, index) => fill(line.children[index], column, row));
        return line;
      });
      for (const [name, line] of known) if (!wanted.includes(line)) known.delete(name);
      wanted.forEach((line, index) => {
        if (body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
      });
      while (body.children.length > wanted.length) body.lastElementChild.remove();
      none.hidden = rows.length > 0;
      grid.hidden = rows.length === 0;
    },
  };
}

function newLine(columns) {
  return h("tr", {}, columns.map((column, index) =>
    h(index === 0 ? "th" : "td", { scope: index === 0 && "row", class: column.number && "number", "data-title": column.title },
      column.href && h("a"))));
}

function fill(cell, column, row) {
  if (column.node) {
    cell.replaceChildren(column.node(row) ?? "");
  } else if (column.href) {
    const anchor = cell.firstElementChild;
    setText(anchor, column.text(row));
    const address = column.href(row);
    if (address) anchor.setAttribute("href", address);
    else anchor.removeAttribute("href");
  } else {
    setText(cell, column.text(row));
  }
}
