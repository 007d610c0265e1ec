"""How cost grows, as an SVG: logarithmic axes, a line per peer, readable on light and dark pages."""

from __future__ import annotations

import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 390, 300, 62, 26, 44
# Colours that can be told apart by people who see few, on white and on black.
STYLE = """<style>
svg { font: 12px system-ui, sans-serif; color: #1b1f24; background: #fff }
.c0 { --c: #0b57d0 } .c1 { --c: #b3261e } .c2 { --c: #8a5a00 } .c3 { --c: #00695c } .c4 { --c: #6a1b9a } .c5 { --c: #5f6368 }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 }
.c0 { --c: #8ab4f8 } .c1 { --c: #f28b82 } .c2 { --c: #fdd663 } .c3 { --c: #5fd6c3 } .c4 { --c: #d7aefb } .c5 { --c: #bdc1c6 } }
text { fill: currentColor } .grid { stroke: currentColor; opacity: .15 }
polyline { fill: none; stroke: var(--c); stroke-width: 2 }
.dot { fill: var(--c) } .thin polyline { stroke-width: 1.5; stroke-dasharray: 5 3 }
</style>"""


def _decades(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _time(power: int) -> str:
    unit = next(u for u in ("s", "ms", "µs", "ns") if power >= {"s": 0, "ms": -3, "µs": -6, "ns": -9}[u])
    return f"{10 ** (power + {'s': 0, 'ms': 3, 'µs': 6, 'ns': 9}[unit])} {unit}"


def panel(
    caption: str, axis: str, lines: dict[str, list[tuple[float, float]]], left: int, kinds: list[str]
) -> list[str]:
    """Return the SVG of one diagram; a line is a list of (x, seconds)."""
    points = [point for line in lines.values() for point in line]
    (x0, x1), (y0, y1) = _decades([p[0] for p in points]), _decades([p[1] for p in points])
    across, up = (WIDTH - LEFT - RIGHT) / (x1 - x0), (HEIGHT - TOP - 40) / (y1 - y0)
    at = lambda x, y: (left + LEFT + (math.log10(x) - x0) * across, HEIGHT - 40 - (math.log10(y) - y0) * up)
    bottom, right = HEIGHT - 40, left + WIDTH - RIGHT
    out = [f'<text x="{left + LEFT}" y="24" font-weight="600">{caption}</text>']
    for i in range(x0, x1 + 1):
        x = at(10**i, 10**y0)[0]
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10**i:,}</text>')
    for i in range(y0, y1 + 1):
        y = at(10**x0, 10**i)[1]
        out.append(f'<line class="grid" x1="{left + LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{left + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_time(i)}</text>')
    out.append(f'<text x="{(left + LEFT + right) / 2:.1f}" y="{bottom + 32}" text-anchor="middle">{axis}</text>')
    for name, line in lines.items():
        placed = [at(*point) for point in line]
        dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in placed)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        thin = "" if name.startswith("d2lblocks") else " thin"
        out.append(f'<g class="c{kinds.index(name)}{thin}"><polyline points="{path}"/>{dots}'
                   f"<title>{name.replace('_', ' ')}</title></g>")  # fmt: skip
    return out


def picture(panels: list[tuple[str, str, dict[str, list[tuple[float, float]]]]]) -> str:
    """Return an SVG with diagrams side by side, (caption, axis, {peer: [(x, seconds)]}) each, and one legend."""
    kinds = sorted({name for *_, lines in panels for name in lines})
    width, height = WIDTH * len(panels), HEIGHT + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="Time of a training step: {"; ".join(caption for caption, *_ in panels)}">', STYLE]  # fmt: skip
    for i, (caption, axis, lines) in enumerate(panels):
        out += panel(caption, axis, lines, i * WIDTH, kinds)
    x = 20.0
    for i, name in enumerate(kinds):
        out.append(f'<circle class="dot c{i}" cx="{x:.1f}" cy="{HEIGHT + 10}" r="5"/>')
        out.append(f'<text x="{x + 10:.1f}" y="{HEIGHT + 14}">{name.replace("_", " ")}</text>')
        x += 28 + 6.6 * len(name)
    return "\n".join([*out, "</svg>", ""])
