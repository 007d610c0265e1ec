"""What travels to the browser: a Snapshot as columns of small numbers, and the story of how its shapes became known."""

from __future__ import annotations

from typing import Any

from d2lblocks.reprs import Snapshot
from d2lblocks.reprs.diff import fact_text
from d2lblocks.reprs.facts import BlockFacts, ParameterFacts

# The column as the browser knows it, and the fact it holds. All but the depth and the name are places in a list of words.
COLUMNS = {
    "kind": "kind", "text": "text", "input": "input", "output": "output", "shape": "shape", "declared": "declared",
    "sizes": "sizes", "dtype": "dtype", "init": "init", "state": "state", "grad": "grad_req", "tie": "tie",
}  # fmt: skip


def shown(snap: Snapshot) -> list[BlockFacts | ParameterFacts]:
    """Return the rows of a tree: all but fused children, which their layers name in their own text."""
    return [row for row in snap.rows if not getattr(row, "fused", False)]


def columns(snap: Snapshot, words: list | None = None) -> dict[str, list]:
    """Return {words, depth, name, step, kind, ...}, one entry a row; `step` is what its accessor adds to its block's.

    Equal facts are equal numbers: places in `words`, which begins with those given and never loses one.
    """
    words = [None] if words is None else list(words)
    places = {_hashable(word): i for i, word in enumerate(words)}

    def place(value: Any) -> int:
        if value not in places:
            places[value] = len(words)
            words.append(list(value) if isinstance(value, tuple) else value)
        return places[value]

    rows = shown(snap)
    made: dict[str, list] = {"words": words, "depth": [row.depth for row in rows], "name": [row.name for row in rows]}
    made["step"] = [place(_step(snap, row)) for row in rows]
    for column, fact in COLUMNS.items():
        made[column] = [place(_fact(row, fact)) for row in rows]
    return made


def _step(snap: Snapshot, row: BlockFacts | ParameterFacts) -> str:
    return row.accessor if row.parent is None else row.accessor[len(snap.rows[row.parent].accessor) :]


def _fact(row: BlockFacts | ParameterFacts, name: str) -> Any:
    value = getattr(row, name, None)
    return fact_text(value) if name in ("input", "output") and value is not None else value


def _hashable(word: Any) -> Any:
    return tuple(word) if isinstance(word, list) else word


def patch(tree: dict, now: dict) -> dict | None:
    """Return the columns of `now` that differ from `tree`, `more` being its new words; None if the rows are others."""
    if any(tree.get(key) != now[key] for key in ("depth", "name", "step")):
        return None
    known = len(tree["words"])
    found = {key: column for key, column in now.items() if key != "words" and column != tree[key]}
    return found | ({"more": now["words"][known:]} if len(now["words"]) > known else {})


def timeline(snap: Snapshot) -> dict:
    """Return {steps, order, reached, events}: the table in forward order.

    order: rows of the blocks that own parameters or have no children, those that the noted call reached first.
    events: [row of the block, row of the parameter, dimension, cause] in the order in which sizes became known.
    """
    rows = shown(snap)
    at = {row.accessor: i for i, row in enumerate(rows)}
    ranks = {i: getattr(rows[i], "order", None) for i in _layers(rows)}
    called = [i for _, i in sorted((rank, i) for i, rank in ranks.items() if rank is not None)]
    missed = [i for i, rank in ranks.items() if rank is None]
    told = [(at[e.accessor], _parameter(rows, at[e.accessor], e.parameter), e) for e in snap.events if e.accessor in at]
    events = [[block, parameter, e.dim, e.text] for block, parameter, e in told if parameter is not None]
    return {"steps": _steps(rows, called), "order": called + missed, "reached": len(called), "events": events}


def _layers(rows: list) -> list[int]:
    """Return the rows of blocks that own parameters or have nothing below."""
    found = []
    for i, row in enumerate(rows):
        below = rows[i + 1] if i + 1 < len(rows) else None
        own = below is None or below.depth <= row.depth or isinstance(below, ParameterFacts)
        if isinstance(row, BlockFacts) and own:
            found.append(i)
    return found


def _parameter(rows: list, block: int, name: str) -> int | None:
    """Return the row of the block's own parameter of this name; None if it has gone."""
    depth = rows[block].depth
    for i in range(block + 1, len(rows)):
        if rows[i].depth <= depth:
            break
        if rows[i].depth == depth + 1 and rows[i].name == name:
            return i
    return None


def _steps(rows: list, called: list[int]) -> list[str]:
    """Return what has happened so far: constructed, initialize(), then each block as forward reached it, done."""
    parameters = [row for row in rows if isinstance(row, ParameterFacts)]
    steps = ["constructed"]
    if called or any(row.state != "constructed" for row in parameters):
        steps.append("initialize()")
    steps += [rows[i].accessor for i in called]
    return [*steps, "done"] if rows[0].order is not None else steps
