"""How operations become rows of a recorded program: which work, which sizes, which places. The others are called by name.

A rule returns whether it could write its rows; it cannot for other dtypes than float32, or for arrays that lie oddly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks.kernels import program as kernel
from d2lblocks.kernels import tiles
from d2lblocks.kernels.dense import ROW, for_blas, panel
from d2lblocks.np import elementwise as E
from d2lblocks.np.moves import kept, reshape
from d2lblocks.np.moves import sum as total
from d2lblocks.np.reduce import mean
from d2lblocks.npx.activation import relu, sigmoid
from d2lblocks.npx.linear import dense
from d2lblocks.npx.loss import cross_entropy_of
from d2lblocks.npx.special import erf


def _real(table: Any, *values: int) -> bool:
    """Return whether all are float32 with something in them, side by side in C order."""
    found = [table.values[k] for k in values]
    plain = [v.held is None or v.held._data.flags.carray for v in found]
    return all(plain) and all(v.dtype == onp.float32 and v.size for v in found)


def _dense(table: Any, step: Any) -> bool:
    x, weight, *rest = step.args
    bias = rest[0] if rest and type(rest[0]) is int else None
    act, w = step.settings["act"], table.values[weight]
    (m, k), wanted = w.shape, [x] if bias is None else [x, bias]
    if w.held is None or w.dtype != onp.float32 or not w.held._data.T.flags.carray or act not in (None, *kernel.ACTS):
        return False
    n = table.values[x].size // max(k, 1)
    if not _real(table, *wanted) or for_blas(n, k * m):
        return False
    y = table.out(step)
    table.row(kernel.DENSE, n, k, m, act == "relu", table.at(x), table.at(weight), table.at(bias), y)
    if act not in (None, "relu"):
        table.link(kernel.ACTS[act], n * m, y, y, y)
    return True


def _dense_back(table: Any, step: Any) -> bool:
    x, weight, *rest = step.args
    m, k = table.values[weight].shape
    n = table.values[x].size // k
    act, (y,) = step.settings["act"], step.outs
    waits = table.waits(weight, n)
    if for_blas(n, k * m) or (n == 1 and k * m > ROW and table.values[x].wanted):
        return False
    table.need(n * m + panel(n, k, m))
    kind, g = kernel.BACK.get(act, 0), table.grad(y)
    if waits:
        t, h = table.late(weight, n)
        table.row(kernel.TURN, n, k, 0, 0, table.at(x), t)
        table.link(kind or tiles.SAME, n * m, g, table.at(y) if kind else g, h)
        kind, g = 0, h
    return table.row(
        kernel.DENSE_BACK, n, k, m, kind, g, table.at(y), table.at(x), table.at(weight), table.into(x),
        table.plan.none if waits else table.into(weight), table.into(rest[0] if rest else None),
    )  # fmt: skip


dense.row, dense.row_back = _dense, _dense_back


def _loss(table: Any, step: Any) -> bool:
    scores, labels = step.args
    plain = type(labels) is int and (table.values[labels].held is None or table.raw(labels).flags.carray)
    if not plain or not _real(table, scores) or table.values[labels].dtype.name not in kernel.LABELS:
        return False
    k = table.values[scores].shape[-1]
    n = table.values[scores].size // k
    if table.values[labels].size != n:
        return False
    kind = kernel.LABELS.index(table.values[labels].dtype.name)
    memory = table.plan.remembered[step.outs[0]] = table.plan.extra(n * k)
    return table.row(kernel.LOSS, n, k, 0, kind, table.at(scores), table.at(labels), table.out(step), memory)


def _loss_back(table: Any, step: Any) -> bool:
    (scores, labels), (y,) = step.args, step.outs
    k = table.values[scores].shape[-1]
    kind = kernel.LABELS.index(table.values[labels].dtype.name)
    return table.row(kernel.LOSS_BACK, table.values[scores].size // k, k, 0, kind, table.grad(y), table.at(labels),
                     table.plan.remembered[y], table.into(scores))  # fmt: skip


cross_entropy_of.row, cross_entropy_of.row_back = _loss, _loss_back


def _link(kind: int) -> Any:
    """Return the rule of an operation on numbers one by one, in arrays of one shape."""

    def rule(table: Any, step: Any) -> bool:
        arrays = [a for a in step.args if type(a) is int]
        out = step.outs[0]
        if not _real(table, out, *arrays) or any(table.values[a].shape != table.values[out].shape for a in arrays):
            return False
        places = [table.at(a) if type(a) is int else table.number(a.value) for a in step.args]
        return table.link(kind, table.values[out].size, places[0], places[-1], table.out(step))

    return rule


def _power(table: Any, step: Any) -> bool:
    """x², x³ and √x, which are by far the most frequent powers."""
    x, p = step.args
    out = step.outs[0]
    if type(x) is not int or type(p) is int or p.value not in (2, 3, 0.5) or not _real(table, x, out):
        return False
    n, at = table.values[x].size, table.at(x)
    if p.value == 0.5:
        return table.link(tiles.ROOT, n, at, at, table.out(step))
    squared = table.out(step) if p.value == 2 else table.tile()
    table.link(tiles.PRODUCT, n, at, at, squared)
    return p.value == 2 or table.link(tiles.PRODUCT, n, squared, at, table.out(step))


def _activation_back(kind: int) -> Any:
    def rule(table: Any, step: Any) -> bool:
        (x,), (y,) = step.args, step.outs
        return table.link(kind, table.values[x].size, table.grad(y), table.at(y), table.into(x))

    return rule


def _gradients(*formulas: Any) -> Any:
    """Return the rule of a step back: formula(table, n, to, g, z, *places of the arguments) for each argument in turn."""

    def rule(table: Any, step: Any) -> bool:
        out = step.outs[0]
        n, g, z = table.values[out].size, table.grad(out), table.at(out)
        places = [table.at(a) if type(a) is int else table.number(a.value) for a in step.args]
        for a, formula in zip(step.args, formulas, strict=True):
            if type(a) is int and table.values[a].wanted:
                formula(table, n, table.into(a), g, z, *places)
        return True

    return rule


def _same(table: Any, n: int, to: int, g: int, *_: int) -> None:
    table.link(tiles.SAME, n, g, g, to)


def _minus(table: Any, n: int, to: int, g: int, *_: int) -> None:
    table.link(tiles.NEGATIVE, n, g, g, to)


def _times(which: int) -> Any:
    """Return the formula g z (0), g x (1) or g y (2)."""
    return lambda table, n, to, g, *places: table.link(tiles.PRODUCT, n, g, places[which], to)


def _over(table: Any, n: int, to: int, g: int, z: int, x: int, y: int) -> None:
    table.link(tiles.QUOTIENT, n, g, y, to)


def _under(table: Any, n: int, to: int, g: int, z: int, x: int, y: int) -> None:
    part = table.tile()
    table.link(tiles.PRODUCT, n, g, z, part)
    table.link(tiles.NEGATIVE, n, part, part, part)
    table.link(tiles.QUOTIENT, n, part, y, to)


def _root_back(table: Any, n: int, to: int, g: int, z: int, *_: int) -> None:
    twice = table.tile()
    table.link(tiles.SUM, n, z, z, twice)
    table.link(tiles.QUOTIENT, n, g, twice, to)


def _erf_back(table: Any, n: int, to: int, g: int, z: int, x: int) -> None:
    part = table.tile()
    table.link(tiles.PRODUCT, n, x, x, part)
    table.link(tiles.NEGATIVE, n, part, part, part)
    table.link(tiles.EXP, n, part, part, part)
    table.link(tiles.PRODUCT, n, part, table.number(2 / math.sqrt(math.pi)), part)
    table.link(tiles.PRODUCT, n, part, g, to)


def _power_back(table: Any, step: Any) -> bool:
    (x, p), y = step.args, step.outs[0]
    n, g, to, part = table.values[x].size, table.grad(y), table.into(x), table.tile()
    if p.value == 0.5:
        _root_back(table, n, to, g, table.at(y))
    else:
        table.link(tiles.PRODUCT, n, table.at(x), g, part)
        if p.value == 3:
            table.link(tiles.PRODUCT, n, table.at(x), part, part)
        table.link(tiles.PRODUCT, n, part, table.number(p.value), to)
    return True


for _op, _kind, _formulas in (
    (E.add, tiles.SUM, (_same, _same)), (E.subtract, tiles.DIFFERENCE, (_same, _minus)),
    (E.multiply, tiles.PRODUCT, (_times(2), _times(1))), (E.divide, tiles.QUOTIENT, (_over, _under)),
    (E.maximum, tiles.LARGER, ()), (E.minimum, tiles.SMALLER, ()), (E.negative, tiles.NEGATIVE, (_minus,)),
    (E.exp, tiles.EXP, (_times(0),)), (E.sqrt, tiles.ROOT, (_root_back,)), (E.absolute, tiles.ABSOLUTE, ()),
    (E.tanh, tiles.TANH, ()), (sigmoid, tiles.SIGMOID, ()), (relu, tiles.RELU, ()), (erf, tiles.ERF, (_erf_back,)),
):  # fmt: skip
    _op.row = _link(_kind)
    if _formulas:
        _op.row_back = _gradients(*_formulas)
E.power.row, E.power.row_back = _power, _power_back
for _op, _name in ((relu, "relu"), (sigmoid, "sigmoid"), (E.tanh, "tanh")):
    _op.row_back = _activation_back(kernel.BACK[_name])


def _rows_of(table: Any, step: Any) -> tuple[int, int] | None:
    """Return how many sums a reduction makes and of how many numbers each, if these lie side by side."""
    (a,), out = step.args, step.outs[0]
    if step.settings.get("dtype") is not None or step.settings.get("initial") or not _real(table, a, out):
        return None
    shape, ones = table.values[a].shape, kept(table.values[a].shape, step.settings.get("axis"))
    n = next((i for i, (size, one) in enumerate(zip(shape, ones, strict=True)) if size != one), len(shape))
    rows = math.prod(shape[:n])
    return (rows, math.prod(shape[n:])) if rows == table.values[out].size else None


def _total(mean: bool) -> Any:
    def rule(table: Any, step: Any) -> bool:
        rows = _rows_of(table, step)
        return rows is not None and table.row(kernel.TOTAL, *rows, 0, mean, table.at(step.args[0]), table.out(step))

    return rule


def _spread(mean: bool) -> Any:
    def rule(table: Any, step: Any) -> bool:
        rows: Any = _rows_of(table, step)
        return table.row(kernel.SPREAD, *rows, 0, mean, table.grad(step.outs[0]), table.into(step.args[0]))

    return rule


for _op, _mean in ((total, False), (mean, True)):
    _op.row, _op.row_back = _total(_mean), _spread(_mean)

reshape.row = lambda table, step: table.same(step)
reshape.row_back = lambda table, step: True  # the gradient lies where that of the argument lies
