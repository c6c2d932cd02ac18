// A long list: the broker searches, sorts and cuts it into pages; this shows one page of it.

import { get } from "./api.js";
import { h, setText } from "./dom.js";
import { count } from "./format.js";
import { table } from "./table.js";

const PAGE_SIZE = 50;

/** `path(): string` is asked anew for each page; `columns` and `key` as for a table; `extra` is added to the query. */
export function list({ title, path, columns, key, empty, sort = "name", reverse = false, extra = {}, actions = [], adapt = (row) => row }) {
  const state = { page: 1, name: "", sort, reverse };
  const rows = table({ caption: title, columns, key, empty, onSort: (name) => change({
    sort: name, reverse: state.sort === name ? !state.reverse : state.reverse, page: 1,
  }) });
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": `Search ${title}`, input: () => {
    clearTimeout(search.later);
    search.later = setTimeout(() => change({ name: search.value, page: 1 }), 250);
  } });
  const total = h("span", { class: "total", role: "status" });
  const back = h("button", { type: "button", click: () => change({ page: state.page - 1 }) }, "Previous");
  const next = h("button", { type: "button", click: () => change({ page: state.page + 1 }) }, "Next");
  const element = h("section", {},
    h("div", { class: "bar" }, h("h1", {}, title), search, h("span", { class: "grow" }), actions),
    rows.element,
    h("nav", { class: "pages", "aria-label": "Pages" }, back, total, next));

  async function refresh() {
    const query = new URLSearchParams({
      page: state.page, page_size: PAGE_SIZE, sort: state.sort, sort_reverse: state.reverse, name: state.name, use_regex: false, ...extra,
    });
    const asked = { ...state };
    const answer = await get(`${path()}?${query}`);
    if (JSON.stringify(asked) !== JSON.stringify(state)) return;
    rows.show(answer.items.map(adapt));
    rows.sorted(state.sort, state.reverse);
    const pages = Math.max(1, answer.page_count);
    const found = state.name ? `${count(answer.filtered_count)} of ${count(answer.total_count)}` : `${count(answer.total_count)} in all`;
    setText(total, pages > 1 ? `${found}, page ${state.page} of ${pages}` : found);
    back.disabled = state.page <= 1;
    next.disabled = state.page >= pages;
    back.hidden = next.hidden = pages <= 1;
  }

  function change(to) {
    Object.assign(state, to);
    refresh().catch((error) => {
      // A page that is no more: begin again with the first.
      if (error.status === 400 && state.page > 1) change({ page: 1 });
      else setText(total, error.message);
    });
  }

  return { title, element, refresh };
}
