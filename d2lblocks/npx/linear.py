"""The linear parts of neural networks: fully_connected, batch_dot, embedding."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, explain
from d2lblocks.kernels import dense as kernel
from d2lblocks.late import BIG, waiting
from d2lblocks.np.moves import scatter, swapaxes
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.np.products import matmul
from d2lblocks.npx.activation import RAW, gated
from d2lblocks.op import Op, composed, op
from d2lblocks.tape import Node, buffers, state


class Layer(Op):
    """An op of x, weight and bias: `Op.apply` written out for three arrays, which takes a sixth off a small net's forward."""

    def apply(self, args: tuple, settings: dict) -> Any:
        """Do what Op.apply does."""
        x, weight, bias = args
        if not (type(x) is type(weight) is type(bias) is ndarray) or state.trace is not None:
            return super().apply(args, settings)
        raw = [x._data, weight._data, bias._data]
        flatten, act = settings.get("flatten", True), settings.get("act")
        try:
            z = self.forward(raw[0], raw[1], raw[2], flatten=flatten, act=act)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as problem:
            raise explain(problem, self.title, raw, settings) from None
        a, b, c = x._node, weight._node, bias._node
        if not state.recording or not (a or b or c):
            return wrap(z, x._ctx)
        parents = [
            (a, x._out) if x._out else a,
            (b, weight._out) if weight._out else b,
            (c, bias._out) if bias._out else c,
        ]
        watched = () if a and b and c else [y._written_at or y._watch() for y in args if y._node is None]
        return wrap(z, x._ctx, Node(self, raw, settings, parents, z, 1, watched))


@Layer
def dense(x, weight, bias=None, *, flatten=True, act=None):
    """act(x Wᵀ + b), one op for a whole layer: (n, k), (m, k), (m,) -> (n, m)."""
    if x.dtype is not weight.dtype and x.dtype != weight.dtype:
        raise ArgumentError(
            f"input dtype {x.dtype} and weight dtype {weight.dtype} differ; use x.astype('{weight.dtype}')"
        )
    if x.ndim == 2:
        y = kernel.forward(x, weight.T, bias, act == "relu")
    elif not x.ndim:
        raise ArgumentError("the input is 0-d, one number without features; expected (n, features)")
    elif flatten:
        y = kernel.forward(folded(x), weight.T, bias, act == "relu")
    else:
        y = kernel.forward(x.reshape(-1, x.shape[-1]), weight.T, bias, act == "relu")
        y = y.reshape(*x.shape[:-1], len(weight))
    return y if act is None or act == "relu" else RAW[act](y)


dense.title = "fully_connected"


@dense.vjps
def _(g, z, wanted, x, weight, bias=None, flatten=True, act=None):
    # With h = g act'(x Wᵀ + b): dx = h W, dW = hᵀ x, and db is the sum of the rows of h.
    h = gated(g, z, act).reshape((-1, weight.shape[0]))
    dx = None if wanted[0] is None else h.dot(weight).reshape(x.shape)
    dw = None if wanted[1] is None else h.T @ x.reshape((-1, weight.shape[1]))
    db = None if bias is None or wanted[2] is None else h.sum(axis=0)
    return [dx, dw, db]


def _by_kernel(node: Node, g: onp.ndarray, grads: dict | None) -> list:
    """The same on raw numbers, by one kernel, and where it can be into the gradients of the weights themselves."""
    x, weight, bias = node.args
    y, act = node.outs, node.settings.get("act")
    dx, dw, db = buffers(node.parents, grads)
    if act is not None and act != "relu":
        g, act = gated(g, y, act), None
    db = onp.empty_like(bias) if db is True else db
    if dw is True:
        dw = onp.empty_like(weight)
    elif dw is not None:  # the leaf's own buffer
        if weight.size >= BIG and x.ndim == 2 and (late := waiting(len(x), node.parents[1])):
            dx = kernel.backward(g, y, x, weight.T, act == "relu", None, db, dx is not None, late.t, late.h)
            return [dx, late, db]
        node.parents[1].late = None  # or what is due from before would be written over what comes now
    to_w = None if dw is None else dw.T
    if x.ndim == 2:
        return [kernel.backward(g, y, x, weight.T, act == "relu", to_w, db, dx is not None), dw, db]
    m, k = weight.shape
    g, y, rows = g.reshape((-1, m)), y.reshape((-1, m)), x.reshape((-1, k))
    dx = kernel.backward(g, y, rows, weight.T, act == "relu", to_w, db, dx is not None)
    return [dx if dx is None else dx.reshape(x.shape), dw, db]


