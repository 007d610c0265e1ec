// What is known of the selected row.

import { copyButton, h } from "../common.js";
import { below, bytesText, causeOf, plural, shapeText, sizeName, tieText, unknown } from "./facts.js";

const STATES = {
  constructed: "constructed: net.initialize() has not run",
  deferred: "deferred: filled when the first batch tells its shape",
  "not reached": "not reached: forward did not use its block",
};

const entry = (name, ...value) => [h("dt", {}, name), h("dd", {}, ...value)];
const code = (text) => h("code", {}, text);

/** The facts of a row: its accessor with Copy, names, sizes with their causes, twins. */
export function detail(row, { rows, story }, view, choose) {
  const head = h("div", { class: "x-head" }, h("code", { class: "x-accessor" }, row.accessor),
    copyButton(() => row.accessor, view, "accessor"));
  return [head, h("dl", { class: "x-facts" }, entry("Gluon name", code(row.name)),
    (row.isParameter ? ofParameter(row, rows, story, choose) : ofBlock(row, rows)).flat())];
}

function ofBlock(row, rows) {
  const { all, count, bytes, unknown: open } = below(row);
  const calls = row.input ? code(`${row.input} → ${row.output}`) : rows[0].input ? "not reached by forward" : "no batch yet";
  const holds = `${plural(all.length, "parameter")}: ${plural(count, "number")}, ${bytesText(bytes)}`;
  return [entry("kind", code(row.text)), entry("input → output", calls),
    entry("holds", all.length ? holds : "no parameters", open > 0 && `, and ${open} of unknown size`)];
}

function ofParameter(row, rows, story, choose) {
  const twins = row.tie ? rows.filter((one) => one.tie === row.tie && one !== row) : [];
  const jump = (one) => h("button", { type: "button", class: "d2l-button", onclick: () => choose(one) }, code(one.accessor));
  return [
    entry("shape", shapeText(row.shape, row.learned), row.shape && sizes(row, story)),
    entry("holds", row.count === null ? `${row.dtype}, how many is not known yet`
      : `${plural(row.count, "number")} in ${row.dtype}, ${bytesText(below(row).bytes)}`),
    entry("initializer", row.init !== "from the net" ? code(row.init)
      : row.state === "ready" ? "none: numbers from set_data or a file" : "the one that net.initialize() is given"),
    entry("state", STATES[row.state] ?? row.state, ` · grad_req ${row.grad}`),
    twins.length > 0 && entry("tied", h("div", { class: "x-head" }, tieText(row), "the same array as", twins.map(jump))),
  ];
}

/** How each size came to be: in_units ? → 20, because input (2, 20) reached net[0]. */
function sizes(row, story) {
  return h("ul", { class: "x-sizes" }, row.shape.map((n, axis) => {
    const name = `${sizeName(row, axis)} `, why = causeOf(story, row, axis)?.cause.split(", so ")[0];
    if (n === null) return h("li", {}, name, unknown(), " the first batch will tell");
    if (!row.learned[axis]) return h("li", {}, name, String(n));
    return h("li", {}, name, unknown(), " → ", h("ins", {}, String(n)), why && h("span", { class: "x-why" }, `, because ${why}`));
  }));
}
