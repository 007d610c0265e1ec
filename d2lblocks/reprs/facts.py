"""Snapshot: the facts of a block tree at one moment, as plain rows. Everything drawn comes from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from d2lblocks.gluon.block import Block, Resolution
from d2lblocks.gluon.parameter import Constant, Parameter
from d2lblocks.np.dtypes import as_dtype


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter of one block; sizes that are not known are None."""

    name: str
    accessor: str
    kind: str
    shape: tuple[int | None, ...] | None
    dtype: str
    state: str
    grad_req: str
    init: str
    count: int | None
    bytes: int | None
    tie: int | None  # number of the group of names that mean this one parameter, None if there is just one


@dataclass(frozen=True)
class BlockFacts:
    """One block with its own parameters and its children."""

    key: str
    kind: str
    name: str
    accessor: str
    text: str
    parameters: tuple[ParameterFacts, ...]
    children: tuple[BlockFacts, ...]


@dataclass(frozen=True)
class Snapshot:
    """The facts of a net: its tree, its totals, and the order in which sizes became known."""

    root: BlockFacts
    unique: int
    shared: int
    unknown: int
    events: tuple[Resolution, ...] = field(default=())

    @classmethod
    def of(cls, net: Block) -> Snapshot:
        """Return the facts of `net` now."""
        places: dict[int, int] = {}
        _count_places(net, places)
        ties = {key: i for i, key in enumerate((k for k, n in places.items() if n > 1), 1)}
        events: list[Resolution] = []
        root = _block(net, "net", "net", ties, events)
        parameters = {id(p): p for p in _all(net)}.values()
        counts = [_count(p) for p in parameters]
        shared = sum((_count(p) or 0) * (places[id(p)] - 1) for p in parameters)
        return cls(root, sum(n or 0 for n in counts), shared, sum(n is None for n in counts), tuple(events))


def parameter_facts(p: Parameter, accessor: str = "", tie: int | None = None) -> ParameterFacts:
    """Return the facts of one parameter."""
    shape = None if p.shape is None else tuple(None if n < 0 else n for n in p.shape)
    count = _count(p)
    kind = as_dtype(p.dtype)
    init = type(p.init).__name__ if p.init is not None and not isinstance(p.init, str) else p.init or "from the net"
    return ParameterFacts(
        p.name, accessor, "Constant" if isinstance(p, Constant) else "Parameter", shape, str(kind), p.state, p.grad_req,
        init, count, None if count is None else count * kind.itemsize, tie,
    )  # fmt: skip


def _count(p: Parameter) -> int | None:
    if p.shape is None or any(n < 0 for n in p.shape):
        return None
    n = 1
    for size in p.shape:
        n *= size
    return n


def _own(block: Block) -> dict[str, Parameter]:
    """Return the block's parameters by attribute, and those that only its ParameterDict knows."""
    found = dict(block._reg_params)
    known = {id(p) for p in found.values()}
    found.update({name: p for name, p in block.params.items() if id(p) not in known})
    return found


def _all(net: Block) -> list[Parameter]:
    found = list(_own(net).values())
    for child in net._children.values():
        found += _all(child)
    return found


def _count_places(block: Block, places: dict[int, int]) -> None:
    for p in _own(block).values():
        places[id(p)] = places.get(id(p), 0) + 1
    for child in block._children.values():
        _count_places(child, places)


def _block(block: Block, key: str, accessor: str, ties: dict, events: list) -> BlockFacts:
    parameters = tuple(
        parameter_facts(p, f"{accessor}.{name}" if name in block._reg_params else f"{accessor}.params[{name!r}]",
                        ties.get(id(p)))
        for name, p in _own(block).items()
    )  # fmt: skip
    events.extend(e for e in block._resolutions if e not in events)
    children = []
    for name, child in block._children.items():
        step = f"[{name}]" if name.isdigit() else f".{name}"
        children.append(_block(child, name, accessor + step, ties, events))
    line = repr(block).split("\n")[0].rstrip("(")
    return BlockFacts(key, type(block).__name__, block.name, accessor, line, parameters, tuple(children))


def describe(value: Any) -> str:
    """Return a count as people read it: 7,946; unknown is ?."""
    return "?" if value is None else f"{value:,}"
