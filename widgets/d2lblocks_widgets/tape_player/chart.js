// The drawing of a tape: boxes, the leaves they read, arrows; `paint` shows how far the walk is.
import { fresh, h, s } from "../common.js";
import { brief, cut, shape } from "./numbers.js";
import { GAP, SIDE, WIDE, beside, frames, layout } from "./layout.js";

// A step changes few of hundreds of boxes: what stays the same is not touched, so that nothing is laid out anew.
const write = (node, words) => node.textContent !== words && (node.textContent = words);
const put = (node, name, value) => node.getAttribute(name) !== value && node.setAttribute(name, value);

/** Boxes that can be stood on, in reading order, as options of a list box. */
export function chart(tape, { onpick, onjump }) {
  const { boxes, leaves, nodes, users, takers, at, long } = tape, n = nodes.length;
  const size = layout(boxes), stops = [], paths = [], id = fresh("arrow");
  const svg = s("svg", { width: size.width, height: size.height, viewBox: `0 0 ${size.width} ${size.height}`, role: "presentation" });
  const root = h("div", { class: "tape-chart", role: "listbox", tabindex: 0,
    "aria-label": "Recorded operations and the arrays they read, inputs first" }, svg);
  const edges = s("g", { "aria-hidden": "true" });
  svg.append(s("defs", {}, ["flow", "back"].map((kind) => s("marker", { id: `${id}-${kind}`, class: kind, viewBox: "0 0 8 8", refX: 7,
    refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto-start-reverse" }, s("path", { d: "M0 0L8 4L0 8z" })))));
  for (const f of long ? [] : frames(boxes))
    svg.append(s("g", { class: "tape-frame", "aria-hidden": "true" },
      s("rect", { x: f.x, y: f.y, width: f.right - f.x, height: f.bottom - f.y, rx: 7 }), s("text", { x: f.x + 7, y: f.y + 12 }, cut(f.path, 24))));
  svg.append(edges);

  function edge(d, to, leaf) {
    const path = s("path", { d });
    edges.append(path);
    paths.push({ path, to, leaf });
  }

  /** An arrow into the top of a box: straight through rows, along the lanes kept free in them, and curved in between. */
  function arrow(from, box, off) {
    const twice = box.ins.filter((k) => k === from.k).length > 1;
    let x = from.x + (twice ? off : 0), y = from.y + from.h / 2, d = `M${x} ${y}`;
    const down = (to) => to > y && (d += `V${(y = to)}`); // nothing of no length: an arrowhead would not know where to point
    const bend = (to, top) => ((d += `C${x} ${(y + top) / 2} ${to} ${(y + top) / 2} ${to} ${top}`), (y = top));
    down(from.y + from.room);
    for (let rank = from.rank + 1; rank < box.rank; rank++) {
      const lane = from.lane[rank];
      bend(lane.x, lane.y - lane.room);
      x = lane.x;
      down(lane.y + lane.room);
    }
    bend(box.x + off, box.y - Math.max(box.room, box.h / 2 + 1));
    down(box.y - box.h / 2 - 1);
    edge(d, box.k);
  }

  function stand(key, label, { x, y, width, height, round, kind, leaf }) {
    const kinds = height > 60 ? ["name", "count", "value", "grad"] : ["name", "value", "grad"];
    const lines = kinds.map((one, i) => s("text", { x: x + (round > 5 ? 13 : 8), y: y + 15 + 14 * i, class: `tape-${one}` }));
    const i = stops.length, clicked = () => (onpick(key, i), root.focus({ preventScroll: true }));
    const g = s("g", { role: "option", id: fresh("node"), class: `tape-node ${kind}`, "aria-label": label, onclick: clicked, ondblclick: () => onjump(key) },
      s("title", {}, label), s("rect", { x, y, width, height, rx: round }), lines);
    svg.append(g);
    stops.push({ key, g, lines, leaf, x, y: y + height / 2 });
    return stops[i];
  }

  function sides(box) {
    const x = box.x + WIDE / 2 + GAP, count = box.side.length;
    let y = box.y - beside(box) / 2;
    box.side.forEach(({ leaf, again, h: height }, i) => {
      const { name, kind, shape: sizes } = leaves[leaf], to = box.y + (i - (count - 1) / 2) * Math.min(12, 44 / count);
      edge(`M${x} ${y + height / 2}C${x - 14} ${y + height / 2} ${x - 12} ${to} ${box.x + WIDE / 2 + 1} ${to}`, box.k, leaf);
      stand(name, `${name}, ${kind} ${shape(sizes)}${again ? ", used again" : ""}`,
        { x, y, width: SIDE, height, round: kind === "constant" ? 0 : 18, kind, leaf }).again = again;
      y += height + 6;
    });
  }

  for (const box of [...boxes].sort((a, b) => a.rank - b.rank || a.x - b.x)) {
    box.ins.forEach((k, i) => arrow(boxes[k], box, (i - (box.ins.length - 1) / 2) * Math.min(16, 120 / box.ins.length)));
    const label = long ? `${box.title}: ${box.last - box.first + 1} nodes, #${box.first} to #${box.last}`
      : `#${box.first}: ${box.node.formula}${box.block && `, block ${box.block}`}`;
    box.stop = stand(`#${box.last}`, label, { x: box.x - WIDE / 2, y: box.y - box.h / 2, width: WIDE, height: box.h, round: 4, kind: "op" });
    sides(box);
  }

  /** A gradient in a word, or how many of its parts have come. */
  function gradient(facts, readers, current, most) {
    const came = readers.filter((k) => at[k] >= current).length;
    if (!facts || (readers.length && !came)) return "";
    return came < readers.length ? `g: ${came} of ${readers.length} parts` : `g ${brief(facts, most)}`;
  }

  function paint({ forward, step, selected, active }) {
    const current = step ? at[step] : -1;
    for (const { k, first, last, title, node, stop } of boxes) {
      const done = !forward || k <= current, more = node.values.length > 1 ? ` +${node.values.length - 1}` : "";
      const readers = users[last - 1].filter((one) => at[one] !== k);
      const words = [title, done ? brief(node.values[0], 18 - more.length) + more : "",
        forward ? "" : gradient(node.grads.find(Boolean), last === n ? [] : readers, current, 16)];
      if (long) words.splice(1, 0, `${last - first + 1} nodes`);
      stop.lines.forEach((line, i) => write(line, cut(words[i], 20)));
      stop.g.classList.toggle("todo", !done);
      stop.g.classList.toggle("current", k === current);
    }
    stops.forEach(({ key, g, lines, leaf, again }, i) => {
      const mine = i === active || (leaf !== undefined && key === selected);
      if (leaf !== undefined) {
        const { name, value, grad } = leaves[leaf];
        const words = [(again ? "⇄ " : "") + name, again ? "used again" : brief(value, 16), forward ? "" : gradient(grad, takers[leaf], current, 13)];
        lines.forEach((line, j) => write(line, cut(words[j], 17)));
      }
      g.classList.toggle("selected", mine);
      put(g, "aria-selected", String(mine));
    });
    if (stops[active]) root.setAttribute("aria-activedescendant", stops[active].g.id);
    for (const { path, to, leaf } of paths) {
      const back = !forward && to >= current && (leaf === undefined || leaves[leaf].grad);
      const kind = back ? "back" : !forward || to <= current ? "flow" : "todo";
      put(path, "class", `tape-edge ${kind}${to === current ? " current" : ""}`);
      put(path, back ? "marker-start" : "marker-end", `url(#${id}-${back ? "back" : "flow"})`);
      path.removeAttribute(back ? "marker-end" : "marker-start");
    }
  }

  let shown = false;
  /** Bring a box into sight: smoothly if it is near and nobody minds. */
  function reveal(i) {
    const top = stops[i].y - root.clientHeight / 2, near = shown && Math.abs(top - root.scrollTop) < root.clientHeight;
    const smooth = near && matchMedia("(prefers-reduced-motion: no-preference)").matches;
    shown = true;
    root.scrollTo({ top, left: stops[i].x + 130 - root.clientWidth / 2, behavior: smooth ? "smooth" : "auto" });
  }
  return { root, stops, paint, reveal };
}
