"""What all optimizers share: learning rate, weight decay, multipliers, and one state per parameter."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, kind_of
from d2lblocks.kernels.update import prepared, step
from d2lblocks.np.ndarray import ndarray
from d2lblocks.registry import Named


class ScheduledError(ArgumentError, UserWarning):
    """The learning rate was set although a scheduler sets it; a UserWarning too, which the original raises."""


class Optimizer(Named):
    """Base: subclasses write `make_state(raw)` and `move(raw, grad, state, lr, wd, t)` on raw arrays, in place.

    What a rule calls g is rescale_grad * gradient, clipped to [-clip_gradient, clip_gradient], plus wd * weight.
    A rule may also write `create_state(index, weight)` and `update(index, weight, grad, state)` itself, on arrays. With
    `multi_precision` a float16 weight is moved in float32, of which the state begins with a copy.
    """

    kind = "optimizer"

    def __init__(self, rescale_grad: float = 1.0, param_idx2name: Any = None, wd: float = 0.0,
                 clip_gradient: float | None = None, learning_rate: float | None = None, lr_scheduler: Any = None,
                 sym: Any = None, begin_num_update: int = 0, multi_precision: bool = False,
                 param_dict: dict | None = None):  # fmt: skip
        self.rescale_grad, self.wd, self.clip_gradient = rescale_grad, wd, clip_gradient
        self.lr = 0.01 if learning_rate is None else _rate(learning_rate)
        self.lr_scheduler = lr_scheduler
        if lr_scheduler is not None and not callable(lr_scheduler):
            raise ArrayTypeError(f"lr_scheduler must be a function of the number of updates, got {lr_scheduler!r}.")
        if lr_scheduler is not None and learning_rate is not None and hasattr(lr_scheduler, "base_lr"):
            lr_scheduler.base_lr = learning_rate
        self.begin_num_update = self.num_update = begin_num_update
        self.multi_precision = multi_precision
        self.idx2name = dict(param_idx2name or {})
        self.param_dict = param_dict or {}
        self.lr_mult: dict[Any, float] = {}
        self.wd_mult: dict[Any, float] = {}
        self.set_wd_mult({})
        self._index_update_count: dict[Any, int] = {}

    @staticmethod
    def create_optimizer(name: Any, **kwargs: Any) -> Optimizer:
        """Return the optimizer of this name with these arguments."""
        return create(name, **kwargs)

    @property
    def learning_rate(self) -> float:
        """The learning rate now; a scheduler knows it by the number of updates."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate, unless a scheduler does."""
        if self.lr_scheduler is not None:
            raise ScheduledError("The learning rate comes from the lr_scheduler; it cannot be set beside it.")
        self.lr = _rate(lr)

    # ---------------------------------------------------------------------------------------- multipliers

    def set_lr_mult(self, args_lr_mult: dict) -> None:
        """Set factors of the learning rate by index or name of the weight; the others are 1."""
        self.lr_mult = dict(args_lr_mult)

    def set_wd_mult(self, args_wd_mult: dict) -> None:
        """Set factors of the weight decay. Named weights that end in neither _weight nor _gamma have 0, others 1."""
        spared = [name for name in self.idx2name.values() if not name.endswith(("_weight", "_gamma"))]
        self.wd_mult = {**dict.fromkeys(spared, 0.0), **args_wd_mult}

    def _factor(self, index: Any, kind: str) -> float:
        """Return lr_mult or wd_mult of a weight: the Parameter's own, or that set for its index or name."""
        p = self.param_dict.get(index)
        if p is not None:
            return getattr(p, kind)
        given = getattr(self, kind)
        return given.get(index, given.get(self.idx2name.get(index), 1.0))

    def _get_lr(self, index: Any) -> float:
        return self.learning_rate * self._factor(index, "lr_mult")

    def _get_wd(self, index: Any) -> float:
        return self.wd and self.wd * self._factor(index, "wd_mult")

    def _update_count(self, index: Any) -> None:
        """Count one more update of a weight."""
        t = self._index_update_count[index] = self._index_update_count.get(index, self.begin_num_update) + 1
        if t > self.num_update:
            self.num_update = t

    # ---------------------------------------------------------------------------------------- updates

    def create_state(self, index: Any, weight: ndarray) -> Any:
        """Return what this optimizer remembers of a parameter between updates."""
        raw = weight._data
        if not self._widens(raw):
            return self.make_state(raw)
        wide = raw.astype(onp.float32)
        return (wide, *parts_of(self.make_state(wide)))

    def _widens(self, raw: onp.ndarray) -> bool:
        return self.multi_precision and raw.dtype == onp.float16

    def make_state(self, raw: onp.ndarray) -> Any:
        """Return the state for a parameter; None if nothing is remembered."""
        return None

    def update(self, index: Any, weight: ndarray, grad: ndarray, state: Any) -> None:
        """Move `weight` in place by one step."""
        self.update_raw(index, weight, grad._data, state)

    def update_raw(self, index: Any, weight: ndarray, grad: onp.ndarray, state: Any) -> None:
        """Do the same with a raw gradient."""
        self._update_count(index)
        lr, wd, t, raw = self._get_lr(index), self._get_wd(index), self._index_update_count[index], weight._data
        if self._widens(raw):
            wide, *parts = parts_of(state)
            if not (wide.astype(raw.dtype) == raw).all():
                wide[...] = raw  # somebody else has written new numbers
            self.move(wide, grad.astype(onp.float32), joined(parts), lr, wd, t)
            raw[...] = wide
        else:
            self.move(raw, grad, state, lr, wd, t)
        weight._written()

    def create_state_multi_precision(self, index: Any, weight: ndarray) -> Any:
        """Return `create_state`, which looks at the dtype itself."""
        return self.create_state(index, weight)

    def update_multi_precision(self, index: Any, weight: ndarray, grad: ndarray, state: Any) -> None:
        """Do what `update` does."""
        self.update(index, weight, grad, state)

    def move(self, raw: onp.ndarray, grad: onp.ndarray, state: Any, lr: float, wd: float, t: int) -> None:
        """Change `raw` in place; override."""
        kernel, remembered, numbers = self.recipe(state, lr, wd, t)
        step(kernel, (raw, grad, *remembered), *numbers)

    def recipe(self, state: Any, lr: Any, wd: Any, t: int) -> tuple:
        """Return (kernel, arrays besides weight and gradient, numbers) of a step: instead of `move`, where a kernel makes it.

        lr and wd may be arrays, a number for each of many weights.
        """
        raise NotImplementedError(f"{type(self).__name__} has no move(raw, grad, state, lr, wd, t).")

    def _common(self, wd: Any) -> tuple[float, float, Any]:
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
            raise AssertionError(
                "optimizer_params must be None if optimizer is an instance of Optimizer instead of str; set them there."
            )
        return _checked(name)
    if not isinstance(name, str):
        raise ArrayTypeError(f"An optimizer is a name such as 'sgd' or an Optimizer, got {type(name).__name__}.")
    found = Optimizer.find(name)
    try:
        return _checked(found(**kwargs))
    except MXNetError:
        raise
    except TypeError as problem:  # the base's __init__ speaks: name the optimizer that was asked for
        text = str(problem).replace("Optimizer.__init__", found.__name__)
        raise ArrayTypeError(f"{text}; such arguments are learning_rate, wd, lr_scheduler.") from None


