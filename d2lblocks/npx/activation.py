"""Nonlinear functions of neural networks: relu, sigmoid, softmax, gelu, dropout, each with its derivative."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks import rng
from d2lblocks.autograd import is_training
from d2lblocks.errors import ArgumentError
from d2lblocks.np.elementwise import absolute, exp, expm1, real, tanh, where
from d2lblocks.np.moves import _axes
from d2lblocks.np.ndarray import ndarray
from d2lblocks.npx.special import erf
from d2lblocks.op import composed, elementwise, fit, op, op_with_memory


def _relu(x):
    return onp.maximum(x, onp.zeros((), x.dtype))  # NaN stays NaN


def _sigmoid(x):
    return 1.0 / (1.0 + onp.exp(-x))


def _softrelu(x):
    # log(1 + eˣ) without overflow: eˣ is only taken of numbers below 0
    return onp.maximum(x, onp.zeros((), x.dtype)) + onp.log1p(onp.exp(-onp.abs(x)))


def _softsign(x):
    return x / (1.0 + onp.abs(x))


relu = elementwise(_relu, lambda g, z, x: g * (z > 0), name="relu", of="data")
sigmoid = elementwise(real(_sigmoid), lambda g, z, x: g * z * (1.0 - z), name="sigmoid", of="data")
softrelu = elementwise(real(_softrelu), lambda g, z, x: g * sigmoid(x), name="softrelu", of="data")
softsign = elementwise(
    real(_softsign), lambda g, z, x: g * (1.0 - absolute(z)) * (1.0 - absolute(z)), name="softsign", of="data"
)

ACTIVATIONS = ("relu", "sigmoid", "softrelu", "softsign", "tanh")


def gated(g: Any, z: Any, act: str | None) -> Any:
    """Return g act'(x), from the output z = act(x) alone: that is why a layer need not keep its input."""
    if act is None:
        return g
    if act == "relu":
        return g * (z > 0)
    if act == "sigmoid":
        return g * (z * (1.0 - z))
    if act == "tanh":
        return g * (1.0 - z * z)
    if act == "softrelu":
        return g * -expm1(-z)  # z = log(1 + eˣ), so 1 - e⁻ᶻ = sigmoid(x)
    return g * (1.0 - absolute(z)) * (1.0 - absolute(z))


def check_activation(act_type: str) -> str:
    """Return `act_type` if it is known; else ArgumentError listing the known ones."""
    if act_type not in ACTIVATIONS:
        known = ", ".join(repr(a) for a in ACTIVATIONS)
        raise ArgumentError(f"Invalid Input: {act_type!r}, valid values are: {{{known}}}")
    return act_type


def activation(data: ndarray, act_type: str = "relu", **_: Any) -> ndarray:
    """Return act_type(data) for one of relu, sigmoid, softrelu, softsign, tanh."""
    return BY_NAME[check_activation(act_type)](data)


BY_NAME = {"relu": relu, "sigmoid": sigmoid, "softrelu": softrelu, "softsign": softsign, "tanh": tanh}
RAW = {"relu": _relu, "sigmoid": _sigmoid, "softrelu": _softrelu, "softsign": _softsign, "tanh": onp.tanh}


def _cooled(data, temperature):
    """Return data / temperature; integers as float32."""
    x = data if data.dtype.kind == "f" else data.astype(onp.float32)
    return x if temperature is None else x / temperature


@op
def softmax_of(data, *, axis=-1, temperature=None):
    """exp(x) / sum(exp(x)) over `axis`, safe from overflow."""
    x = _cooled(data, temperature)
    e = onp.exp(x - x.max(axis, keepdims=True)) if x.size else x
    return e / e.sum(axis, keepdims=True)


softmax_of.title = "softmax"


@softmax_of.vjp("data")
def _(g, z, data, axis=-1, temperature=None):
    # dz_i/dx_j = z_i (δ_ij - z_j)
    dx = z * (g - (g * z).sum(axis=axis, keepdims=True))
    return dx if temperature is None else dx / temperature


