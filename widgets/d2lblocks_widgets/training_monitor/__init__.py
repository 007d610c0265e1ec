"""The training monitor: loss, parameters and gradients of a run, while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from html import escape
from time import perf_counter
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as onp
import traitlets as t
from IPython.display import publish_display_data

from d2lblocks.errors import ArgumentError, ArrayTypeError, listed, warn
from d2lblocks.gluon import Block, Parameter, ParameterDict, Trainer
from d2lblocks.gluon.parameter.collection import matcher
from d2lblocks.gluon.watch import on_change
from d2lblocks.np.ndarray import ndarray
from d2lblocks.reprs.style import number as written
from d2lblocks_widgets._picture import curve_img
from d2lblocks_widgets._widget import Widget
from d2lblocks_widgets.training_monitor.log import BINS, Curve, Histograms, Pulse

SHOWN = 8  # so many parameters fit on a page
FEW = 4  # and so many curves, where there are no scripts
SHARE = 400  # after a push of t seconds the next waits for SHARE * t: 0.25 % of a run
PATIENCE = 2.0  # but no longer than so many seconds,
LEAST = 50  # unless LEAST * t is longer: never more than 2 % of a run


class TrainingMonitor(Widget):
    """A run live: `record(loss=l)` adds numbers, every step of the trainer counts; a push at most every `every` s."""

    step = t.Int(0).tag(sync=True)
    running = t.Bool(True).tag(sync=True)
    paused = t.Bool(False).tag(sync=True)  # has the cell ended that made steps?
    rate = t.Float(0.0).tag(sync=True)  # steps per second, of late
    curves = t.Dict().tag(sync=True)  # {name: {rows: float64 (step, mean, least, greatest), first, last, bad: words}}
    histograms = t.Dict().tag(sync=True)  # {steps, bins, names, fixed, more, values, gradients: bytes}
    selected_parameter = t.Unicode("").tag(sync=True)
    column = t.Int(-1).tag(sync=True)  # which of histograms.steps is shown, -1 for the newest
    log_scale = t.Bool(False).tag(sync=True)

    def __init__(self, parameters: list[Parameter], every: float, more: int, trainer: Trainer | None = None):
        self._parameters, self._every, self._more = parameters, every, more
        names = [p.name for p in parameters]
        self._values, self._gradients = Histograms(names), Histograms(names)
        self._pulse = Pulse(self._push, self._look, trainer)
        self._display_id, self._shown = uuid4().hex, False
        self._closed = False
        self._paced = 0, perf_counter()  # the step and the time from which the rate is measured
        self._endings: list[Callable] = []
        self._spreads: list[str] = []  # of the parameters when it was stopped
        super().__init__(selected_parameter=names[0] if names else "")
        self._push()

    def __repr__(self) -> str:
        told = "".join(f", {name} {curve.last:.4g}" for name, curve in self._drawn().items())
        return f"watch: step {self._pulse.step:,}{told}"

    # ------------------------------------------------------------------------------------------------ what happens

    def record(self, **values: Any) -> None:
        """Add numbers at this step: `record(loss=l, accuracy=a)`. An array counts as its mean.

        Without a trainer to listen to, each call is a step.
        """
        pulse = self._pulse  # as little as can be is done and looked at here: it is called at every step
        if pulse.trainer is None:
            pulse.count += 1
        for name in values:
            curve = pulse.curves[name]
            curve.count = count = curve.count + 1
            if count >= curve.next or (not count & 7 and perf_counter() >= curve.by):
                pulse.recorded(curve, name, values[name])

    def _drawn(self) -> dict[str, Curve]:
        """Return the curves that have begun."""
        return {name: curve for name, curve in self._pulse.curves.items() if curve.begun}

    def _look(self) -> None:
        """Take histograms of this step."""
        step = self._pulse.step
        if step or any(p.state == "ready" for p in self._parameters):
            self._values.add(step, [p.data()._data if p.state == "ready" else None for p in self._parameters])
            self._gradients.add(step, [_gradient(p) if step else None for p in self._parameters])
        self._pulse.halt = 1 << step.bit_length()  # looks at 1, 2, 4, ..., push or not: a short run has a history too

    def _push(self, paused: bool = False) -> None:
        """Send everything; the next time comes late enough not to slow the run."""
        if self._closed:
            return
        start = perf_counter()
        try:
            self._look()
            with self.hold_sync():
                self.step, self.running, self.paused = self._pulse.step, not self._pulse.ended, paused
                steps, seconds = self.step - self._paced[0], start - self._paced[1]
                if steps > 1 or (steps and seconds >= self._every):  # a single one may have been begun before
                    self.rate, self._paced = round(steps / max(seconds, 1e-9), 1), (self.step, perf_counter())
                self._pulse.loss.thinned |= self._pulse.thinned
                kept = self._values.steps
                sent = self.histograms.get("steps", ())
                if (
                    0 <= self.column < len(sent)
                ):  # stay at the step that was chosen, though every second one may have gone
                    chosen = sent[self.column]
                    self.column = min(range(len(kept)), key=lambda i: abs(kept[i] - chosen))
                self.curves = {name: curve.sent() for name, curve in self._drawn().items()}
                self.histograms = {
                    "steps": kept[:], "bins": BINS, "names": self._values.names, "more": self._more,
                    "fixed": self._fixed(),
                    "values": self._values.sent(), "gradients": self._gradients.sent(),
                }  # fmt: skip
        finally:
            end = perf_counter()
            took = end - start
            self._pulse.due = end + max(self._every, min(SHARE * took, max(PATIENCE, LEAST * took)))

    def _fixed(self) -> list[str]:
        """Return the names of parameters that do not learn; of a run that was stopped, those of then."""
        fixed = [p.name for p in self._parameters if p.grad_req == "null"]
        return fixed if self._parameters else self.histograms.get("fixed", [])

    def _cell_starts(self, *_: Any) -> None:
        now = perf_counter()
        self._paced = self._pulse.step, now
        for thinned in (self._pulse, *self._pulse.curves.values()):
            thinned.begin(now)

    def _cell_ended(self, *_: Any) -> None:
        """Show the last state, also to readers of the saved notebook."""
        moving = self.step > 0 and not self.paused and not self._pulse.ended
        if moving or self._pulse.step != self.step or any(curve.unsent for curve in self._pulse.curves.values()):
            self._push(paused=True)
            self._publish(update=True)

    def stop(self) -> None:
        """Watch no more; what was seen stays."""
        if self._pulse.ended:
            return
        self._pulse.end()
        for end in self._endings:
            end()
        self._endings.clear()
        self._push()
        self._spreads = list(map(_spreads, self._parameters))
        self._parameters = []  # a widget that was displayed stays in memory, what it watched need not
        self._publish(update=True)

    def retire(self) -> None:
        self.stop()

    def close(self) -> None:
        """Watch no more, and take the picture away."""
        if hasattr(self, "_endings") and not sys.is_finalizing():
            self.stop()
            self._closed = True
        super().close()

    # ------------------------------------------------------------------------------------------------ being shown

    def __enter__(self) -> TrainingMonitor:
        if not self._shown:
            self._ipython_display_()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def _ipython_display_(self) -> None:
        self._shown = True
        self._publish(update=False)

    def _publish(self, update: bool) -> None:
        """Display, or put the present state into the place where it was displayed before."""
        bundle = self._repr_mimebundle_() if self._shown and not self._closed and _shell() is not None else None
        if bundle is not None:
            publish_display_data(*bundle, transient={"display_id": self._display_id}, update=update)

    def losses(self, name: str = "loss") -> list[tuple[int, float]]:
        """Return [(step, value), ...] of a curve; of long runs, means of stretches with equally many of those kept."""
        curves = self._drawn()
        if name not in curves:
            raise ArgumentError(
                f"losses: nothing was recorded as {name!r}; there is {listed(curves) or 'nothing yet'}."
            )
        return [(row[0], row[1]) for row in curves[name].rows()]

    def fallback(self) -> str:
        head = f"<p>{self._pulse.step:,} steps</p>"
        drawn = self._drawn()
        for name, curve in list(drawn.items())[:FEW]:
            rows = curve.rows()
            first = curve.first[1] if curve.first else 0.0
            words = f"{name:.80}: {first:.4g} at first, {curve.last:.4g} at step {rows[-1][0]:,}"
            bad = f"; {curve.bad()}" if curve.bad() else ""
            head += f"<p>{curve_img([row[1] for row in rows], words)}<br>{escape(words + bad)}</p>"
        if len(drawn) > FEW:
            head += f"<p>and {len(drawn) - FEW:,} more curves</p>"
        cells = "".join(self._spreads or map(_spreads, self._parameters))
        more = f"<p>and {self._more:,} more parameters</p>" if self._more else ""
        columns = "".join(f'<th scope="col">{h}</th>' for h in ("parameter", "values", "gradient"))
        return f"{head}<table><thead><tr>{columns}</tr></thead><tbody>{cells}</tbody></table>{more}"


def _gradient(p: Parameter) -> Any:
    """Return the gradient's buffer, None before one came. `p.grad()` hands it out for good, and backward() then has to copy."""
    leaf: Any = p.data()._node if p.state == "ready" and p.grad_req != "null" else None
    return leaf.grad if leaf is not None and leaf.come() else None


