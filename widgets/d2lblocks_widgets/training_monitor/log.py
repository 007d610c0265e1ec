"""What a training run leaves behind: curves and histograms over steps, of bounded size however long it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as onp

from d2lblocks.errors import ArrayTypeError
from d2lblocks.np.ndarray import ndarray
from d2lblocks.reprs.values import binned, sampled
from d2lblocks.tape import state

STRETCHES = 400  # a curve is kept as at most so many stretches
COLUMNS = 60  # histograms are kept at so many steps at most
BINS = 24
SMALL = 1000  # of more losses at once the mean is taken at once, or much memory would be held
ROOM = 8192  # so many numbers of a curve are kept one by one until they are sorted in
BRISK = 80e-6  # seconds: what comes faster is not kept each time
SPARSE = 32  # but one of so many
TURN = (
    5**0.5 - 1
) / 2  # whose place among them moves on by this part of them: never in step with the batches of an epoch
WHOLE = 4096  # of so many at the begin each is kept, however fast they come
NOTHING = onp.zeros(0)
ENOUGH = 64  # steps that tell how long one takes
EXACT = 1 << 15  # of larger arrays so many numbers are counted


def numbers(name: str, value: Any) -> Any:
    """Return the value as a float; of an array of losses, one per example, their mean, or a copy whose mean is taken later."""
    if type(value) is float:
        return value
    try:
        raw = value._data if type(value) is ndarray else onp.asarray(value)
    except ValueError:  # rows of different lengths
        raw = NOTHING
    if raw.dtype.kind not in "fiub" or not raw.size:
        raise ArrayTypeError(f"record({name}=...): expected a number or an array of numbers, got {value!r:.80}.")
    if raw.size <= SMALL:  # a mean takes as long as five copies; the array itself may be written into
        return raw.copy()
    return float(onp.add.reduce(raw, None, onp.float64)) / raw.size


@onp.errstate(all="ignore")  # of a run that went astray
def _means(values: list) -> onp.ndarray:
    """Return the mean of each number or array, all at once: a call of NumPy for each would take longer."""
    arrays = set(map(type, values)) == {onp.ndarray} and {v.ndim for v in values} == {1}
    parts = values if arrays else [onp.ravel(v) for v in values]
    sizes = onp.fromiter(map(len, parts), onp.intp, len(parts))
    return onp.add.reduceat(onp.concatenate(parts), onp.cumsum(sizes) - sizes, dtype=onp.float64) / sizes


@onp.errstate(all="ignore")  # of a run that went astray
def _joined(rows: onp.ndarray, starts: onp.ndarray) -> onp.ndarray:
    """Return stretches, each made of the rows (last step, how many, sum, least, greatest) from a start to the next one."""
    last = rows[[*(starts[1:] - 1), -1], 0]
    count, total = onp.add.reduceat(rows[:, 1:3], starts).T
    least, greatest = onp.minimum.reduceat(rows[:, 3], starts), onp.maximum.reduceat(rows[:, 4], starts)
    return onp.column_stack([last, count, total, least, greatest])


class Thinned:
    """What comes step by step. Where to look at each would be felt, one of some is looked at.

    That is the one whose number is `next`. They may become slow: every eighth is looked at if it comes after the time `by`.
    """

    def __init__(self) -> None:
        self.count = 0  # so many came; whoever hears of one adds it
        self.next, self.by = 1, 0.0
        self._gap = 1
        self.thinned = False  # was any passed by?
        self._turn = 0.0
        self._paced = 0, perf_counter()  # count and time since which the speed is measured

    def begin(self, now: float) -> None:
        """Look at each, until it is known again how fast they come."""
        self.next, self._gap, self._paced = self.count, 1, (self.count, now)

    def looked(self, now: float) -> None:
        """Find out which is the next to be looked at, when this one is."""
        before, then = self._paced
        if self.count < self.next:
            self.begin(now)
        elif self.count >= before + ENOUGH:
            brisk = now - then < BRISK * (self.count - before)
            self._gap = SPARSE if brisk and self.count >= WHOLE else 1
            self._paced = self.count, now
        if self._gap == 1:
            self.next = self.count + 1
            return
        self._turn, self.thinned = (self._turn + TURN) % 1, True
        self.next = (self.count // SPARSE + 1) * SPARSE + int(self._turn * SPARSE)
        self.by = now + 2 * SPARSE * BRISK

    def held_up(self, now: float) -> None:
        """Do not take it for slow because the looking took its time."""
        self._paced, self.by = (self.count, now), now + 2 * SPARSE * BRISK


class Curve(Thinned):
    """Numbers by step as stretches of equal length, each with the mean, the least and the greatest of its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []  # of what is not in the stretches yet
        self.values: list[Any] = []  # these: numbers, and raw numbers whose mean is wanted
        self._stretches = onp.zeros((0, 5))  # last step, how many, sum, least, greatest
        self._length = 1
        self.first: tuple[int, float] | None = None  # the oldest step and its number
        self.first_bad: int | None = None  # the step of the first infinity or NaN
        self._since = self._bad = 0  # so many numbers came from there on, so many of them infinities or NaN
        self._last = float("nan")
        self._unsent = False

    def add(self, step: int, value: Any) -> None:
        """Keep a number, or the array whose mean it is."""
        self.steps.append(step)
        self.values.append(value)
        if len(self.values) > ROOM:
            self.settle()

    @property
    def begun(self) -> bool:
        """Is there anything at all?"""
        return bool(self.values) or len(self._stretches) > 0

    @property
    def unsent(self) -> bool:
        """Is there anything new since sent()?"""
        return bool(self.values) or self._unsent

    @property
    def last(self) -> float:
        """The newest number."""
        self.settle()
        return self._last

    @onp.errstate(all="ignore")
    def settle(self) -> None:
        """Sort what was added into the stretches."""
        n = min(len(self.values), len(self.steps))  # Ctrl-C may have come between a step and its number
        if not n:
            return
        steps, numbers = self.steps[:n], _means(self.values[:n])
        self._last, self._unsent = float(numbers[-1]), True
        self.first = self.first or (steps[0], float(numbers[0]))
        bad = ~onp.isfinite(numbers)
        since = n
        if self.first_bad is None and bad.any():
            since = n - int(bad.argmax())
            self.first_bad = steps[n - since]
        if self.first_bad is not None:
            self._since, self._bad = self._since + since, self._bad + int(bad.sum())
        nan = onp.isnan(numbers)
        lows, highs = onp.where(nan, onp.inf, numbers), onp.where(nan, -onp.inf, numbers)
        new = onp.column_stack([steps, onp.ones(n), numbers, lows, highs])
        begun = int(self._stretches[-1, 1]) % self._length if len(self._stretches) else 0  # of a stretch still short
        whole = len(self._stretches) - (begun > 0)
        rows = onp.vstack([self._stretches[whole:], new])
        first = self._length - begun + 1 if begun else self._length  # where the second stretch starts
        starts = onp.arange(first - self._length, len(rows), self._length)
        self._stretches = onp.vstack([self._stretches[:whole], _joined(rows, onp.maximum(starts, 0))])
        self.steps.clear()
        self.values.clear()
        while len(self._stretches) > STRETCHES:
            self._stretches = _joined(self._stretches, onp.arange(0, len(self._stretches), 2))
            self._length *= 2

    def rows(self) -> list[tuple[int, float, float, float]]:
        """Return (last step, mean, least, greatest) of each stretch."""
        return [(int(step), mean, low, high) for step, mean, low, high in self._table().tolist()]

    @onp.errstate(all="ignore")
    def _table(self) -> onp.ndarray:
        self.settle()
        step, n, total, low, high = self._stretches.T
        return onp.column_stack([step, total / n, low, high])

    def bad(self) -> str:
        """Return what to say of numbers that are not finite; nothing if all are."""
        self.settle()
        if self.first_bad is None:
            return ""
        if self._bad == self._since:
            return f"not finite from step {self.first_bad:,} on"
        seen = " of those looked at" if self.thinned else ""
        return f"{self._bad:,}{seen} not finite, the first at step {self.first_bad:,}"

    def sent(self) -> dict:
        """Return {rows: bytes of float64, first: [step, number], last, bad: words}, numbers as text where not finite."""
        rows, self._unsent = self._table(), False
        step, value = self.first or (0, 0.0)
        return {
            "rows": rows.astype("<f8").tobytes(), "first": [step, _written(value)], "last": _written(self._last),
            "bad": self.bad(),
        }  # fmt: skip


