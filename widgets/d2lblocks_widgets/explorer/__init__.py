"""The explorer: block tree, parameters, shapes and the story of how they became known, in one linked view."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from html import escape
from typing import Any
from weakref import WeakValueDictionary, ref

import traitlets as t

from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.reprs import Snapshot
from d2lblocks.reprs.facts import places
from d2lblocks.reprs.values import EXACT
from d2lblocks_widgets._widget import Widget
from d2lblocks_widgets.explorer.live import Live
from d2lblocks_widgets.explorer.numbers import Numbers
from d2lblocks_widgets.explorer.payload import columns, patch, shown, timeline

AT_ONCE = 64  # histograms of so many parameters travel unasked; of more, those that are looked at
AT_ONCE_CELLS = 16  # and so many heat maps
AT_ONCE_NUMBERS = 4 * EXACT  # but never more numbers than are counted in a blink
LIVE = 8  # of so many parameters all are followed within a running cell; of more, the selected one
FALLBACK = 20_000


class Explorer(Widget):
    """A net to look at and walk through. Read and set `selected`, `pattern`, `step` and `tab` from the notebook too."""

    selected = t.Unicode().tag(sync=True)  # an accessor: net[0].weight
    pattern = t.Unicode().tag(sync=True)  # as for collect_params
    step = t.Int().tag(sync=True)  # of the shape timeline, a place in `steps`
    tab = t.Enum(["histogram", "heatmap", "shapes"], "histogram").tag(sync=True)

    follows = t.Bool(True).tag(sync=True)  # until its cell is run again
    tree = t.Dict().tag(sync=True)  # all columns; sent when blocks or parameters come or go
    patch = t.Dict().tag(sync=True)  # columns that differ from those of `tree`
    timeline = t.Dict().tag(sync=True)
    hists = t.Dict().tag(sync=True)  # {row: {values, gradient, previous, theory}} after the last cell
    frame = t.Dict().tag(sync=True)  # the same for what is followed within a running cell; empty between cells
    maps = t.Dict().tag(sync=True)  # {row: cells of the heat map}
    want = t.List(t.Int()).tag(sync=True)  # rows whose numbers the browser misses
    ask = t.Unicode().tag(sync=True)  # a pattern that only Python understands
    matched = t.Dict().tag(sync=True)  # the answer: {pattern, rows} or {pattern, error}

    def __init__(self, net: Block):
        self._held: Callable[[], Block | None] = lambda: net  # when retired, a weak reference
        self._numbers = Numbers()
        super().__init__()
        self._read_net()
        first = next((row.accessor for row in shown(self._snapshot) if hasattr(row, "grad_req")), "net")
        self.selected, self.step = first, len(self.steps) - 1
        self._send_numbers()
        self.observe(lambda _: self.follows and self._send_numbers(), "want")
        self.observe(self._answer, "ask")
        self._live = Live(net, self._look)
        self.retire_earlier()

    def __repr__(self) -> str:
        snap = self._snapshot
        return f"explore({snap.rows[0].kind}, {len({row.name for row in snap.parameters})} parameters)"

    # ---------------------------------------------------------------------------------------- for the notebook

    @property
    def _net(self) -> Block:
        net = self._held()
        if net is None:
            raise ArgumentError(
                f"{self!r} shows a net of an earlier run of its cell, which is gone; explore the new one."
            )
        return net

    @property
    def snapshot(self) -> Snapshot:
        """The facts of the net now."""
        return Snapshot.of(self._net)

    @property
    def selected_parameter(self) -> Parameter | None:
        """The parameter that is selected; None if it is a block."""
        return self._parameters.get(self._row_of(self.selected))

    @property
    def matches(self) -> ParameterDict:
        """What `collect_params` gives for the pattern."""
        return self._net.collect_params(self.pattern or None)

    @property
    def steps(self) -> list[str]:
        """The steps of the shape timeline, as far as the net has come."""
        return self.timeline["steps"]

    def refresh(self) -> None:
        """Look at the net now; in a notebook every cell ends with that."""
        self._look(True, True)

    def close(self) -> None:
        """Let go of the net."""
        self.retire()
        super().close()

    def retire(self) -> None:
        """Follow the net no more, and do not keep it: widgets that were displayed stay in memory."""
        if hasattr(self, "_live") and self.follows:
            self._live.close()
            self._held, self._parameters = ref(self._net), WeakValueDictionary(self._parameters)
            self.follows = False

    @t.validate("selected")
    def _check_selected(self, proposal: Any) -> str:
        name = proposal["value"]
        if name not in self._snapshot and self.follows:  # of a layer that this cell has added
            self._read_net()
        try:
            return self._snapshot[name].accessor
        except KeyError as problem:
            raise ArgumentError(f"selected: {problem.args[0]}.") from None

    @t.validate("step")
    def _check_step(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), len(self.steps) - 1)

    # ---------------------------------------------------------------------------------------- for the browser

    def _read_net(self) -> None:
        """Read the facts; what changed goes out as columns, or as a new tree if the rows are others."""
        self._snapshot = snap = Snapshot.of(self._net, 0)
        rows = shown(snap)
        numbers = [i for i, row in enumerate(rows) if hasattr(row, "grad_req")]
        self._parameters: MutableMapping[int, Parameter] = dict(zip(numbers, places(self._net), strict=True))
        now, story = columns(snap, self.tree.get("words")), timeline(snap)
        changed = patch(self.tree, now)
        with self.hold_sync():
            if changed is None:
                self.tree = columns(snap)
                self.patch, self.hists, self.maps, self.frame, self.matched = {}, {}, {}, {}, {}
            else:
                self.patch = changed
            follows = not self.timeline or self.step == len(self.steps) - 1
            self.timeline = story
            self.step = len(self.steps) - 1 if follows else min(self.step, len(self.steps) - 1)

    def _look(self, net_changed: bool, cell_ended: bool) -> None:
        before = self._row_of(self.selected)
        if net_changed:
            self._read_net()
            if self.selected not in self._snapshot:
                self.selected = shown(self._snapshot)[min(before, len(shown(self._snapshot)) - 1)].accessor
            if self.ask:
                self._answer()
        if cell_ended:
            self._numbers.round += 1
            self._send_numbers()
        else:
            rows = self._parameters if len(self._parameters) <= LIVE else [self._row_of(self.selected)]
            self.frame = {
                str(i): self._numbers.layers(self._parameters[i], False) for i in rows if i in self._parameters
            }

    def _send_numbers(self) -> None:
        """Send histograms and heat maps: all of a small net, of a large one what is selected or wanted."""
        few = [i for i in {self._row_of(self.selected), *self.want[-4:]} if i in self._parameters]
        known = {i: p._data.size for i, p in self._parameters.items() if p._data is not None}
        looked = sum(min(size, EXACT) for size in known.values())
        every = list(known) if len(known) <= AT_ONCE and looked <= AT_ONCE_NUMBERS else few
        maps = every if len(every) <= AT_ONCE_CELLS else few
        with self.hold_sync():
            self.hists = {str(i): self._numbers.layers(self._parameters[i]) for i in every}
            self.maps = {str(i): self._numbers.cells(self._parameters[i]) for i in maps}
            self.frame = {}

    def _answer(self, _: Any = None) -> None:
        """Match names as Python does, for a pattern that the browser cannot be trusted with."""
        try:
            names = set(self._net.collect_params(self.ask))
        except ArgumentError as problem:
            self.matched = {"pattern": self.ask, "error": str(problem)}
        else:
            rows = [i for i, p in self._parameters.items() if p.name in names]
            self.matched = {"pattern": self.ask, "rows": rows}

    def _row_of(self, accessor: str) -> int:
        return next((i for i, row in enumerate(shown(self._snapshot)) if row.accessor == accessor), 0)

    def fallback(self) -> str:
        net = self._held()
        made = self._snapshot if net is None else Snapshot.of(net, AT_ONCE)
        html = made._repr_html_()
        if html and len(html.encode()) <= FALLBACK:
            return html
        lines = escape(repr(made)).split("\n")
        kept, left = [], FALLBACK - 100
        while lines and (left := left - len(lines[0].encode()) - 1) > 0:
            kept.append(lines.pop(0))
        return f"<pre>{chr(10).join([*kept, '…'] if lines else kept)}</pre>"


def explore(net: Block) -> Explorer:
    """Show a net as one linked view: tree, parameters, histograms, heat maps, and how its shapes became known.

    It follows the net: initialize(), the first batch, set_data, cast, add, load and training steps show up by themselves.
    In the notebook, `.selected`, `.pattern`, `.step` and `.tab` can be read and set, `.selected_parameter` read.
    """
    if not isinstance(net, Block):
        raise ArrayTypeError(f"explore takes a Block such as nn.Sequential(), got {type(net).__name__}.")
    return Explorer(net)
