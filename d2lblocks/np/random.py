"""Random arrays: every draw takes its words from the serial stream, in call order (integers: the parallel one)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as onp

from d2lblocks import rng
from d2lblocks.autograd import pause
from d2lblocks.context import kept
from d2lblocks.errors import ArgumentError, ArrayTypeError, NotRecordedError
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.elementwise import exp
from d2lblocks.np.linalg import cholesky
from d2lblocks.np.moves import get
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import refuse_recorded
from d2lblocks.tape import state

F = onp.float32
P = ParamSpec("P")


def on_cpu(draw: Callable[P, ndarray]) -> Callable[P, ndarray]:
    """Let `draw` refuse a ctx without GPU support before it takes a random number, and put its result there.

    Without a ctx the result lies where the first array among the parameters lies.
    """

    @functools.wraps(draw)
    def checked(*args: P.args, **kwargs: P.kwargs) -> ndarray:
        wish: Any = kwargs.get("ctx")
        if wish is None:
            wish = next((p.ctx for p in (*args, *kwargs.values()) if isinstance(p, ndarray)), None)
        ctx = kept(wish)
        made = draw(*args, **kwargs)
        made._ctx = ctx
        return made

    return checked


def raw(value: Any) -> onp.ndarray:
    """Return a parameter as a raw array; numbers become float32."""
    if isinstance(value, ndarray):
        return value._numbers()
    try:
        return onp.asarray(value, onp.float32)
    except (TypeError, ValueError):
        raise ArrayTypeError(f"A parameter of a draw is a number or an array, got {value!r}.") from None


def shape_of(size: Any, *parameters: onp.ndarray) -> tuple[int, ...]:
    """Return the shape of a draw: `size`, or what the parameters broadcast to."""
    if size is None:
        return onp.broadcast_shapes(*[p.shape for p in parameters])
    shape = tuple(size) if isinstance(size, tuple | list) else (size,)
    if not all(isinstance(n, int | onp.integer) and not isinstance(n, bool) for n in shape):
        raise ArrayTypeError(f"size is made of whole numbers, got {size!r}.")
    if any(n < 0 for n in shape):
        raise ArgumentError(f"size cannot be negative, got {size}.")
    with contextlib.suppress(ValueError):
        if onp.broadcast_shapes(shape, *[p.shape for p in parameters]) == shape:
            return shape
    raise ArgumentError(f"size {shape} does not fit parameters of shapes {[p.shape for p in parameters]}.")


def batched(batch_shape: Any, *parameters: Any) -> tuple[int, ...]:
    """Return batch_shape in front of the shape of the parameters."""
    batch = () if batch_shape is None else tuple(batch_shape) if isinstance(batch_shape, tuple) else (batch_shape,)
    return batch + shape_of(None, *[raw(p) for p in parameters])


def finish(values: Any, out: Any = None) -> ndarray:
    """Wrap the drawn values, or write them into `out`."""
    made = wrap(onp.asarray(values))
    if out is None:
        return made
    if made.shape != out.shape:
        raise ArgumentError(f"out has shape {out.shape}, the draw has shape {made.shape}; give size={out.shape}.")
    return made.copyto(out)


def on_tape(*parameters: Any) -> bool:
    """Return whether a draw must be recorded: then it is written as a formula of its parameters and of fixed noise."""
    return state.recording and any(isinstance(p, ndarray) and p._node is not None for p in parameters)


def placed(noise: onp.ndarray, loc: Any, scale: Any, out: Any = None, dtype: Any = None) -> ndarray:
    """Return loc + noise scale, with the gradients dz/dloc = 1 and dz/dscale = noise (Kingma & Welling 2014)."""
    if on_tape(loc, scale):
        z = loc + wrap(noise) * scale
        z = z if dtype is None else z.astype(dtype, copy=False)
        return z if out is None else z.copyto(out)
    values = raw(loc) + noise * raw(scale)
    return finish(values if dtype is None else values.astype(dtype), out)


def _no_derivative(name: str, *parameters: Any) -> None:
    if on_tape(*parameters):
        raise NotRecordedError(f"A draw from {name} has no derivative here. Take .detach() of its parameters.")


def _floating(dtype: Any, name: str) -> onp.dtype:
    kind = as_dtype(dtype)
    if kind.kind != "f":
        raise ArgumentError(f"{name}: dtype must be float16, float32 or float64, got {kind}.")
    return kind


def _positive(value: onp.ndarray, what: str, name: str, zero: bool = False) -> None:
    if not (value >= 0 if zero else value > 0).all():
        raise ArgumentError(f"{name}: expect {what} {'>=' if zero else '>'} 0, got {value.min():g} ({what} < 0 or 0).")


@on_cpu
def uniform(low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = None, ctx: Any = None,
            out: Any = None) -> ndarray:  # fmt: skip
    """low + u (high - low), u uniform in [0, 1]; computed in float32 from one word each."""
    kind, a, b = _floating(dtype, "uniform"), raw(low), raw(high)
    scale = high - low if on_tape(low, high) else wrap(b - a)
    return placed(rng.uniform(shape_of(size, a, b)), low, scale, out, kind)


@on_cpu
def normal(loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None, ctx: Any = None,
           out: Any = None) -> ndarray:  # fmt: skip
    """Return loc + z scale, z from N(0, 1) by the polar method."""
    kind, a, b = _floating(dtype, "normal"), raw(loc), raw(scale)
    if not (b >= 0).all():
        raise ArgumentError(f"normal: expect scale >= 0, got {b.min():g} (scale < 0).")
    return placed(rng.normal(shape_of(size, a, b)), loc, scale, out, kind)


def rand(*size: int, **kwargs: Any) -> ndarray:
    """Return uniform draws in [0, 1] of the shape given by the arguments."""
    return uniform(0, 1, size, **kwargs)


def randn(*size: int, **kwargs: Any) -> ndarray:
    """Return standard normal draws of the shape given by the arguments."""
    return normal(0, 1, size, **kwargs)


@on_cpu
def lognormal(mean: Any = 0.0, sigma: Any = 1.0, size: Any = None, dtype: Any = None, ctx: Any = None,
              out: Any = None) -> ndarray:  # fmt: skip
    """exp(z), z from N(mean, sigma²)."""
    if on_tape(mean, sigma):
        return exp(normal(mean, sigma, size, dtype))
    return finish(rng.expf(normal(mean, sigma, size)._data).astype(as_dtype(dtype)), out)


@on_cpu
def exponential(scale: Any = 1.0, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """-scale log(u)."""
    s = raw(scale)
    _positive(s, "scale", "exponential", zero=True)
    u = rng.uniform(shape_of(size, s))
    if on_tape(scale):
        return placed(-rng.logf(u), 0.0, scale, out)
    values = s * -rng.logf(u) if s.ndim else (-s.astype("f8") * onp.log(u.astype("f8"))).astype(F)
    return finish(values, out)


@on_cpu
def rayleigh(scale: Any = 1.0, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """Return scale sqrt(-2 log(u))."""
    s = raw(scale)
    _positive(s, "scale", "rayleigh", zero=True)
    u = rng.uniform(shape_of(size, s)).astype("f8")
    return placed(onp.sqrt(-2 * onp.log(u)).astype(F), 0.0, scale, out)


@on_cpu
def weibull(a: Any, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """(-log(u))^(1/a)."""
    k = raw(a)
    _positive(k, "a", "weibull")
    u = rng.uniform(shape_of(size, k))
    if on_tape(a):
        return wrap(-rng.logf(u)) ** (1.0 / a)
    return finish(rng.powf(-rng.logf(u), (1 / k.astype("f8")).astype(F)), out)


@on_cpu
def pareto(a: Any, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """exp(-log(u) / a) - 1."""
    k = raw(a)
    _positive(k, "a", "pareto")
    u = rng.uniform(shape_of(size, k))
    if on_tape(a):
        return exp(wrap(-rng.logf(u)) / a) - 1.0
    power_of = (-rng.logf(u) / k).astype("f8") if k.ndim else -onp.log(u.astype("f8")) / k.astype("f8")
    return finish((onp.exp(power_of) - 1).astype(F), out)


def power(a: Any, size: Any = None) -> ndarray:
    """(1 - u)^(1/a); one word more than values is drawn, as the original does."""
    k = raw(a)
    _positive(k, "a", "power")
    u = rng.uniform(shape_of(size, k))
    rng.serial_words(1)
    if on_tape(a):
        return wrap(F(1) - u) ** (1.0 / a)
    return finish(rng.powf(F(1) - u, (1 / k.astype("f8")).astype(F)))


@on_cpu
def logistic(loc: Any = 0.0, scale: Any = 1.0, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """Return loc + scale log(u / (1 - u))."""
    a, s = raw(loc), raw(scale)
    _positive(s, "scale", "logistic", zero=True)
    u = rng.uniform(shape_of(size, a, s)).astype("f8")
    return placed((onp.log(u) - onp.log(1 - u)).astype(F), loc, scale, out)


@on_cpu
def gumbel(loc: Any = 0.0, scale: Any = 1.0, size: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """Return loc - scale log(-log(u))."""
    a, s = raw(loc), raw(scale)
    _positive(s, "scale", "gumbel", zero=True)
    u = rng.uniform(shape_of(size, a, s)).astype("f8")
    return placed((-onp.log(-onp.log(u))).astype(F), loc, scale, out)


@on_cpu
def randint(low: int, high: int | None = None, size: Any = None, dtype: Any = None, ctx: Any = None,
            out: Any = None) -> ndarray:  # fmt: skip
    """Return integers in [low, high), or in [0, low) if only one bound is given; int64, or int32 on request."""
    if high is None:
        low, high = 0, low
    low, high = int(low), int(high)
    if low >= high:
        raise ArgumentError(
            f"randint: low must be less or equal to high in uniform distribution, and the range [{low}, {high}) is empty."
        )
    kind = onp.dtype("int64" if dtype is None or dtype is int else dtype)
    if kind not in (onp.int32, onp.int64):
        raise ArgumentError(f"randint: dtype must be int32 or int64, got {kind}.")
    return finish(rng.randint(low, high, shape_of(size), kind), out)


@on_cpu
def choice(a: Any, size: Any = None, replace: bool = True, p: Any = None, ctx: Any = None, out: Any = None) -> ndarray:
    """Draw entries of `a` (or of 0 .. a-1), with or without putting them back, evenly or with probabilities p."""
    pool = a if isinstance(a, ndarray) else None
    if pool is None and not isinstance(a, int | onp.integer):
        raise ArrayTypeError(f"choice draws from a number or an ndarray, got {type(a).__name__}; write np.array(...).")
    n = pool.shape[0] if pool is not None else int(a)
    shape = shape_of(size)
    count = int(onp.prod(shape, dtype=int))
    if p is not None and not isinstance(p, ndarray):
        raise AssertionError(f"choice: p must be an ndarray, got {type(p).__name__}; write p=np.array(p).")
    if n < 1 or (not replace and count > n):
        raise ArgumentError(
            f"choice: cannot draw {count} of {n} entries" + ("." if replace else " without replacement.")
        )
    if p is not None and p.shape != (n,):
        raise ArgumentError(f"choice: p has shape {p.shape}, expected ({n},).")
    places = _with_replacement(n, count, p) if replace else _without_replacement(n, count, p)
    places = places.astype(onp.int64).reshape(shape)
    if on_tape(pool):
        return get(pool, key=(places,))
    return finish(places if pool is None else pool._numbers()[places], out)


def _with_replacement(n: int, count: int, p: ndarray | None) -> onp.ndarray:
    if p is None:
        return rng.serial_words(count) % onp.uint32(n)
    ends = onp.cumsum(p._numbers().astype(F), dtype=F)
    return onp.searchsorted(ends, rng.uniform((count,)), side="left").clip(0, n - 1)


def _without_replacement(n: int, count: int, p: ndarray | None) -> onp.ndarray:
    if p is not None:  # the largest keys of a Gumbel race (Yellott 1977)
        keys = -rng.logf(-rng.logf(rng.uniform((n,)))) + rng.logf(p._numbers().astype(F))
        return onp.argsort(-keys, kind="stable")[:count]
    swaps = min(count, n - count)
    split = n - swaps
    entries = onp.arange(n)
    for k, word in enumerate(rng.serial_words(swaps)):
        z = int(word) % (split + k + 1)
        if z < split:
            entries[z], entries[split + k] = entries[split + k], entries[z]
    return entries[n - count :] if 2 * count < n else entries[:count]


def shuffle(x: ndarray) -> None:
    """Put the entries (rows) of x into random order, in place."""
    if not isinstance(x, ndarray):
        raise AssertionError(f"shuffle: an ndarray is needed, got {type(x).__name__}.")
    refuse_recorded(x)
    data, n = x._numbers(), len(x)
    order = onp.arange(n)
    for i in range(1, n) if data.ndim == 1 else range(n - 1, 0, -1):
        j = rng.below(i + 1)
        order[i], order[j] = order[j], order[i]
    with pause():
        x[...] = data[order]


def multinomial(n: int, pvals: Any, size: Any = None, **kwargs: Any) -> ndarray:
    """Throw n balls into boxes with probabilities `pvals`: counts, int64, shape size + (boxes,)."""
    listed = not isinstance(pvals, ndarray)
    p = onp.asarray(pvals, onp.float64) if listed else pvals._numbers()
    if p.sum() > 1 + 1e-5:
        raise ArgumentError(f"multinomial: sum(pvals[:-1]) > 1.0, all of them add up to {p.sum():g}.")
    shape, k = shape_of(() if size is None else size), len(p)
    if not k:
        return finish(onp.zeros((*shape, 0), onp.int64))
    rows = int(onp.prod(shape, dtype=int))
    u = rng.uniform64(n * rows)
    if listed:
        rng.uniform64(k)  # the original draws one number per box and drops it; the stream must stand where it does
    boxes = onp.searchsorted(onp.cumsum(p, dtype=p.dtype), u.astype(p.dtype), side="right").clip(0, k - 1)
    counts = onp.zeros((rows, k), onp.int64)
    onp.add.at(counts, (onp.repeat(onp.arange(rows), n), boxes), 1)
    return finish(counts.reshape((*shape, k)))


def _gamma64(a: onp.ndarray, scale: onp.ndarray | onp.floating, shape: tuple) -> onp.ndarray:
    """Return gamma draws in float64 by Marsaglia & Tsang (2000); all are drawn again until none is refused."""
    n = int(onp.prod(shape, dtype=int))
    a, scale = (onp.broadcast_to(v, shape).reshape(-1).astype("f8") for v in (a, scale))
    d = onp.where(a < 1, a + 2 / 3, a - 1 / 3)
    c = 1 / onp.sqrt(9 * d)
    values, waiting = onp.empty(n), onp.ones(n, bool)
    while waiting.any():
        u = rng.uniform64(2 * n)
        u0, u1 = u[0::2], u[1::2]
        z = rng.normal64(n)
        v = (1 + c * z) ** 3
        with onp.errstate(invalid="ignore", divide="ignore"):
            logs = rng.logf(onp.where(v > 0, v, 1)).astype("f8")
            near = (u0 <= 1 - 0.0331 * z**4) | (rng.logf(u0) < z * z / 2 + d * (1 - v + logs))
        taken = waiting & (v > 0) & near
        drawn = d * v * scale
        drawn = onp.where(a < 1, drawn * rng.powf(u1, (1 / a).astype(F)), drawn)
        values[taken] = drawn[taken]
        waiting &= ~taken
    return values.reshape(shape)


@on_cpu
def gamma(
    shape: Any, scale: Any = 1.0, size: Any = None, dtype: Any = None, ctx: Any = None, out: Any = None
) -> ndarray:
    """Return draws from the gamma distribution with the given shape and scale."""
    _no_derivative("gamma", shape, scale)
    a, s = raw(shape), raw(scale)
    _positive(a, "shape", "gamma")
    _positive(s, "scale", "gamma")
    return finish(_gamma64(a, s, shape_of(size, a, s)).astype(as_dtype(dtype)), out)


@on_cpu
def beta(a: Any, b: Any, size: Any = None, dtype: Any = None, ctx: Any = None) -> ndarray:
    """X / (X + Y) for gamma draws X, Y of shapes a, b."""
    _no_derivative("beta", a, b)
    p, q = raw(a), raw(b)
    _positive(p, "a", "beta")
    _positive(q, "b", "beta")
    shape = shape_of(size, p, q)
    x, y = _gamma64(p, F(1), shape), _gamma64(q, F(1), shape)
    return finish((x / (x + y)).astype(as_dtype(dtype)))


@on_cpu
def chisquare(df: Any, size: Any = None, dtype: Any = None, ctx: Any = None) -> ndarray:
    """Return the sum of df squared standard normals: gamma(df / 2, 2)."""
    _no_derivative("chisquare", df)
    k = raw(df)
    _positive(k, "df", "chisquare")
    return gamma(wrap(k / F(2)), 2.0, size, dtype)


def multivariate_normal(
    mean: ndarray, cov: ndarray, size: Any = None, check_valid: Any = None, tol: Any = None
) -> ndarray:
    """Return mean + L z with cov = L Lᵀ and z standard normal."""
    if not isinstance(mean, ndarray) or not isinstance(cov, ndarray):
        raise ArrayTypeError("multivariate_normal takes mean and cov as arrays: np.array(...).")
    each = onp.broadcast_shapes(mean.shape, cov.shape[:-1])
    z = normal(size=(*shape_of(() if size is None else size), *each))
    root = cholesky(cov.astype(F) if cov.dtype.itemsize == 2 else cov)
    return mean + (z.reshape((*z.shape, 1)) * root.swapaxes(-1, -2)).sum(axis=-2)