def _written(x: float) -> float | str:
    return x if onp.isfinite(x) else str(x)  # JSON has no infinity


def column(raw: onp.ndarray) -> tuple[float, float, onp.ndarray, int]:
    """Return (least, greatest, counts in BINS equal bins between them, how many numbers are not finite).

    Least and greatest are NaN if no number is finite.
    """
    flat = raw.ravel("K")
    if flat.size and not (onp.isfinite(flat.min()) and onp.isfinite(flat.max())):
        flat = flat[onp.isfinite(flat)]
    bad = raw.size - flat.size
    if not flat.size:
        return float("nan"), float("nan"), onp.zeros(BINS, "<u2"), bad
    lo, hi = float(flat.min()), float(flat.max())
    counts = binned(sampled(flat, EXACT), lo, hi, BINS)
    return lo, hi, (counts * min(1, 65535 / counts.sum())).astype("<u2"), bad


class Ended(NamedTuple):
    """Stands for the trainer of a run that is watched no more."""

    steps: int


class Pulse(Thinned):
    """Counts the steps of a run and keeps its losses: all that is on the way of every step, which may take ten microseconds.

    A trainer counts its steps itself. Where it has none, every loss that is heard is a step, and every call of `record`.
    """

    def __init__(self, push: Callable, look: Callable, trainer: Any = None):
        super().__init__()
        self.loss, self._push, self._look = Curve(), push, look
        self.curves = defaultdict(Curve, loss=self.loss)
        self._steps, self._values = self.loss.steps, self.loss.values
        self.trainer: Any = trainer  # whose steps are counted
        self._first = 0 if trainer is None else trainer.steps
        self.due = 0.0  # when to push, by perf_counter()
        self.halt = 1  # the step at which to look, push or not

    @property
    def step(self) -> int:
        """How many steps there were."""
        return self.count if self.trainer is None else self.trainer.steps - self._first

    @property
    def ended(self) -> bool:
        """Is the run watched no more?"""
        return type(self.trainer) is Ended

    def end(self) -> None:
        """Count no more, and keep no loss of a call that is under way."""
        self.trainer, self._first = Ended(self.step), 0
        self.next, self.by = 1 << 62, float("inf")

    def __reduce__(self) -> tuple:
        """Return how to copy: whoever is copied or pickled with this as a hook is not watched."""
        return _deaf, ()

    def stepped(self, trainer: Any, what: str) -> None:
        """See to what is due after a step of the trainer."""
        self.count = count = self.count + 1
        if count >= self.next or (not count & 7 and perf_counter() >= self.by):
            now = perf_counter()
            self.looked(now)
            self.see(now)

    def lost(self, block: Any, inputs: Any, out: Any) -> None:
        """Keep what a loss gave, one number per example: a forward hook of the loss."""
        if not state.recording:
            return  # a validation
        self.count = count = self.count + 1
        if count < self.next and (count & 7 or perf_counter() < self.by):
            return
        now = perf_counter()
        self.looked(now)
        step = count if self.trainer is None else self.trainer.steps - self._first
        if type(out) is ndarray and 0 < out._data.size <= SMALL:
            self._steps.append(step)  # as below, but the calls would cost as much as all the rest
            self._values.append(out._data.copy())
            if len(self._values) > ROOM:
                self.loss.settle()
        elif type(out) is not ndarray or out._data.size:  # an empty batch has no loss
            self.loss.add(step, numbers("loss", out))
        if step >= self.halt or now >= self.due:
            self.see(now)

    def recorded(self, curve: Curve, name: str, value: Any) -> None:
        """Keep a number that was recorded, and whose turn it is."""
        if not self.ended:
            now = perf_counter()
            curve.looked(now)
            curve.add(self.step, numbers(name, value))
            self.see(now)

    def see(self, now: float) -> None:
        """Push or look, if it is time to."""
        if now >= self.due:
            self._push()
        elif self.step >= self.halt:
            self._look()
        else:
            return
        now = perf_counter()
        for thinned in (self, *self.curves.values()):
            thinned.held_up(now)


def _deaf() -> Pulse:
    """Return the pulse of no run."""
    pulse = Pulse(int, int)
    pulse.end()
    return pulse


class Histograms:
    """Histograms of several arrays over steps. When they get too many, every second one goes."""

    def __init__(self, names: list[str]):
        self.names = names
        self.steps: list[int] = []
        self._columns: list[list] = []  # per step, per name: (least, greatest, counts, how many are not finite)
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
        """Return bytes, one row per name: lo and hi (float64, one per step), counts (uint16, BINS per step), bad (float64)."""
        rows = [[step[i] for step in self._columns] for i in range(len(self.names))]
        return {
            "lo": onp.array([[c[0] for c in row] for row in rows], "<f8").tobytes(),
            "hi": onp.array([[c[1] for c in row] for row in rows], "<f8").tobytes(),
            "counts": onp.array([[c[2] for c in row] for row in rows], "<u2").tobytes(),
            "bad": onp.array([[c[3] for c in row] for row in rows], "<f8").tobytes(),
        }
