import { check, frame, h, histogram, line, mount, numbers, s, slider, text, widened } from "../common.js";

const SHARES = [0.07, 0.31, 0.5, 0.69, 0.93];

/** Values below which the given shares of a histogram lie: bands of a fan. */
function quantiles(lo, hi, counts) {
  const total = counts.reduce((a, b) => a + b, 0), width = (hi - lo) / counts.length;
  const out = [];
  let seen = 0, k = 0;
  for (const share of SHARES) {
    while (k < counts.length - 1 && seen + counts[k] < share * total) seen += counts[k++];
    out.push(lo + (k + (counts[k] ? (share * total - seen) / counts[k] : 0)) * width);
  }
  return [lo, ...out, hi];
}

/** Bytes of all parameters as one [{lo, hi, counts, bad}, ...] by step for each. */
function columns(sent, rows, bins) {
  const [lo, hi, bad] = [sent.lo, sent.hi, sent.bad].map((one) => numbers(one, Float64Array));
  const all = numbers(sent.counts, Uint16Array), steps = rows ? lo.length / rows : 0;
  return Array.from({ length: rows }, (_, row) => Array.from({ length: steps }, (_, k) => row * steps + k).map((i) => (
    { lo: lo[i], hi: hi[i], counts: all.slice(i * bins, (i + 1) * bins), bad: bad[i] })));
}

/** The space between two lines of points with the same x, as a path; where one of them has a gap, so has the space. */
function between(lower, upper) {
  const parts = [[]];
  lower.forEach((low, i) => (Number.isFinite(low[1]) && Number.isFinite(upper[i][1]) ? parts.at(-1).push([low, upper[i]]) : parts.push([])));
  return parts.filter((part) => part.length).map((part) => (
    `${line(part.map((p) => p[0]))}${line(part.map((p) => p[1]).reverse()).replace("M", "L")}Z`)).join("");
}

/** A number of a curve, which travels as a word where it is not finite. */
const said = (x) => ({ nan: "NaN", inf: "∞", "-inf": "−∞" })[x] ?? text(x);

/** Why a parameter has no gradients. */
const noGradient = (fixed, name) => (fixed.includes(name) ? "none: grad_req is null" : "none yet");

