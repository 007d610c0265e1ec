// What is known of one node or leaf: f and f′ as source, with the numbers that went through them.
import { h } from "../common.js";
import { cut, picture, shape, words } from "./numbers.js";

const part = (name, ...inside) => h("div", { class: "tape-part" }, h("h4", {}, name), ...inside);
const hint = (...inside) => h("p", { class: "d2l-hint" }, ...inside);
const code = (source) => h("pre", { class: "tape-source", tabindex: 0 }, source);
const argument = (op, i) => op.arguments[i] ?? `argument ${i}`;
const few = (numbers) => numbers.slice(0, 6).map((k) => `#${k}`).join(", ") + (numbers.length > 6 ? ", …" : "");

/** Elements about the selected one; `choose` hears which node of a group is wanted. */
export function detail(tape, selected, forward, choose) {
  const { boxOf, boxes, leaves, long } = tape, k = boxOf(selected);
  if (k === null) return ofLeaf(tape, leaves.findIndex((one) => one.name === selected));
  const number = Number(selected.slice(1));
  return [long && ofGroup(tape, boxes[k], selected, choose), ...ofNode(tape, number, forward)].filter(Boolean);
}

function ofLeaf({ leaves, takers }, i) {
  const { name, kind, shape: sizes, dtype, value, grad } = leaves[i], by = takers[i];
  return [h("p", { class: "tape-head" }, h("b", {}, name), ` ${kind} ${shape(sizes)} ${dtype}`),
    hint(`Read by ${few(by)}.`, by.length > 1 && grad ? ` The gradients that ${few(by)} hand on add up.` : ""),
    part("values", picture(value, `${name}:`, "a")),
    part("gradient", grad ? picture(grad, `gradient of ${name}:`, "b") : hint(kind === "constant" ? "none: a constant" : "none"))];
}

function ofNode(tape, k, forward) {
  const node = tape.nodes[k - 1], op = tape.ops[node.op];
  const head = [h("p", { class: "tape-head" }, h("b", {}, `#${k}`), ` ${node.name ? `${node.name} ` : ""}= `, h("code", {}, node.formula)),
    hint([op.told, `${node.shapes.map(shape).join(", ")} ${node.dtypes[0]}`, node.block].filter(Boolean).join(" · "))];
  const ways = [ahead(tape, k, node, op, forward), back(tape, k, node, op, !forward)];
  return [...head, ...(forward ? ways : ways.reverse())];
}

function ahead({ nodes, leaves }, k, node, op, now) {
  const told = ({ node: from, out, leaf }) => (from ? nodes[from - 1].values[out] : leaf !== undefined ? leaves[leaf].value : null);
  return h("div", { class: "tape-way", "data-now": now }, h("h4", {}, "forward: f"), code(op.forward),
    node.inputs.map((one, i) => one.text !== "None" && h("p", { class: "tape-input" }, h("code", {}, `${argument(op, i)} = ${one.text}`),
      told(one) ? ` ${words(told(one))}` : "")),
    node.values.map((facts, i, all) => part(all.length > 1 ? `result z[${i}]` : "result z", picture(facts, `result of #${k}:`, "a"))));
}

function back({ users, nodes, problem }, k, node, op, now) {
  const root = h("div", { class: "tape-way", "data-now": now }, h("h4", {}, "backward: f′"));
  if (!node.grads.some(Boolean)) return root.append(hint(problem || "No gradient comes here.")), root;
  const by = users[k - 1];
  const from = k === nodes.length ? ": it starts with ones" : by.length > 1 ? `: the sum of what ${few(by)} hand on` : ` from ${few(by)}`;
  node.grads.forEach((facts, i, all) => root.append(part(`g comes in${all.length > 1 ? ` [${i}]` : ""}${facts ? from : ""}`,
    facts ? picture(facts, `gradient of #${k}:`, "b") : hint("none"))));
  for (const { of, source } of op.rules) {
    const whole = of === "all arguments", mine = (i) => whole || of.split(", ").includes(argument(op, i));
    const answers = node.gives.map((facts, i) => facts && mine(i) && part(`goes to ${node.inputs[i].text}`,
      picture(facts, `gradient to ${node.inputs[i].text}:`, "b"))).filter(Boolean);
    if (answers.length) root.append(hint(whole ? "for all arguments" : `∂/∂${of}`), code(source), ...answers);
  }
  return root;
}

function ofGroup({ nodes }, box, selected, choose) {
  const select = h("select", { onchange: () => choose(select.value) });
  for (let i = box.first; i <= box.last; i++) select.append(h("option", { value: `#${i}` }, cut(`#${i} = ${nodes[i - 1].formula}`, 48)));
  select.value = selected;
  return h("label", { class: "tape-choice" }, `${box.title}: ${box.last - box.first + 1} nodes`, select);
}

/** The whole tape as a table, for those who do not see the drawing. */
export function table({ leaves, boxes, long }) {
  const row = (name, ...cells) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", { class: "d2l-left" }, cell)));
  const heads = ["name", "computed as", "block", "values", "gradient"].map((name) => h("th", { scope: "col", class: "d2l-left" }, name));
  const rest = leaves.length > 300 ? [row("…", `${leaves.length - 300} more leaves`, "", "", "")] : [];
  return h("div", { class: "tape-scroll", tabindex: 0, role: "region", "aria-label": "All of the tape" }, h("table", { class: "d2l-table" }, h("thead", {}, h("tr", {}, heads)),
    h("tbody", {}, leaves.slice(0, 300).map((one) => row(one.name, one.kind, "", words(one.value), words(one.grad))), rest,
      boxes.map(({ first, last, node, block }) => row(`#${last}`, long ? `${last - first + 1} nodes` : node.formula, block, words(node.values[0]),
        words(node.grads.find(Boolean)))))));
}
