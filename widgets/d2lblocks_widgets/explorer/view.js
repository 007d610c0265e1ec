import { fresh, h, mount } from "../common.js";
import { makeHistogram } from "./bars.js";
import { detail } from "./detail.js";
import { below, plural, read } from "./facts.js";
import { makeFilter } from "./filter.js";
import { makeHeatmap } from "./heatmap.js";
import { makeTimeline } from "./timeline.js";
import { makeTree } from "./tree.js";

const TABS = { histogram: "Histogram", heatmap: "Heat map", shapes: "Shape timeline" };

/** Tabs, of which one is chosen; arrows move on. */
function makeTabs(panel, choose) {
  const keys = Object.keys(TABS);
  const buttons = keys.map((key) => h("button", { type: "button", role: "tab", id: fresh("tab"), "aria-controls": panel.id,
    onclick: () => choose(key) }, TABS[key]));
  const root = h("div", { role: "tablist", class: "x-tabs", "aria-label": "What to show" }, buttons);
  root.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = (buttons.indexOf(event.target) + by + keys.length) % keys.length;
    choose(keys[next]);
    buttons[next].focus();
  });
  const show = (now) => keys.forEach((key, i) => {
    buttons[i].setAttribute("aria-selected", key === now);
    buttons[i].tabIndex = key === now ? 0 : -1;
    if (key === now) panel.setAttribute("aria-labelledby", buttons[i].id);
  });
  return { root, show };
}

/** Why the selected row has no picture. */
function excuse(row, missing, follows, gone) {
  if (!row.isParameter) return "Choose a parameter to see its numbers.";
  if (missing && gone) return "Its numbers were not asked for before the kernel went.";
  if (missing) return "Asking the kernel for its numbers …";
  if (!follows && row.state === "ready") return "Its numbers were not asked for while this view followed the net.";
  return `No numbers yet: ${row.state === "constructed" ? "net.initialize()" : "the first batch that reaches its block"} will make them.`;
}

/** Run the jobs that traits ask for, once for all traits that arrive together. */
function batch() {
  let due = null;
  return (job) => () => {
    if (!due) {
      due = new Set();
      queueMicrotask(() => {
        const jobs = [...due].sort((a, b) => a.order - b.order);
        due = null;
        jobs.forEach((one) => one());
      });
    }
    due.add(job);
  };
}

function render({ model, el }) {
  const view = mount({ model, el }, "Explorer of a net"), get = (key) => model.get(key);
  const title = h("h3", { class: "d2l-title" }), panel = h("div", { role: "tabpanel", id: fresh("panel") });
  const parted = h("p", { class: "d2l-hint", hidden: true }, "Follows the net no more: the cell that made this view was run again.");
  const choose = (row) => view.set({ selected: row.accessor });
  const tree = makeTree(choose), filter = makeFilter(view, model), tabs = makeTabs(panel, (tab) => view.set({ tab }));
  const bars = makeHistogram(view), heat = makeHeatmap(view), timeline = makeTimeline((step) => view.set({ step }));
  const words = h("div", {}), nothing = h("p", { class: "x-nothing" });
  const button = (text, all) => h("button", { type: "button", class: "d2l-button", onclick: () => tree.openAll(all) }, text);
  const both = h("div", { class: "x-both" },
    h("div", {}, h("div", { class: "d2l-bar x-open" }, button("Expand all", true), button("Collapse", false)), tree.root),
    h("div", {}, words, nothing, bars.root, heat.root));
  panel.append(both, timeline.root);
  view.root.append(title, parted, filter.root, tabs.root, panel);
  let facts = null, drawn = null, missing = false;

  const selected = () => facts.rows.find((row) => row.accessor === get("selected")) ?? facts.rows[0];
  function wait() {
    const ask = get("ask");
    view.waiting(missing || (ask !== "" && ask === get("pattern") && get("matched").pattern !== ask));
  }
  function showNet() {
    facts = read(model);
    const { all, count, unknown } = below(facts.rows[0]);
    const open = unknown ? `, and ${plural(unknown, "array")} of unknown size` : "";
    title.textContent = `${facts.rows[0].kind}: ${plural(all.length, "parameter")}, ${plural(count, "number")}${open}`;
    parted.hidden = get("follows");
    tree.update(facts.rows);
    showFilter();
    showSelected();
    showStory();
  }
  function showFilter() {
    const found = filter.apply(facts.rows);
    if (found !== undefined) tree.filter(found);
    wait();
  }
  function showSelected() {
    tree.select(selected());
    words.replaceChildren(...detail(selected(), facts, view, choose));
    showNumbers();
  }
  /** Within a running cell the frame has the newest numbers, else they are those after the last cell. */
  function showNumbers() {
    const row = selected(), frame = get("frame"), layers = frame[row.i] ?? get("hists")[row.i], map = get("maps")[row.i];
    const isMap = get("tab") === "heatmap", there = isMap ? map : layers?.values;
    bars.root.hidden = isMap || !there;
    heat.root.hidden = !isMap || !there;
    if (there && isMap) heat.update(map, row.accessor);
    else if (there) bars.update(layers, row.accessor, Object.keys(frame).length > 0 && !frame[row.i]);
    missing = row.isParameter && row.state === "ready" && !there && get("follows");
    nothing.hidden = Boolean(there);
    nothing.textContent = excuse(row, missing, get("follows"), view.gone());
    if (missing && get("want").at(-1) !== row.i) view.set({ want: [...get("want").filter((i) => i !== row.i), row.i].slice(-4) });
    wait();
  }
  function showStory() {
    if (get("tab") !== "shapes") return;
    if (drawn !== facts) timeline.update((drawn = facts));
    timeline.step(get("step"));
  }
  function showTab() {
    const isStory = get("tab") === "shapes";
    tabs.show(get("tab"));
    both.hidden = isStory;
    timeline.root.hidden = !isStory;
    showNumbers();
    showStory();
  }

  const soon = batch();
  const jobs = [
    [showNet, ["tree", "patch", "timeline", "follows"]], [showFilter, ["pattern", "matched"]], [showSelected, ["selected"]],
    [showNumbers, ["hists", "frame", "maps"]], [showTab, ["tab"]], [showStory, ["step"]],
  ];
  jobs.forEach(([job, traits], order) => {
    job.order = order;
    traits.forEach((trait) => view.on(`change:${trait}`, soon(job)));
  });
  view.afterwards.push(showFilter, showNumbers);
  showNet();
  showTab();
  return view.dispose;
}

export default { render };
