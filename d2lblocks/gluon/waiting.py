"""Sizes from use: in a first call, a parameter of unknown size waits for an operation that can tell what is missing.

A block without `infer_shape` gets `Waiting` arrays in place of such parameters, and an F that looks at every call. The
rules below say what a call tells: x W needs W to have as many rows as x has columns. As soon as a shape is complete the
parameter is filled, and the call goes on with the real array. From the second call on nothing of this is left.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

from d2lblocks import np, npx
from d2lblocks.context import Context
from d2lblocks.errors import DeferredInitializationError
from d2lblocks.gluon.parameter import Parameter
from d2lblocks.np.ndarray import ndarray

RULES: dict[str, Callable[..., dict[str, tuple]]] = {}  # operation -> {argument: its shape, -1 for what is not told}


def tells(*operations: str) -> Callable:
    """Register a rule: a function of the operation's arguments that returns the shapes they must have."""
    return lambda rule: RULES.update({name: rule for name in operations})


@tells("fully_connected")
def _(x, weight, bias=None, num_hidden=None, no_bias=False, flatten=True):
    units = num_hidden or weight.shape[0]
    return {"weight": (units, math.prod(x.shape[1:]) if flatten else x.shape[-1]), "bias": (units,)}


@tells("dot", "matmul")
def _(a, b):
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return {"a": (*a.shape[:-1], b.shape[-2:][0]), "b": (*b.shape[:-2], a.shape[-1], *columns)}


@tells("embedding")
def _(data, weight, input_dim=-1, output_dim=-1, **options):
    return {"weight": (input_dim, output_dim)}


@tells("layer_norm")
def _(data, gamma, beta, axis=-1, **options):
    return dict.fromkeys(("gamma", "beta"), (data.shape[axis],))


@tells("batch_norm")
def _(data, gamma, beta, moving_mean, moving_var, axis=1, **options):
    return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_var"), (data.shape[axis],))


@tells("add", "subtract", "multiply", "divide", "true_divide", "power", "maximum", "minimum")
def _(x1, x2):
    def beside(x, other):  # an unknown size is that of the other array's axis, counted from the right
        sizes = (-1,) * 9 + other.shape
        return sizes[len(sizes) - x.ndim :]

    arrays = isinstance(x1, ndarray) and isinstance(x2, ndarray)
    return {"x1": beside(x1, x2), "x2": beside(x2, x1)} if arrays else {}


class Waiting(ndarray):
    """Stands for a parameter's array; what it is asked goes to the array, once there is one."""

    __slots__ = ("_parameter", "_where", "_finish")

    def __init__(self, parameter: Parameter, where: Context, finish: Callable[[], None]):
        self._parameter, self._where, self._finish, self._ctx = parameter, where, finish, None
        self.learn(self.shape)  # somebody may have told all sizes already

    shape = property(lambda self: self._parameter.shape or ())
    ndim = property(lambda self: len(self.shape))

    def learn(self, told: tuple) -> None:
        """Fill in the sizes that were unknown; whether the known ones fit is the operation's own affair."""
        p, known = self._parameter, self.shape
        if p._pending is None or len(told) != len(known):
            return
        p.shape = tuple(new if old == -1 else old for old, new in zip(known, told, strict=True))
        if p._known():
            self._finish()

    @property
    def _data(self) -> Any:
        raise DeferredInitializationError(
            f"Parameter '{self._parameter.name}' had the unknown shape {self._parameter.shape} when this first call began: "
            "reach operations through F, as in F.np.exp(w), or give all sizes, or write infer_shape(self, x)."
        )

    def array(self, operation: str) -> ndarray:
        """Return the parameter's array, or say that the operation told too little."""
        if self._parameter._pending is not None:
            raise DeferredInitializationError(
                f"Parameter '{self._parameter.name}' has the unknown shape {self._parameter.shape}, and {operation} cannot "
                f"tell the rest. Give all sizes, write infer_shape(self, x), which sets the parameter's shape, or use it "
                f"first in an operation of F that can: {', '.join(RULES)}."
            )
        return self._parameter.data(self._where)


def looked_at(name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call an operation, after its rule has told the shapes of the parameters among its arguments."""
    if name in RULES and any(isinstance(a, Waiting) for a in (*args, *kwargs.values())):
        told: dict[str, tuple] = {}
        given: dict[str, Any] = {}
        with suppress(
            IndexError, TypeError, AttributeError
        ):  # too few axes or arguments, or no array: that tells nothing
            given = inspect.signature(RULES[name]).bind(*args, **kwargs).arguments
            told = RULES[name](*args, **kwargs)
        for argument, shape in told.items():
            value = given.get(argument)
            if isinstance(value, Waiting):
                value.learn(shape)

    def real(a: Any) -> Any:
        return a.array(name) if isinstance(a, Waiting) else a

    return function(*map(real, args), **{key: real(a) for key, a in kwargs.items()})


def _looking(space: ModuleType) -> SimpleNamespace:
    """Return np or npx with every operation looked at."""
    operations = {name: f for name, f in vars(space).items() if callable(f) and not isinstance(f, type)}
    return SimpleNamespace(**vars(space) | {name: partial(looked_at, name, f) for name, f in operations.items()})


LOOKING_F = SimpleNamespace(np=_looking(np), npx=_looking(npx))

for _name in {n for n in dir(ndarray) if n[0] != "_"} - {"shape", "ndim", "dot"} | {"__neg__", "__getitem__"}:
    setattr(Waiting, _name, property(lambda self, _name=_name: getattr(self.array(_name), _name)))
for _symbol, _name in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power",
                       "matmul": "matmul", "dot": "dot"}.items():  # fmt: skip
    _call = partial(looked_at, _name, getattr(np, _name))
    setattr(Waiting, f"__{_symbol}__" if _name != "dot" else "dot", lambda self, other, _call=_call: _call(self, other))
    setattr(Waiting, f"__r{_symbol}__", lambda self, other, _call=_call: _call(other, self))
