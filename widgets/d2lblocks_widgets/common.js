// What all views share: elements, theme, keys, the truth about the kernel, axes and histograms.
// Python puts this file before each view.js and drops that file's import of it: a module made from text has no siblings.

// ------------------------------------------------------------------------------------------------------- elements

/** Build an HTML element: `h("button", { class: "x", onclick: f }, "text")`; false and null attributes are left out. */
export function h(tag, attrs = {}, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

/** Build an SVG element. */
export function s(tag, attrs = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs, children);
}

function fill(node, attrs, children) {
  for (const [name, value] of Object.entries(attrs)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

let made = 0;

/** Give an id that no other view has: a widget may be displayed twice. */
export const fresh = (name) => `d2l-${name}-${++made}`;

/** Label a control and show its value: returns a `<label>`, whose `.control` is the input. */
export function slider(text, { min, max, step = 1, value, show = String, oninput, kernel = false }) {
  const input = h("input", { type: "range", min, max, step, "data-kernel": kernel });
  const output = h("output", {}, show(value));
  input.value = value;
  const told = () => {
    output.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => (told(), oninput(Number(input.value))));
  told();
  const label = h("label", { class: "d2l-slider" }, h("span", {}, text), input, output);
  label.show = (now) => ((input.value = now), told());
  return label;
}

/** Label a checkbox. */
export function check(text, { checked, onchange }) {
  const input = h("input", { type: "checkbox", onchange: () => onchange(input.checked) });
  input.checked = checked;
  const label = h("label", { class: "d2l-check" }, input, h("span", {}, text));
  return label;
}

/** Label a choice of texts. */
export function select(text, { options, value, onchange, kernel = false }) {
  const box = h("select", { onchange: () => onchange(box.value), "data-kernel": kernel },
    options.map((o) => h("option", { value: o }, o)));
  box.value = value;
  const label = h("label", { class: "d2l-select" }, h("span", {}, text), box);
  return label;
}

/** A button that copies `text()`; pages without a clipboard get the text selected instead. */
export function copyButton(text, view, what = "code") {
  const button = h("button", { type: "button", class: "d2l-button", "aria-label": `Copy ${what}` }, "Copy");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      const area = h("textarea", {}, text());
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    view.say(`Copied ${text()}`);
    setTimeout(() => (button.textContent = "Copy"), 1200);
  };
  return button;
}

// ------------------------------------------------------------------------------------------------------- a view

/**
 * Prepare the element of a view: root, theme, keys, live region, kernel status.
 * @param {{model: any, el: HTMLElement}} context what anywidget's render got
 * @param {string} name says to a screen reader what this is
 */
export function mount({ model, el }, name) {
  const live = h("p", { class: "d2l-live", role: "status", "aria-live": "polite" });
  const status = h("p", { class: "d2l-status", role: "status", hidden: true });
  const root = h("div", { class: "d2l", role: "group", "aria-label": name }); // no landmark: a notebook has many
  const undo = [theme(root), keepKeys(root)];
  let timers = [];
  const view = {
    root,
    /** Tell a screen reader. */
    say: (text) => (live.textContent = text),
    /** Listen to the model until the view goes. */
    on(event, listener) {
      model.on(event, listener);
      undo.push(() => model.off(event, listener));
    },
    /** Redraw `node` at its real width, now and whenever that changes. */
    sized(node, draw) {
      let width = 0;
      const observer = new ResizeObserver(([entry]) => {
        const now = Math.round(entry.contentRect.width);
        if (now && now !== width) draw((width = now));
      });
      observer.observe(node);
      undo.push(() => observer.disconnect());
    },
    /** Set traits of the model, here at once and in the kernel when it has time. */
    set(values) {
      for (const [key, value] of Object.entries(values)) model.set(key, value);
      try {
        model.save_changes();
      } catch {
        tell("gone");
      }
    },
    /** Say whether an answer of the kernel is awaited; a wait longer than 300 ms is shown. */
    waiting(on) {
      timers.forEach(clearTimeout);
      timers = on && !view.gone() ? [setTimeout(tell, 300, "busy"), setTimeout(tell, 3000, "silent")] : [];
      root.toggleAttribute("data-waiting", on && !view.gone());
      if (!on && !view.gone()) tell("");
    },
    /** Whether the kernel has gone; then each of `afterwards` is called. */
    gone: () => status.dataset.kind === "gone",
    afterwards: [],
    /** Take everything down; anywidget calls it when the view goes. */
    dispose() {
      timers.forEach(clearTimeout);
      undo.forEach((f) => f());
    },
  };
  const texts = {
    "": "",
    busy: "Kernel busy: the answer comes when the running cell ends.",
    silent: "No answer yet. If no cell is running, the kernel is gone: run this cell again.",
    gone: "Kernel gone: this picture is all that is left of it. Run the cell again.",
  };
  function tell(kind) {
    if (status.dataset.kind === kind) return;
    status.dataset.kind = kind;
    status.textContent = texts[kind];
    status.hidden = !kind;
    for (const control of root.querySelectorAll("[data-kernel]")) control.disabled = kind === "gone";
    if (kind === "gone") view.afterwards.forEach((f) => f());
  }
  // A restarted kernel knows nothing of this model, one that was shut down nothing at all. Front ends tell it in one of three ways.
  const lost = () => (timers.forEach(clearTimeout), tell("gone"));
  const kernel = model.widget_manager?.kernel;
  const heard = (_, state) => /^(auto)?restarting$|^terminating$|^dead$/.test(state) && lost();
  for (const [signal, slot] of [[kernel?.statusChanged, heard], [kernel?.disposed, lost]])
    if (signal) signal.connect(slot), undo.push(() => signal.disconnect(slot));
  view.on("comm_live_update", () => setTimeout(() => el.closest(".jupyter-widgets-disconnected") && lost()));
  el.append(root);
  root.append(live, status);
  return view;
}

/** Mark `root` light or dark as the page around it is, and follow when that changes; returns what stops it. */
export function theme(root) {
  const page = [document.documentElement, document.body];
  const prefers = matchMedia("(prefers-color-scheme: dark)"), forced = matchMedia("(forced-colors: active)");
  const isDark = () => {
    if (forced.matches) return prefers.matches; // the system's colours are around and behind us, not the page's
    const lab = document.body.dataset.jpThemeLight;
    if (lab) return lab === "false";
    for (const node of page) {
      const named = node.dataset.theme || node.dataset.bsTheme;
      if (named === "dark" || named === "light") return named === "dark";
      if (node.matches(".vscode-dark, .vscode-high-contrast:not(.vscode-high-contrast-light)")) return true;
      if (node.matches(".vscode-light, .vscode-high-contrast-light")) return false;
    }
    return prefers.matches;
  };
  const update = () => (root.dataset.theme = isDark() ? "dark" : "light");
  const observer = new MutationObserver(update);
  page.forEach((node) => observer.observe(node, { attributes: true }));
  for (const query of [prefers, forced]) query.addEventListener("change", update);
  update();
  return () => (observer.disconnect(), [prefers, forced].forEach((query) => query.removeEventListener("change", update)));
}

/** Keep plain keys from the notebook's shortcuts (arrows would leave the cell); Ctrl, Cmd and Shift+Enter pass. */
export function keepKeys(root) {
  const keep = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key === "Enter" && event.shiftKey)) return;
    if (event.key.length === 1 || /^(Arrow|Page|Home|End|Enter|Delete|Backspace)/.test(event.key)) event.stopPropagation();
  };
  root.addEventListener("keydown", keep);
  return () => root.removeEventListener("keydown", keep);
}

