"""What a training run leaves behind: curves and histograms over steps, of bounded size however long it runs."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArrayTypeError
from d2lblocks.np.ndarray import ndarray

STRETCHES = 400  # a curve is kept as at most so many stretches
COLUMNS = 60  # histograms are kept at so many steps at most
BINS = 24
EXACT = 1 << 15  # of larger arrays every k-th number is counted


def number(name: str, value: Any) -> float:
    """Return the value as a float; of an array of losses, one per example, the mean."""
    if type(value) is ndarray:
        value = value._data
    elif isinstance(value, float | int):
        return float(value)
    raw = onp.asarray(value)
    if raw.dtype.kind not in "fiub" or not raw.size:
        raise ArrayTypeError(f"record({name}=...): expected a number or an array of numbers, got {value!r:.80}.")
    return mean(raw)


def mean(raw: onp.ndarray) -> float:
    """Return the mean of raw numbers; faster than NumPy's for few."""
    return float(onp.add.reduce(raw, None)) / raw.size


def _means(values: tuple) -> onp.ndarray:
    """Return one number each for numbers and raw arrays; of many arrays of one length all at once."""
    if values and len({getattr(v, "shape", None) for v in values}) == 1 and getattr(values[0], "ndim", 0) == 1:
        return onp.concatenate(values).reshape(len(values), -1).mean(1, dtype=onp.float64)
    return onp.array([value if type(value) is float else mean(value) for value in values], onp.float64)


class Curve:
    """Numbers by step as stretches of equal length, each with the mean, the least and the greatest of its numbers."""

    def __init__(self) -> None:
        self._new: list[tuple[int, Any]] = []  # (step, a number, or the raw numbers whose mean it is)
        self._stretches: list[list] = []  # [last step, how many, sum, least, greatest]
        self._length = 1
        self.first_bad: int | None = None  # the step of the first infinity or NaN
        self.last = float("nan")
        self.add = self._new.append  # add((step, value)): on the way of every step, so nothing more

    @property
    def unsettled(self) -> bool:
        """Is there anything new since settle()?"""
        return bool(self._new)

    def settle(self) -> None:
        """Sort what was added into the stretches."""
        steps, values = zip(*self._new, strict=True) if self._new else ((), ())
        new = onp.column_stack([onp.array(steps, onp.float64), _means(values)])
        self._new.clear()
        while len(new):
            if not self._stretches or self._stretches[-1][1] >= self._length:
                self._stretches.append([0, 0, 0.0, onp.inf, -onp.inf])
            end = self._stretches[-1]
            here, new = new[: self._length - end[1]], new[self._length - end[1] :]
            steps, values = here.T
            end[:] = [
                int(steps[-1]), end[1] + len(values), end[2] + float(values.sum()),
                min(end[3], float(values.min())), max(end[4], float(values.max())),
            ]  # fmt: skip
            if self.first_bad is None and not onp.isfinite(values).all():
                self.first_bad = int(steps[~onp.isfinite(values)][0])
            self.last = float(values[-1])
            if len(self._stretches) > STRETCHES:
                self._halve()

    def _halve(self) -> None:
        pairs = zip(self._stretches[::2], [*self._stretches[1::2], None], strict=False)
        self._stretches = [
            a if b is None else [b[0], a[1] + b[1], a[2] + b[2], min(a[3], b[3]), max(a[4], b[4])] for a, b in pairs
        ]
        self._length *= 2

    def rows(self) -> list[tuple[int, float, float, float]]:
        """Return (last step, mean, least, greatest) of each stretch."""
        self.settle()
        return [(step, total / n, least, greatest) for step, n, total, least, greatest in self._stretches]

    def sent(self) -> dict:
        """Return the rows as a browser wants them: bytes of float32."""
        return {"rows": onp.asarray(self.rows(), "<f4").tobytes(), "bad": self.first_bad}


def column(raw: onp.ndarray) -> tuple[float, float, onp.ndarray]:
    """Return (least, greatest, counts in BINS equal bins between them); NaN if no number is finite."""
    flat = raw.ravel("K")
    if flat.size and not (onp.isfinite(flat.min()) and onp.isfinite(flat.max())):
        flat = flat[onp.isfinite(flat)]
    if not flat.size:
        return float("nan"), float("nan"), onp.zeros(BINS, "<u2")
    lo, hi = float(flat.min()), float(flat.max())
    if flat.size > EXACT:
        flat = flat[:: -(-flat.size // EXACT)]
    if hi > lo:
        place = onp.minimum((flat - lo) * (BINS / (hi - lo)), BINS - 1).astype(onp.intp)
        counts = onp.bincount(place, minlength=BINS)
    else:
        counts = onp.bincount([0], [flat.size], BINS)
    return lo, hi, (counts * min(1, 65535 / flat.size)).astype("<u2")


class Histograms:
    """Histograms of several arrays over steps. When they get too many, every second one goes."""

    def __init__(self, names: list[str]):
        self.names = names
        self.steps: list[int] = []
        self._columns: list[list] = []  # per step, per name: (least, greatest, counts)
        self._taken, self._stride = 0, 1

    def add(self, step: int, arrays: list) -> None:
        """Take the histograms of `arrays` (None for one that is not there yet) at this step."""
        empty = onp.zeros(0)
        taken = [column(empty if a is None else a) for a in arrays]
        provisional = bool(self._columns) and (self._taken - 1) % self._stride != 0
        if provisional or (self.steps and self.steps[-1] == step):
            self.steps[-1], self._columns[-1] = step, taken
        else:
            self.steps.append(step)
            self._columns.append(taken)
        self._taken += 1
        if len(self.steps) > COLUMNS:
            self.steps, self._columns = self.steps[::2], self._columns[::2]
            self._stride, self._taken = self._stride * 2, 1

    def sent(self) -> dict:
        """Return bytes, one row per name: lo and hi (float32, one per step), counts (uint16, BINS per step)."""
        rows = [[step[i] for step in self._columns] for i in range(len(self.names))]
        return {
            "lo": onp.array([[c[0] for c in row] for row in rows], "<f4").tobytes(),
            "hi": onp.array([[c[1] for c in row] for row in rows], "<f4").tobytes(),
            "counts": onp.array([[c[2] for c in row] for row in rows], "<u2").tobytes(),
        }
