"""Tape: what was recorded on the way to a result, node by node in the order of its making."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as onp

from d2lblocks.errors import ArrayTypeError, kind_of
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.watch import PlacedCalls
from d2lblocks.np.ndarray import ndarray
from d2lblocks.reprs.facts import Snapshot, step_to
from d2lblocks.reprs.style import GAP, code, fold, head, line, shape_html, table
from d2lblocks.rich import Rich, html
from d2lblocks.tape import Leaf, whose

DRAWN = 300  # nodes; of a longer tape the summary by operation is shown


@dataclass(frozen=True)
class Step:
    """One node of the tape."""

    number: int  # 1 for the oldest
    op: str
    inputs: tuple[str, ...]  # "#2" is the result of step 2; a parameter or leaf by its name; else a shape or a number
    settings: dict[str, Any]  # those that were given a value
    shape: Any  # of the result; a tuple of shapes for several
    block: str  # accessor of the block that recorded it, or whose parameters took part; "" if neither is known

    def __str__(self) -> str:
        given = ", ".join([*self.inputs, *(f"{k}={v}" for k, v in self.settings.items())])
        made = "freed" if self.shape is None else self.shape
        return f"#{self.number} {self.op}({given}) -> {made}" + (f"  {self.block}" if self.block else "")


@dataclass(frozen=True, repr=False)
class Tape(Rich):
    """The recording behind `head`, such as a loss. With a net, its parameters and blocks are called by their names.

    >>> with watching(net), autograd.record():
    ...     loss = loss_fn(net(X), y)
    >>> Tape(loss, net)

    While a net is watched (and in its first call) it is known when a block was at work, and so which nodes are its own;
    otherwise those that use its parameters. The tape is
    read at once, so it stays readable when backward() has freed the recording.
    """

    head: ndarray = field(compare=False)
    net: Block | None = field(default=None, compare=False)
    steps: tuple[Step, ...] = field(init=False)
    freed: bool = field(init=False)  # did a backward() free nodes before they could be read?

    def __post_init__(self):
        if not isinstance(self.head, ndarray):
            raise ArrayTypeError(f"Tape takes an array that was recorded, such as a loss, got {kind_of(self.head)}.")
        if not isinstance(self.net, Block | None):
            raise ArrayTypeError(f"Tape takes a Block as its net, got {kind_of(self.net)}.")
        nodes = _nodes(self.head)
        names, blocks = _names(self.net)
        spans = _spans(self.net)
        numbers = {node: k for k, node in enumerate(nodes, 1)}
        leaves: dict[Any, str] = {}
        steps = tuple(
            _step(node, numbers, names, blocks, leaves, next((a for s, e, a in spans if s < node.age < e), ""))
            for node in nodes
        )
        for name, value in (("head", None), ("net", None), ("steps", steps)):  # keep nothing of the graph alive
            object.__setattr__(self, name, value)
        object.__setattr__(self, "freed", any(node.args is None for node in nodes))

    def __len__(self) -> int:
        return len(self.steps)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how often each (block, operation) was recorded, in order of first appearance."""
        found: dict[tuple[str, str], int] = {}
        for s in self.steps:
            found[s.block, s.op] = found.get((s.block, s.op), 0) + 1
        return found

    def __repr__(self) -> str:
        if not self.steps:
            return "Tape: nothing was recorded"
        if len(self.steps) > DRAWN:
            return "\n".join(f"{block or '-'}  {op} ×{n}" for (block, op), n in self.counts().items())
        return "\n".join(str(s) for s in self.steps)


