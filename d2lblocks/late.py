"""The gradient of a layer's weight as the product that it is, hᵀ x, not yet multiplied out.

Few examples make a big gradient out of few numbers: for x (8, 784) and h (8, 256) it has 24 times as many. Whoever asks
for it gets it multiplied out. Plain SGD never asks: it takes w - eta hᵀ x in one pass over w, to the very same last bit.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels.buffers import empty
from d2lblocks.kernels.dense import NONE, SHORT, SPAN, descend, forward_loop
from d2lblocks.tape import Due, Leaf

BIG = 2**15  # numbers of a weight for which it pays off
MANY = 2  # so many times as many numbers as x, which is copied


def pays_off(n: int, k: int, m: int) -> bool:
    """Return whether the gradient of a weight (m, k) for n examples is better kept as a product."""
    return k * m >= max(BIG, MANY * n * k) and n <= max(SHORT, SPAN // m)


def waiting(n: int, leaf: Leaf) -> Late | None:
    """Return room for the factors of a leaf's gradient (m, k) from n examples; None where it is better multiplied out now.

    A gradient that waits there, or has waited, is about to be replaced: its room will do.
    """
    (m, k), old = leaf.buffer.shape, leaf.late
    if type(old) is Late and not old.fixed and old.t.shape == (k, n):
        return old
    fits = pays_off(n, k, m) and leaf.buffer.dtype == onp.float32 and leaf.buffer.T.flags.carray
    return Late(n, k, m) if fits else None


class Late(Due):
    """The gradient hᵀ x of a weight (m, k) whose columns lie side by side: t (k, n), xᵀ, and h (n, m) are kept for it."""

    __slots__ = ("t", "h", "step", "fixed")

    def __init__(self, n: int, k: int, m: int, fixed: bool = False):
        self.fixed = fixed  # rows of a program write there, whoever else holds it
        self.t, self.h = empty((k, n), onp.float32), empty((n, m), onp.float32)
        self.step = onp.empty(2, onp.float32)

    def write(self, grad: onp.ndarray) -> None:
        """grad = hᵀ x, in whatever order it lies."""
        side_by_side = grad.T.flags.carray
        columns = grad.T if side_by_side else empty(grad.T.shape, grad.dtype)
        forward_loop.run(self.t, self.h, NONE, False, columns)
        if not side_by_side:
            grad[...] = columns.T

    def move(self, w: onp.ndarray, eta: float, rescale: float) -> None:
        """w -= eta (rescale hᵀ x)."""
        self.step[:] = rescale, eta
        descend.run(self.t, self.h, w.T, self.step)