def parts_of(state: Any) -> list:
    """Return the arrays of a state: none, one or several."""
    return list(state) if isinstance(state, list | tuple) else [] if state is None else [state]


def joined(parts: list) -> Any:
    """Return the state of these arrays."""
    return tuple(parts) if len(parts) > 1 else parts[0] if parts else None


def _rate(lr: Any) -> Any:
    if isinstance(lr, bool) or not isinstance(lr, numbers.Real):
        raise ArrayTypeError(f"The learning rate is a number, got {lr!r} ({kind_of(lr)}).")
    if math.isnan(lr):
        raise ArgumentError("The learning rate is NaN.")
    return lr


# What all rules here compute with, and the least and the greatest that it may be.
_SETTINGS = {
    **dict.fromkeys(("rescale_grad", "wd", "clip_gradient", "momentum", "epsilon", "eps"), (-math.inf, math.inf)),
    **dict.fromkeys(("beta1", "beta2"), (0, math.nextafter(1, 0))), "gamma1": (0, 1), "begin_num_update": (0, math.inf),
}  # fmt: skip


def _checked(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer, if its settings are numbers that it can compute with."""
    for name, (least, greatest) in _SETTINGS.items():
        value = getattr(optimizer, name, None)
        if value is None and (name == "clip_gradient" or not hasattr(optimizer, name)):
            continue
        who = f"{type(optimizer).__name__}: {name}"
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ArrayTypeError(f"{who} is a number, got {value!r} ({kind_of(value)}).")
        if not least <= value <= greatest:
            between = f"at least {least}" if greatest == math.inf else f"from {least} to {greatest:g}"
            raise ArgumentError(f"{who} must be {between if least > -math.inf else 'no NaN'}, got {value!r}.")
    return optimizer
