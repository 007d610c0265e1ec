"""Small pictures that need no script: SVG inside `<img>`, in greys and blues that read on white and on black."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as onp

from d2lblocks_widgets._bins import counts

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
    kept = [(i, y) for i, y in enumerate(ys) if onp.isfinite(y)]
    low, high = (min(y for _, y in kept), max(y for _, y in kept)) if kept else (0.0, 1.0)
    span, last = (high - low) or 1.0, max(len(ys) - 1, 1)
    places = [f"{2 + (width - 4) * i / last:.0f} {height - 3 - (height - 6) * (y - low) / span:.0f}" for i, y in kept]
    line = f'<path d="M{"L".join(places)}" fill="none" stroke="{_LINE}" stroke-width="2"/>' if places else ""
    return _img(width, height, line + _base(width, height), alt)