def _spreads(p: Parameter) -> str:
    """Return the row of a parameter in the table for readers without scripts."""
    values = _spread(p.data()._data) if p.state == "ready" else p.state
    gradient = "none: grad_req is null" if p.grad_req == "null" else _spread(_gradient(p))
    return f'<tr><th scope="row"><code>{escape(p.name)}</code></th><td>{values}</td><td>{gradient}</td></tr>'


@onp.errstate(all="ignore")  # of a run that went astray
def _spread(raw: Any) -> str:
    if raw is None or not raw.size:
        return "none"
    low, high, std = (written(x) for x in (raw.min(), raw.max(), raw.std(dtype=onp.float64)))
    return f"{low}\u00a0…\u00a0{high}, std\u00a0{std}"


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


_watched: WeakKeyDictionary[Any, TrainingMonitor] = WeakKeyDictionary()
_losses: WeakKeyDictionary[Block, TrainingMonitor] = WeakKeyDictionary()  # who heard each loss last


def watch(what: Any, loss: Any = None, select: str | None = None, every: float = 0.2) -> TrainingMonitor:
    """Show a run live: loss curve, histograms of parameters and gradients over steps.

    `watch(trainer, loss)` needs no change in the loop: it hears the trainer's steps and the loss block's results.
    `with watch(trainer, loss): train(...)` also ends it. Or add numbers by hand: `w = watch(net)`, in the loop
    `w.record(loss=l, accuracy=a)`. Of a loss block those results make the curve that are computed under
    `autograd.record()`, so that a validation in the loop does not mix with the training. Nobody is slowed: what is drawn is
    sent five times a second, and less often where that takes long; after 4,096 steps, of those shorter than 80 microseconds
    one loss of thirty-two is kept.

    Args:
        what: a Trainer, a net, or its parameters.
        loss: the loss block, such as gluon.loss.L2Loss(), whose results make the curve.
        select: show only parameters whose name matches, as in net.collect_params('.*weight').
        every: seconds between two pushes, at least.
    """
    if isinstance(what, Trainer):
        found = list(what._params)
    elif isinstance(what, Block):
        found = list(what.collect_params().values())
    elif isinstance(what, ParameterDict):
        found = list(what.values())
    else:
        raise ArrayTypeError(f"watch takes a Trainer, a net or its parameters, got {type(what).__name__}.")
    if loss is not None and not isinstance(loss, Block):
        raise ArrayTypeError(
            f"watch: loss must be a loss block such as gluon.loss.L2Loss(), got {type(loss).__name__}; "
            "numbers are added by w.record(loss=...)."
        )
    if not isinstance(every, int | float) or not every >= 0.1:
        raise ArgumentError(f"watch: every must be at least 0.1 seconds, got {every!r}.")
    if select is not None:
        matches = matcher(select, "watch")
        names = [p.name for p in found]
        found = [p for p in found if matches(p.name)]
        if names and not found:
            raise ArgumentError(f"watch: no parameter matches {select!r}; there are {listed(names)}.")
    trainer = what if isinstance(what, Trainer) else None
    monitor = TrainingMonitor(found[:SHOWN], every, max(0, len(found) - SHOWN), trainer)
    _listen(monitor, what, loss)
    return monitor


