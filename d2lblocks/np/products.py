"""Products: matmul, dot, tensordot, einsum and their kin."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.np.diagonals import diagonal
from d2lblocks.np.moves import _axes, broadcast_to, expand_dims, swapaxes, transpose
from d2lblocks.np.moves import sum as sum_
from d2lblocks.op import composed, fit, op


def _floats(a, b):
    """Bring both to one dtype: a float meets an integer as float; NumPy's promotion otherwise."""
    if a.dtype is not b.dtype and a.dtype.kind != b.dtype.kind and "f" in (a.dtype.kind, b.dtype.kind):
        kind = a.dtype if a.dtype.kind == "f" else b.dtype
        return a.astype(kind, copy=False), b.astype(kind, copy=False)
    return a, b


@op
def matmul(a, b):
    """a b: the last two axes are multiplied, the others broadcast; (..., n, k), (..., k, m) -> (..., n, m)."""
    return onp.matmul(*_floats(a, b))


@matmul.vjp("a")
def _(g, z, a, b):
    if b.ndim == 1:
        return fit(expand_dims(g, axis=-1) * b, a.shape) if a.ndim > 1 else g * b
    row = g if a.ndim > 1 else expand_dims(g, axis=-2)
    da = matmul(row, swapaxes(b, -1, -2))
    return fit(da, a.shape) if a.ndim > 1 else fit(da, (1, *a.shape)).reshape(a.shape)


@matmul.vjp("b")
def _(g, z, a, b):
    if a.ndim == 1:
        if b.ndim == 1:
            return g * a
        return fit(expand_dims(a, axis=-1) * expand_dims(g, axis=-2), b.shape)
    column = g if b.ndim > 1 else expand_dims(g, axis=-1)
    db = matmul(swapaxes(a, -1, -2), column)
    return fit(db, b.shape) if b.ndim > 1 else fit(db, (*b.shape, 1)).reshape(b.shape)


@composed
def dot(a, b, out=None):
    """Return the product over the last axis of a and the last but one of b: (n, k), (k, m) -> (n, m)."""
    scalars = getattr(a, "ndim", 0) == 0 or getattr(b, "ndim", 0) == 0
    if scalars:
        result = a * b
    elif a.ndim > 1 and b.ndim > 2:
        result = tensordot(a, b, axes=((-1,), (-2,)))
    else:
        result = matmul(a, b)
    return result if out is None else result.copyto(out)


@composed
def tensordot(a, b, axes: Any = 2):
    """Return the sum of products over the given axes of a and b."""
    if isinstance(axes, numbers.Integral):
        axes = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    left, right = (tuple(x) if isinstance(x, tuple | list) else (x,) for x in axes)
    left, right = _axes(left, a.ndim), _axes(right, b.ndim)
    sizes = tuple(a.shape[i] for i in left), tuple(b.shape[i] for i in right)
    if sizes[0] != sizes[1]:
        raise ArgumentError(f"tensordot: axes {left} of {a.shape} and axes {right} of {b.shape} differ in size.")
    rest_a = tuple(i for i in range(a.ndim) if i not in left)
    rest_b = tuple(i for i in range(b.ndim) if i not in right)
    shape = tuple(a.shape[i] for i in rest_a) + tuple(b.shape[i] for i in rest_b)
    k = int(onp.prod(sizes[0], dtype=int))
    rows = transpose(a, axes=rest_a + left).reshape((int(onp.prod([a.shape[i] for i in rest_a], dtype=int)), k))
    columns = transpose(b, axes=right + rest_b).reshape((k, int(onp.prod([b.shape[i] for i in rest_b], dtype=int))))
    return matmul(rows, columns).reshape(shape)


@composed
def inner(a, b):
    """Return the sum of products over the last axes."""
    return a * b if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, axes=((-1,), (-1,)))


@composed
def outer(a, b):
    """a_i b_j of the flattened arrays."""
    return a.reshape((-1, 1)) * b.reshape((1, -1))


@composed
def vdot(a, b):
    """Return the sum of products of the flattened arrays."""
    return sum_(a.reshape(-1) * b.reshape(-1))


@op
def einsum_of(*operands, subscripts):
    """Sum of products by Einstein's convention."""
    return onp.array(onp.einsum(subscripts, *operands))


einsum_of.title = "einsum"


@einsum_of.vjps
def _(g, z, wanted, *operands, subscripts):
    terms, result = _explicit(subscripts, operands)
    grads = []
    for i, want in enumerate(wanted):
        if want is None:
            grads.append(None)
            continue
        others = [t for j, t in enumerate(terms) if j != i]
        arrays = [a for j, a in enumerate(operands) if j != i]
        # Labels that only this operand has were summed: their gradient is constant along them.
        missing = [c for c in terms[i] if c not in result + "".join(others)]
        ones = onp.ones([operands[i].shape[terms[i].index(c)] for c in missing], _raw(g).dtype)
        left = ",".join([result, *others, "".join(missing)] if missing else [result, *others])
        extra = [ones] if missing else []
        grad = einsum_of(g, *arrays, *extra, subscripts=f"{left}->{terms[i]}")
        shape = operands[i].shape
        if grad.shape != shape:  # one label, sizes 1 and n: what was repeated is summed, and the other way round
            summed = fit(grad, tuple(1 if n == 1 else m for m, n in zip(grad.shape, shape, strict=True)))
            grad = broadcast_to(summed, shape=shape)
        grads.append(grad)
    return grads


def _raw(a):
    return getattr(a, "_data", a)


def _explicit(subscripts, operands):
    """Spell out `a,b->c`: letters for the ellipsis, the result if it was left implicit."""
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(f"einsum {subscripts!r} names {len(terms)} arrays, got {len(operands)}.")
    free = [c for c in "ZYXWVUTSRQPONML" if c not in left]
    lengths = [a.ndim - len(t.replace("...", "")) for a, t in zip(operands, terms, strict=True) if "..." in t]
    dots = "".join(free[: max(lengths, default=0)])
    terms = [t.replace("...", dots[len(dots) - (a.ndim - len(t) + 3) :]) for a, t in zip(operands, terms, strict=True)]
    if not arrow:
        letters = "".join(terms)
        result = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
    else:
        result = result.replace("...", dots)
    return terms, result


def _without_repeats(a, term):
    """Return the diagonals of `a` along labels that come twice, and the term with each label once: 'ii' is a diagonal."""
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            i, j = term.index(label), term.rindex(label)
            a, term = diagonal(a, axis1=i, axis2=j), term[:i] + term[i + 1 : j] + term[j + 1 :] + label
    return a, term


@composed
def einsum(*operands, **kwargs):
    """Return the sum of products by Einstein's convention: einsum('ij,jk->ik', a, b) is matmul."""
    subscripts, *arrays = operands
    kwargs.pop("optimize", None)
    if not isinstance(subscripts, str):
        raise ArrayTypeError(
            f"einsum starts with the subscripts, such as 'ij,jk->ik', got {type(subscripts).__name__}."
        )
    if any(len(set(t)) < len(t) for t in subscripts.replace(" ", "").replace("...", "").partition("->")[0].split(",")):
        terms, result = _explicit(subscripts, arrays)
        pairs = [_without_repeats(a, term) for a, term in zip(arrays, terms, strict=True)]
        arrays, subscripts = [a for a, _ in pairs], ",".join(term for _, term in pairs) + "->" + result
    return einsum_of(*arrays, subscripts=subscripts, **kwargs)
