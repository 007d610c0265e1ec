"""What the figures were measured on: the processor, the versions; no names."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

FIND = (
    "import importlib.metadata as m, sys; d = {x.metadata['Name']: x.version for x in m.distributions()}; "
    "print(', '.join(f'{n} {d[n]}' for n in sys.argv[1:] if n in d))"
)


def processor() -> str:
    """Return the processor's name and number of cores."""
    info = Path("/proc/cpuinfo")
    found = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.exists() else []  # fmt: skip
    widest = "AVX-512" if info.exists() and "avx512f" in info.read_text() else ""
    parts = [found[0] if found else platform.processor() or platform.machine(), widest, f"{os.cpu_count()} cores"]
    return ", ".join(part for part in parts if part)


def versions(pythons: dict[str, str]) -> list[str]:
    """Return the versions of each framework and of its NumPy and Numba, {framework: Python}."""
    lines = []
    for framework, python in pythons.items():
        names = [framework] if framework == "numpy" else [framework, "numpy", "numba"]
        found = subprocess.run([python, "-c", FIND, *names], capture_output=True, text=True, check=True).stdout
        lines.append(found.strip())
    return lines


def described(pythons: dict[str, str], threads: int) -> list[str]:
    """Return the lines that say what was measured on what."""
    return [
        f"Processor: {processor()}; {threads} thread{'s' if threads > 1 else ''} a peer, all on the same core in turn.",
        f"System: {platform.system()} {platform.machine()}, Python {platform.python_version()}.",
        f"Versions: {'; '.join(versions(pythons))}.",
    ]
