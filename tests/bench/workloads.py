"""What is timed: names, data and weights, the same for every peer. Standard library and NumPy only."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as onp

FAMILIES = {
    "W1": ["W1"],
    "W2": ["W2"],
    "W3": ["W3"],
    "W4": [f"W4b{2**i}" for i in range(7)],
    "W5": ["W5"],
    "W6": ["W6build", "W6params", "W6repr"],
    "W7": ["W7"],
    "W9": ["W9"],
    "W10": ["W10warm", "W10cold"],
    "W11": [
        f"W11{what}"
        for what in "save load savenosync saveplain loadplain saveplainnosync savesafetensors loadsafetensors "
        "savesafetensorsnosync".split()
    ],
}
TITLES = {
    "W1": "net(x), 20-256-10, batch 2",
    "W2": "forward and backward of W1",
    "W3": "training step, 784-256-10, batch 256",
    "W4": "training step, 784-256-10, batch",
    "W5": "training step, 152 x Dense(32), batch 16",
    "W6build": "1,000-layer tree: build",
    "W6params": "1,000-layer tree: collect parameters",
    "W6repr": "1,000-layer tree: repr",
    "W7": "training step, 4096-4096-4096, batch 512",
    "W9": "gelu-like chain, 10M floats",
    "W10warm": "fresh process to the first gradient, warm cache",
    "W10cold": "fresh process to the first gradient, empty cache",
    "W11save": "save 100 MB with checksum, flushed to disk",
    "W11load": "load 100 MB with checksum",
    "W11savenosync": "save 100 MB with checksum",
    "W11saveplain": "save 100 MB, flushed to disk",
    "W11loadplain": "load 100 MB",
    "W11saveplainnosync": "save 100 MB",
    "W11savesafetensors": "save 100 MB as .safetensors, flushed to disk",
    "W11loadsafetensors": "load 100 MB of .safetensors",
    "W11savesafetensorsnosync": "save 100 MB as .safetensors",
}
LR = 1e-3
DEPTHS, BATCHES = (10, 32, 100, 316, 1000), (1, 4, 16, 64, 256, 1024, 4096)


class Task(NamedTuple):
    """What to time, and what gives numbers on which all peers must agree."""

    call: Callable[[], Any]
    value: Callable[[], list[float]]


class How(NamedTuple):
    """How 100 MB are saved or loaded; MXNet's form has no checksum."""

    act: str  # "save" or "load"
    checksum: bool
    sync: bool  # flush the file to disk, and then its name
    safetensors: bool  # the form of that name, by the package of that name; else each peer's own


def title(workload: str) -> str:
    """Return the words for a workload."""
    size = re.match(r"(W\d)[nb](\d+)(\w*)", workload)
    if not size:
        return TITLES[workload]
    family, n, kind = size.groups()
    words = TITLES[family + kind]
    return f"{words} {n}" if family == "W4" else words.replace("152" if family == "W5" else "1,000", f"{int(n):,}")


def expand(texts: list[str]) -> list[str]:
    """Return the workloads meant by names, families and ranges: ['W4b1', 'W6', 'W9..W11']."""
    found: list[str] = []
    for text in re.split(r"[,\s]+", " ".join(texts)):
        first, _, last = text.partition("..")
        keys = list(FAMILIES)
        if last:
            found += [w for key in keys[keys.index(first) : keys.index(last) + 1] for w in FAMILIES[key]]
        elif re.fullmatch(r"W4b\d+|W5n\d+|W6n\d+\w+", text) or text in TITLES and text not in FAMILIES:
            found.append(text)
        elif text in FAMILIES:
            found += FAMILIES[text]
        else:
            raise SystemExit(
                f"There is no workload {text!r}; there are {', '.join(keys)}, ranges such as W1..W7, W4b8."
            )
    return list(dict.fromkeys(found))


def data(n: int, k: int, classes: int) -> tuple:
    """Return inputs and labels."""
    rng = onp.random.default_rng(n + k)
    return rng.normal(size=(n, k)).astype("float32"), rng.integers(classes, size=n)


def weights(*sizes: int) -> list[tuple]:
    """Return (weight, bias) of each layer, weights scaled after He: a deep chain neither explodes nor fades."""
    rng = onp.random.default_rng(sum(sizes))
    return [
        ((rng.standard_normal((m, k)) * (2 / k) ** 0.5).astype("float32"), onp.zeros(m, "float32"))
        for k, m in zip(sizes, sizes[1:], strict=False)
    ]


def floats(n: int) -> onp.ndarray:
    """Return n numbers between -3 and 3."""
    return onp.linspace(-3, 3, n, dtype="float32")


def how(kind: str) -> How:
    """Return what a name such as saveplainnosync means."""
    act, kind = kind[:4], kind[4:]
    safetensors = "safetensors" in kind
    return How(act, not safetensors and "plain" not in kind, "nosync" not in kind, safetensors)


@contextlib.contextmanager
def replacing(name: str, sync: bool) -> Iterator[str]:
    """Give the name of a file to write, then put it in the place of `name`; with `sync` as surely as d2lblocks does."""
    yield name + ".tmp"
    if sync:
        flush(name + ".tmp")
    os.replace(name + ".tmp", name)
    if sync:
        flush(os.path.dirname(name))


def flush(name: str) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(name, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _step(peer: Any, batch: int, *sizes: int) -> Task:
    X, y = data(batch, sizes[0], sizes[-1])
    return peer.step(peer.mlp(weights(*sizes)), peer.array(X), peer.labels(y))


def make(peer: Any, workload: str, folder: str) -> Task | None:
    """Return the task, None if the peer has no such thing (NumPy has no tree of layers)."""
    if workload in ("W1", "W2"):
        return getattr(peer, "forward" if workload == "W1" else "gradient")(
            peer.mlp(weights(20, 256, 10)), peer.array(data(2, 20, 10)[0])
        )
    if workload == "W3" or workload.startswith("W4b"):
        return _step(peer, 256 if workload == "W3" else int(workload[3:]), 784, 256, 10)
    if workload.startswith("W5"):
        return _step(peer, 16, *[32] * (1 + int(workload[3:] or 152)))
    if workload.startswith("W6"):
        digits, kind = re.fullmatch(r"W6n?(\d*)(\w+)", workload).groups()  # type: ignore[union-attr]
        return peer.tree(kind, int(digits or 1000)) if hasattr(peer, "tree") else None
    if workload == "W7":
        return _step(peer, 512, 4096, 4096, 4096)
    if workload == "W9":
        return peer.chain(peer.array(floats(10_000_000)))
    if workload.startswith("W11"):
        return peer.files(how(workload[3:]), peer.array(floats(25_000_000)), folder)
    return peer.reference(workload) if hasattr(peer, "reference") else None
