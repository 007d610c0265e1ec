"""The tape player: the recording behind a loss, node by node, forward and back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from html import escape
from typing import Any

import traitlets as t

from d2lblocks.errors import ArgumentError, ArrayTypeError, kind_of
from d2lblocks.gluon.block import Block
from d2lblocks.np.ndarray import ndarray
from d2lblocks.reprs.tape import Tape
from d2lblocks_widgets._widget import Widget
from d2lblocks_widgets.tape_player.describe import describe

LIMIT = 18_000  # bytes of static HTML


class TapePlayer(Widget):
    """A recording to step through. `step` is the number of the node just computed, or in the phase "backward" just walked.

    `selected` names what the numbers belong to: "#4" for a node, a leaf by its name. All three can be set.
    """

    record = t.Dict().tag(sync=True)  # what `describe` returns
    step = t.Int().tag(sync=True)  # 0: nothing computed yet; backward, 0: the walk is over
    phase = t.Enum(["forward", "backward"], "forward").tag(sync=True)
    selected = t.Unicode().tag(sync=True)

    def __init__(self, loss: Any, net: Block | None, names: Mapping[str, Any]):
        record = describe(loss, net, names)
        self._tape = Tape(loss, net)
        n = len(record["nodes"])
        super().__init__(record=record, step=n, selected=f"#{n}")
        self.observe(self._follow, ["step", "phase"])

    def __repr__(self) -> str:
        nodes, leaves = self.record["nodes"], self.record["leaves"]
        return f"tape({len(nodes):,} nodes, {len(leaves):,} leaves; {self.phase}, step {self.step})"

    @t.validate("step")
    def _check_step(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), len(self.record["nodes"]))

    @t.validate("selected")
    def _check_selected(self, proposal: Any) -> str:
        name = proposal["value"]
        number = name[1:] if name.startswith("#") else ""
        if number.isdecimal() and 1 <= int(number) <= len(self.record["nodes"]):
            return name
        leaves = [leaf["name"] for leaf in self.record["leaves"]]
        if name not in leaves:
            raise ArgumentError(
                f"selected must be '#1' to '#{len(self.record['nodes'])}' or one of {', '.join(leaves[:20])}; got {name!r}."
            )
        return name

    def _follow(self, _: Any) -> None:
        if self.step:
            self.selected = f"#{self.step}"

    @property
    def node(self) -> dict:
        """What is known of the selected node or leaf."""
        if self.selected.startswith("#"):
            return self.record["nodes"][int(self.selected[1:]) - 1]
        return next(leaf for leaf in self.record["leaves"] if leaf["name"] == self.selected)

    def fallback(self) -> str:
        whole = self._tape._repr_html_() or ""
        if len(whole.encode()) <= LIMIT:
            return whole
        lines, size = [], 0
        for line in repr(self._tape).split("\n"):
            size += len(escape(line).encode()) + 1
            if size > LIMIT:
                break
            lines.append(escape(line))
        more = repr(self._tape).count("\n") + 1 - len(lines)
        cut = f"\n… {more:,} more lines" if more else ""
        return f"<p><b>Tape</b> of {len(self._tape):,} nodes, oldest first</p><pre>{chr(10).join(lines)}{cut}</pre>"


def tape(loss: Any, net: Block | None = None, **names: Any) -> TapePlayer:
    """Show what was recorded on the way to `loss`: step through it forward and back, with the numbers at every node.

    The recording stays: `loss.backward()` still works afterwards, and no gradient changes. Call it before backward().
    In a notebook arrays are called as its variables are; elsewhere, or to choose: `tape(loss, W=W, b=b)`.

    Args:
        net: its parameters are then called by their accessors (net[0].weight), and nodes are framed by block.
    """
    if net is not None and not isinstance(net, Block):
        raise ArrayTypeError(f"tape: net must be a Block; got {kind_of(net)}. Name arrays by keyword: tape(loss, W=W).")
    for name, a in names.items():
        if not isinstance(a, ndarray):
            raise ArrayTypeError(
                f"tape: {name} must be an array made by np.array(...), to be called so; got {kind_of(a)}."
            )
    return TapePlayer(loss, net, {**names, **{k: v for k, v in _variables().items() if k not in names}})


def _variables() -> dict[str, Any]:
    """Return the arrays among a notebook's variables; those of its own, such as _12, are left out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return {}
    return {k: v for k, v in list(shell.user_ns.items()) if not k.startswith("_") and isinstance(v, ndarray)}