dense.quick = _by_kernel


def fully_connected(data: ndarray, weight: ndarray, bias: ndarray | None = None, num_hidden: int | None = None,
                    no_bias: bool = False, flatten: bool = True, act: str | None = None) -> ndarray:  # fmt: skip
    """act(x Wᵀ + b), x = data.

    Shapes:
        data: (n, ...) if flatten else (..., k);  weight: (m, k);  bias: (m,);  result: (n, m) or (..., m)
    """
    if num_hidden is not None:
        _check_size("fully_connected", "num_hidden", num_hidden, weight, 0)
    return dense.apply((data, weight, None if no_bias else bias), {"flatten": flatten, "act": act})


def _check_size(function: str, name: str, said: int, weight: Any, axis: int) -> None:
    if said != weight.shape[axis]:
        raise ArgumentError(
            f"{function}: {name} is {said}, but the weight of shape {weight.shape} has {weight.shape[axis]} on axis {axis}; "
            f"leave {name} out, or make a weight of that size."
        )


def folded(x: Any) -> Any:
    """Return x with all axes but the first in one, also where there are no numbers."""
    return x.reshape((x.shape[0], math.prod(x.shape[1:])))


@composed
def batch_flatten(data: ndarray) -> ndarray:
    """Fold all axes but the first: (n, ...) -> (n, k)."""
    if not data.ndim:
        raise ArgumentError("batch_flatten: the input is 0-d, of shape (); expected (n, ...).")
    return folded(data)


@composed
def batch_dot(lhs: ndarray, rhs: ndarray, transpose_a: bool = False, transpose_b: bool = False, **_: Any) -> ndarray:
    """Multiply matrix by matrix along the leading axes: (..., n, k), (..., k, m) -> (..., n, m)."""
    if lhs.ndim < 3 or lhs.shape[:-2] != rhs.shape[:-2]:
        raise ArgumentError(
            f"batch_dot takes arrays of three axes or more, alike but for the last two, got {lhs.shape} and {rhs.shape}."
        )
    return matmul(swapaxes(lhs, -1, -2) if transpose_a else lhs, swapaxes(rhs, -1, -2) if transpose_b else rhs)


@op
def rows_of(data, weight):
    """The rows of `weight` that `data` names."""
    return weight[data.astype(onp.int64)]


rows_of.title = "embedding"


@rows_of.vjp("weight")
def _(g, z, data, weight):
    # A row named twice gets both gradients: the mirror of picking is adding up.
    return scatter(g, key=(onp.asarray(getattr(data, "_data", data)).astype(onp.int64),), shape=weight.shape)


@rows_of.vjp("data")
def _(g, z, data, weight):
    return data * 0.0


@composed
def embedding(data: ndarray, weight: ndarray, input_dim: int | None = None, output_dim: int | None = None,
              dtype: Any = "float32", sparse_grad: bool = False) -> ndarray:  # fmt: skip
    """Return row data_i of `weight` for every entry: (...), (n, k) -> (..., k)."""
    if input_dim is not None:
        _check_size("embedding", "input_dim", input_dim, weight, 0)
    if output_dim is not None:
        _check_size("embedding", "output_dim", output_dim, weight, 1)
    raw, n = data._data, weight.shape[0]
    if raw.size and not (raw.min() >= 0 and raw.max() < n):
        bad = raw[~((raw >= 0) & (raw < n))].reshape(-1)[0]
        raise ArgumentError(f"embedding: index {bad:g} is out of range for {n} rows; indices run from 0 to {n - 1}.")
    return rows_of(data, weight)