function render({ model, el }) {
  const view = mount({ model, el }, "Training run");
  const get = (key) => model.get(key);
  const title = h("h3", { class: "d2l-title" });
  const log = check("log scale", { checked: get("log_scale"), onchange: (v) => view.set({ log_scale: v }) });
  const curves = h("div", { class: "run-curves" });
  const rowsTitle = h("h3", { class: "d2l-title run-title" }, "Parameters and gradients");
  const hint = h("p", { class: "d2l-hint" });
  const rows = h("div", { role: "group", "aria-label": "Parameters" });
  const when = slider("step", { min: 0, max: 0, value: 0, show: (k) => String(get("histograms").steps[k] ?? "–"),
    oninput: (k) => view.set({ column: k === get("histograms").steps.length - 1 ? -1 : k }) });
  const pair = h("div", { class: "run-pair" });
  view.root.append(title, h("div", { class: "d2l-bar" }, log), curves, rowsTitle, hint, rows,
    h("div", { class: "d2l-bar" }, when), pair);

  let width = 0;
  const column = () => {
    const last = get("histograms").steps.length - 1;
    return get("column") < 0 ? last : Math.min(get("column"), last);
  };

  function drawCurves() {
    const all = Object.entries(get("curves"));
    if (!all.length) return curves.replaceChildren(h("p", { class: "d2l-hint" }, "Nothing recorded yet."));
    const beside = Math.max(1, Math.min(all.length, Math.floor((width + 16) / 356)));
    curves.style.gridTemplateColumns = `repeat(${beside}, minmax(0, 1fr))`;
    curves.replaceChildren(...all.map(([name, { rows: sent, first: [begun, oldest], last, bad }], i) => {
      const flat = numbers(sent, Float64Array), points = [];
      for (let k = 0; k < flat.length; k += 4) points.push(flat.subarray(k, k + 4));
      const svg = s("svg", { role: "img" }), room = Math.max(160, (width - 16 * (beside - 1)) / beside);
      const logged = get("log_scale") && points.some((p) => p[1] > 0);
      const seen = points.flatMap((p) => [p[2], p[3]]).filter((v) => Number.isFinite(v) && (!logged || v > 0));
      let lo = Math.min(...seen), hi = Math.max(...seen);
      if (!seen.length) [lo, hi] = [0, 1];
      else if (logged) [lo, hi] = [lo / 1.1, hi * 1.1];
      else [lo, hi] = [Math.min(0, lo), hi > Math.min(0, lo) ? hi + (hi - Math.min(0, lo)) * 0.04 : hi + 1];
      const first = points[0][0], end = points.at(-1)[0];
      const { X, Y, box, inner } = frame(svg, { width: room, height: 170, x: { lo: Math.min(first, end - 1), hi: end, name: "step", whole: true },
        y: { lo, hi, log: logged } });
      const y = (v) => (!Number.isFinite(v) || (logged && !(v > 0)) ? NaN : Math.max(box.top, Math.min(box.bottom, Y(v))));
      const low = points.map((p) => [X(p[0]), y(p[2])]), high = points.map((p) => [X(p[0]), y(p[3])]);
      const color = `--c:var(--d2l-${"abcdef"[i % 6]})`;
      inner.append(s("path", { class: "run-band", style: color, d: between(low, high) }));
      const means = points.map((p) => [X(p[0]), y(p[1])]), there = (k) => Number.isFinite(means[k]?.[1]);
      inner.append(s("path", { class: "d2l-line", style: color, d: line(means) }));
      means.forEach(([cx, cy], k) => there(k) && !there(k - 1) && !there(k + 1)
        && inner.append(s("circle", { class: "run-alone", style: color, cx, cy, r: 3 }))); // a line needs two points
      svg.setAttribute("aria-label", `${name} by step: ${said(oldest)} at step ${text(begun)}, ${said(last)} at step ${text(end)}${
        bad && `; ${bad}`}`);
      return h("div", {}, h("h4", {}, `${name} ${said(last)}`, bad && h("span", { class: "run-bad" }, ` ${bad}`)), svg);
    }));
  }

  function fan(found, name, color, room, none) {
    const { steps } = get("histograms"), svg = s("svg", { role: "img" });
    const good = found.map((c, i) => [steps[i], c]).filter(([, c]) => Number.isFinite(c.lo));
    const bad = found.findIndex((c) => c.bad), worst = bad < 0 ? "" : `not finite at step ${steps[bad].toLocaleString("en-US")}`;
    svg.setAttribute("aria-label", good.length ? `${name}: from ${text(good[0][1].lo)} … ${text(good[0][1].hi)} at step ${good[0][0]} to ${
      text(good.at(-1)[1].lo)} … ${text(good.at(-1)[1].hi)} at step ${good.at(-1)[0]}${worst && `; ${worst}`}` : `${name}: ${worst || none}`);
    if (!good.length) return h("p", { class: worst ? "run-bad" : "d2l-hint" }, worst || none);
    let lo = Math.min(...good.map(([, c]) => c.lo)), hi = Math.max(...good.map(([, c]) => c.hi));
    [lo, hi] = widened(lo, hi);
    const { X, Y, box, inner } = frame(svg, { width: room, height: 66, left: 52, right: 6, top: 5, bottom: 5,
      x: { lo: steps[0], hi: Math.max(steps.at(-1), steps[0] + 1), ticks: [] }, y: { lo, hi } });
    const gap = Array(7).fill(NaN);
    const bands = found.map((c, i) => [X(steps[i]), Number.isFinite(c.lo) ? quantiles(c.lo, c.hi, c.counts).map(Y) : gap]);
    for (const [a, b] of [[0, 6], [1, 5], [2, 4]])
      inner.append(s("path", { class: "run-band", style: `--c:var(--d2l-${color})`,
        d: between(bands.map(([x, q]) => [x, q[a]]), bands.map(([x, q]) => [x, q[b]])) }));
    inner.append(s("path", { class: "d2l-line", style: `--c:var(--d2l-${color});stroke-width:1.5`, d: line(bands.map(([x, q]) => [x, q[3]])) }));
    found.forEach((c, i) => c.bad && inner.append(
      s("line", { class: "run-fault", x1: X(steps[i]), x2: X(steps[i]), y1: box.bottom - 5, y2: box.bottom })));
    const at = X(steps[column()]);
    inner.append(s("line", { x1: at, x2: at, y1: box.top, y2: box.bottom, stroke: "var(--d2l-fg)" }));
    return svg;
  }

  // Rows stay while their pictures change: a press on a button must not fall between two of them.
  const head = h("div", { class: "run-row run-head" }, h("span"), h("span", {}, "values"), h("span", {}, "gradients"));
  let cells = [], drawn = null;
  function makeRows(names) {
    drawn = names.join("\n");
    cells = names.map((name) => [h("button", { type: "button", class: "d2l-button", "data-name": name,
      onclick: () => view.set({ selected_parameter: name }) }, name), h("div"), h("div")]);
    rows.replaceChildren(head, ...cells.map((row) => h("div", { class: "run-row" }, ...row)));
  }

  function drawRows() {
    const { names, steps, bins, more, fixed, ...sent } = get("histograms");
    const [values, gradients] = [sent.values, sent.gradients].map((one) => columns(one, names.length, bins));
    hint.textContent = `${more ? `The first ${names.length}; ${more.toLocaleString("en-US")} more are not shown, choose by select=. ` : ""
      }Line: median. Bands: 38 %, 86 % and all of the numbers.`;
    rowsTitle.hidden = hint.hidden = !names.length;
    when.hidden = pair.hidden = !names.length || !steps.length;
    const room = width < 560 ? width : (width - Math.min(170, Math.max(120, width * 0.2)) - 24) / 2;
    const chosen = get("selected_parameter");
    if (drawn !== names.join("\n")) makeRows(names);
    head.hidden = !names.length || width < 560;
    names.forEach((name, i) => {
      const [button, left, right] = cells[i];
      button.setAttribute("aria-pressed", String(name === chosen));
      left.replaceChildren(fan(values[i], `Values of ${name}`, "a", room, "none yet"));
      right.replaceChildren(fan(gradients[i], `Gradients of ${name}`, "b", room, noGradient(fixed, name)));
    });
    if (!steps.length) return;
    when.control.max = steps.length - 1;
    when.show(column());
    const i = Math.max(0, names.indexOf(chosen)), half = width < 560 ? width : (width - 16) / 2;
    pair.replaceChildren(...[["values", values, "a"], ["gradients", gradients, "b"]].map(([what, all, color]) => {
      const found = all[i][column()], svg = s("svg", {});
      const bad = found?.bad ? `${found.bad.toLocaleString("en-US")} not finite` : "";
      if (!Number.isFinite(found?.lo)) {
        const none = bad ? h("p", { class: "run-bad" }, `${bad} at step ${steps[column()].toLocaleString("en-US")}`) : h("p", { class: "d2l-hint" }, what === "values" ? "none yet" : noGradient(fixed, names[i]));
        return h("div", {}, h("h4", {}, `${names[i]}: ${what}`), none);
      }
      const fine = Uint32Array.from(found.counts), n = fine.reduce((a, b) => a + b, 0);
      const [least, most] = widened(found.lo, found.hi), reach = found.hi > found.lo ? (found.hi - found.lo) * 0.02 : 0;
      histogram(svg, { width: half, height: 130, bottom: 22, series: [{ ...found, fine, n, color }], lo: least - reach,
        hi: most + reach, bins: bins, log: get("log_scale"),
        name: `${what} of ${names[i]} at step ${steps[column()]}: from ${text(found.lo)} to ${text(found.hi)}${bad ? `, ${bad}` : ""}` });
      return h("div", {}, h("h4", {}, `${names[i]}: ${what} at step ${steps[column()].toLocaleString("en-US")}`,
        bad && h("span", { class: "run-bad" }, ` ${bad}`)), svg);
    }));
  }

  function update() {
    const pace = get("rate") ? `${text(get("rate"))} steps/s` : "";
    const now = get("step") ? (get("paused") ? ["paused", pace && `${pace} at last`] : [pace]) : ["waiting for the first step"];
    const state = (get("running") ? now : ["ended", pace && `${pace} at last`]).filter(Boolean).join(" · ") || "running";
    title.textContent = `Step ${get("step").toLocaleString("en-US")} · ${state}`;
    if (!width) return;
    drawCurves();
    drawRows();
  }
  let due = 0;
  const soon = () => (due ||= requestAnimationFrame(() => ((due = 0), update())));
  view.sized(curves, (now) => ((width = now), soon()));
  for (const key of ["step", "running", "paused", "rate", "curves", "histograms", "selected_parameter", "column"]) view.on(`change:${key}`, soon);
  view.on("change:log_scale", () => ((log.control.checked = get("log_scale")), soon()));
  view.on("change:running", () => get("running") || view.say(`The run ended at step ${get("step")}.`));
  update();
  return () => (cancelAnimationFrame(due), view.dispose());
}

export default { render };
