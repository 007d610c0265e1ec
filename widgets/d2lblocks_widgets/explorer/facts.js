// The facts of a net as the views use them, from the columns that Python sent, and how facts are written.

import { h } from "../common.js";

/**
 * @typedef {object} Row one block or parameter
 * @property {number} i its place
 * @property {string} accessor the Python that gets it: net[0].weight
 * @property {string} step the last part of that: .weight
 * @property {Row} [up] its block
 * @property {Row[]} below its parameters and children
 * @property {?(?number)[]} shape sizes, null where unknown; null if nothing is known
 * @property {?number} count how many numbers; null if unknown
 */

/** Read the model: rows from the root down, and the story of their shapes. */
export function read(model) {
  const { words: known, more = [], ...columns } = { ...model.get("tree"), ...model.get("patch") };
  const words = known.concat(more), trail = [];
  const rows = columns.depth.map((depth, i) => {
    const row = { i, depth, below: [], up: trail[depth - 1] };
    for (const key in columns) row[key] = key === "depth" || key === "name" ? columns[key][i] : words[columns[key][i]];
    row.accessor = (row.up?.accessor ?? "") + row.step;
    row.key = row.step.replace(/^[.[]|\]$/g, "");
    row.isParameter = row.grad !== null;
    row.learned = (row.declared ?? row.shape)?.map((n) => row.declared === null || n === null);
    row.count = isKnown(row.shape) ? row.shape.reduce((a, b) => a * b, 1) : null;
    row.up?.below.push(row);
    return (trail[depth] = row);
  });
  return { rows, story: tell(model.get("timeline"), rows) };
}

/** The story: blocks in forward order, when each is called, and why a size of a parameter is what it is. */
function tell({ steps, order, reached, events }, rows) {
  const causes = new Map(), when = new Map(order.map((i, k) => [i, k < reached ? k + 2 : Infinity]));
  for (const [block, parameter, axis, cause] of events) {
    const key = `${rows[parameter].name} ${axis}`, at = when.get(block);
    if (!causes.has(key)) causes.set(key, { block, cause, at: at < Infinity ? at : 1 });
  }
  return { steps, blocks: order.map((i) => rows[i]), missed: order.length - reached, causes, when };
}

export const isKnown = (shape) => Boolean(shape?.every((n) => n !== null));

/** How a size of a parameter became known: {block, cause, at}. */
export const causeOf = (story, row, axis) => story.causes.get(`${row.name} ${axis}`);

/** What a size is called: in_units. */
export const sizeName = (row, axis) => row.sizes?.[axis] ?? `axis ${axis}`;

/** All parameters below a row, a tied one once, with how many numbers they hold. */
export function below(row) {
  const found = new Map();
  const walk = (one) => (one.isParameter ? found.set(one.name, one) : one.below.forEach(walk));
  walk(row);
  const all = [...found.values()];
  const total = (f) => all.reduce((sum, p) => sum + (p.count ?? 0) * f(p), 0);
  return { all, count: total(() => 1), bytes: total((p) => itemSize(p.dtype)), unknown: all.filter((p) => p.count === null).length };
}

const itemSize = (dtype) => Math.max(1, Number(/\d*$/.exec(dtype)[0]) / 8);

// -------------------------------------------------------------------------------------------------------- written

export const whole = (n) => n?.toLocaleString("en-US") ?? "?";
export const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;

export function bytesText(n) {
  const k = n < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(n) / 10));
  return k ? `${(n / 1024 ** k).toFixed(1)} ${["", "KiB", "MiB", "GiB"][k]}` : `${n} B`;
}

export const spoken = (shape) => (shape ? shape.map((n) => n ?? "unknown").join(" by ") || "no axes" : "unknown");
export const unknown = () => h("span", { class: "x-unknown", role: "img", "aria-label": "unknown" }, "?");

/** A shape, size by size: unknown ones as a chip, those of `learned` underlined. */
export function shapeText(shape, learned = []) {
  if (!shape) return h("code", {}, unknown());
  const size = (n, axis) => (n === null ? unknown() : learned?.[axis] ? h("ins", {}, String(n)) : String(n));
  const parts = shape.flatMap((n, axis) => [axis ? ", " : "(", size(n, axis)]);
  return h("code", {}, parts, shape.length === 1 ? ",)" : shape.length ? ")" : "()");
}

export const tieText = (row) => row.tie && h("span", { class: "x-tied" }, `⇄${row.tie}`);
