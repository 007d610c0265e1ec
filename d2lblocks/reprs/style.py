"""Small pieces of HTML shared by the painters. They read well with every style removed."""

from __future__ import annotations

from html import escape

from d2lblocks.reprs.facts import ParameterFacts, describe

# Fixed colours, since notebooks style <mark> for light pages only; 6.2:1 on both themes, and a dashed edge beside colour.
_UNKNOWN = "background: #fff3dc; color: #8a4b00; border: 1px dashed #8a4b00; padding: 0 3px"
UNKNOWN = f'<mark title="unknown until the first batch" style="{_UNKNOWN}">?</mark>'


def shape_html(shape: tuple | None) -> str:
    """Return a shape in which every unknown size is a marked question mark."""
    if shape is None:
        return UNKNOWN
    sizes = [UNKNOWN if n is None else str(n) for n in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def bytes_text(n: int | None) -> str:
    """Return a number of bytes with its unit: 20.0 KiB."""
    if n is None:
        return "?"
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024  # type: ignore[assignment]
    return f"{n:.1f} GiB"


def table(rows: list[ParameterFacts], caption: str = "") -> str:
    """Return parameters as a table."""
    head = "".join(f'<th scope="col">{h}</th>' for h in ("parameter", "shape", "dtype", "count", "bytes", "state"))
    body = "".join(
        f"<tr><td><code>{escape(p.accessor or p.name)}</code>{f' ⇄ tied {p.tie}' if p.tie else ''}</td>"
        f"<td><code>{shape_html(p.shape)}</code></td><td>{p.dtype}</td><td>{describe(p.count)}</td>"
        f"<td>{bytes_text(p.bytes)}</td><td>{p.state}{', constant' if p.kind == 'Constant' else ''}</td></tr>"
        for p in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
