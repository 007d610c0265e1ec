"""Values as many narrow bins: what travels to the browser, which counts them anew for every position of a slider."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.reprs.values import EXACT, binned, moments, sampled

FINE = 720  # has many divisors: for as many bins as one of them no fine bin is cut


def bins(values: Any, fine: int = FINE) -> dict:
    """Return {lo, hi, n, mean, std, min, max, nonfinite, fine: uint32 bytes} of an array of any shape.

    Statistics are those of the finite values; an array without any has n = 0 and None for the rest. Of a large one only the
    histogram is one of some of the numbers, n of them.
    """
    every = onp.asarray(values).ravel("K")
    if every.dtype.kind not in "fiub":
        raise TypeError(f"A histogram needs real numbers, got dtype {every.dtype}.")
    kept = every[onp.isfinite(every)] if every.dtype.kind == "f" else every
    bad = int(every.size - kept.size)
    if not kept.size:
        return {"n": 0, "nonfinite": bad, "lo": 0.0, "hi": 0.0, "mean": None, "std": None, "min": None, "max": None,
                "fine": bytes(4 * fine)}  # fmt: skip
    lo, hi = float(kept.min()), float(kept.max())
    mean, std = moments(kept, max(-lo, hi))
    counts = binned(sampled(kept, EXACT), lo, hi, fine).astype("<u4")
    return {"n": int(counts.sum()), "nonfinite": bad, "lo": lo, "hi": hi, "mean": mean, "std": std if hi > lo else 0.0,
            "min": lo, "max": hi, "fine": counts.tobytes()}  # fmt: skip


def counts(facts: dict) -> onp.ndarray:
    """Return the counts of `bins` as an array."""
    return onp.frombuffer(facts["fine"], "<u4")