@html.register(Tape)
def _(tape: Tape) -> str:
    if not tape.steps:
        return "<p>Nothing was recorded: compute inside <code>autograd.record()</code> from arrays with a gradient.</p>"
    freed = "<p>backward() has freed the recording; what was read of it is shown.</p>" if tape.freed else ""
    if len(tape) > DRAWN:
        rows = [
            line(code(block) if block else "–", escape(op), f"{n:,}", left=2)
            for (block, op), n in tape.counts().items()
        ]
        inside = table(head("block", "operation", "nodes", left=2), rows[:DRAWN])
        more = f"<p>… {len(rows) - DRAWN:,} more</p>" if len(rows) > DRAWN else ""
        return fold(f"<b>Tape</b> of {len(tape):,} nodes, counted by block and operation", inside + more + freed, True)
    rows = []
    for s in tape.steps:
        settings = ", ".join(f"{k}={v}" for k, v in s.settings.items())
        name, block = f"#{s.number}{GAP}<b>{escape(s.op)}</b>", code(s.block) if s.block else ""
        shape = "freed" if s.shape is None else shape_html(s.shape)
        rows.append(line(name, escape(", ".join(s.inputs)), escape(settings), shape, block, left=5))
    inside = table(head("node", "inputs", "settings", "result", "block", left=5), rows)
    return fold(f"<b>Tape</b> of {len(tape)} nodes, oldest first", inside + freed, len(tape) <= 20)


def _nodes(top: ndarray) -> list:
    """Return all nodes under an array, oldest first."""
    seen: set[Any] = set()
    stack: list[Any] = [top._node]
    while stack:
        node = stack.pop()
        if node is None or type(node) is Leaf or node in seen:
            continue
        seen.add(node)
        stack.extend(whose(place)[0] for place in node.parents)
    return sorted(seen, key=lambda node: node.age)


def _names(net: Block | None) -> tuple[dict, dict]:
    """Return the accessor of every leaf of a net's parameters, and of the block it belongs to."""
    if net is None:
        return {}, {}
    snap = Snapshot.of(net, values=False)
    params = {p.name: p for p in net.collect_params().values()}
    names, blocks = {}, {}
    for row in snap.parameters:
        data = params[row.name]._data if row.name in params else None
        if data is not None and type(data._node) is Leaf and data._node not in names:
            names[data._node], blocks[data._node] = row.accessor, snap.rows[row.parent].accessor  # type: ignore[index]
    return names, blocks


def _spans(net: Block | None) -> list[tuple[int, int, str]]:
    """Return when each block below the net was at work: (start, end, accessor), innermost first."""
    if net is None:
        return []
    found: list[tuple[int, int, str]] = []
    calls = PlacedCalls(net)

    def visit(block: Block, accessor: str) -> None:
        call = calls.next(block)
        for key, child in block._children.items():
            visit(child, accessor + step_to(block, key, child))
        if call is not None and accessor != "net":
            found.append((call.start, call.end, accessor))

    visit(net, "net")
    return found


def _step(node: Any, numbers: dict, names: dict, blocks: dict, leaves: dict, block: str) -> Step:
    inputs = []
    for a, place in zip(node.args or (), node.parents, strict=False):
        made_by, out = whose(place)
        if place is None:
            inputs.append(f"constant {a.shape}" if isinstance(a, onp.ndarray) else str(a))
        elif type(made_by) is Leaf:
            inputs.append(names.get(made_by) or leaves.setdefault(made_by, f"leaf {len(leaves) + 1} {a.shape}"))
            block = block or blocks.get(made_by, "")
        else:
            inputs.append(f"#{numbers[made_by]}" + (f"[{out}]" if made_by.count > 1 else ""))
    settings = {k: v for k, v in node.settings.items() if isinstance(v, bool | int | float | str | tuple)}
    return Step(numbers[node], node.op.name, tuple(inputs), settings, _shape(node), block)


def _shape(node: Any) -> Any:
    """Return the shape of a node's result, a tuple of shapes for several, None if backward() has freed them."""
    if node.outs is None:
        return None
    if node.count > 1:
        return tuple(onp.shape(z) for z in node.outs)
    return onp.shape(node.outs[0] if type(node.outs) is tuple else node.outs)
