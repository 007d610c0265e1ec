"""A net in a notebook: blocks of layers unfold, the layers of a block stand in one table with their parameters."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from operator import attrgetter
from typing import Any

from d2lblocks.gluon.block import Block
from d2lblocks.reprs.facts import BlockFacts, ParameterFacts, Snapshot
from d2lblocks.reprs.parameter import HEAD, parameter_line
from d2lblocks.reprs.style import LEFT, UNKNOWN, call_html, code, fold, table
from d2lblocks.reprs.text import ROWS, count_text, totals_text
from d2lblocks.rich import html

OPEN_LINES = 20  # as many lines are unfolded at first
_INDEX = re.compile(r"(.*)\[\d+\]", re.DOTALL)  # what Python gets a block by, if that is its number
ALIKE = 3  # as many alike in a row become one
_SAME_BLOCK = attrgetter("kind", "text", "input", "output")
_SAME_PARAMETER = attrgetter(
    "kind", "key", "declared", "shape", "dtype", "init", "state", "grad_req", "tie", "bytes"
)  # fmt: skip


@html.register(Block)
def _(net: Block) -> str:
    return tree_html(Snapshot.of(net, values=ROWS))


@html.register(Snapshot)
def _(snap: Snapshot) -> str:
    events = "".join(f"<li>{escape(e.text)}</li>" for e in snap.events[:ROWS])
    return tree_html(snap) + (fold("How sizes became known", f"<ol>{events}</ol>", True) if events else "")


def tree_html(snap: Snapshot) -> str:
    """Return the tree."""
    return _Tree(snap).result()


class _Tree:
    """One drawing of a Snapshot, with what is left of its budget of rows."""

    def __init__(self, snap: Snapshot):
        self.snap, self.left, self.skipped = snap, ROWS, 0
        self.signature = cache(self._signature)
        self.opened = self._opened()

    def result(self) -> str:
        root = self.snap.rows[0]
        facts = totals_text(self.snap) + (f" {UNKNOWN}" if self.snap.unknown else "")
        inside = self._inside(0)
        more = f"<p>… {self.skipped:,} more rows; Snapshot.of(net) has them all</p>" if self.skipped else ""
        dot = " ·" if root.output is not None else ""  # type: ignore[union-attr]
        return fold(f"{self._title(root)}<small>{dot} {facts}</small>", inside + more, True)

    # ---------------------------------------------------------------------------------------- what there is

    def _children(self, i: int) -> list[int]:
        """Return the child blocks of row i that are drawn: a fused one is told by its layer's own text."""
        rows: Any = self.snap.rows
        return [k for k in self.snap.below(i) if isinstance(rows[k], BlockFacts) and not rows[k].fused]

    def _own(self, i: int) -> list[int]:
        return [k for k in self.snap.below(i) if isinstance(self.snap.rows[k], ParameterFacts)]

    def _signature(self, i: int) -> tuple:
        """Return what two rows have in common if they are alike: everything but names and values."""
        row = self.snap.rows[i]
        facts = _SAME_PARAMETER(row) if isinstance(row, ParameterFacts) else _SAME_BLOCK(row)
        return (facts, *(self.signature(k) for k in self.snap.below(i)))

    def _runs(self, rows: list[int]) -> list[list[int]]:
        """Return the rows in runs of alike ones; short runs fall apart."""
        runs: list[list[int]] = []
        for i in rows:
            if runs and self.signature(runs[-1][0]) == self.signature(i):
                runs[-1].append(i)
            else:
                runs.append([i])
        return [part for run in runs for part in ([run] if len(run) >= ALIKE else [[i] for i in run])]

    def _opened(self) -> set[int]:
        """Return the blocks unfolded at first: level by level while there are lines."""
        opened, level, lines = set(), [0], 0
        while level:
            lines += sum(1 + len(self._own(i)) + len(self._runs(self._children(i))) for i in level)
            if lines > OPEN_LINES and opened:
                break
            opened.update(level)
            level = [k for i in level for k, *_ in self._runs(self._children(i)) if self._children(k)]
        return opened

    # ---------------------------------------------------------------------------------------- how it is drawn

    def _inside(self, i: int, skip: str = "", put: str = "") -> str:
        """Return what is below block i; `skip` at the start of an accessor reads as `put`."""
        parts, rows = [], self._parameters(i, skip, put)
        for run in self._runs(self._children(i)):
            if self.left <= 0:
                self.skipped += sum(self._size(k) for k in run)
                continue
            first = self.snap.rows[run[0]].accessor
            name = put + first.removeprefix(skip)
            span = name if len(run) == 1 else f"{name} … {put}{self.snap.rows[run[-1]].accessor.removeprefix(skip)}"
            place = _INDEX.fullmatch(first) if len(run) > 1 else None  # blocks with names are told by that of the first
            inner = (first, f"{put}{place[1].removeprefix(skip)}[i]") if place else (skip, put)
            title = self._title(self.snap.rows[run[0]], span) + (f" <b>×{len(run)}</b>" if len(run) > 1 else "")
            self.left -= 1
            if self._children(run[0]):
                parts.append(self._table(rows))
                rows = []
                title += f" <small>{self._count(run[0])}</small>"
                parts.append(fold(title, self._inside(run[0], *inner), run[0] in self.opened, True))
            else:
                rows.append(f'<tr><th scope="rowgroup" colspan="7"{LEFT[:-1]};font-weight:normal">{title}</th></tr>')
                rows += self._parameters(run[0], *inner, times=len(run))
        return "".join([*parts, self._table(rows)])

    def _parameters(self, i: int, skip: str, put: str, times: int = 1) -> list[str]:
        own = self._own(i)
        self.skipped += max(0, len(own) - self.left)
        shown = own[: max(0, self.left)]
        self.left -= len(shown)
        rows = [self.snap.rows[k] for k in shown]
        return [parameter_line(p, put + p.accessor.removeprefix(skip), times) for p in rows]  # type: ignore[arg-type]

    def _size(self, i: int) -> int:
        return 1 + len(self._own(i)) + sum(self._size(k) for k in self._children(i))

    def _count(self, i: int) -> str:
        """Return how many parameters are below row i, each counted once."""
        below, counts = [i], {}
        while below:
            row = self.snap.rows[k := below.pop()]
            if isinstance(row, ParameterFacts):
                counts[row.name] = row.count
            below += self.snap.below(k)
        known = sum(n or 0 for n in counts.values())
        return f"{count_text(known)} parameters{' and ' + UNKNOWN if None in counts.values() else ''}"

    def _table(self, rows: list[str]) -> str:
        return table(HEAD if any("<td" in row for row in rows) else "", rows) if rows else ""

    def _title(self, row: object, name: str = "") -> str:
        """Return a block in a line: net[0] Dense(20 -> 256, linear), shapes of its call."""
        assert isinstance(row, BlockFacts)
        text = escape(row.text.removeprefix(row.kind).replace("(-1 ->", "(? ->"))
        called = call_html(row)
        return f"{code(name) + ' ' if name else ''}<b>{escape(row.kind)}</b>{text}" + (
            f" <small>{called}</small>" if called else ""
        )
