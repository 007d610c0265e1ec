import { check, h, mount, slider } from "../common.js";
import { words } from "./numbers.js";
import { chart } from "./chart.js";
import { detail, table } from "./detail.js";
import { graph } from "./graph.js";

const PACE = 1000; // milliseconds per step of play

function render({ model, el }) {
  const view = mount({ model, el }, "Tape player"), get = (key) => model.get(key);
  const tape = graph(get("record")), { boxes, at, nodes, leaves, long, boxOf } = tape, m = boxes.length;

  // Positions of the slider: 0 nothing computed, 1 ... m forward, m + 1 ... 2m backward, 2m + 1 the walk is over.
  const forward = () => get("phase") === "forward";
  const place = () => (forward() ? (get("step") ? at[get("step")] + 1 : 0) : get("step") ? 2 * m - at[get("step")] : 2 * m + 1);
  const told = (pos) => (pos === 0 ? "start: nothing computed" : pos <= m ? `forward, ${pos} of ${m}`
    : pos <= 2 * m ? `backward, ${pos - m} of ${m}` : "end: gradients are complete");

  function go(to) {
    const pos = Math.min(2 * m + 1, Math.max(0, to)), phase = pos <= m ? "forward" : "backward";
    const step = pos === 0 || pos > 2 * m ? 0 : phase === "forward" ? boxes[pos - 1].last : boxes[2 * m - pos].first;
    view.set({ phase, step, ...(step && { selected: `#${step}` }) });
    const node = nodes[step - 1];
    const seen = !node ? "" : phase === "forward" ? `#${step} = ${node.formula}: ${words(node.values[0])}` : `Gradient of #${step}: ${words(node.grads.find(Boolean))}`;
    view.say(`${told(pos)}. ${seen}`);
  }

  let timer = null;
  const play = h("button", { type: "button", class: "d2l-button tape-play", onclick: () => (timer ? stop() : start()) }, "▶ Play");
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  }
  function start() {
    if (place() > 2 * m) go(0);
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => {
      if (view.root.isConnected) go(place() + 1);
      if (place() > 2 * m || !view.root.isConnected) stop();
    }, PACE);
  }
  const by = (name, sign, steps) => h("button", { type: "button", class: "d2l-button", "aria-label": name, onclick: () => (stop(), go(place() + steps)) }, sign);
  const bar = slider("step", { min: 0, max: 2 * m + 1, value: place(), show: told, oninput: (pos) => (stop(), go(pos)) });
  const follow = check("follow", { checked: true, onchange: () => reveal() });

  // Which box is selected: a shared leaf stands in several places, so the place is known here and the name to the kernel.
  const find = (key) => picture.stops.findIndex((one) => (one.leaf === undefined && boxOf(key) !== null ? boxOf(one.key) === boxOf(key) : one.key === key));
  let active = -1;
  function pick(key, i) {
    stop();
    active = i;
    view.set({ selected: key });
    view.say(picture.stops[i].g.getAttribute("aria-label"));
    soon();
  }
  const jump = (key) => boxOf(key) !== null && go(forward() ? boxOf(key) + 1 : 2 * m - boxOf(key));
  const picture = chart(tape, { onpick: pick, onjump: jump });
  const reveal = (always) => (always || follow.control.checked) && active >= 0 && picture.reveal(active);
  picture.root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const last = picture.stops.length - 1;
    const to = { ArrowDown: active + 1, ArrowRight: active + 1, ArrowUp: active - 1, ArrowLeft: active - 1, Home: 0, End: last,
      PageDown: active + 10, PageUp: active - 10 }[event.key];
    if (to !== undefined) {
      const i = Math.min(last, Math.max(0, to));
      pick(picture.stops[i].key, i);
      reveal(true);
    } else if (event.key === "Enter" || event.key === " ") jump(get("selected"));
    else return;
    event.preventDefault();
  });

  const facts = h("div", { class: "tape-facts" });
  const whole = h("details", { class: "tape-table", ontoggle: () => whole.open && !whole.querySelector("table") && whole.append(table(tape)) },
    h("summary", {}, long ? "All boxes as a table" : "All nodes as a table"));
  const counted = ["parameter", "variable", "constant"].map((kind) => [leaves.filter((leaf) => leaf.kind === kind).length, kind])
    .filter(([count]) => count).map(([count, kind]) => `${count.toLocaleString("en-US")} ${kind}${count > 1 ? "s" : ""}`);
  const summary = long ? [`summarised in ${m} boxes, by block: more than 300 nodes are not drawn one by one`] : [];
  view.root.append(h("h3", { class: "d2l-title" }, `Tape of ${nodes.length.toLocaleString("en-US")} node${nodes.length > 1 ? "s" : ""}`),
    h("p", { class: "d2l-hint" }, [...counted, ...summary].join(" · ")),
    h("div", { class: "d2l-bar tape-bar" }, play, by("One step back", "◀", -1), by("One step on", "▶", 1), bar, follow),
    tape.problem ? h("p", { class: "tape-bad" }, tape.problem) : "", h("div", { class: "tape-split" }, picture.root, facts), whole);

  function paint() {
    const selected = get("selected");
    if (active < 0 || !(boxOf(selected) === null ? picture.stops[active].key === selected : boxOf(picture.stops[active].key) === boxOf(selected)))
      active = find(selected);
    bar.show(place());
    view.root.dataset.phase = get("phase");
    picture.paint({ forward: forward(), step: get("step"), selected, active });
    const choosing = facts.querySelector("select:focus");
    facts.replaceChildren(...detail(tape, selected, forward(), (key) => view.set({ selected: key })));
    if (choosing) facts.querySelector("select")?.focus();
  }
  let due = false, moved = false;
  /** Paint once for all traits that change together. */
  function soon(walked = false) {
    moved ||= walked;
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      paint();
      if (moved) reveal();
      moved = false;
    });
  }
  let stepped = false; // in Python: a step is one message, and what it selects the next
  for (const key of ["step", "phase", "selected"]) view.on(`change:${key}`, () => {
    soon(key !== "selected" || (stepped && get("selected") === `#${get("step")}`));
    stepped = key === "step";
  });
  paint();
  view.sized(picture.root, () => reveal());
  return () => (stop(), view.dispose());
}

export default { render };
