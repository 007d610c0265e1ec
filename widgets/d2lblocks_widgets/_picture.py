"""Small pictures that need no script: SVG inside `<img>`, in greys and blues that read on white and on black."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from operator import itemgetter

import numpy as onp

from d2lblocks_widgets._bins import counts

POINTS = 180  # of a curve
_BAR, _LINE, _AXIS = "#3b82d6", "#c2620a", "#80868f"


def _img(width: int, height: int, body: str, alt: str) -> str:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'
    source = base64.b64encode(svg.encode()).decode()
    alt = escape(alt, quote=True)
    return f'<img alt="{alt}" width="{width}" height="{height}" src="data:image/svg+xml;base64,{source}">'


def _base(width: int, height: int) -> str:
    return f'<path d="M0 {height - 0.5}h{width}" stroke="{_AXIS}"/>'


def histogram_img(facts: dict, lo: float, hi: float, alt: str, bins: int = 40, size: tuple = (200, 36)) -> str:
    """Return a histogram of `bins()` facts between lo and hi as `<img>`, its words in `alt`."""
    width, height = size
    lo, hi = (lo, hi) if hi > lo else (lo - 0.5, hi + 0.5)
    fine = counts(facts)
    step = (facts["hi"] - facts["lo"]) / len(fine)
    centres = facts["lo"] + step * (onp.arange(len(fine)) + 0.5)
    high = onp.histogram(centres, bins, (lo, hi), weights=fine)[0]
    top = high.max() or 1
    path = "".join(f"V{height - 1 - (height - 3) * v / top:.0f}h{width / bins:g}" for v in high)
    zero = f'<path d="M{width * -lo / (hi - lo):.0f} 0v{height}" stroke="{_AXIS}" stroke-dasharray="2 2"/>'
    bars = f'<path d="M0 {height - 1}{path}V{height - 1}z" fill="{_BAR}"/>'
    return _img(width, height, bars + _base(width, height) + (zero if lo < 0 < hi else ""), alt)


def curve_img(ys: Sequence[float], alt: str, size: tuple = (360, 90)) -> str:
    """Return a curve as `<img>`, its words in `alt`."""
    width, height = size
    few = _few(ys)
    kept = [y for _, y in few if onp.isfinite(y)]
    low, high = (min(kept), max(kept)) if kept else (0.0, 1.0)
    span, last, path, pen = (high - low) or 1.0, max(len(ys) - 1, 1), "", "M"
    for i, y in few:
        if onp.isfinite(y):
            path += f"{pen}{2 + (width - 4) * i / last:.0f} {height - 3 - (height - 6) * (y - low) / span:.0f}"
        pen = "L" if onp.isfinite(y) else "M"  # a gap in the numbers is a gap in the line
    line = f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="2"/>' if path else ""
    return _img(width, height, line + _base(width, height), alt)


def _few(ys: Sequence[float]) -> list[tuple[int, float]]:
    """Return the points of a curve, of many the least and the greatest of each stretch."""
    points = list(enumerate(ys))
    size, few = -(-2 * len(points) // POINTS), []
    for start in range(0, len(points), size) if len(points) > POINTS else ():
        part = points[start : start + size]
        good = [p for p in part if onp.isfinite(p[1])]
        few += sorted({min(good, key=itemgetter(1)), max(good, key=itemgetter(1))}) if good else part[:1]
    return few or points
