// Dialogs that ask before something is changed, and say what the broker answered.

import { h, setText } from "./dom.js";

/**
 * Opens a dialog with fields and calls `act(values)` on its button; closes when that succeeds.
 * `fields`: `{ name, label, type?: text|password|number|checkbox|select|textarea, options?, value?, hint?, required? }`.
 */
export function ask({ title, text, fields = [], button, danger = false, act }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const rows = fields.map((field) => ({ field, input: input(field) }));
  const send = h("button", { type: "submit", class: danger ? "danger" : "primary" }, button);
  const form = h("form", { method: "dialog", submit: async (event) => {
    event.preventDefault();
    send.disabled = true;
    setText(problem, "");
    try {
      await act(Object.fromEntries(rows.map(({ field, input }) => [field.name, valueOf(field, input)])));
      dialog.close();
    } catch (error) {
      setText(problem, error.message);
    }
    send.disabled = false;
  } },
    h("h2", { id: "dialog-title" }, title),
    text && h("p", {}, text),
    rows.map(({ field, input }) => label(field, input)),
    problem,
    h("div", { class: "bar" }, h("span", { class: "grow" }),
      h("button", { type: "button", click: () => dialog.close() }, "Cancel"), send));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", close: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A button that asks first. */
export const asking = (text, dialog, attributes = {}) =>
  h("button", { type: "button", ...attributes, click: () => ask(dialog()) }, text);

/** A field with its label. */
export function label(field, control) {
  const text = h("span", {}, field.label);
  const hint = field.hint && h("small", {}, field.hint);
  return field.type === "checkbox"
    ? h("label", { class: "check" }, control, text, hint)
    : h("label", {}, text, control, hint);
}

/** The control of a field. */
export function input({ name, type = "text", options, value, required = false }) {
  if (type === "select") {
    return h("select", { name }, options.map((option) => h("option", { value: option, selected: option === value }, option || "–")));
  }
  if (type === "textarea") {
    const area = h("textarea", { name, rows: 4, spellcheck: "false", required });
    area.value = value ?? "";
    return area;
  }
  const attributes = { name, type, required, autocomplete: type === "password" ? "new-password" : "off", spellcheck: "false" };
  return h("input", type === "checkbox" ? { name, type, checked: value } : { ...attributes, value });
}

/** What a control holds. */
export function valueOf({ type }, control) {
  if (type === "checkbox") return control.checked;
  if (type === "number") return control.value === "" ? undefined : Number(control.value);
  return control.value;
}

/** A JSON object that somebody typed; nothing is an empty one. */
export function jsonObject(text, what) {
  if (text.trim() === "") return {};
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: ${error.message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${what}: a JSON object is wanted, as {"key": "value"}`);
  return value;
}
