"""Diff: what is different between two Snapshots, fact by fact, with the cause where one is known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from d2lblocks.rich import Rich

if TYPE_CHECKING:
    from d2lblocks.reprs.facts import Snapshot

_PLACE = ("parent", "depth", "declared", "count", "bytes", "text", "order")  # these follow from other facts


@dataclass(frozen=True)
class Change:
    """One fact of one row that differs."""

    accessor: str
    fact: str  # the name of the column: shape, state, values, ...
    before: Any
    after: Any
    causes: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = f"  because {'; '.join(self.causes)}" if self.causes else ""
        return f"{self.accessor}.{self.fact}: {fact_text(self.before)} -> {fact_text(self.after)}{why}"


@dataclass(frozen=True, repr=False)
class Diff(Rich):
    """What changed from one Snapshot to another; false if nothing did."""

    changes: tuple[Change, ...]
    added: tuple[str, ...]  # accessors of rows that only the later one has
    removed: tuple[str, ...]

    @classmethod
    def of(cls, before: Snapshot, after: Snapshot) -> Diff:
        """Compare row by row; rows with the same accessor are the same."""
        old, new = (
            {row.accessor: row for row in snap.rows if not getattr(row, "fused", False)} for snap in (before, after)
        )  # what is fused has the facts of its layer
        known = set(before.events)
        causes: dict[str, list[str]] = {}
        for e in after.events:
            if e not in known:
                causes.setdefault(e.parameter, []).append(e.text)
        changes = []
        for accessor, row in new.items():
            was = old.get(accessor)
            if was is None:
                continue
            for name in [f.name for f in fields(row) if f.name not in _PLACE]:
                a, b = getattr(was, name, None), getattr(row, name)
                if a != b:
                    why = causes.get(row.name, ()) if name == "shape" else ()
                    changes.append(Change(accessor, name, a, b, tuple(why)))
        return cls(tuple(changes), tuple(a for a in new if a not in old), tuple(a for a in old if a not in new))

    def __bool__(self) -> bool:
        return bool(self.changes or self.added or self.removed)

    def __getitem__(self, accessor: str) -> dict[str, tuple]:
        """Return what changed of one row: {fact: (before, after)}."""
        return {c.fact: (c.before, c.after) for c in self.changes if c.accessor == accessor}

    def __repr__(self) -> str:
        lines = [f"+ {a}" for a in self.added] + [f"- {a}" for a in self.removed] + [str(c) for c in self.changes]
        return "\n".join(lines) if lines else "no difference"


def fact_text(value: Any) -> str:
    """Return a fact as it is read: unknown sizes are ?, values are told by mean and deviation."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        sizes = ["?" if n is None else fact_text(n) for n in value]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    if hasattr(value, "digest"):
        return "nothing finite" if value.mean is None else f"mean {value.mean:.4g}, std {value.std:.4g}"
    return str(value)
