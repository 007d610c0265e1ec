"""Chains of operations that act number by number, tile by tile: what one makes the next finds in the nearest cache.

Ten operations on ten million numbers would read and write memory ten times. Here a tile goes through all ten before the
next one comes, so memory is read once and written once.
"""

from __future__ import annotations

from d2lblocks.kernels import elementwise as E
from d2lblocks.kernels.product import Inner, floats

TILE = 512  # numbers of a tile: a dozen tiles of 2 KB fit into the nearest cache
LONG = 2**16  # numbers of a chain that may be worth a loop of its own
SUM, DIFFERENCE, PRODUCT, QUOTIENT, LARGER, SMALLER = range(6)  # of two arrays
RELU_BACK, SIGMOID_BACK, TANH_BACK = range(6, 9)  # of a gradient and of what the activation has made
SAME, NEGATIVE, EXP, TANH, SIGMOID, RELU, ROOT, ABSOLUTE, ERF = range(9, 18)  # of one array


@Inner
def both(kind, n, a, b, to):  # noqa: C901
    """Write a + b, a - b, ... at `to`: n numbers at addresses."""
    x, y, z = floats(a, n), floats(b, n), floats(to, n)
    if kind == SUM:
        for i in range(n):
            z[i] = x[i] + y[i]
    elif kind == DIFFERENCE:
        for i in range(n):
            z[i] = x[i] - y[i]
    elif kind == PRODUCT:
        for i in range(n):
            z[i] = x[i] * y[i]
    elif kind == QUOTIENT:
        for i in range(n):
            z[i] = x[i] / y[i]
    elif kind == LARGER:
        for i in range(n):
            z[i] = E.larger(x[i], y[i])
    elif kind == SMALLER:
        for i in range(n):
            z[i] = E.smaller(x[i], y[i])
    elif kind == RELU_BACK:
        for i in range(n):
            z[i] = E.relu_back(x[i], y[i])
    elif kind == SIGMOID_BACK:
        for i in range(n):
            z[i] = E.sigmoid_back(x[i], y[i])
    else:
        for i in range(n):
            z[i] = E.tanh_back(x[i], y[i])


@Inner
def one(kind, n, a, to):  # noqa: C901
    """Write -a, exp(a), ... at `to`: n numbers at addresses."""
    x, z = floats(a, n), floats(to, n)
    if kind == SAME:
        for i in range(n):
            z[i] = x[i]
    elif kind == NEGATIVE:
        for i in range(n):
            z[i] = -x[i]
    elif kind == EXP:
        for i in range(n):
            z[i] = E.exp(x[i])
    elif kind == TANH:
        for i in range(n):
            z[i] = E.tanh(x[i])
    elif kind == SIGMOID:
        for i in range(n):
            z[i] = E.sigmoid(x[i])
    elif kind == RELU:
        for i in range(n):
            z[i] = E.relu(x[i])
    elif kind == ROOT:
        for i in range(n):
            z[i] = E.root(x[i])
    elif kind == ABSOLUTE:
        for i in range(n):
            z[i] = abs(x[i])
    else:
        for i in range(n):
            z[i] = E.erf(x[i])


@Inner
def chain(rows, first, last, slots, n):
    """Do rows first to last - 1 on n numbers. Bits 1, 2, 4 of a row's flags say which of a, b, to go on with the tiles.

    The last slot is room for one tile.
    """
    start = 0
    while start < n:
        size = min(TILE, n - start)
        for r in range(first, last):
            row = rows[r]
            kind, flags = row[1], row[2]
            a = slots[row[5]] + 4 * start * (flags & 1)
            b = slots[row[6]] + 4 * start * ((flags >> 1) & 1)
            to = slots[row[7]] + 4 * start * ((flags >> 2) & 1)
            if a == to or b == to:  # in place: a compiler fears arrays that overlap, and does number after number
                apart = slots[len(slots) - 1]
                one(SAME, size, to, apart)
                a, b = apart if a == to else a, apart if b == to else b
            if kind < SAME:
                both(kind, size, a, b, to)
            else:
                one(kind, size, a, to)
        start += TILE
