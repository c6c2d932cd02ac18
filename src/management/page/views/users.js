// Users, and what each may do where.

import { get, path, put, remove } from "../api.js";
import { h, href, link } from "../dom.js";
import { asking } from "../forms.js";
import { table } from "../table.js";
import { changed, vhostNames } from "./shared.js";

const TAGS = { name: "tags", label: "Tags", hint: "administrator, monitoring, policymaker, management; with commas" };
const tagsOf = (row) => (Array.isArray(row.tags) ? row.tags.join(", ") : row.tags);

export function users() {
  const rows = table({
    caption: "Users",
    key: (row) => row.name,
    columns: [
      { title: "Name", text: (row) => row.name, href: (row) => href("users", row.name) },
      { title: "Tags", text: tagsOf },
      { title: "Password", text: (row) => (row.password_hash ? "yes" : "none: no login by password") },
    ],
  });
  return {
    title: "Users",
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, "Users"), h("span", { class: "grow" }), asking("Add a user", () => ({
        title: "Add a user",
        button: "Add",
        fields: [{ name: "name", label: "Name", required: true }, { name: "password", label: "Password", type: "password", required: true }, TAGS],
        act: async ({ name, password, tags }) => {
          await put(`users/${path(name)}`, { password, tags });
          changed();
        },
      }), { class: "primary" })),
      rows.element),
    refresh: async () => rows.show(await get("users")),
  };
}

export function user(name) {
  const at = `users/${path(name)}`;
  let known = {};
  const permissions = table({
    caption: "Permissions",
    key: (row) => row.vhost,
    empty: "This user may enter no vhost.",
    columns: [
      { title: "Vhost", text: (row) => row.vhost },
      { title: "Configure", text: (row) => row.configure, hint: "Declare and delete what has a name like this" },
      { title: "Write", text: (row) => row.write, hint: "Publish and bind to" },
      { title: "Read", text: (row) => row.read, hint: "Consume and bind from" },
      { title: "", node: (row) => asking("Clear", () => ({
        title: `Take all rights in ${row.vhost} from ${name}?`,
        button: "Clear",
        danger: true,
        act: async () => {
          await remove(`permissions/${path(row.vhost, name)}`);
          changed();
        },
      }), { class: "small" }) },
    ],
  });
  const topics = table({
    caption: "Topic permissions",
    key: (row) => JSON.stringify([row.vhost, row.exchange]),
    empty: "All routing keys are allowed.",
    columns: [
      { title: "Vhost", text: (row) => row.vhost },
      { title: "Exchange", text: (row) => row.exchange },
      { title: "Write", text: (row) => row.write },
      { title: "Read", text: (row) => row.read },
    ],
  });
  const tags = h("p", { class: "hint" });

  async function refresh() {
    const [row, rights, keys] = await Promise.all([get(at), get(`${at}/permissions`), get(`${at}/topic-permissions`)]);
    known = row;
    tags.textContent = tagsOf(row) ? `Tags: ${tagsOf(row)}` : "No tags: may use queues, may not open this page.";
    permissions.show(rights);
    topics.show(keys);
  }

  const actions = [
    asking("Set permissions", () => ({
      title: `What ${name} may do`,
      text: "Each is a regular expression over names of queues and exchanges.",
      button: "Set",
      fields: [
        { name: "vhost", label: "Vhost", type: "select", options: vhostNames() },
        { name: "configure", label: "Configure", value: ".*" },
        { name: "write", label: "Write", value: ".*" },
        { name: "read", label: "Read", value: ".*" },
      ],
      act: async ({ vhost, ...rights }) => {
        await put(`permissions/${path(vhost, name)}`, rights);
        changed();
      },
    })),
    asking("Change password or tags", () => ({
      title: `Change ${name}`,
      button: "Change",
      fields: [{ name: "password", label: "New password", type: "password", hint: "Nothing: the old one stays" }, { ...TAGS, value: tagsOf(known) }],
      act: async ({ password, tags: given }) => {
        const secret = password === "" ? { password_hash: known.password_hash, hashing_algorithm: known.hashing_algorithm } : { password };
        await put(at, { ...secret, tags: given });
        changed();
      },
    })),
    asking("Delete", () => ({
      title: `Delete ${name}?`,
      text: "Its open connections are closed.",
      button: "Delete",
      danger: true,
      act: async () => {
        await remove(at);
        location.hash = href("users");
      },
    }), { class: "danger" }),
  ];
  vhostNames();
  return {
    title: name,
    element: h("section", {},
      h("div", { class: "bar" }, h("h1", {}, link("Users", "users"), " / ", name), tags, h("span", { class: "grow" }), actions),
      h("h2", {}, "Permissions"), permissions.element,
      h("h2", {}, "Topic permissions"), topics.element),
    refresh,
  };
}
