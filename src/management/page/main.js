// The frame around all views: login, navigation, theme, and the clock that refreshes what is seen. A view is a function
// of the names in the address; it gives `{ title, element, refresh() }` and knows nothing of the others.

import { get, hasSession, logIn, logOut } from "./api.js";
import { h, href, setText } from "./dom.js";
import { channels } from "./views/channels.js";
import { connection, connections } from "./views/connections.js";
import { exchange, exchanges } from "./views/exchanges.js";
import { log } from "./views/log.js";
import { overview } from "./views/overview.js";
import { policies } from "./views/policies.js";
import { queue } from "./views/queue.js";
import { queues } from "./views/queues.js";
import { routing } from "./views/routing.js";
import { user, users } from "./views/users.js";
import { vhosts } from "./views/vhosts.js";

const REFRESH_MS = 5_000;

/** In the order of the navigation. */
const AREAS = [
  { name: "", title: "Overview", view: () => overview() },
  { name: "queues", title: "Queues", view: (vhost, name) => (name === undefined ? queues() : queue(vhost, name)) },
  { name: "exchanges", title: "Exchanges", view: (vhost, name) => (name === undefined ? exchanges() : exchange(vhost, name)) },
  { name: "routing", title: "Routing", view: (vhost) => routing(vhost) },
  { name: "connections", title: "Connections", view: (name) => (name === undefined ? connections() : connection(name)) },
  { name: "channels", title: "Channels", view: () => channels() },
  { name: "log", title: "Log", view: () => log() },
  { name: "policies", title: "Policies", view: () => policies() },
  { name: "users", title: "Users", view: (name) => (name === undefined ? users() : user(name)), tag: "administrator" },
  { name: "vhosts", title: "Vhosts", view: () => vhosts() },
];

const shell = document.getElementById("shell");
let shown = null;
let timer = null;

function start() {
  if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
  window.addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  if (hasSession()) enter().catch(login);
  else login();
}

function login() {
  clearTimeout(timer);
  shown = null;
  document.title = "LedgerMQ";
  const user = h("input", { name: "username", autocomplete: "username", required: true, spellcheck: "false", autocapitalize: "none" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { class: "login card", submit: async (event) => {
    event.preventDefault();
    setText(problem, "");
    try {
      await logIn(user.value, password.value);
      await enter();
    } catch (error) {
      setText(problem, error.status === 401 ? "Wrong user or password, or the user has no tag that opens this page." : error.message);
    }
  } },
    h("h1", {}, h("img", { src: "icon.svg", alt: "", width: 36, height: 36 }), "LedgerMQ"),
    h("label", {}, h("span", {}, "User"), user),
    h("label", {}, h("span", {}, "Password"), password),
    problem,
    h("button", { class: "primary" }, "Log in"));
  shell.replaceChildren(h("main", { id: "view" }, form));
  user.focus();
}

async function enter() {
  const me = await get("whoami");
  const tags = Array.isArray(me.tags) ? me.tags : String(me.tags).split(",");
  const areas = AREAS.filter((area) => !area.tag || tags.includes(area.tag));
  const links = areas.map((area) => h("li", {}, h("a", { href: href(area.name), "data-area": area.name }, area.title)));
  const theme = h("button", { type: "button", class: "quiet", title: "Light or dark", "aria-label": "Light or dark", click: turn }, "◐");
  const out = h("button", { type: "button", class: "quiet", click: () => logOut().then(login) }, "Log out");
  shell.replaceChildren(
    h("header", {},
      h("a", { class: "brand", href: "#/" }, h("img", { src: "icon.svg", alt: "", width: 24, height: 24 }), "LedgerMQ"),
      h("nav", { "aria-label": "Areas" }, h("ul", {}, links)),
      h("span", { class: "who" }, me.name), theme, out),
    h("p", { id: "trouble", role: "alert", hidden: true }),
    h("main", { id: "view", tabindex: -1 }));
  route();
}

function turn() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
}

function route() {
  const main = document.getElementById("view");
  if (!main || !hasSession()) return;
  const [name = "", ...names] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const area = AREAS.find((one) => one.name === name) ?? AREAS[0];
  for (const anchor of document.querySelectorAll("[data-area]")) {
    if (anchor.dataset.area === area.name) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  shown = area.view(...names);
  document.title = `${shown.title} · LedgerMQ`;
  main.replaceChildren(shown.element);
  refresh();
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

async function refresh() {
  clearTimeout(timer);
  if (!shown || document.hidden) return;
  const asked = shown;
  try {
    await asked.refresh();
    tell("");
  } catch (error) {
    if (error.status === 401 && !hasSession()) return login();
    if (asked === shown) tell(error.status === 404 ? "This is not there (any more)." : error.message);
  }
  if (asked === shown) {
    clearTimeout(timer);
    timer = setTimeout(refresh, REFRESH_MS);
  }
}

function tell(text) {
  const trouble = document.getElementById("trouble");
  if (!trouble) return;
  setText(trouble, text);
  trouble.hidden = text === "";
}

/** Other code changed something: show it now. */
document.addEventListener("changed", refresh);

start();
