"""What initializers draw, and what it does to a deep net: plain data, made without a browser."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as onp

from d2lblocks import initializer as init
from d2lblocks.errors import ArgumentError
from d2lblocks.reprs.style import number
from d2lblocks_widgets._bins import bins
from d2lblocks_widgets._theory import borrowed_streams, theory

FEW, MANY, BIGGEST = 2, 6, 2**20
BATCH = 128
ACTIVATIONS: dict[str, Callable] = {
    "identity": lambda x: x,
    "tanh": onp.tanh,
    "relu": lambda x: onp.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + onp.exp(-x)),
}


def named(given: Sequence) -> list[tuple[str, Any]]:
    """Return (what to call it, initializer) for names and initializers: two to six of them."""
    if not FEW <= len(given) <= MANY:
        raise ArgumentError(f"compare_initializers: {FEW} to {MANY} initializers fit on one axis, got {len(given)}.")
    texts = [one if isinstance(one, str) else label(one) for one in given]
    counts = [texts[:i].count(text) for i, text in enumerate(texts)]
    labels = [f"{text} #{n + 1}" if n else text for text, n in zip(texts, counts, strict=True)]
    return list(zip(labels, map(init.create, given), strict=True))


def label(one: Any) -> str:
    """Return how the initializer is written, without arguments left as they are: Normal(sigma=1)."""
    if not isinstance(one, init.Initializer):
        return getattr(one, "__name__", type(one).__name__)
    usual = {k: p.default for k, p in inspect.signature(type(one).__init__).parameters.items()}
    kwargs = vars(one).get("_kwargs", {})
    told = ", ".join(f"{k}={_short(v)}" for k, v in kwargs.items() if k not in usual or not _same(usual[k], v))
    return f"{type(one).__name__}({told})"


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b or (isinstance(a, int | float) and isinstance(b, int | float) and a == b)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 20 else text[:18] + "…"


def check_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape as a tuple, or say what is wrong with it."""
    sizes = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not sizes or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
        raise ArgumentError(f"shape must be positive whole numbers such as (256, 256), got {shape!r}.")
    total = 1
    for n in sizes:
        total *= n
    if total > BIGGEST:
        raise ArgumentError(f"shape {sizes} has {total:,} numbers; up to {BIGGEST:,} are drawn here.")
    return sizes


def drawn(one: Any, shape: tuple, seed: int) -> dict:
    """Return the bins and the theory of what one initializer draws, or {"error": why it could not}."""
    try:
        with borrowed_streams(seed), onp.errstate(all="ignore"):
            values = init.fill(one, "weight", shape, onp.float32)
        return {**bins(values._data), "theory": theory(one, shape)}
    except Exception as problem:  # any code may stand in a learner's initializer; its row tells what it said
        return {"error": f"{type(problem).__name__}: {problem}"}


def through(one: Any, activation: str, seed: int, depth: int, width: int) -> list[dict]:
    """Return the bins of the activations after 0, 1, ... depth layers of a net started by `one`: x <- f(x Wᵀ)."""
    f = ACTIVATIONS[activation]
    try:
        with borrowed_streams(seed), onp.errstate(all="ignore"):
            x = onp.random.default_rng(seed).standard_normal((BATCH, width), onp.float32)
            found = [bins(x, 144)]
            for k in range(depth):
                weight = init.fill(one, f"dense{k}_weight", (width, width), onp.float32)._data
                x = f(x @ weight.T)
                found.append(bins(x, 144))
        return found
    except Exception:  # the row of the initializer tells why
        return []


def variance(facts: dict) -> float | None:
    """Return the variance behind bins; None if numbers were not finite."""
    return None if facts["nonfinite"] or facts["std"] is None else facts["std"] ** 2


def outcome(variances: list[float | None]) -> str:
    """Return the last of them in words."""
    if not variances:
        return "not measured"
    return "not finite" if variances[-1] is None else number(variances[-1])
