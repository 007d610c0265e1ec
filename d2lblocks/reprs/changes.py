"""A Diff in a notebook: one changed fact a row, before and after side by side, with the cause."""

from __future__ import annotations

from html import escape
from typing import Any

from d2lblocks.reprs.diff import Diff, fact_text
from d2lblocks.reprs.style import code, fold, head, line, shape_html, spark, table
from d2lblocks.reprs.text import ROWS
from d2lblocks.reprs.values import Values
from d2lblocks.rich import html


@html.register(Diff)
def _(diff: Diff) -> str:
    if not diff:
        return "<p>no difference</p>"
    rows = [line(code(a), "added", "", "<ins>new</ins>", "", left=5) for a in diff.added]
    rows += [line(code(a), "removed", "<del>gone</del>", "", "", left=5) for a in diff.removed]
    last = ""
    for c in diff.changes:
        declared = c.before if c.fact == "shape" else None
        after = _fact(c.fact, c.after, declared if isinstance(declared, tuple) else None)
        place = code(c.accessor) if c.accessor != last else ""
        last = c.accessor
        cause = escape("; ".join(c.causes))
        rows.append(line(place, c.fact, _fact(c.fact, c.before), after, cause, left=5))
    more = f"<p>… {len(rows) - ROWS:,} more</p>" if len(rows) > ROWS else ""
    many = f"{len(rows):,} difference{'s' * (len(rows) > 1)}"
    return fold(many, table(head("row", "fact", "before", "after", "because", left=5), rows[:ROWS]) + more, True)


def _fact(name: str, value: Any, declared: tuple | None = None) -> str:
    if isinstance(value, Values):
        return spark(value)
    if name == "shape" and value is not None:
        return shape_html(value, declared if declared and len(declared) == len(value) else None)
    return "" if value is None else escape(fact_text(value))
