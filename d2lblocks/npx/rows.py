"""How operations become rows of a recorded program: which work, which sizes, which places. The others are called by name.

A rule returns whether it could write its rows; it cannot for other dtypes than float32, or for arrays that lie oddly.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.kernels import program as kernel
from d2lblocks.kernels.dense import LONG, MANY
from d2lblocks.np.elementwise import tanh
from d2lblocks.np.moves import reshape
from d2lblocks.npx.activation import relu, sigmoid
from d2lblocks.npx.linear import dense
from d2lblocks.npx.loss import cross_entropy_of


def _real(table: Any, *values: int) -> bool:
    """Return whether all are float32 with something in them."""
    return all(table.values[k].dtype == onp.float32 and table.values[k].size for k in values)


def _dense(table: Any, step: Any) -> bool:
    x, weight, *rest = step.args
    bias = rest[0] if rest and type(rest[0]) is int else None
    given = [x, weight] if bias is None else [x, weight, bias]
    act = step.settings["act"]
    held = all(table.values[k].held is not None for k in given[1:])
    if not held or not _real(table, *given) or act not in (None, *kernel.ACTS):
        return False
    (m, k), raw = table.values[weight].shape, table.raw(weight)
    n = table.values[x].size // k
    if (
        k * m > MANY
        or n * k * m > LONG
        or not raw.T.flags.carray
        or not all(table.raw(b).flags.carray for b in given[2:])
    ):
        return False
    y = table.out(step)
    table.row(kernel.DENSE, n, k, m, act == "relu", table.at(x), table.at(weight), table.at(bias), y)
    if act not in (None, "relu"):
        table.row(kernel.ACT, n * m, 0, 0, kernel.ACTS[act], y, y)
    return True


def _dense_back(table: Any, step: Any) -> bool:
    x, weight, *rest = step.args
    m, k = table.values[weight].shape
    n = table.values[x].size // k
    act, (y,) = step.settings["act"], step.outs
    table.need(n * m + m * min(k, kernel.PANEL))
    return table.row(
        kernel.DENSE_BACK, n, k, m, kernel.ACTS.get(act, 0), table.grad(y), table.at(y), table.at(x), table.at(weight),
        table.into(x), table.into(weight), table.into(rest[0] if rest else None),
    )  # fmt: skip


dense.row, dense.row_back = _dense, _dense_back


def _loss(table: Any, step: Any) -> bool:
    scores, labels = step.args
    if type(labels) is not int or not _real(table, scores) or table.values[labels].dtype.name not in kernel.LABELS:
        return False
    k = table.values[scores].shape[-1]
    n = table.values[scores].size // k
    if table.values[labels].size != n:
        return False
    kind = kernel.LABELS.index(table.values[labels].dtype.name)
    step.memory = table.plan.extra(n * k)
    return table.row(kernel.LOSS, n, k, 0, kind, table.at(scores), table.at(labels), table.out(step), step.memory)


def _loss_back(table: Any, step: Any) -> bool:
    (scores, labels), (y,) = step.args, step.outs
    k = table.values[scores].shape[-1]
    kind = kernel.LABELS.index(table.values[labels].dtype.name)
    return table.row(kernel.LOSS_BACK, table.values[scores].size // k, k, 0, kind, table.grad(y), table.at(labels),
                     step.memory, table.into(scores))  # fmt: skip


cross_entropy_of.row, cross_entropy_of.row_back = _loss, _loss_back


def _activation(kind: int) -> tuple:
    def ahead(table: Any, step: Any) -> bool:
        (x,) = step.args
        return _real(table, x) and table.row(kernel.ACT, table.values[x].size, 0, 0, kind, table.at(x), table.out(step))

    def back(table: Any, step: Any) -> bool:
        (x,), (y,) = step.args, step.outs
        return table.row(kernel.ACT_BACK, table.values[x].size, 0, 0, kind, table.grad(y), table.at(y), table.into(x))

    return ahead, back


for _op, _kind in ((relu, kernel.RELU), (sigmoid, kernel.SIGMOID), (tanh, kernel.TANH)):
    _op.row, _op.row_back = _activation(_kind)

reshape.row = lambda table, step: table.same(step)
reshape.row_back = lambda table, step: True  # the gradient lies where that of the argument lies