// ------------------------------------------------------------------------------------------------------- numbers

/** Turn the bytes of a trait into numbers. */
export function numbers(bytes, Type) {
  const at = bytes.buffer ?? bytes;
  const start = bytes.byteOffset ?? 0;
  return new Type(at.slice(start, start + bytes.byteLength));
}

/** Write a number as people read it: 0.0123, 7,946, 1.2e−7. */
export function text(x, digits = 3) {
  if (x == null || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  let out;
  if (Number.isInteger(x) && size < 1e6) out = size.toLocaleString("en-US");
  else if (size >= 1e5 || size < 1e-3) out = powered(size, digits);
  else {
    const rounded = Number(size.toPrecision(digits));
    out = rounded < 1000 ? String(rounded) : rounded.toLocaleString("en-US");
  }
  return (x < 0 ? "−" : "") + out;
}

/** Write a number above 0 with a power of ten: 1.2e−7. */
function powered(x, digits) {
  const [digit, power] = x.toExponential(digits - 1).split("e");
  return `${Number(digit)}e${power.replace("+", "").replace("-", "−")}`;
}

/** Write a tick: 100,000 would not fit beside an axis. */
const tick = (x, digits) => (Math.abs(x) >= 1e5 ? (x < 0 ? "−" : "") + powered(Math.abs(x), digits) : text(x, digits));

/** Write the ticks of an axis in three significant digits, or in so many more that each is what it says. */
function tickTexts(values, write = tick) {
  let digits = 3;
  while (digits < 12 && values.some((v) => Number(v.toPrecision(digits)) !== v)) digits++;
  return values.map((v) => write(v, digits));
}

/** What is narrower has no width for a picture: the density of numbers in it would be infinite. */
const NARROW = 1e-290;

/** A range with some width around numbers that are all alike. */
export function widened(lo, hi) {
  const reach = Math.max(0.5, Math.abs(lo) / 1000);
  return hi - lo > NARROW ? [lo, hi] : [lo - reach, lo + reach];
}

/** Round numbers between lo and hi, about `count` of them; 0 is among them if it lies inside. */
export function ticks(lo, hi, count = 5) {
  if (!(hi > lo)) return [lo];
  const raw = (hi - lo) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999);
  if (Math.max(-lo, hi) / step > 1e10) return [lo, hi]; // a step would be lost in rounding
  const out = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9; k++) out.push(Number((k * step).toPrecision(12)));
  return out;
}

