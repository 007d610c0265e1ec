"""What all optimizers share: learning rate, weight decay, multipliers, and one state per parameter."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, kind_of
from d2lblocks.kernels.update import prepared
from d2lblocks.np.ndarray import ndarray
from d2lblocks.registry import Named


class Optimizer(Named):
    """Base: subclasses write `make_state(raw)` and `move(raw, grad, state, lr, wd, t)` on raw arrays, in place.

    What a rule calls g is rescale_grad * gradient, clipped to [-clip_gradient, clip_gradient], plus wd * weight.
    """

    kind = "optimizer"

    def __init__(self, rescale_grad: float = 1.0, param_idx2name: Any = None, wd: float = 0.0,
                 clip_gradient: float | None = None, learning_rate: float | None = None, lr_scheduler: Any = None,
                 sym: Any = None, begin_num_update: int = 0, multi_precision: bool = False,
                 param_dict: dict | None = None):  # fmt: skip
        self.rescale_grad, self.wd, self.clip_gradient = rescale_grad, wd, clip_gradient
        self.lr = 0.01 if learning_rate is None else _rate(learning_rate)
        self.lr_scheduler = lr_scheduler
        if lr_scheduler is not None and learning_rate is not None:
            lr_scheduler.base_lr = learning_rate
        self.num_update = begin_num_update
        self.param_dict = param_dict or {}
        self._counts: dict[Any, int] = {}

    @property
    def learning_rate(self) -> float:
        """The learning rate now; a scheduler knows it by the number of updates."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate, unless a scheduler does."""
        if self.lr_scheduler is not None:
            raise ArgumentError("The learning rate comes from the lr_scheduler; it cannot be set beside it.")
        self.lr = _rate(lr)

    def _own(self, index: Any) -> Any:
        return self.param_dict.get(index)

    def create_state(self, index: Any, weight: ndarray) -> Any:
        """Return what this optimizer remembers of a parameter between updates."""
        return self.make_state(weight._data)

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the state for a parameter; None if nothing is remembered."""
        return None

    def update(self, index: Any, weight: ndarray, grad: ndarray, state: Any) -> None:
        """Move `weight` in place by one step."""
        p = self._own(index)
        t = self._counts[index] = self._counts.get(index, 0) + 1
        self.num_update = max(self.num_update, t)
        lr = self.learning_rate * (1.0 if p is None else p.lr_mult)
        wd = self.wd * (1.0 if p is None else p.wd_mult)
        self.move(weight._data, grad._data, state, lr, wd, t)
        weight._written()

    def move(self, raw: onp.ndarray, grad: onp.ndarray, state: Any, lr: float, wd: float, t: int) -> None:
        """Change `raw` in place; override."""
        raise NotImplementedError(f"{type(self).__name__} has no move(raw, grad, state, lr, wd, t).")

    def _common(self, wd: float) -> tuple[float, float, float]:
        """Return (rescale, clip, wd) as `kernels.update` takes them."""
        return self.rescale_grad, self.clip_gradient or 0.0, wd

    def _prepared(self, raw: onp.ndarray, grad: onp.ndarray, wd: float) -> Any:
        return prepared(raw, grad, *self._common(wd))


def register(klass: type) -> type:
    """Do nothing but return the class: subclasses of Optimizer are known by being defined."""
    return klass


def create(name: Any, **kwargs: Any) -> Optimizer:
    """Return the optimizer of this name with these arguments, or the optimizer given."""
    if isinstance(name, Optimizer):
        if kwargs:
            raise AssertionError("optimizer_params must be None if optimizer is an Optimizer instance; set them there.")
        return name
    if not isinstance(name, str):
        raise ArrayTypeError(f"An optimizer is a name such as 'sgd' or an Optimizer, got {type(name).__name__}.")
    found = Optimizer.find(name)
    try:
        return found(**kwargs)
    except MXNetError:
        raise
    except TypeError as problem:  # the base's __init__ speaks: name the optimizer that was asked for
        text = str(problem).replace("Optimizer.__init__", found.__name__)
        raise ArrayTypeError(f"{text}; such arguments are learning_rate, wd, lr_scheduler.") from None


def _rate(lr: Any) -> Any:
    if isinstance(lr, bool) or not isinstance(lr, numbers.Real):
        raise ArrayTypeError(f"The learning rate is a number, got {lr!r} ({kind_of(lr)}).")
    return lr
