"""The gradient of a layer's weight as the product that it is, hᵀ x, not yet multiplied out.

Few examples make a big gradient out of few numbers: for x (8, 784) and h (8, 256) it has 24 times as many. Whoever asks
for it gets it multiplied out. Plain SGD never asks: it takes w - eta hᵀ x in one pass over w, to the very same last bit.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels.dense import SHORT, backward, descend

BIG = 2**15  # numbers of a weight for which it pays off
FEW = 4  # so many times as many numbers as x has


def pays_off(n: int, k: int, m: int) -> bool:
    """Return whether the gradient of a weight (m, k) for n examples is better kept as a product."""
    return n <= SHORT and k * m >= max(BIG, FEW * n * k)


class Late:
    """The gradient hᵀ x of a weight (m, k) whose columns lie side by side: x (n, k) and h (n, m) are kept for it."""

    __slots__ = ("x", "h", "step")

    def __init__(self, n: int, k: int, m: int):
        self.x, self.h = onp.empty((n, k), onp.float32), onp.empty((n, m), onp.float32)
        self.step = onp.empty(2, onp.float32)

    def write(self, grad: onp.ndarray) -> None:
        """grad = hᵀ x."""
        backward(self.h, self.h, self.x, grad.T, False, grad.T, None, False)

    def move(self, w: onp.ndarray, eta: float, rescale: float) -> None:
        """w -= eta (rescale hᵀ x)."""
        self.step[:] = rescale, eta
        descend.run(self.x, self.h, w.T, self.step)
