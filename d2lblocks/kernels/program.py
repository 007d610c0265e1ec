"""The loop that walks a recorded program: every row of its table is a piece of work, with sizes and with places of numbers.

A row is (code, four numbers, seven places); slots[place] is the address of the first number there, 0 where there is
none. Numbers are float32 and lie side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from d2lblocks.kernels import tiles
from d2lblocks.kernels._jit import Integers, Table, Work, kernel
from d2lblocks.kernels.dense import gradients, panel
from d2lblocks.kernels.elementwise import exp
from d2lblocks.kernels.product import Inner, floats, ints, longs, product, transpose

WIDTH = 12  # of a row
DENSE, DENSE_BACK, LOSS, LOSS_BACK, TURN, TOTAL, SPREAD, CHAIN, LINK = range(9)
ACTS = {"relu": tiles.RELU, "sigmoid": tiles.SIGMOID, "tanh": tiles.TANH}
BACK = {"relu": tiles.RELU_BACK, "sigmoid": tiles.SIGMOID_BACK, "tanh": tiles.TANH_BACK}
LABELS = ("float32", "int32", "int64")


@Inner
def label(kind, at, i):
    """Return label i, of one of the kinds in LABELS; -1 for NaN and whatever is below 0."""
    if kind == 0:
        x = floats(at, i + 1)[i]
        return int(x) if x >= 0 else -1
    if kind == 1:
        return int(ints(at, i + 1)[i])
    return int(longs(at, i + 1)[i])


@Inner
def loss(n, k, kind, scores, labels, out, remembered):
    """out = log(sum(exp(s))) - s[label], row by row, and softmax(s) for the way back; returns whether all labels are."""
    s, p, l = floats(scores, n * k), floats(remembered, n * k), floats(out, n)  # noqa: E741
    for i in range(n):
        right = label(kind, labels, i)
        if right < 0 or right >= k:
            return False
        row = i * k
        top = s[row]
        for j in range(row, row + k):
            if s[j] > top or s[j] != s[j]:  # NaN wins, so that it shows
                top = s[j]
        total = s.dtype.type(0)
        for j in range(row, row + k):
            p[j] = exp(s[j] - top)
            total += p[j]
        l[i] = math.log(total) - (s[row + right] - top)
        for j in range(row, row + k):
            p[j] /= total
    return True


@Inner
def loss_back(n, k, kind, at, labels, remembered, to):
    """to = g (softmax(s) - onehot(label)), row by row."""
    g, p, ds = floats(at, n), floats(remembered, n * k), floats(to, n * k)
    for i in range(n):
        for j in range(i * k, i * k + k):
            ds[j] = p[j] * g[i]
        ds[i * k + label(kind, labels, i)] -= g[i]


@Inner
def total(n, k, mean, at, to):
    """to = the sum of each row, or its mean: (n, k) -> (n,). Eight sums at a time, of few numbers each: they lose little."""
    x, y = floats(at, n * k), floats(to, n)
    for i in range(n):
        whole = 0.0
        j, end = i * k, i * k + k
        while j < end:
            stop = min(j + 256, end)
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = x.dtype.type(0)
            while j + 8 <= stop:
                s0, s1, s2, s3 = s0 + x[j], s1 + x[j + 1], s2 + x[j + 2], s3 + x[j + 3]
                s4, s5, s6, s7 = s4 + x[j + 4], s5 + x[j + 5], s6 + x[j + 6], s7 + x[j + 7]
                j += 8
            while j < stop:
                s0 += x[j]
                j += 1
            whole += float(((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)))
        y[i] = whole / k if mean else whole


@Inner
def spread(n, k, mean, at, to):
    """to = g in each place of the row that it is the gradient of: (n,) -> (n, k); of a mean, g / k."""
    g, dx = floats(at, n), floats(to, n * k)
    share = g.dtype.type(1.0 / k if mean else 1.0)
    for i in range(n):
        for j in range(i * k, i * k + k):
            dx[j] = g[i] * share


def alone(row: Sequence[int]) -> bool:
    """Return whether a row begins a chain so long that it is called by itself: see kernels/chain.py."""
    return row[0] == CHAIN and row[1] >= tiles.LONG


def within_chains(stretches: list[list]) -> dict[int, list]:
    """Return the places that no rows but links of one chain touch, each with these links."""
    touched: dict[int, list] = {}
    chains: dict[int, set] = {}
    for rows in stretches:
        head = None
        for row in rows:
            head = row if row[0] == CHAIN else head
            for place in set(row[5:]):
                touched.setdefault(place, []).append(row)
                chains.setdefault(place, set()).add(id(head) if row[0] == LINK else None)
    return {place: touched[place] for place, found in chains.items() if len(found) == 1 and None not in found}


def work(row: list[int]) -> int:
    """Return how much work a row is, in numbers read or written at full speed."""
    code, n, k, m = row[:4]
    if code in (DENSE, DENSE_BACK):
        return n * k * m // 16
    return n * max(k, 1)


@kernel()
def walk(rows: Table, slots: Integers, status: Integers, work: Work):  # noqa: C901
    """Do the work of every row in order; status[0] becomes 1 where a label is no class."""
    for r in range(len(rows)):
        row = rows[r]
        code, n, k, m, kind = row[0], row[1], row[2], row[3], row[4]
        a, b, c, d = slots[row[5]], slots[row[6]], slots[row[7]], slots[row[8]]
        e, f, g = slots[row[9]], slots[row[10]], slots[row[11]]
        if code == DENSE:  # x, w, bias, y
            product(n, k, m, a, k, 1, b, m, d, m, c, 0, kind, 0)
        elif code == DENSE_BACK:  # dy, y, x, w, dx, dw, db, and room for h and for rows of wᵀ
            h = a
            spare = slots[len(slots) - 1]
            if kind:
                tiles.both(kind, n * m, a, b, spare)
                h = spare
            gradients(n, k, m, c, d, h, e, f, g, spare + 4 * n * m, panel(n, k, m))
        elif code == LOSS:  # scores, labels, loss, softmax
            if not loss(n, k, kind, a, b, c, d):
                status[0] = 1
                return
        elif code == LOSS_BACK:  # dloss, labels, softmax, dscores
            loss_back(n, k, kind, a, b, c, d)
        elif code == CHAIN:  # of so many numbers, and so many links, which are rows (LINK, kind, flags, 0, 0, a, b, to)
            tiles.chain(rows, r + 1, r + 1 + k, slots, n)
        elif code == TURN:  # x, xᵀ
            transpose(n, k, a, k, b, n)
        elif code == TOTAL:  # x, sums
            total(n, k, kind, a, b)
        elif code == SPREAD:  # dsums, dx
            spread(n, k, kind, a, b)
