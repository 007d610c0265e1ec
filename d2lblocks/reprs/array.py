"""An array in a notebook: its text, its shape and statistics, and for a big one a picture of its numbers."""

from __future__ import annotations

import zlib
from base64 import b64encode
from html import escape
from urllib.parse import quote

import numpy as onp

from d2lblocks.np.ndarray import ndarray
from d2lblocks.reprs.style import SOURCE, bars, code, stats
from d2lblocks.reprs.text import bytes_text
from d2lblocks.reprs.values import EXACT, Values
from d2lblocks.rich import html

SMALL = 64  # numbers: so many are read faster than any picture of them
CELLS = 48  # rows and columns of a picture, at most
LEVELS = 7  # steps of strength for each sign
PLUS, MINUS, BAD = (0x2F, 0x82, 0xD8), (0xD0, 0x6A, 0x1A), (0xD0, 0x20, 0x5A)  # at least 3:1 on white and on #111
_SAFE = " ':/;,=+"  # these may stand in an address as they are


@html.register(ndarray)
def _(x: ndarray) -> str | None:
    """Show nothing but the text of a small array; of a big one also what its numbers are like."""
    raw = x._data
    if raw.size <= SMALL:
        return None
    values = Values.of(raw, digest=False)
    facts = f"{code(str(raw.shape))} {raw.dtype} · {raw.size:,} numbers, {bytes_text(raw.nbytes)}<br>{stats(values)}"
    some = f" of one number in {-(-raw.size // EXACT)}" if values.sampled else ""
    histogram = f" · {bars(values.bins)}{some}" if len(values.bins) > 1 else ""
    return f"<div>{SOURCE}{escape(repr(x))}</pre><small>{facts}{histogram}</small>{picture(raw, values)}</div>"


def picture(raw: onp.ndarray, values: Values) -> str:
    """Return a matrix as an image: blue above 0, orange below, stronger the farther from 0, red for NaN; else nothing."""
    if raw.ndim != 2 or min(raw.shape) < 2 or (values.min == values.max and values.nonfinite in (0, raw.size)):
        return ""
    grid, step = _coarse(raw)
    bad = ~onp.isfinite(grid)
    top = float(onp.abs(grid[~bad]).max(initial=0)) or 1.0
    levels = onp.where(bad, LEVELS + 1, onp.rint(onp.where(bad, 0, grid) / top * LEVELS).astype(int))
    h, w = levels.shape
    each = "" if step == (1, 1) else f", each cell the mean over {step[0]}×{step[1]}"
    told = f"Heat map of {raw.shape[0]}×{raw.shape[1]} numbers{each}. Blue is above 0, orange below, strongest at ±{top:.3g}."
    if bad.any():
        told += f" Red is what is not finite: {bad.sum():,} of {bad.size:,} cells."
    size = max(4, min(10, 240 // max(h, w)))
    png = f"data:image/png;base64,{b64encode(_png(levels + LEVELS)).decode()}"
    # Inside a drawing, because image-rendering is dropped from the page of a notebook that is not trusted.
    drawing = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {w} {h}'><image width='{w}' height='{h}' "
        f"style='image-rendering:pixelated' href='{png}'/></svg>"
    )
    return f'<br><img width="{w * size}" height="{h * size}" alt="{told}" src="data:image/svg+xml,{quote(drawing, _SAFE)}">'


def _coarse(raw: onp.ndarray) -> tuple[onp.ndarray, tuple[int, int]]:
    """Return the means over equal cells, few enough to be seen, and the size of a cell."""
    step = tuple(-(-n // CELLS) for n in raw.shape)
    few = max(1, int((raw.size / EXACT) ** 0.5))  # of a huge array every few-th row and column is enough
    raw = raw[::few, ::few]
    step = (-(-step[0] // few), -(-step[1] // few))
    if step == (1, 1):
        return raw.astype("f8"), (few, few)
    cells = [onp.add.reduceat(raw, onp.arange(0, raw.shape[0], step[0]), 0, "f8")]
    cells.append(onp.add.reduceat(cells[0], onp.arange(0, raw.shape[1], step[1]), 1))
    high, wide = (onp.diff([*range(0, n, k), n]).astype("f8") for n, k in zip(raw.shape, step, strict=True))
    return cells[1] / (high[:, None] * wide), (step[0] * few, step[1] * few)


def _png(levels: onp.ndarray) -> bytes:
    """Return a picture with a palette, its pixels stored as they are: the same bytes on every machine."""
    h, w = levels.shape
    lines = onp.zeros((h, w + 1), onp.uint8)  # a 0 in front of each line: no filter
    lines[:, 1:] = levels
    body = lines.tobytes()
    size = len(body).to_bytes(2, "little")
    packed = b"\x78\x01\x01" + size + bytes(255 - b for b in size) + body + zlib.adler32(body).to_bytes(4, "big")
    opacity = [round(255 * abs(k) / LEVELS) for k in range(-LEVELS, LEVELS + 1)]
    colours = bytes(MINUS) * LEVELS + bytes(PLUS) * (LEVELS + 1)
    if levels.max() >= len(opacity):
        opacity, colours = [*opacity, 255], colours + bytes(BAD)
    header = w.to_bytes(4, "big") + h.to_bytes(4, "big") + bytes((8, 3, 0, 0, 0))
    parts = ((b"IHDR", header), (b"PLTE", colours), (b"tRNS", bytes(opacity)), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in parts
    )
