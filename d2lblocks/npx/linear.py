"""The linear parts of neural networks: fully_connected, batch_dot, embedding."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.moves import scatter, swapaxes
from d2lblocks.np.ndarray import ndarray
from d2lblocks.np.products import matmul
from d2lblocks.npx.activation import RAW, gated
from d2lblocks.op import op


@op
def dense(x, weight, bias=None, *, flatten=True, act=None):
    """act(x Wᵀ + b), one op for a whole layer: (n, k), (m, k), (m,) -> (n, m)."""
    rows = x if x.ndim == 2 or not flatten else x.reshape(len(x), -1 if x.size else int(onp.prod(x.shape[1:])))
    if rows.dtype != weight.dtype:
        raise ArgumentError(
            f"input dtype {x.dtype} and weight dtype {weight.dtype} differ; use x.astype('{weight.dtype}')"
        )
    y = rows.dot(weight.T)
    if bias is not None:
        y += bias
    if act == "relu":
        return onp.maximum(y, 0, out=y)
    return y if act is None else RAW[act](y)


@dense.vjps
def _(g, z, wanted, x, weight, bias=None, flatten=True, act=None):
    g = gated(g, z, act)
    rows = x if x.ndim == 2 else x.reshape((-1, weight.shape[1]))
    flat = g if g.ndim == 2 else g.reshape((-1, weight.shape[0]))
    dx = (flat @ weight).reshape(x.shape) if wanted[0] else None
    dw = flat.T @ rows if wanted[1] else None
    db = flat.sum(axis=0) if len(wanted) > 2 and wanted[2] else None
    return [dx, dw, db]


def fully_connected(data: ndarray, weight: ndarray, bias: ndarray | None = None, num_hidden: int | None = None,
                    no_bias: bool = False, flatten: bool = True, act: str | None = None) -> ndarray:  # fmt: skip
    """act(x Wᵀ + b), x = data.

    Shapes:
        data: (n, ...) if flatten else (..., k);  weight: (m, k);  bias: (m,);  result: (n, m) or (..., m)
    """
    return dense(data, weight, None if no_bias else bias, flatten=flatten, act=act)


def batch_flatten(data: ndarray) -> ndarray:
    """Fold all axes but the first: (n, ...) -> (n, k)."""
    return data.reshape((data.shape[0], -1 if data.size else int(onp.prod(data.shape[1:]))))


def batch_dot(lhs: ndarray, rhs: ndarray, transpose_a: bool = False, transpose_b: bool = False, **_: Any) -> ndarray:
    """Multiply matrix by matrix along the first axis: (b, n, k), (b, k, m) -> (b, n, m)."""
    if lhs.ndim != 3 or rhs.ndim != 3:
        raise ArgumentError(f"batch_dot takes arrays of three axes, got {lhs.shape} and {rhs.shape}.")
    return matmul(swapaxes(lhs, 1, 2) if transpose_a else lhs, swapaxes(rhs, 1, 2) if transpose_b else rhs)


@op
def rows_of(data, weight):
    """The rows of `weight` that `data` names."""
    return weight[data.astype(onp.int64)]


@rows_of.vjp("weight")
def _(g, z, data, weight):
    # A row named twice gets both gradients: the mirror of picking is adding up.
    return scatter(g, key=(onp.asarray(getattr(data, "_data", data)).astype(onp.int64),), shape=weight.shape)


@rows_of.vjp("data")
def _(g, z, data, weight):
    return data * 0.0


def embedding(data: ndarray, weight: ndarray, input_dim: int | None = None, output_dim: int | None = None,
              dtype: Any = "float32", sparse_grad: bool = False) -> ndarray:  # fmt: skip
    """Return row data_i of `weight` for every entry: (...), (n, k) -> (..., k)."""
    raw, n = data._data, weight.shape[0]
    if raw.size and not (raw.min() >= 0 and raw.max() < n):
        bad = raw[(raw < 0) | (raw >= n)].reshape(-1)[0]
        raise ArgumentError(f"embedding: index {bad:g} is out of range for {n} rows; indices run from 0 to {n - 1}.")
    return rows_of(data, weight)
