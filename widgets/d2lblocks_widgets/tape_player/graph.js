// What is drawn: a box per node of the tape, or per group of a long one, and who reads what.

/** What stands in a box: the whole formula if there is room, else the name of the operation. */
function title(k, node, op) {
  const whole = node.name ? `${node.name} = ${node.formula}` : node.formula;
  const fits = (words) => words && words.length + String(k).length < 17;
  return fits(whole) ? `#${k} = ${whole}` : fits(node.name) ? `#${k} = ${node.name}` : `#${k} ${op.title}`;
}

/**
 * Read a record: its boxes, `at` (the box of each node), `users` and `takers` (who reads each node, each leaf).
 * A box knows the boxes it reads (`ins`), those that read it (`outs`) and the leaves beside it (`side`).
 */
export function graph(record) {
  const { nodes, leaves, ops, groups } = record, long = groups.length > 0;
  const spans = long ? groups : nodes.map((node, k) => ({ first: k + 1, last: k + 1, label: node.block }));
  const at = [];
  spans.forEach(({ first, last }, k) => { for (let i = first; i <= last; i++) at[i] = k; });
  const users = nodes.map(() => []), takers = leaves.map(() => []);
  nodes.forEach(({ inputs }, k) => inputs.forEach(({ node, leaf }) => {
    if (node) users[node - 1].push(k + 1);
    else if (leaf !== undefined) takers[leaf].push(k + 1);
  }));
  const boxes = spans.map(({ first, last, label }, k) => {
    const read = nodes.slice(first - 1, last).flatMap((node) => node.inputs), node = nodes[last - 1];
    const ins = read.filter((one) => one.node && at[one.node] !== k).map((one) => at[one.node]);
    const beside = long ? [] : [...new Set(read.filter((one) => one.leaf !== undefined).map((one) => one.leaf))];
    return { k, first, last, node, block: label, ins: long ? [...new Set(ins)] : ins, outs: [],
      side: beside.map((leaf) => ({ leaf, again: takers[leaf][0] < first, h: leaves[leaf].kind === "constant" ? 36 : 50 })),
      title: long ? label || `#${first} – #${last}` : title(first, node, ops[node.op]) };
  });
  boxes.forEach((box) => box.ins.forEach((from) => boxes[from].outs.push(box.k)));
  /** The box of "#4"; null for the name of a leaf. */
  const boxOf = (key) => (/^#\d+$/.test(key) ? at[Number(key.slice(1))] : null);
  return { ...record, long, boxes, at, users, takers, boxOf };
}