/** Powers of ten between lo and hi, about `count` of them, 1 among them if it lies inside. */
export function decades(lo, hi, count = 5) {
  const first = Math.ceil(Math.log10(lo) - 1e-9), last = Math.floor(Math.log10(hi) + 1e-9);
  if (first >= last) return ticks(lo, hi, count).filter((v) => v > 0);
  const step = Math.max(1, Math.ceil((last - first) / count));
  const out = [];
  for (let k = Math.ceil(first / step) * step; k <= last; k += step) out.push(10 ** k);
  return out;
}

/**
 * Count `fine` anew in `bins` equal bins between lo and hi; a fine bin across a border gives each side its share.
 * @param {{lo: number, hi: number, fine: any}} fine many narrow bins, as the kernel sent them
 */
export function rebin({ lo: from, hi: to, fine }, lo, hi, bins) {
  const counts = ArrayBuffer.isView(fine) && !(fine instanceof DataView) ? fine : numbers(fine, Uint32Array);
  const out = new Float64Array(bins), scale = bins / (hi - lo), width = ((to - from) / counts.length) * scale;
  for (let i = 0; i < counts.length; i++) {
    if (!counts[i]) continue;
    const a = (from - lo) * scale + i * width, b = a + width;
    if (!width && a >= 0 && a <= bins) out[Math.min(bins - 1, Math.floor(a))] += counts[i];
    for (let k = Math.max(0, Math.floor(a)); width && k < Math.min(bins, b); k++)
      out[k] += (counts[i] * (Math.min(b, k + 1) - Math.max(a, k))) / width;
  }
  return out;
}

/** Density of a law at x: {law: "uniform", bound} or {law: "normal", sigma}; a point mass has none. */
export function density(theory, x) {
  if (theory?.law === "uniform") return Math.abs(x) <= theory.bound ? 1 / (2 * theory.bound) : 0;
  if (theory?.law === "normal") {
    const z = x / theory.sigma;
    return Math.exp((-z * z) / 2) / (theory.sigma * Math.sqrt(2 * Math.PI));
  }
  return 0;
}

// ------------------------------------------------------------------------------------------------------- pictures

/** How series are told apart without colour: dashes of lines, shapes of points. */
export const DASHES = ["", "7 3", "2 3", "10 3 2 3", "12 4", "4 2 1 2"];
export const MARKS = ["●", "■", "▲", "◆", "▼", "✚"];

/**
 * Draw the frame of a picture: axes with round ticks, grid, names; labels at the rim turn inwards, none is clipped.
 * @returns X and Y (value to pixel), the box, and the group to draw into
 */
