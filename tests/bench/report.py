"""The results as text: a line per peer while measuring, a table in the end."""

from __future__ import annotations

import statistics
from typing import Any

from tests.bench.measure import Ratio, Times
from tests.bench.targets import PRODUCTS, target
from tests.bench.workloads import title

OURS = ("d2lblocks_eager", "d2lblocks_hybrid")


def told(seconds: float) -> str:
    """Return a time in three digits: 12.3 µs."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    raise AssertionError


def size(n: float) -> str:
    """Return a size in MB."""
    return f"{n / 2**20:.1f} MB"


def against(workload: str, mode: str, times: Times) -> tuple[str, Ratio] | None:
    """Return with what d2lblocks is compared here, and the ratio."""
    aim = target(workload, mode)
    others = [name for name in times.wall if name not in (*OURS, "numpy", "reference")]
    kind = aim.against if aim else "best"
    if kind == "reference":
        low, mid, high = sorted(times.ratio("reference", f"d2lblocks_{mode}"))
        factor = PRODUCTS if workload == "W7" else 1
        return ("sgemm" if workload == "W7" else "copy"), Ratio(mid * factor, low * factor, high * factor)
    other = times.best(others) if kind == "best" else kind
    return (other, times.ratio(f"d2lblocks_{mode}", other)) if other in times.wall else None


def lines(workload: str, times: Times) -> list[str]:
    """Return a line per peer: wall and CPU time, the ratio of ours with it."""
    found = []
    for name in times.wall:
        cpu = statistics.median(times.cpu[name])
        text = f"{workload:8} {name:17} {told(times.median(name)):>9}  CPU {told(cpu):>9}"
        for ours in OURS:
            if ours in times.wall and name not in OURS:
                r = times.ratio(ours, name)
                text += f"   {ours[10:]} / it {r.median:.3g} ({r.low:.3g}-{r.high:.3g})"
        found.append(text)
    return found


def verdict(workload: str, mode: str, times: Times) -> str:
    """Return one cell of the table: ratio and spread, with whom, target, met or missed."""
    compared = against(workload, mode, times) if f"d2lblocks_{mode}" in times.wall else None
    if compared is None:
        return "–"
    (other, r), aim = compared, target(workload, mode)
    text = f"{r.median:.2f} ({r.low:.2f}–{r.high:.2f}) {'of' if other in ('sgemm', 'copy') else 'x'} {plain(other)}"
    return f"{text}, {aim}: {'met' if aim.met(r.median) else '**missed**'}" if aim else text


def plain(name: str) -> str:
    """Return a peer's name as it is shown."""
    return name.replace("_", " ")


def markdown(rows: list[list[str]]) -> list[str]:
    """Return a Markdown table, the first row its heads."""
    return ["| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]]


def table(results: dict[str, Times], peers: list[str]) -> list[str]:
    """Return the table of times, a row per workload, with each mode's ratio and target."""
    rows = [["workload", "", *map(plain, peers), "eager: ratio (spread), target", "hybrid: ratio (spread), target"]]
    for workload, times in results.items():
        cells = [told(times.median(name)) if name in times.wall else "–" for name in peers]
        rows.append([workload, title(workload), *cells, *(verdict(workload, m, times) for m in ("eager", "hybrid"))])
    return markdown(rows)


def cpu_table(results: dict[str, Times], peers: list[str]) -> list[str]:
    """Return the table of CPU over wall time."""
    rows = [["workload", *map(plain, peers)]]
    for workload, times in results.items():
        cells = []
        for name in peers:
            ratios = [c / w for c, w in zip(times.cpu.get(name, []), times.wall.get(name, []), strict=True)]
            cells.append(f"{statistics.median(ratios):.2f}" if ratios else "–")
        rows.append([workload, *cells])
    return markdown(rows)


def memory_table(peaks: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of {workload: {peer: bytes}}."""
    rows = [["workload", *map(plain, next(iter(peaks.values())))]]
    rows += [[w, *("–" if p is None else size(p) for p in found.values())] for w, found in peaks.items()]
    return markdown(rows)
