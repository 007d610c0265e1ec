import { DASHES, MARKS, check, frame, fresh, h, histogram, line, mount, s, select, slider, text } from "../common.js";

const COLORS = ["a", "b", "c", "d", "e", "f"];
const FIXED = { tanh: [-1, 1], sigmoid: [0, 1] };

/** Variance behind bins; NaN where numbers were not finite. */
const variance = (facts) => (facts.nonfinite || facts.std == null ? NaN : facts.std ** 2);

/** The law as people write it. */
function law(theory) {
  if (!theory) return "theory: no formula";
  if (theory.law === "point") return `theory: always ${text(theory.value)}`;
  const name = theory.law === "uniform" ? `U(±${text(theory.bound)})` : `N(0, ${text(theory.sigma)}²)`;
  return `theory: ${name}, std ${text(theory.std)}`;
}

function label(row, i) {
  return h("div", { class: "bench-name", style: `--c:var(--d2l-${COLORS[i]})` },
    h("b", { "aria-hidden": "true" }, MARKS[i]), h("span", {}, row.name));
}

function render({ model, el }) {
  const view = mount({ model, el }, "Comparison of initializers");
  const get = (key) => model.get(key);
  let zoom = 0;

  const title = h("h3", { class: "d2l-title" }), hint = h("p", { class: "d2l-hint" });
  const shape = h("input", { type: "text", class: "bench-shape", "data-kernel": true, "aria-describedby": fresh("shape") });
  const wrong = h("span", { id: shape.getAttribute("aria-describedby"), class: "bench-error" });
  const seed = h("input", { type: "number", class: "bench-seed", min: 0, step: 1, "data-kernel": true });
  const bins = slider("bins", { min: 8, max: 128, value: get("bins"), oninput: (v) => view.set({ bins: v }) });
  const closer = slider("zoom", { min: 0, max: 3, step: 0.1, value: 0, show: (v) => `×${text(10 ** v, 2)}`,
    oninput: (v) => ((zoom = v), drawRows()) });
  const log = check("log scale", { checked: get("log_scale"), onchange: (v) => view.set({ log_scale: v }) });
  const rows = h("div", { class: "bench-rows" });

  const deepTitle = h("h3", { class: "d2l-title bench-title" }), deepHint = h("p", { class: "d2l-hint" });
  const activation = select("activation", { options: get("activations"), value: get("activation"), kernel: true,
    onchange: (v) => ask({ activation: v }) });
  const layer = slider("layer", { min: 0, max: get("results").net.depth, value: get("layer"),
    show: (v) => (v ? String(v) : "input"), oninput: (v) => view.set({ layer: v }) });
  const chart = s("svg", { role: "img" }), chartBox = h("div", {}, chart);
  const layers = h("div", { class: "bench-rows" });

  view.root.append(title, hint,
    h("div", { class: "d2l-bar" }, h("label", {}, "shape", shape), wrong, h("label", {}, "seed", seed), bins, closer, log),
    rows, deepTitle, deepHint, h("div", { class: "d2l-bar" }, activation, layer),
    h("div", { class: "bench-deep" }, chartBox, layers));

  /** Traits the kernel must answer to. */
  function ask(values) {
    view.set(values);
    wait();
  }
  function wait() {
    const asked = get("results").asked;
    view.waiting(["shape", "seed", "activation"].some((k) => JSON.stringify(asked[k]) !== JSON.stringify(get(k))));
  }
  shape.addEventListener("change", () => {
    const sizes = shape.value.replace(/[()[\]]/g, " ").split(/[\s,;×x*]+/).filter(Boolean).map(Number);
    const total = sizes.reduce((a, b) => a * b, 1);
    const bad = !sizes.length || sizes.some((n) => !(Number.isInteger(n) && n > 0)) ? "whole sizes above 0, such as 256, 256"
      : total > 2 ** 20 ? `${total.toLocaleString("en-US")} numbers are more than the 1,048,576 drawn here` : "";
    shape.setAttribute("aria-invalid", String(Boolean(bad)));
    wrong.textContent = bad;
    if (!bad) ask({ shape: sizes });
  });
  seed.addEventListener("change", () => {
    const number = Number(seed.value);
    if (Number.isInteger(number) && number >= 0) ask({ seed: number });
    else seed.value = get("seed");
  });

  let width = 0, deepWidth = 0;
  function drawRows() {
    if (!width) return;
    const good = get("results").rows.filter((r) => r.drawn.n);
    const reach = Math.max(...good.map((r) => Math.max(Math.abs(r.drawn.lo), Math.abs(r.drawn.hi))), 1e-30) / 10 ** zoom;
    const last = good.at(-1);
    rows.replaceChildren(...get("results").rows.map((row, i) => {
      const { drawn } = row, box = h("div", {});
      const facts = h("div", { class: "bench-facts" });
      if (drawn.error) box.append(h("p", { class: "bench-error" }, drawn.error));
      else if (!drawn.n) box.append(h("p", { class: "bench-error" }, "no finite numbers"));
      else {
        const words = `mean ${text(drawn.mean)}, std ${text(drawn.std)}, from ${text(drawn.min)} to ${text(drawn.max)}`;
        facts.append(h("div", {}, `mean ${text(drawn.mean)} · std ${text(drawn.std)}`),
          h("div", {}, `${text(drawn.min)} … ${text(drawn.max)}`), h("div", {}, law(drawn.theory)));
        if (drawn.nonfinite) facts.append(h("div", { class: "bench-error" }, `${drawn.nonfinite} not finite`));
        const svg = s("svg", {});
        box.append(svg);
        histogram(svg, { width, height: row === last ? 92 : 76, bottom: row === last ? 22 : 6, top: 6,
          series: [{ ...drawn, color: COLORS[i] }], lo: -reach, hi: reach, bins: get("bins"), log: get("log_scale"),
          name: `Histogram of ${row.name}: ${words}; ${law(drawn.theory)}` });
        if (row !== last) svg.querySelectorAll(".d2l-ticks text[text-anchor]:not([text-anchor=end])").forEach((t) => t.remove());
      }
      return h("div", { class: "bench-row" }, h("div", {}, label(row, i), facts), box);
    }));
  }

  function drawDeep() {
    if (!deepWidth) return;
    const { rows: all, net } = get("results"), now = get("layer");
    const curves = all.map((row) => row.layers.map(variance));
    const seen = curves.flat().filter((v) => v > 0);
    const lo = 10 ** Math.floor(Math.log10(Math.max(1e-30, Math.min(1, ...seen)) * 0.9));
    const hi = 10 ** Math.ceil(Math.log10(Math.max(1, ...seen) * 1.1));
    const count = Array.from({ length: net.depth + 1 }, (_, k) => k);
    const every = Math.ceil(net.depth / 12);
    const { X, Y, box, inner } = frame(chart, { width: deepWidth, height: Math.min(360, Math.max(240, 63 * all.length)), left: 52, right: 14,
      x: { lo: 0, hi: net.depth, ticks: count.filter((k) => k % every === 0), name: "layer" }, y: { lo, hi, log: true } });
    inner.append(s("line", { x1: X(now), x2: X(now), y1: box.top, y2: box.bottom, stroke: "var(--d2l-fg)", "stroke-width": 1.5 }));
    curves.forEach((curve, i) => {
      const color = `--c:var(--d2l-${COLORS[i]})`;
      const points = curve.map((v, k) => [X(k), v > 0 ? Y(Math.max(v, lo)) : v === 0 ? box.bottom : box.top]);
      inner.append(s("path", { class: "d2l-line", style: color, d: line(points), "stroke-dasharray": DASHES[i] }));
      points.forEach(([x, y]) => inner.append(s("text", { x, y, "text-anchor": "middle", "dominant-baseline": "central",
        style: `fill:var(--d2l-${COLORS[i]});font-size:10px` }, MARKS[i])));
    });
    const end = all.map((row, i) => `${row.name} ${told(curves[i].at(-1))}`).join(", ");
    chart.setAttribute("aria-label", `Variance of the activations by layer, on a log scale; after ${net.depth} layers: ${end}`);
    drawLayers(all, curves, now);
  }

  const told = (v) => (v === undefined ? "not measured" : Number.isNaN(v) ? "not finite" : v === 0 ? "0, all equal" : text(v));

  function drawLayers(all, curves, now) {
    layers.replaceChildren(...all.map((row, i) => {
      const facts = row.layers[now], value = told(curves[i][now]), svg = facts?.n ? s("svg", {}) : null;
      if (svg) {
        const far = Math.max(Math.abs(facts.lo), Math.abs(facts.hi)) || 1;
        const [lo, hi] = (now && FIXED[get("results").asked.activation]) || [facts.lo < 0 ? -far : 0, far];
        histogram(svg, { width: Math.max(120, layersWidth() - 160), height: 54, left: 6, right: 18, top: 4, bottom: 18,
          series: [{ ...facts, color: COLORS[i] }], lo, hi, bins: Math.min(64, get("bins")), log: get("log_scale"),
          name: `Activations after layer ${now} under ${row.name}: from ${text(facts.lo)} to ${text(facts.hi)}, variance ${value}` });
        svg.querySelectorAll(".d2l-ticks text[x='0']").forEach((t) => t.remove());
      }
      return h("div", { class: "bench-row" },
        h("div", {}, label(row, i), h("div", { class: "bench-facts" }, `variance ${value}`)), svg);
    }));
  }
  const layersWidth = () => layers.clientWidth || deepWidth;

  function update() {
    const { asked, fans, net } = get("results");
    title.textContent = `Weights of shape (${asked.shape.join(", ")})`;
    hint.replaceChildren(fans ? `fan-in ${fans[0].toLocaleString("en-US")} · fan-out ${fans[1].toLocaleString("en-US")} · ` : "no fans: a vector · ",
      "filled: drawn, ", keyLine(), " dashed: expected by theory; height is density");
    deepTitle.textContent = `${net.depth} layers of ${net.width} units: variance of the activations`;
    deepHint.textContent = "Input of variance 1. A line that falls dies out, at the bottom all are equal; one that rises blows up.";
    shape.value = get("shape").join(", ");
    shape.setAttribute("aria-invalid", "false");
    wrong.textContent = "";
    seed.value = get("seed");
    activation.control.value = get("activation");
    drawRows();
    drawDeep();
    wait();
  }
  const keyLine = () => s("svg", { class: "bench-key", width: 26, height: 10, style: "display:inline-block", "aria-hidden": "true" },
    s("line", { x1: 0, x2: 26, y1: 5, y2: 5, class: "d2l-theory" }));

  view.sized(rows, (now) => ((width = now > 720 ? now - Math.min(250, Math.max(180, now * 0.3)) - 10 : now), drawRows()));
  view.sized(chartBox, (now) => ((deepWidth = now), drawDeep()));
  view.on("change:results", () => (update(), view.say("New numbers drawn.")));
  for (const key of ["shape", "seed", "activation"]) view.on(`change:${key}`, wait);
  view.on("change:bins", () => (bins.show(get("bins")), drawRows(), drawDeep()));
  view.on("change:log_scale", () => ((log.control.checked = get("log_scale")), drawRows(), drawDeep()));
  view.on("change:layer", () => (layer.show(get("layer")), drawDeep()));
  update();
  return view.dispose;
}

export default { render };
