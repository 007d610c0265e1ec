// What a parameter holds as a histogram: values, gradient and earlier values, and the density that theory expects.

import { check, h, histogram, rebin, s, slider, text } from "../common.js";
import { plural } from "./facts.js";

const SERIES = { values: ["a", "filled"], gradient: ["b", "dashed"], previous: ["c", "dotted"] };
const FIGURES = ["series", "mean", "std", "min", "max"];

function statistics(drawn) {
  const numbers = (one) => [one.mean, one.std, one.min, one.max].map((v) => h("td", {}, text(v)));
  return [h("thead", {}, h("tr", {}, FIGURES.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, drawn.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), numbers(one))))];
}

/** A round number near `x`: 1, 2, 5, 10, ... or one over these. */
const round = (x) => [1, 2, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(x))).reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));

/** How much taller a series is drawn so that it can be seen beside the first: 1 unless their peaks are far apart. */
function stretch([first, ...rest], lo, hi, bins) {
  const peak = (one) => Math.max(...rebin(one, lo, hi, bins)) / one.n;
  return [1, ...rest.map((one) => {
    const ratio = peak(first) / peak(one);
    return hi > lo && first.hi > first.lo && (ratio > 3 || ratio < 1 / 3) ? round(ratio) : 1;
  })];
}

/** Build histogram, switches and statistics; `update(layers, name, isOld)` shows another parameter. */
export function makeHistogram(view) {
  const svg = s("svg", {}), table = h("table", { class: "d2l-table" }), note = h("p", { class: "d2l-hint" });
  const height = h("p", { class: "d2l-hint" });
  const switches = h("div", { class: "d2l-bar" }), on = { values: true, theory: true };
  const set = (what) => (Object.assign(state, what), draw());
  const root = h("div", {}, switches, svg, height, table,
    h("div", { class: "d2l-bar" }, slider("bins", { min: 4, max: 128, value: 40, oninput: (bins) => set({ bins }) }),
      check("log scale", { checked: false, onchange: (log) => set({ log }) })), note);
  let state = { width: 0, bins: 40, log: false, layers: {}, name: "" };

  function draw() {
    const { width, bins, log, layers, name } = state;
    const drawn = Object.keys(SERIES).filter((key) => layers[key]?.n && on[key]).map((key) => ({ ...layers[key], name: key,
      color: SERIES[key][0], style: SERIES[key][1], theory: key === "values" && on.theory ? layers.theory : null }));
    svg.toggleAttribute("hidden", !drawn.length);
    table.hidden = !drawn.length;
    if (!width || !drawn.length) return;
    const words = drawn.map((one) => `${one.name}: mean ${text(one.mean)}, std ${text(one.std)}, from ${text(one.min)} to ${text(one.max)}`);
    const lo = Math.min(...drawn.map((one) => one.lo)), hi = Math.max(...drawn.map((one) => one.hi));
    const factors = log ? drawn.map(() => 1) : stretch(drawn, lo, hi, bins);
    drawn.forEach((one, k) => (one.n /= factors[k])); // a density of fewer numbers is taller
    const stretched = drawn.flatMap((one, k) => (factors[k] === 1 ? []
      : `${one.name} is drawn ${factors[k] > 1 ? `${text(factors[k])} times taller` : `at 1/${text(1 / factors[k])} of its height`}`));
    height.textContent = stretched.length ? `To compare forms, ${stretched.join(", ")}.` : "";
    words.push(...stretched);
    if (layers.law && on.theory) words.push(`theory: ${layers.law}`);
    histogram(svg, { width, height: 170, bottom: 22, series: drawn, bins, log, lo, hi, name: `Histogram of ${name}. ${words.join("; ")}` });
    table.replaceChildren(...statistics(drawn));
  }
  function key(name) {
    const words = { theory: `theory ${state.layers.law}`, previous: "before the last change" }[name] ?? name;
    const label = check(words, { checked: Boolean(on[name]), onchange: (v) => ((on[name] = v), draw()) });
    label.prepend(s("svg", { width: 18, height: 10, class: `x-key ${name}`, "aria-hidden": "true" }, s("path", { d: "M0 5h18" })));
    return label;
  }
  view.sized(root, (width) => set({ width }));
  return { root, update(layers, name, isOld) {
    Object.assign(state, { layers, name });
    const there = Object.keys(SERIES).filter((one) => layers[one]).concat(layers.theory ? "theory" : []);
    if (switches.dataset.there !== `${there} ${layers.law}`) {
      switches.dataset.there = `${there} ${layers.law}`;
      switches.replaceChildren(...there.map(key));
    }
    const { every, nonfinite, size } = layers.values;
    note.textContent = [isOld && "These numbers are from before the running cell.",
      nonfinite > 0 && `${plural(nonfinite, "number")} not finite (nan or inf).`,
      every > 1 && `Of ${plural(size, "number")}, one in ${every} is counted.`].filter(Boolean).join(" ");
    draw();
  } };
}
