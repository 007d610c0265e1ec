"""Chains of operations that act number by number, tile by tile: what one makes the next finds in the nearest cache.

Ten operations on ten million numbers would read and write memory ten times. Here a tile goes through all ten before the
next one comes, so memory is read once and written once.
"""

from __future__ import annotations

from d2lblocks.kernels.elementwise import erf, exp, larger, relu, root, sigmoid, smaller, tanh
from d2lblocks.kernels.product import Inner, floats

TILE = 512  # numbers of a tile: a dozen tiles of 2 KB fit into the nearest cache
LONG = 2**16  # numbers of a chain that may be worth a loop of its own
SUM, DIFFERENCE, PRODUCT, QUOTIENT, LARGER, SMALLER = range(6)  # of two arrays
NEGATIVE, EXP, TANH, SIGMOID, RELU, ROOT, ABSOLUTE, ERF = range(6, 14)  # of one


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
            z[i] = larger(x[i], y[i])
    else:
        for i in range(n):
            z[i] = smaller(x[i], y[i])


@Inner
def one(kind, n, a, to):  # noqa: C901
    """Write -a, exp(a), ... at `to`: n numbers at addresses."""
    x, z = floats(a, n), floats(to, n)
    if kind == NEGATIVE:
        for i in range(n):
            z[i] = -x[i]
    elif kind == EXP:
        for i in range(n):
            z[i] = exp(x[i])
    elif kind == TANH:
        for i in range(n):
            z[i] = tanh(x[i])
    elif kind == SIGMOID:
        for i in range(n):
            z[i] = sigmoid(x[i])
    elif kind == RELU:
        for i in range(n):
            z[i] = relu(x[i])
    elif kind == ROOT:
        for i in range(n):
            z[i] = root(x[i])
    elif kind == ABSOLUTE:
        for i in range(n):
            z[i] = abs(x[i])
    else:
        for i in range(n):
            z[i] = erf(x[i])


@Inner
def copied(n, a, to):
    """Copy n numbers to another place; returns it."""
    x, y = floats(a, n), floats(to, n)
    for i in range(n):
        y[i] = x[i]
    return to


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
                apart = copied(size, to, slots[len(slots) - 1])
                a, b = apart if a == to else a, apart if b == to else b
            if kind < NEGATIVE:
                both(kind, size, a, b, to)
            else:
                one(kind, size, a, to)
        start += TILE
