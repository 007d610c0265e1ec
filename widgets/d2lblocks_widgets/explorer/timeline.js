// The shape timeline: a table in forward order, seen at one step of the net's life.

import { h, slider } from "../common.js";
import { causeOf, isKnown, plural, shapeText, sizeName, tieText, whole } from "./facts.js";

const COLUMNS = ["block", "input → output", "parameter", "shape", "numbers", "state"];
const NEXT = { 1: "Next: net.initialize()", 2: "Next: pass a batch through the net" };
const MARKED = { deferred: "waits", ready: "filled" };

/** The sizes of a parameter as they were at a step; null where they were unknown. */
function sizesAt(row, story, step) {
  return row.shape && row.shape.map((n, axis) => {
    const at = row.learned[axis] ? (causeOf(story, row, axis)?.at ?? 1) : 0;
    return step >= at ? n : null;
  });
}

/** One block with its parameters: the rows, and a function that makes them show a step. */
function makeGroup(row, story, root) {
  const own = row.below.filter((one) => one.isParameter), at = story.when.get(row.i), last = story.steps.length - 1;
  const left = (n) => Array.from({ length: n }, (_, k) => h("td", { class: k === 2 ? "" : "d2l-left" }));
  const head = h("th", { scope: "rowgroup", rowspan: own.length || 1 }, h("code", {}, row.accessor), " ", h("span", { class: "x-kind" }, row.kind));
  const calls = h("td", { class: "d2l-left", rowspan: own.length || 1 });
  const lines = own.map((parameter) => ({ parameter, cells: left(4) }));
  const none = h("td", { class: "d2l-left x-kind", colspan: 4 }, "no parameters");
  const trs = lines.length ? lines.map(({ cells }, k) => h("tr", {}, k ? null : [head, calls], cells)) : [h("tr", {}, head, calls, none)];
  const body = h("tbody", {}, trs);

  function paintLine({ parameter: p, cells: [name, shape, count, state] }, step) {
    const now = sizesAt(p, story, step), fresh = now?.map((n, axis) => p.learned[axis] && n !== null);
    const was = now?.map((n, axis) => (fresh[axis] ? `${sizeName(p, axis)} was ?` : "")).filter(Boolean).join(", ");
    const then = step === last ? p.state : !step ? "constructed" : isKnown(now) ? "ready" : "deferred";
    name.replaceChildren(h("code", {}, p.step), " ", tieText(p) ?? "");
    shape.replaceChildren(shapeText(now, fresh), was ? h("span", { class: "x-was" }, ` ${was}`) : "");
    count.textContent = whole(isKnown(now) ? now.reduce((a, b) => a * b, 1) : null);
    state.textContent = MARKED[then] ?? then;
  }
  let shown = null;
  return { body, step(step) {
    const phase = [step === 0, step >= at, step === at, step === last].join();
    if (phase === shown) return;
    shown = phase;
    body.className = step === at ? "x-now" : "";
    const missed = root.input && at === Infinity && step === last;
    calls.replaceChildren(step >= at ? h("code", {}, `${row.input} → ${row.output}`)
      : missed ? h("span", { class: "x-missed" }, "⊘ not reached by forward") : "–");
    lines.forEach((line) => paintLine(line, step));
  } };
}

/** The sentence of a step. */
function sentence({ steps, blocks, missed, causes }, step) {
  if (step === 0) return "Constructed: sizes that were given are known, ? waits for the first batch.";
  if (step === 1) return "initialize(): parameters of known shape are filled, the others wait for the first batch.";
  const block = blocks[step - 2];
  if (steps[step] !== "done" || block?.accessor === "done") {
    const why = [...causes.values()].filter((one) => one.block === block.i).map((one) => one.cause);
    return `${steps[step]} is called: ${why.join("; ") || `input ${block.input}, no size was unknown`}.`;
  }
  return `Done: the batch went through ${plural(blocks.length - missed, "block")}${missed ? `; ${plural(missed, "block")} not reached` : ""}.`;
}

/** Build the tab; `move` is told where the slider was put. */
export function makeTimeline(move) {
  const bar = h("div", { class: "d2l-bar" }), hint = h("p", { class: "x-story", "aria-live": "polite" });
  const table = h("div", { class: "x-scroll", tabindex: 0, role: "group", "aria-label": "Shapes in forward order" });
  const root = h("div", { class: "x-timeline" }, bar, hint, table);
  let story = null, groups = [], control = null;
  return {
    root,
    /** Show other facts. */
    update(facts) {
      story = facts.story;
      const last = story.steps.length - 1, show = (v) => story.steps[Math.min(v, last)];
      const focused = bar.contains(bar.getRootNode().activeElement);
      control = slider("step", { min: 0, max: Math.max(1, last), value: 0, show, oninput: move });
      control.control.disabled = !last;
      bar.replaceChildren(control, NEXT[story.steps.length] ? h("span", { class: "d2l-hint" }, NEXT[story.steps.length]) : "");
      if (focused) control.control.focus();
      groups = story.blocks.map((row) => makeGroup(row, story, facts.rows[0]));
      const heads = COLUMNS.map((name, k) => h("th", { scope: "col", class: k === 4 ? null : "d2l-left" }, name));
      table.replaceChildren(h("table", { class: "d2l-table" }, h("thead", {}, h("tr", {}, heads)), groups.map((one) => one.body)));
    },
    /** Show another step. */
    step(step) {
      const now = Math.min(step, story.steps.length - 1);
      control.show(now);
      hint.textContent = sentence(story, now);
      groups.forEach((one) => one.step(now));
      table.querySelector(".x-now")?.scrollIntoView({ block: "nearest" });
    },
  };
}
