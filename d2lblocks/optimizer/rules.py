"""One class per rule. g is the gradient, eta the learning rate, t the number of this update."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks.kernels import update
from d2lblocks.kernels.buffers import zeros_like
from d2lblocks.kernels.update import decayed
from d2lblocks.optimizer.base import Optimizer


class SGD(Optimizer):
    """w -= eta g; with momentum m: v = m v - eta g, w += v."""

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the velocity v, if there is momentum."""
        return zeros_like(raw) if self.momentum else None

    def recipe(self, state: Any, lr: Any, wd: Any, t: int) -> tuple:
        """One step downhill."""
        if state is None:
            return update.sgd, (), (lr, *self._common(wd))
        return update.momentum, (state,), (lr, self.momentum, *self._common(wd))


class NAG(SGD):
    """Nesterov's momentum: v = m v - eta g, w += m v - eta g (Nesterov 1983)."""

    def move(self, raw: onp.ndarray, grad: onp.ndarray, state: Any, lr: float, wd: float, t: int) -> None:
        """One step, with the gradient felt where the momentum leads."""
        way = raw.dtype.type(lr) * self._prepared(raw, grad, wd)
        if state is not None:
            state *= raw.dtype.type(self.momentum)
            state -= way
            raw += raw.dtype.type(self.momentum) * state
        raw -= way


class Adam(Optimizer):
    """m, v: running means of g and g²; w -= eta_t m / (sqrt(v) + epsilon) (Kingma & Ba 2014).

    eta_t = eta sqrt(1 - beta2^t) / (1 - beta1^t) undoes that both means began at 0. g is clipped with its weight decay.
    """

    def __init__(self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                 lazy_update: bool = True, **kwargs: Any):  # fmt: skip
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the two running means."""
        return zeros_like(raw), zeros_like(raw)

    def recipe(self, state: Any, lr: Any, wd: Any, t: int) -> tuple:
        """One step of a size that does not depend on the scale of the gradient."""
        eta = lr * math.sqrt(1 - self.beta2**t) / (1 - self.beta1**t)
        return update.adam, state, (eta, self.beta1, self.beta2, self.epsilon, *self._common(wd))


class AdaGrad(Optimizer):
    """s += g²; w -= eta (g / sqrt(s + eps) + wd w) (Duchi et al. 2011): here g is without the weight decay."""

    def __init__(self, eps: float = 1e-7, **kwargs: Any):
        super().__init__(**kwargs)
        self.eps = eps

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the sum of squares."""
        return zeros_like(raw)

    def move(self, raw: onp.ndarray, grad: onp.ndarray, state: Any, lr: float, wd: float, t: int) -> None:
        """One step, shorter where gradients were large."""
        real = raw.dtype.type
        g = self._prepared(raw, grad, 0.0)
        state += g * g
        raw -= real(lr) * (g / onp.sqrt(state + real(self.eps)) + real(wd) * raw)


class RMSProp(Optimizer):
    """s = gamma1 s + (1 - gamma1) g²; w -= eta g / sqrt(s + epsilon) (Tieleman & Hinton 2012). g is clipped with its decay."""

    def __init__(self, learning_rate: float = 0.001, gamma1: float = 0.9, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1, self.epsilon = gamma1, epsilon

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the running mean of squares."""
        return zeros_like(raw)

    def move(self, raw: onp.ndarray, grad: onp.ndarray, state: Any, lr: float, wd: float, t: int) -> None:
        """One step, shorter where gradients have lately been large."""
        real = raw.dtype.type
        g = decayed(raw, grad, *self._common(wd))
        state *= real(self.gamma1)
        state += real(1 - self.gamma1) * (g * g)
        raw -= real(lr) * g / onp.sqrt(state + real(self.epsilon))