export function frame(svg, { width, height, x, y, left = 46, right = 12, top = 10, bottom = 34 }) {
  const box = { left, right: width - right, top, bottom: height - bottom };
  const scale = (axis, a, b) => {
    const f = axis.log ? Math.log10 : (v) => v;
    const lo = f(axis.lo), span = f(axis.hi) - lo || 1;
    return (v) => a + ((f(v) - lo) / span) * (b - a);
  };
  const X = scale(x, box.left, box.right), Y = scale(y, box.bottom, box.top);
  const lines = s("g", { class: "d2l-grid" }), names = s("g", { class: "d2l-ticks" });
  const marks = (axis, count) => {
    if (axis.ticks) return axis.ticks;
    const some = (n) => (axis.log ? decades : ticks)(axis.lo, axis.hi, n).filter((v) => !axis.whole || Number.isInteger(v));
    const found = some(count);
    return found.length < 3 ? some(2 * count) : found;
  };
  const across = marks(x, Math.max(2, Math.round(width / 90))), upward = marks(y, Math.max(2, Math.round(height / 45)));
  const below = tickTexts(across, x.text), beside = tickTexts(upward, y.text);
  for (const [i, v] of across.entries()) {
    const word = below[i], half = word.length * 3.4, at = X(v);
    const anchor = at - half < 0 ? "start" : at + half > width ? "end" : "middle";
    lines.append(s("line", { x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4, class: v === 0 ? "zero" : null }));
    if (v === 0 && !x.log) lines.append(s("line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "zero" }));
    names.append(s("text", { x: at, y: box.bottom + 15, "text-anchor": anchor }, word));
  }
  for (const [i, v] of upward.entries()) {
    lines.append(s("line", { x1: box.left, x2: box.right, y1: Y(v), y2: Y(v) }));
    names.append(s("text", { x: box.left - 6, y: Y(v) + 4, "text-anchor": "end" }, beside[i]));
  }
  lines.append(s("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "base" }));
  if (x.name) names.append(s("text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, x.name));
  const inner = s("g", {});
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.replaceChildren(lines, inner, names);
  return { X, Y, box, inner };
}

/** Points as a path; a gap in the numbers is a gap in the line. */
export function line(points) {
  let pen = "M";
  return points.map(([x, y]) => {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return (pen = "M"), "";
    const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

/**
 * Draw histograms of one or more series over one axis, with the density that theory expects. Each series has `bins`
 * bins of its own over what is seen of it, so that a narrow one keeps its shape beside a wide one.
 * @param {{name: string, color: string, style?: "filled"|"dashed"|"dotted", n: number, theory?: any}[]} series
 *   each with lo, hi and fine; the first is drawn last, in front
 */
export function histogram(svg, { width, height, series, lo, hi, bins, log = false, name, xName = "", ...rest }) {
  [lo, hi] = widened(lo, hi);
  const columns = Array.from({ length: 321 }, (_, i) => lo + ((hi - lo) * i) / 320);
  const drawn = series.filter((one) => one.n && one.hi >= lo && one.lo <= hi).map((one) => {
    const a = Math.max(lo, one.lo), b = Math.min(hi, one.hi), step = (b - a) / bins;
    return { ...one, a, step, high: step > NARROW ? Array.from(rebin(one, a, b, bins), (c) => c / (one.n * step)) : null };
  });
  const spread = drawn.filter((one) => one.high), least = Math.min(...spread.map((one) => 0.5 / (one.n * one.step)));
  const expected = (one) => (one.theory?.law === "uniform"
    ? [[lo, 0], [-one.theory.bound, 0], [-one.theory.bound, 1], [one.theory.bound, 1], [one.theory.bound, 0], [hi, 0]].map(
      ([x, inside]) => [Math.min(hi, Math.max(lo, x)), inside * density(one.theory, 0)])
    : columns.map((x) => [x, density(one.theory, x)]));
  const top = Math.max(0, ...spread.flatMap((one) => [...one.high, ...expected(one).map((p) => p[1])])) || 1;
  const floor = log && spread.length ? Math.min(top / 10, least) : 0;
  const y = { lo: floor, hi: top * (floor ? 1.5 : 1.06), log: floor > 0, ticks: spread.length ? undefined : [] };
  const { X, Y, box, inner } = frame(svg, { width, height, x: { lo, hi, name: xName }, y, ...rest });
  const up = (v) => (v > floor ? Math.max(box.top, Y(v)) : box.bottom);
  for (const one of drawn.reverse()) {
    const filled = (one.style ?? "filled") === "filled";
    let d = `M${X(one.a).toFixed(2)} ${box.bottom}`;
    if (one.high) one.high.forEach((v, k) => (d += `V${up(v).toFixed(1)}H${X(one.a + (k + 1) * one.step).toFixed(2)}`));
    else d = `M${X(one.a) - 2} ${box.bottom}V${box.top}h4`; // all numbers are equal: a needle
    inner.append(s("path", { d: `${d}V${box.bottom}${filled ? "Z" : ""}`, class: filled ? "d2l-area" : "d2l-line",
      style: `--c:var(--d2l-${one.color})`, "stroke-dasharray": { dashed: "6 3", dotted: "2 3" }[one.style] }));
    if (one.theory && one.theory.law !== "point")
      inner.append(s("path", { class: "d2l-theory", d: line(expected(one).map(([x, v]) => [X(x), up(v)])) }));
  }
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name);
  return { X, Y, box, inner };
}