@op
def log_softmax_of(data, *, axis=-1, temperature=None):
    """x - log(sum(exp(x))) over `axis`, safe from overflow."""
    x = _cooled(data, temperature)
    x = x - x.max(axis, keepdims=True) if x.size else x
    return x - onp.log(onp.exp(x).sum(axis, keepdims=True))


log_softmax_of.title = "log_softmax"


@log_softmax_of.vjp("data")
def _(g, z, data, axis=-1, temperature=None):
    dx = g - exp(z) * g.sum(axis=axis, keepdims=True)
    return dx if temperature is None else dx / temperature


def _inside(data: ndarray, length: Any, axis: int, use_length: bool) -> ndarray | None:
    """Return which entries lie within their row's length; None if all do."""
    if not use_length and length is None:
        return None
    raw = length._numbers()
    steps = onp.arange(data.shape[axis]).reshape([-1 if i == axis % data.ndim else 1 for i in range(data.ndim)])
    inside = steps < onp.expand_dims(raw, axis % data.ndim)
    return data._wrap(onp.broadcast_to(inside, data.shape).copy())


@composed
def softmax(data: ndarray, length: Any = None, axis: int = -1, temperature: Any = None, dtype: Any = None,
            use_length: bool = False) -> ndarray:  # fmt: skip
    """exp(x) / sum(exp(x)) over `axis`; entries behind `length` get probability 0."""
    inside = _inside(data, length, axis, use_length)
    z = softmax_of(data if inside is None else where(inside, data, -1e30), axis=axis, temperature=temperature)
    z = z if inside is None else where(inside, z, 0.0)  # a row of length 0 has no largest entry to stand out
    return z if dtype is None else z.astype(dtype)


@composed
def log_softmax(data: ndarray, axis: int = -1, temperature: Any = None, dtype: Any = None,
                use_length: bool = False, length: Any = None) -> ndarray:  # fmt: skip
    """Return the log of `softmax`, computed without leaving the log domain."""
    inside = _inside(data, length, axis, use_length)
    z = log_softmax_of(data if inside is None else where(inside, data, -1e30), axis=axis, temperature=temperature)
    return z if dtype is None else z.astype(dtype)


@composed
def leaky_relu(data: ndarray, gamma: Any = None, act_type: str = "leaky", slope: float = 0.25, **_: Any) -> ndarray:
    """Return x where x > 0, else something small: slope x (leaky), gamma x (prelu), slope (eˣ - 1) (elu), gelu, selu."""
    if act_type == "leaky":
        return where(data > 0, data, data * slope)
    if act_type == "prelu":
        wide = gamma.reshape((1, -1, *(1,) * (data.ndim - 2))) if data.ndim > 2 and gamma.ndim == 1 else gamma
        return where(data > 0, data, data * wide)
    if act_type == "elu":
        return where(data > 0, data, slope * expm1(where(data > 0, 0.0, data)))
    if act_type == "selu":
        alpha, scale = 1.6732632423543772, 1.0507009873554805
        return scale * where(data > 0, data, alpha * expm1(where(data > 0, 0.0, data)))
    if act_type == "gelu":
        return data * 0.5 * (1.0 + erf(data * (1.0 / math.sqrt(2.0))))
    raise ArgumentError(f"leaky_relu: unknown act_type {act_type!r}; expected leaky, prelu, elu, selu or gelu.")


@op_with_memory
def dropped(data, *, p, axes=()):
    """data times a mask that is 0 with probability p, else 1 / (1 - p)."""
    shape = tuple(1 if i in axes else n for i, n in enumerate(data.shape)) if axes else data.shape
    mask = rng.dropout_mask(shape, p, data.dtype, bool(axes))
    return data * mask, mask


dropped.title = "dropout"


@dropped.vjp("data")
def _(g, z, data, p, axes=()):
    return fit(g * z[1], data.shape)


def dropout(data: ndarray, p: float = 0.5, mode: str = "training", axes: Any = (), **_: Any) -> ndarray:
    """Return data times a random mask of 0 and 1/(1 - p) in training; in prediction data itself (Srivastava 2014)."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: the rate p must lie in [0, 1], got {p}.")
    if p == 0 or (mode != "always" and not is_training()):
        return data
    return dropped(data, p=p, axes=_axes(tuple(axes), data.ndim) if axes else ())
