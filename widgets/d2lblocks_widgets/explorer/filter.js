// The filter: a regular expression as collect_params takes it, the Python it stands for, how many it finds.

import { copyButton, fresh, h } from "../common.js";
import { plural, whole } from "./facts.js";

// Here Python and JavaScript read a regular expression alike, for names of plain letters; otherwise Python is asked.
const COMMON = /^(?:[\w .*+?|^$)-]|\((?!\?)|\(\?[:=!]|\\[.wdsbWDSB]|\[\^?[\w .-]+\]|\{\d+(?:,\d*)?\})*$/;

/** What is written in Python for a pattern. */
function call(pattern) {
  const quote = pattern.includes("'") ? '"' : "'";
  const raw = pattern.includes("\\") ? "r" : "";
  return `net.collect_params(${pattern && raw + quote + (quote === '"' ? pattern.replaceAll('"', '\\"') : pattern) + quote})`;
}

/** A function that says whether one of these names matches from its start; null if only Python can tell. */
function matcher(pattern, names) {
  if (!COMMON.test(pattern) || names.some((name) => /[^ -~]/.test(name))) return null;
  try {
    const sticky = new RegExp(pattern, "y");
    return (name) => ((sticky.lastIndex = 0), sticky.test(name));
  } catch {
    return null;
  }
}

/** The filter: a regular expression as collect_params takes it, the Python it stands for, how many it finds. */
export function makeFilter(view, model) {
  const field = h("input", { type: "text", class: "x-pattern", placeholder: ".*weight", spellcheck: "false", autocomplete: "off", "aria-describedby": fresh("count") });
  const code = h("code", {}), count = h("span", { id: field.getAttribute("aria-describedby"), class: "x-found" });
  field.addEventListener("input", () => view.set({ pattern: field.value }));
  const root = h("div", { class: "d2l-bar" }, h("label", {}, "filter", field), h("span", { class: "x-call" }, code, copyButton(() => code.textContent, view)), count);
  return {
    root,
    /** The rows of matching parameters; null without a pattern, undefined while Python is asked. */
    apply(rows) {
      const pattern = model.get("pattern"), parameters = rows.filter((row) => row.isParameter), answer = model.get("matched");
      if (field.value !== pattern) field.value = pattern;
      code.textContent = call(pattern);
      const fits = pattern ? matcher(pattern, parameters.map((row) => row.name)) : () => true, told = answer.pattern === pattern;
      if (!fits && !told) view.set({ ask: pattern });
      const wrong = !fits && told && answer.error;
      field.setAttribute("aria-invalid", Boolean(wrong));
      const found = fits ? parameters.filter((row) => fits(row.name)) : told ? (answer.rows ?? []).map((i) => rows[i]) : undefined;
      const names = (list) => new Set(list.map((row) => row.name)).size;
      const open = view.gone() ? "only Python could tell, and the kernel is gone" : "asking Python …";
      count.textContent = wrong || (found ? `${whole(names(found))} of ${plural(names(parameters), "parameter")}` : open);
      return pattern ? (wrong ? null : found) : null;
    },
  };
}