def _listen(monitor: TrainingMonitor, what: Any, loss: Any) -> None:
    """Connect the monitor; one that watched the same before stops, and one that an earlier run of the cell made."""
    monitor.retire_earlier()
    if not isinstance(what, ParameterDict):
        if what in _watched:
            _watched[what].stop()
        _watched[what] = monitor
    if isinstance(what, Trainer) and loss is None:
        monitor._endings.append(on_change(what, monitor._pulse.stepped).detach)
    if loss is not None:  # it tells of itself, and the trainer need not
        monitor._endings.append(loss.register_forward_hook(monitor._pulse.lost).detach)
        _warn_of_others(loss, monitor)
    shell = _shell()
    if shell is not None:
        for event, heard in (("pre_run_cell", monitor._cell_starts), ("post_run_cell", monitor._cell_ended)):
            shell.events.register(event, heard)
            monitor._endings.append(partial(shell.events.unregister, event, heard))


def _warn_of_others(loss: Block, monitor: TrainingMonitor) -> None:
    """Say so if another run is watched by the same loss: nothing tells whose a result is."""
    other = _losses.get(loss)
    if other is not None and not other._pulse.ended:
        warn(
            f"watch: this {type(loss).__name__} is watched for another run too, and each would show the losses of both. Make "
            "a loss block for each net, or stop() the other monitor."
        )
    _losses[loss] = monitor
