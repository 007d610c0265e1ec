"""The facts of a net as plain text: a table, one row a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from d2lblocks.reprs.diff import fact_text

if TYPE_CHECKING:
    from d2lblocks.reprs.facts import Snapshot

ROWS = 400  # a page holds no more; the rest is counted


def count_text(n: int | None) -> str:
    """Return a count as people read it: 7,946; unknown is ?."""
    return "?" if n is None else f"{n:,}"


def bytes_text(n: int | None) -> str:
    """Return a number of bytes with its unit: 20.0 KiB."""
    if n is None:
        return "?"
    size = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{n} B" if unit == "B" else f"{size:.1f} {unit}"


def call_text(row: Any) -> str:
    """Return the shapes of a block's noted call: (2, 20) → (2, 256)."""
    return "" if row.input is None and row.output is None else f"{fact_text(row.input)} → {fact_text(row.output)}"


def totals_text(snap: Snapshot) -> str:
    """Return the sentence that counts parameters: total, shared and unique where they differ."""
    size = bytes_text(sum({p.name: p.bytes or 0 for p in snap.parameters}.values()))
    text = f"{snap.unique:,} parameters, {size}"
    if snap.shared:
        text = f"{snap.unique:,} unique parameters, {size} ({snap.total:,} in all places, {snap.shared:,} shared)"
    if snap.unknown:
        text += f", and {snap.unknown:,} array{'s' * (snap.unknown > 1)} of unknown size"
    return text


def snapshot_text(snap: Snapshot) -> str:
    """Return the table, the totals, and how sizes became known."""
    cells = [("", "kind", "shape", "dtype", "count", "state")]
    drawn: list[Any] = [row for row in snap.rows if not getattr(row, "fused", False)]
    for row in drawn[:ROWS]:
        start = "  " * row.depth + row.accessor
        if hasattr(row, "state"):
            tie = f", tied {row.tie}" if row.tie else ""
            grad = f", grad_req {row.grad_req}" if row.grad_req != "write" else ""
            cells.append(
                (start, row.kind, fact_text(row.shape), row.dtype, count_text(row.count), row.state + tie + grad)
            )
        else:
            cells.append((start, row.kind, call_text(row), "", "", ""))
    widths = [max(len(line[k]) for line in cells) for k in range(5)]
    lines = [
        "  ".join([*(c.rjust(w) if k == 4 else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=False))),
                   line[5]]).rstrip()
        for line in cells
    ]  # fmt: skip
    if len(drawn) > ROWS:
        lines.append(f"… {len(drawn) - ROWS:,} more")
    return "\n".join([*lines, totals_text(snap), *(e.text for e in snap.events[:ROWS])])
