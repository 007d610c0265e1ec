// The array as a picture: blue above 0, orange below, and a cell cursor that tells the number.

import { h, numbers, text } from "../common.js";

const HIGH = 300; // px
const CELL = 16; // px, at most
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-16, 0], PageDown: [16, 0],
  Home: [0, -Infinity], End: [0, Infinity] };

/** The Python index of a cell: [4, 0, 2, 1]. */
function indexOf({ shape, step }, row, column) {
  if (!shape.length) return "[()]";
  const out = [];
  let rest = column * step[1];
  for (const n of shape.slice(shape.length > 1 ? 1 : 0).reverse()) {
    out.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  return `[${(shape.length > 1 ? [row * step[0], ...out] : out).join(", ")}]`;
}

/** Numbers from -1 to 1 as pixels: the stronger, the less of the page shines through; what is not finite is `odd`. */
function pixels(data, columns, rows, { plus, minus, odd }) {
  const image = new ImageData(columns, rows);
  data.forEach((v, i) => {
    const finite = Number.isFinite(v);
    image.data.set([...(finite ? (v < 0 ? minus : plus) : odd), finite ? Math.round(255 * Math.abs(v)) : 255], 4 * i);
  });
  return image;
}

const said = (x) => (Number.isNaN(x) ? "NaN" : text(x));

/** Build the picture; `update(map, name)` shows another array. */
export function makeHeatmap(view) {
  const canvas = h("canvas", { "aria-hidden": "true" }), mark = h("div", { class: "x-mark" });
  const frame = h("div", { class: "x-canvas", tabindex: 0, role: "application" }, canvas, mark);
  const low = h("span", {}), high = h("span", {}), told = h("output", { "aria-live": "polite" }), note = h("p", { class: "d2l-hint" });
  const root = h("div", {}, frame, h("div", { class: "d2l-bar" }, h("span", { class: "x-legend" }, low, h("i", {}), high), told), note);
  let map = null, data = null, name = "", at = [0, 0], width = 0;

  function draw() {
    if (!map || !width) return;
    const css = getComputedStyle(view.root);
    const color = (token) => css.getPropertyValue(`--d2l-${token}`).match(/\w\w/g).map((x) => parseInt(x, 16));
    Object.assign(canvas, { width: map.columns, height: map.rows });
    canvas.getContext("2d").putImageData(pixels(data, map.columns, map.rows, { plus: color("a"), minus: color("b"), odd: color("fg") }), 0, 0);
    canvas.style.width = `${Math.min(width - 2, map.columns * CELL)}px`;
    canvas.style.height = `${Math.max(CELL, Math.min(HIGH, map.rows * CELL))}px`;
    move(...at);
  }
  function move(row, column) {
    const inside = (k, n) => Math.min(n - 1, Math.max(0, k));
    at = [inside(row, map.rows), inside(column, map.columns)];
    const wide = canvas.offsetWidth / map.columns, tall = canvas.offsetHeight / map.rows;
    Object.assign(mark.style, { left: `${at[1] * wide}px`, top: `${at[0] * tall}px`, width: `${wide}px`, height: `${tall}px` });
    told.textContent = `${name}${indexOf(map, ...at)} = ${said(data[at[0] * map.columns + at[1]] * (map.scale || 1))}`;
  }
  frame.addEventListener("keydown", (event) => {
    const by = MOVES[event.key];
    if (!by) return;
    event.preventDefault();
    move(at[0] + by[0], at[1] + by[1]);
  });
  canvas.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) =>
    move(Math.floor((y / canvas.offsetHeight) * map.rows), Math.floor((x / canvas.offsetWidth) * map.columns)));
  view.sized(root, (now) => ((width = now), draw()));
  new MutationObserver(draw).observe(view.root, { attributeFilter: ["data-theme"] });
  return { root, update(now, accessor) {
    if (name !== accessor) at = [0, 0];
    if (map !== now) data = numbers(now.cells, Float32Array);
    [map, name] = [now, accessor];
    [low.textContent, high.textContent] = [text(-map.scale), text(map.scale)];
    const [rows, columns] = map.step, part = (k, what) => (k > 1 ? `one ${what} in ${k}` : `every ${what}`);
    const shown = rows * columns > 1 ? `Shown: ${part(rows, "row")}, ${part(columns, "column")}. ` : "";
    const axes = map.shape.length > 1 ? `First axis down, ${map.shape.length > 2 ? "the others" : "second"} across. ` : "";
    const odd = data.every(Number.isFinite) ? "" : "Cells in the colour of the text are not finite. ";
    note.textContent = `${axes}${shown}${odd}Point at a cell, or use the arrow keys.`;
    frame.setAttribute("aria-label", `Heat map of ${name}, ${map.rows} by ${map.columns} cells, colours from ${text(-map.scale)} `
      + `to ${text(map.scale)}. Arrow keys move from cell to cell.`);
    draw();
  } };
}
