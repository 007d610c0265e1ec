"""Products and linear algebra: dot, matmul, einsum, norm, inv, det."""

from __future__ import annotations

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.elementwise import absolute, power
from d2lblocks.np.moves import _axes, expand_dims, moveaxis, swapaxes, transpose
from d2lblocks.np.moves import sum as sum_
from d2lblocks.np.reduce import max as max_
from d2lblocks.np.reduce import min as min_
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
def tensordot(a, b, axes=2):
    """Return the sum of products over the given axes of a and b."""
    if isinstance(axes, int):
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
        grads.append(einsum_of(g, *arrays, *extra, subscripts=f"{left}->{terms[i]}"))
    return grads


def _raw(a):
    return getattr(a, "_data", a)


def _explicit(subscripts, operands):
    """Spell out `a,b->c`: letters for the ellipsis, the result if it was left implicit."""
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [c for c in "ZYXWVUTSRQPONML" if c not in left]
    lengths = [a.ndim - len(t.replace("...", "")) for a, t in zip(operands, terms, strict=True) if "..." in t]
    dots = "".join(free[: max(lengths, default=0)])
    terms = [t.replace("...", dots[len(dots) - (a.ndim - len(t) + 3) :]) for a, t in zip(operands, terms, strict=True)]
    if not arrow:
        letters = "".join(terms)
        result = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
    else:
        result = result.replace("...", dots)
    if any(len(set(t)) < len(t) for t in terms):
        raise NotImplementedError(f"einsum {subscripts!r}: the gradient of a repeated label in one term is not known.")
    return terms, result


@composed
def einsum(*operands, **kwargs):
    """Return the sum of products by Einstein's convention: einsum('ij,jk->ik', a, b) is matmul."""
    subscripts, *arrays = operands
    kwargs.pop("optimize", None)
    return einsum_of(*arrays, subscripts=subscripts, **kwargs)


# ---------------------------------------------------------------------------------------- numpy.linalg


@composed
def norm(x, ord=None, axis=None, keepdims=False):
    """Return the length of x: by default the root of the sum of squares of all entries."""
    axes = _axes(axis, x.ndim)
    if ord is None or (ord == 2 and len(axes) == 1) or ord == "fro":
        return _length(x, axis=axis, keepdims=keepdims)
    if len(axes) == 1:
        if ord in (float("inf"), float("-inf")):
            return (max_ if ord > 0 else min_)(absolute(x), axis=axis, keepdims=keepdims)
        if ord == 0:
            return sum_((x != 0).astype(x.dtype), axis=axis, keepdims=keepdims)
        return power(sum_(power(absolute(x), ord), axis=axis, keepdims=keepdims), 1.0 / ord)
    return _matrix_norm(x, ord, axes, keepdims)


def _matrix_norm(x, ord, axes, keepdims):
    if len(axes) != 2:
        raise ArgumentError(f"norm: order {ord!r} needs one or two axes, got {axes} of shape {x.shape}.")
    row, column = axes
    if ord in (1, -1, float("inf"), float("-inf")):
        along, over = (row, column) if abs(ord) == 1 else (column, row)
        sums = sum_(absolute(x), axis=along, keepdims=True)
        best = (max_ if ord > 0 else min_)(sums, axis=over, keepdims=True)
    elif ord in (2, -2, "nuc"):
        s = svd(moveaxis(x, axes, (-2, -1)))[1]
        best = sum_(s, axis=-1) if ord == "nuc" else (max_ if ord > 0 else min_)(s, axis=-1)
        return best.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else best
    else:
        raise ArgumentError(f"norm: unknown order {ord!r} for a matrix.")
    return best if keepdims else best.squeeze(axes)


@op
def _length(x, *, axis=None, keepdims=False):
    """Root of the sum of squares over `axis`."""
    return onp.sqrt(onp.add.reduce(x * x, axis if axis is None else _axes(axis, x.ndim), keepdims=bool(keepdims)))


_length.title = "norm"


@_length.vjp("x")
def _(g, z, x, axis=None, keepdims=False):
    # At 0 the length has no derivative; 0 is in its subdifferential and keeps nan out of a net.
    shape = tuple(1 if i in _axes(axis, x.ndim) else n for i, n in enumerate(x.shape))
    z, g = z.reshape(shape), g.reshape(shape)
    return g * x / (z + (z == 0))


@op
def inv(a):
    """Inverse of square matrices: (..., n, n) -> (..., n, n)."""
    return onp.linalg.inv(a)


@inv.vjp("a")
def _(g, z, a):
    zt = swapaxes(z, -1, -2)
    return -matmul(matmul(zt, g), zt)


@op
def det(a):
    """Determinant: (..., n, n) -> (...)."""
    return onp.linalg.det(a)


@det.vjp("a")
def _(g, z, a):
    return (g * z).reshape((*z.shape, 1, 1)) * swapaxes(inv(a), -1, -2)


@op
def solve(a, b):
    """x with a x = b: (n, n), (n, m) -> (n, m)."""
    return onp.linalg.solve(a, b)


@solve.vjp("a")
def _(g, z, a, b):
    gb = solve(swapaxes(a, -1, -2), g)
    if z.ndim == 1:
        return -outer(gb, z)
    return -matmul(gb, swapaxes(z, -1, -2))


@solve.vjp("b")
def _(g, z, a, b):
    return solve(swapaxes(a, -1, -2), g)


@op
def cholesky(a):
    """L with a = L Lᵀ, lower triangular."""
    return onp.linalg.cholesky(a)


@op
def svd(a):
    """u, s, v with a = u diag(s) v."""
    return tuple(onp.linalg.svd(a, full_matrices=False))


@op
def eigh(a):
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    return tuple(onp.linalg.eigh(a))


@op
def eig(a):
    """Eigenvalues and eigenvectors of a square matrix whose eigenvalues are real."""
    return tuple(onp.real_if_close(part, tol=1000) for part in onp.linalg.eig(a))


@op
def pinv(a, *, rcond=1e-15):
    """Pseudo-inverse."""
    return onp.linalg.pinv(a, rcond)


@op
def slogdet(a):
    """Sign and log of the absolute value of the determinant."""
    return tuple(onp.linalg.slogdet(a))


def eigvals(a):
    """Return the eigenvalues of a square matrix."""
    return eig(a)[0]


def eigvalsh(a):
    """Return the eigenvalues of a symmetric matrix."""
    return eigh(a)[0]
