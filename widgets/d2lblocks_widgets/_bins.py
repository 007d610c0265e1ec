"""Values as many narrow bins: what travels to the browser, which counts them anew for every position of a slider."""

from __future__ import annotations

from typing import Any

import numpy as onp

FINE = 720  # has many divisors: for as many bins as one of them no fine bin is cut


def bins(values: Any, fine: int = FINE) -> dict:
    """Return {lo, hi, n, mean, std, min, max, nonfinite, fine: uint32 bytes} of an array of any shape.

    Statistics are those of the finite values; an array without any has n = 0 and None for the rest.
    """
    every = onp.asarray(values).ravel()
    if every.dtype.kind not in "fiub":
        raise TypeError(f"A histogram needs real numbers, got dtype {every.dtype}.")
    kept = every[onp.isfinite(every)] if every.dtype.kind == "f" else every
    facts: dict = {"n": int(kept.size), "nonfinite": int(every.size - kept.size)}
    if not kept.size:
        return {**facts, "lo": 0.0, "hi": 0.0, "mean": None, "std": None, "min": None, "max": None,
                "fine": bytes(4 * fine)}  # fmt: skip
    wide = kept.astype(onp.float64)
    lo, hi = float(wide.min()), float(wide.max())
    with onp.errstate(over="ignore"):
        mean, std = _finite(wide.mean()), _finite(wide.std())
    if hi > lo:
        with onp.errstate(all="ignore"):  # a range wider than float64 can hold ends in one bin
            place = onp.nan_to_num((wide - lo) / (hi - lo) * fine).astype(onp.intp)
        counts = onp.bincount(onp.minimum(place, fine - 1), minlength=fine)
    else:
        counts, std = onp.bincount([0], [kept.size], fine), 0.0
    return {**facts, "lo": lo, "hi": hi, "mean": mean, "std": std, "min": lo, "max": hi,
            "fine": counts.astype("<u4").tobytes()}  # fmt: skip


def _finite(x: Any) -> float | None:
    return float(x) if onp.isfinite(x) else None  # JSON has no infinity


def counts(facts: dict) -> onp.ndarray:
    """Return the counts of `bins` as an array."""
    return onp.frombuffer(facts["fine"], "<u4")
