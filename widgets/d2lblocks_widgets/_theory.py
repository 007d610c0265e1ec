"""What theory expects of an initializer's numbers, and how to look at some without moving anybody's random stream."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as onp

from d2lblocks import initializer as init
from d2lblocks import rng


def fans(shape: tuple) -> tuple[int, int] | None:
    """Return (fan-in, fan-out) of a weight (out, in, ...): in and out times the further sizes; None for a vector."""
    if len(shape) < 2:
        return None
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def theory(given: Any, shape: tuple) -> dict | None:
    """Return the law of one number: {law, std} with bound, sigma or value; None where we know of none.

    A subclass keeps the law only if it kept `_init_weight`: what its own one draws, nobody knows.
    """
    fill = getattr(type(given), "_init_weight", None)
    if fill in (init.Zero._init_weight, init.One._init_weight):
        return _point(float(fill is init.One._init_weight))
    if fill is init.Constant._init_weight:
        return _point(float(given.value)) if isinstance(given.value, int | float) else None
    if fill is init.Uniform._init_weight:
        return _uniform(float(given.scale))
    if fill is init.Normal._init_weight:
        return _normal(float(given.sigma))
    if fill is init.Xavier._init_weight and fans(shape):
        bound = given.bound("weight", shape)
        return _uniform(bound) if given.rnd_type == "uniform" else _normal(bound)
    return None


def _uniform(bound: float) -> dict | None:
    bound = abs(bound)
    return _law("uniform", "bound", bound, bound / math.sqrt(3)) if bound else _point(0.0)


def _normal(sigma: float) -> dict | None:
    return _law("normal", "sigma", abs(sigma), abs(sigma)) if sigma else _point(0.0)


def _point(value: float) -> dict | None:
    return _law("point", "value", value, 0.0)


def _law(name: str, what: str, value: float, std: float) -> dict | None:
    """Return {law, std} and its number; None if that is not finite, which draws nothing that one could expect."""
    return {"law": name, what: value, "std": std} if math.isfinite(value) else None


def law_text(law: dict | None) -> str:
    """Return the law as people write it: U(±0.108), N(0, 0.01²)."""
    if law is None:
        return "no formula"
    kind = law["law"]
    if kind == "uniform":
        return f"U(±{law['bound']:.3g})"
    return f"N(0,\u00a0{law['sigma']:.3g}²)" if kind == "normal" else f"always {law['value']:g}"


@contextmanager
def borrowed_streams(seed: int) -> Iterator[None]:
    """Within `with`, every random stream starts at `seed`; after it all stand where they stood before."""
    ours, theirs, plain = rng.get_state(), onp.random.get_state(), random.getstate()
    try:
        rng.seed(seed)
        onp.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        rng.set_state(ours)
        onp.random.set_state(theirs)
        random.setstate(plain)
