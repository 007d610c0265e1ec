// Where everything stands: boxes in rows by their longest path, frames around blocks.

export const WIDE = 150, SIDE = 132, GAP = 26;

/** Place boxes in rows by their longest path; what skips rows keeps a lane free in between. */
export function layout(made) {
  const rows = [];
  for (const box of made) box.rank = Math.max(-1, ...box.ins.map((k) => made[k].rank)) + 1;
  for (const box of [...made].reverse()) // what hangs on one thread stands close to where it is read
    if (box.ins.length < 2 && box.outs.length) box.rank = Math.min(...box.outs.map((k) => made[k].rank)) - 1;
  const put = (rank, cell) => ((rows[rank] ??= []).push(cell), cell);
  for (const box of made) {
    box.h = box.last > box.first ? 66 : 52;
    box.tall = Math.max(box.h, beside(box));
    Object.assign(put(box.rank, box), { up: [], down: [], l: WIDE / 2, r: WIDE / 2 + (box.side.length ? GAP + SIDE : 0), lane: {} });
  }
  for (const box of made)
    for (const k of new Set(box.outs)) {
      let from = box;
      for (let rank = box.rank + 1; rank < made[k].rank; rank++)
        from = box.lane[rank] ??= link(from, put(rank, { up: [], down: [], l: 6, r: 6, tall: 0 }));
      link(from, made[k]);
    }
  const mean = (cells, of, other) => (cells.length ? cells.reduce((sum, c) => sum + c[of], 0) / cells.length : other);
  rows.forEach((row) => row.forEach((cell, i) => (cell.i = i)));
  for (let sweep = 0; sweep < 6; sweep++)
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      row.forEach((cell) => (cell.want = mean(sweep % 2 ? cell.down : cell.up, "i", cell.i)));
      row.sort((a, b) => a.want - b.want).forEach((cell, i) => (cell.i = i));
    }
  made.forEach((box) => (box.x = 0));
  for (let sweep = 0; sweep < 40; sweep++)
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      row.forEach((cell) => (cell.want = mean(sweep === 0 ? cell.up : sweep % 2 ? cell.down : [...cell.up, ...cell.down], "x", cell.x ?? 0)));
      row.forEach((cell, i) => (cell.x = i ? Math.max(cell.want, row[i - 1].x + row[i - 1].r + 18 + cell.l) : cell.want));
      const shift = mean(row.map((cell) => ({ d: cell.want - cell.x })), "d", 0);
      row.forEach((cell) => (cell.x += shift));
    }
  const left = Math.min(...rows.flat().map((cell) => cell.x - cell.l)) - 24, gap = 30 + 10 * Math.min(2, deepest(made));
  let y = 30, width = 0;
  for (const row of rows) {
    const tall = Math.max(...row.map((cell) => cell.tall));
    for (const cell of row) (cell.x -= left), (cell.y = y + tall / 2), (cell.room = tall / 2), (width = Math.max(width, cell.x + cell.r + 24));
    y += tall + gap;
  }
  return { width, height: y - gap + 20 };
}
const deepest = (made) => made.reduce((most, box) => Math.max(most, steps(box.block).length - 1), 0);
/** The steps of an accessor: net[0].body is net, [0], .body. */
const steps = (block) => block.match(/^\w+|\[.*?\]|\.\w+/g) ?? [];
/** The height of what stands beside a box. */
export const beside = (box) => box.side.reduce((sum, one) => sum + one.h + 6, -6);
const link = (from, to) => (from.down.push(to), to.up.push(from), to);

/** Frames around what one block recorded, with its parameters, outer ones first; none where it would enclose others. */
export function frames(made) {
  const paths = [...new Set(made.flatMap(({ block }) => steps(block).map((_, i, all) => all.slice(0, i + 1).join(""))))];
  const inside = (path, outer) => path === outer || (path.startsWith(outer) && /[.[]/.test(path[outer.length]));
  const hits = (a, b) => a.x < b.right && a.right > b.x && a.y < b.bottom && a.bottom > b.y;
  const around = (boxes, side, top) => ({
    x: Math.min(...boxes.map((b) => b.x - b.l)) - side, right: Math.max(...boxes.map((b) => b.x + b.r)) + side,
    y: Math.min(...boxes.map((b) => b.y - b.tall / 2)) - top, bottom: Math.max(...boxes.map((b) => b.y + b.tall / 2)) + side });
  const drawn = [];
  for (const path of paths.filter((one) => one !== "net").sort((a, b) => steps(b).length - steps(a).length)) {
    const own = made.filter((box) => inside(box.block, path)), inner = drawn.filter((one) => inside(one.path, path));
    const level = Math.max(0, ...inner.map((one) => one.level + 1));
    const frame = { path, level, ...around(own, 8 + 4 * level, 8 + 4 * level + 13 * (level + 1)) };
    const foreign = made.some((box) => !own.includes(box) && hits(frame, around([box], 0, 0)));
    if (level < 2 && !foreign && !drawn.some((one) => !inner.includes(one) && hits(frame, one))) drawn.push(frame);
  }
  return drawn.reverse();
}
