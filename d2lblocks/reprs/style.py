"""Small pieces of HTML shared by the painters.

They read with every style and colour removed. Where a notebook is not trusted, JupyterLab drops <style>, <svg>, script and
var(); so styles stand in the tags, with literal values. No single text colour has enough contrast on white and on
black alike, therefore text keeps the page's own colour and what is marked gets a thin tint behind it and a sign or an
edge beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

from d2lblocks.reprs.values import Values

# name: (red, green, blue, opacity). A tint lies between the page and its text.
TINTS = {
    "unknown": (255, 160, 0, 0.22),
    "tied": (150, 70, 220, 0.18),
}
EDGE = "#b07614"  # at least 3:1 on white and on #111

_BARS = "▁▂▃▄▅▆▇█"
GAP = "\N{NO-BREAK SPACE}"  # in what must stay on one line: JupyterLab drops white-space, but not this
LEFT = ' style="text-align:left"'  # JupyterLab moves the text of cells to the right
SOURCE = '<pre style="text-align:left;margin:0">'


def tint(name: str) -> str:
    """Return the style of a tint."""
    r, g, b, opacity = TINTS[name]
    return f"background-color:rgba({r},{g},{b},{opacity})"


UNKNOWN = (
    f'<b title="unknown until the first batch" style="{tint("unknown")};border:1px dashed {EDGE};padding:0 3px">?</b>'
)


def tie_html(group: int | None) -> str:
    """Return the mark of a group of tied parameters."""
    if group is None:
        return ""
    return f' <span title="tied: one parameter in several places" style="{tint("tied")};padding:0 3px">⇄{group}</span>'


def shape_html(shape: Any, declared: Any = None) -> str:
    """Return a shape; unknown sizes are marked, those that became known since the declaration underlined."""
    if shape is None:
        return UNKNOWN
    if not isinstance(shape, tuple):
        return escape(str(shape))
    sizes = []
    for k, n in enumerate(shape):
        if isinstance(n, tuple):
            sizes.append(shape_html(n))
        elif n is None:
            sizes.append(UNKNOWN)
        else:
            known_later = declared is not None and declared[k] is None
            sizes.append(f'<ins title="was ?">{n}</ins>' if known_later else escape(str(n)))
    return f"({(',' + GAP).join(sizes)}{',' if len(sizes) == 1 else ''})"


def call_html(row: Any) -> str:
    """Return the shapes of a block's noted call."""
    if row.output is None:
        return ""
    return f"{shape_html(row.input)}{GAP}→ {shape_html(row.output)}"


def number(x: float, places: int = 3) -> str:
    """Return a number in three significant places."""
    return f"{x + 0.0:.{places}g}".replace("-", "−")


def apart(low: float, high: float) -> tuple[str, str]:
    """Return two numbers in three significant places, or in so many more that they look different."""
    for places in range(3, 18):
        words = number(low, places), number(high, places)
        if words[0] != words[1]:
            break
    return words


def bars(counts: Iterable[int]) -> str:
    """Return a histogram as a row of bars: ▁▃▇. Where all are alike they are half as high as they could be."""
    counts = list(counts)
    top = max(*counts, 2 * sum(counts) / len(counts))
    return "".join(_BARS[math.ceil((len(_BARS) - 1) * n / top)] for n in counts)


def spark(values: Values | None) -> str:
    """Return range and histogram of values in one line."""
    if values is None:
        return ""
    if not values.size:
        return "empty"
    bad = f"{values.nonfinite:,} not finite" if values.nonfinite else ""
    if values.min is None or values.max is None:
        return bad
    if values.min == values.max:
        return f"all {number(values.min)}" if not bad else f"{number(values.min)}, {bad}"
    low, high = apart(values.min, values.max)
    pairs = [a + b for a, b in zip(values.bins[::2], values.bins[1::2], strict=True)]
    between = bars(pairs) if values.size > len(pairs) else "…"
    return f"{low}{GAP}{between}{GAP}{high}" + (f", {bad}" if bad else "")


def stats(values: Values) -> str:
    """Return mean, deviation and range of values in one line."""
    if values.mean is None:
        return spark(values)
    numbers = (values.mean, values.std, values.min, values.max)
    line = " · ".join(
        f"{name} {number(x or 0.0)}" for name, x in zip(("mean", "std", "min", "max"), numbers, strict=True)
    )
    return line + (f" · {values.nonfinite:,} not finite" if values.nonfinite else "")


def head(*names: str, left: int = 1) -> str:
    """Return the heading row of a table, its first columns to the left."""
    cells = "".join(f'<th scope="col"{LEFT if k < left else ""}>{name}</th>' for k, name in enumerate(names))
    return f"<thead><tr>{cells}</tr></thead>"


def line(*cells: str, left: int = 1) -> str:
    """Return a row of a table, its first cells to the left."""
    return f"<tr>{''.join(f'<td{LEFT if k < left else str()}>{cell}</td>' for k, cell in enumerate(cells))}</tr>"


def table(heading: str, rows: Iterable[str]) -> str:
    """Return a table."""
    return f'<table style="margin:0">{heading}<tbody>{"".join(rows)}</tbody></table>'


def fold(summary: str, inside: str, is_open: bool = False, inset: bool = False) -> str:
    """Return something to unfold."""
    edge = ' style="margin-left:1.2em"' if inset else ""
    return f"<details{' open' if is_open else ''}{edge}><summary>{summary}</summary>{inside}</details>"


def code(text: str) -> str:
    """Return text as code."""
    return f"<code>{escape(text)}</code>"
