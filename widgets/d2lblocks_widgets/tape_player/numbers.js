// Numbers for people: in a word for a box, in a sentence, as a picture.
import { h, histogram, s, text } from "../common.js";

export const cut = (word, most) => (word.length > most ? `${word.slice(0, most - 1)}…` : word);
export const shape = (sizes) => (!sizes.length ? "one number" : `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`);
const figure = (x) => (typeof x === "number" ? text(x) : typeof x === "boolean" ? (x ? "True" : "False") : String(x));

/** Numbers in a word or two, for a box. */
export function brief(facts, most) {
  if (!facts) return "";
  if (facts.numbers?.length === 1) return figure(facts.numbers[0]);
  if (!facts.numbers && facts.min === facts.max) return facts.min == null ? "not finite" : cut(`all ${figure(facts.min)}`, most);
  if (!facts.numbers) return cut(`${figure(facts.min)} … ${figure(facts.max)}`, most);
  return facts.n ? cut(`[${facts.numbers.slice(0, most / 2).map(figure).join(" ")}]`, most) : "empty"; // no more than can be seen
}

/** Numbers in a sentence. */
export function words(facts) {
  if (!facts) return "none";
  if (facts.numbers?.length === 1) return figure(facts.numbers[0]);
  if (facts.numbers) return `${shape(facts.shape)}: ${facts.numbers.slice(0, 12).map(figure).join(", ")}${facts.n > 12 ? ", …" : ""}`;
  const bad = facts.nonfinite ? `, ${facts.nonfinite} not finite` : "";
  return `${shape(facts.shape)}: mean ${figure(facts.mean)}, std ${figure(facts.std)}, from ${figure(facts.min)} to ${figure(facts.max)}${bad}`;
}

/** Numbers to look at: each of a few, of many their histogram. */
export function picture(facts, name, color) {
  if (!facts) return null;
  if (facts.numbers) {
    const all = facts.numbers.map(figure), wide = Math.max(0, ...all.map((w) => w.length)), last = facts.shape.at(-1) || 1;
    const wrapped = all.length > 8 && (last === 1 || facts.shape.length === 1), row = wrapped ? 6 : last;
    const lines = [];
    for (let k = 0; k < all.length; k += row) lines.push(all.slice(k, k + row).map((w) => w.padStart(wide)).join("  "));
    const told = h("pre", { class: "tape-numbers", tabindex: 0, "aria-label": name }, lines.join("\n") || "empty");
    return wrapped ? h("div", {}, told, h("p", { class: "d2l-hint" }, `${shape(facts.shape)}, read line by line`)) : told;
  }
  const svg = s("svg", {}), [lo, hi] = [facts.min, facts.max];
  if (typeof lo !== "number" || typeof hi !== "number") return h("p", { class: "tape-bad" }, words(facts));
  histogram(svg, { width: 300, height: 74, left: 10, right: 10, top: 4, bottom: 18, bins: facts.bins.length, lo, hi, name: `${name} ${words(facts)}`,
    series: [{ color, n: facts.n, lo, hi, fine: Uint32Array.from(facts.bins), style: "filled" }] });
  svg.querySelectorAll(".d2l-ticks text[text-anchor=end][x='4']").forEach((tick) => tick.remove());
  return h("div", {}, svg, h("p", { class: "d2l-hint" }, words(facts)));
}
