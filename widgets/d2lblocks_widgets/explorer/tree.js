// The tree of blocks and parameters: the ARIA tree pattern, one row of it made when it is first seen.

import { fresh, h } from "../common.js";
import { shapeText, spoken, tieText, whole } from "./facts.js";

const OPEN_ALL = 40; // a tree of so few rows opens whole

/** Would this row look the same? */
const isSame = (was, row) => ["text", "state", "kind", "tie"].every((key) => was[key] === row[key])
  && `${was.shape}` === `${row.shape}` && was.below.length === row.below.length;

/** The tree: one row for each block and parameter; arrows walk it, what has the focus is selected. */
export function makeTree(choose) {
  const root = h("div", { class: "x-tree", role: "tree", "aria-label": "Blocks and parameters" });
  const id = fresh("row");
  let rows = [], open = new Set(), made = [], kept = null, chosen = 0, typed = "", last = 0;

  const isOpen = (row) => (kept ? true : open.has(row.accessor)) && row.below.length > 0;
  const list = () => {
    const out = [];
    const walk = (row) => {
      if (kept && !kept.has(row)) return;
      out.push(row);
      if (isOpen(row)) row.below.forEach(walk);
    };
    walk(rows[0]);
    return out;
  };
  function element(row) {
    const facts = row.isParameter
      ? [shapeText(row.shape, row.learned), tieText(row), h("span", { class: "x-name" }, row.name), h("span", { class: "x-count" }, whole(row.count))]
      : [h("span", { class: "x-kind" }, row.text.replace("-1 ->", "? →").replace("->", "→").replace(/Activation\((\w+)\)/, "$1"))];
    const label = row.isParameter
      ? `${row.key}, ${row.kind}, shape ${spoken(row.shape)}, ${row.state}${row.tie ? `, tied, group ${row.tie}` : ""}`
      : `${row.key}, ${row.text}`;
    const node = h("div", { role: "treeitem", id: `${id}-${row.i}`, "aria-level": row.depth + 1, "aria-label": label,
      class: row.isParameter ? "x-row" : "x-row x-block", style: `--d:${row.depth}` },
      h("span", { class: "x-twist" }, row.below.length ? "▸" : ""), h("code", { class: "x-step" }, row.step), facts);
    node.row = row;
    return node;
  }
  function paint() {
    const focus = root.contains(root.getRootNode().activeElement), now = list();
    const there = now.some((row) => row.i === chosen); // if not it is chosen still, but the first row has the tab stop
    root.replaceChildren(...now.map((row) => {
      const node = (made[row.i] ??= element(row)), on = row.i === chosen;
      if (row.below.length) node.setAttribute("aria-expanded", isOpen(row));
      node.setAttribute("aria-selected", on);
      node.tabIndex = on || (!there && row === now[0]) ? 0 : -1;
      return node;
    }));
    if (focus) root.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }
  /** Another row that is there already is selected: nothing is made or moved, a thousand rows cost as much as ten. */
  function mark(row) {
    const was = root.querySelector("[tabindex='0']"), node = made[row.i];
    was?.setAttribute("aria-selected", false);
    if (was) was.tabIndex = -1;
    node.setAttribute("aria-selected", true);
    node.tabIndex = 0;
  }
  function show(row) {
    const node = made[row.i];
    if (!node?.isConnected) return;
    const at = node.offsetTop;
    if (at < root.scrollTop) root.scrollTop = at;
    else if (at + 22 > root.scrollTop + root.clientHeight) root.scrollTop = at + 22 - root.clientHeight;
  }
  function toggle(row, on) {
    if (!row.below.length || kept) return;
    open[on ? "add" : "delete"](row.accessor);
    paint();
  }
  function go(row) {
    if (!row) return;
    choose(row);
    made[row.i].focus({ preventScroll: true });
    show(row);
  }
  /** Type-ahead: letters typed in a row are a word; one letter again and again goes from hit to hit. */
  function find(letter, now, at) {
    typed = Date.now() - last < 600 ? typed + letter : letter;
    last = Date.now();
    const search = (word, from) => [...now.slice(from), ...now.slice(0, from)].find((row) =>
      [row.key, row.kind].some((name) => name.toLowerCase().startsWith(word)));
    const found = typed.length > 1 && search(typed, at);
    if (!found) typed = letter;
    return found || search(letter, at + 1);
  }
  function key(event) {
    const row = event.target.row, now = list(), at = now.indexOf(row);
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowDown: () => go(now[at + 1]),
      ArrowUp: () => go(now[at - 1]),
      Home: () => go(now[0]),
      End: () => go(now.at(-1)),
      ArrowRight: () => (isOpen(row) ? go(now[at + 1]) : toggle(row, true)),
      ArrowLeft: () => (isOpen(row) && !kept ? toggle(row, false) : go(row.up)),
      Enter: () => toggle(row, !isOpen(row)),
      " ": () => toggle(row, !isOpen(row)),
      "*": () => ((row.up?.below ?? [row]).forEach((one) => open.add(one.accessor)), paint()),
    }[event.key] ?? (event.key.length === 1 && (() => go(find(event.key.toLowerCase(), now, at))));
    if (!act) return;
    event.preventDefault();
    act();
  }
  root.addEventListener("keydown", key);
  root.addEventListener("animationend", ({ target }) => target.classList.remove("d2l-flash")); // or it would flash when shown again
  root.addEventListener("click", (event) => {
    const row = event.target.closest("[role=treeitem]")?.row;
    if (row) go(row);
    if (row && event.target.closest(".x-twist")) toggle(row, !isOpen(row));
  });
  return {
    root,
    /** New facts: rows whose facts changed are made anew, sizes that became known flash. */
    update(now) {
      const before = rows;
      rows = now;
      const known = new Set(before.map((row) => row.accessor)), depth = rows.length > OPEN_ALL ? 1 : Infinity;
      for (const row of rows) if (row.depth < depth && !known.has(row.accessor)) open.add(row.accessor);
      made = rows.map((row) => {
        const was = before[row.i], node = made[row.i];
        if (!node || was?.accessor !== row.accessor) return undefined;
        if (isSame(was, row)) return (node.row = row), node;
        const next = element(row);
        if (`${was.shape}` !== `${row.shape}`) next.classList.add("d2l-flash");
        return next;
      });
      paint();
    },
    /** Select a row; what is above it opens. */
    select(row) {
      chosen = row.i;
      const opened = open.size, node = made[row.i];
      for (let up = row.up; up; up = up.up) open.add(up.accessor);
      if (node?.parentNode === root && (kept || open.size === opened)) mark(row);
      else paint();
      show(row);
    },
    /** Show these parameters and what is above them only; null shows all. */
    filter(matching) {
      kept = matching && new Set([rows[0]]);
      for (let row of matching ?? []) for (; row && !kept.has(row); row = row.up) kept.add(row);
      root.classList.toggle("x-filtered", Boolean(kept));
      paint();
    },
    openAll(on) {
      open = new Set(rows.filter((row) => on || !row.depth).map((row) => row.accessor));
      paint();
    },
  };
}
