"""Snapshot: the facts of a block tree at one moment, row by row. Everything drawn comes from it; exercises assert on it."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any

from d2lblocks.errors import ArrayTypeError, kind_of
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.parameter import Parameter
from d2lblocks.gluon.watch import Call, PlacedCalls
from d2lblocks.initializer import Initializer
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.reprs.diff import Diff
from d2lblocks.reprs.text import snapshot_text
from d2lblocks.reprs.values import Values
from d2lblocks.rich import Rich

Shape = tuple[int | None, ...]  # None is a size that is not known yet


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter at one place in the tree."""

    kind: str  # Parameter or Constant
    name: str  # dense0_weight
    key: str  # weight
    path: str | None  # its name in files, 0.weight; None if it is not saved
    accessor: str  # the Python that gets it, net[0].weight
    parent: int | None  # the row of its block
    depth: int
    declared: Shape | None  # its shape when it was made; None if nothing was said
    shape: Shape | None
    sizes: tuple[str, ...]  # what these sizes are called in its layer: units, in_units
    dtype: str
    init: str  # what fills it, or will: Uniform(scale=0.07); "from the net" before initialize()
    state: str  # constructed (no initialize() yet), deferred, not reached (by the last call of the net), ready
    grad_req: str
    count: int | None
    bytes: int | None
    tie: int | None  # number of the group of places that mean this one parameter, None if there is just one
    values: Values | None


@dataclass(frozen=True)
class BlockFacts:
    """One block at one place in the tree."""

    kind: str  # Dense
    name: str  # dense0
    key: str  # 0, hidden
    path: str
    accessor: str
    parent: int | None
    depth: int
    text: str  # the first line of its repr
    input: Any  # shape of its input in the noted call, a tuple of shapes for several; None before it
    output: Any
    fused: bool  # is its work done by its layer?
    order: int | None  # how many noted calls of this net ended before its own; None before it


@dataclass(frozen=True)
class Event:
    """One size that became known, and the input that told it."""

    block: str
    parameter: str
    dim: int
    before: int
    after: int
    input_shape: tuple
    accessor: str  # of the block
    size: str  # in_units, or weight.shape[1] where the layer has no name for it

    @property
    def text(self) -> str:
        """The sentence: input (2, 20) reached net[0], so in_units = 20."""
        return f"input {self.input_shape} reached {self.accessor}, so {self.size} = {self.after}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Snapshot(Rich):
    """The facts of a net at one moment: `rows` from the root down, each block followed by its parameters and children.

    >>> snap = Snapshot.of(net)
    >>> snap["net[0].weight"].shape, snap.total, snap.shared, snap.unique

    A row is found by its accessor (net[0].weight), its path in files (0.weight) or its Gluon name (dense0_weight).
    """

    rows: tuple[BlockFacts | ParameterFacts, ...]
    events: tuple[Event, ...]  # in the order in which they happened
    total: int  # numbers in all known parameters, tied ones at every place
    shared: int  # of these, in places that repeat a parameter
    unknown: int  # parameters whose size is not known

    @classmethod
    def of(cls, net: Block, values: int | bool = True) -> Snapshot:
        """Return the facts of `net` now; with `values` a number, look at the values of no more parameters than that."""
        if not isinstance(net, Block):
            raise ArrayTypeError(f"Snapshot.of takes a Block, got {kind_of(net)}.")
        return _Survey(net, math.inf if values is True else values).result()

    @property
    def unique(self) -> int:
        """The numbers that the net has, each counted once."""
        return self.total - self.shared

    @property
    def parameters(self) -> list[ParameterFacts]:
        """The rows of parameters; a tied one is there once for every place."""
        return [row for row in self.rows if isinstance(row, ParameterFacts)]

    @property
    def blocks(self) -> list[BlockFacts]:
        """The rows of blocks."""
        return [row for row in self.rows if isinstance(row, BlockFacts)]

    @cached_property
    def _places(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for names in ("accessor", "path", "name"):  # where two rows share a name, the upper one has it
            for i, row in enumerate(self.rows):
                found.setdefault(getattr(row, names) or row.accessor, i)
        return found

    @cached_property
    def _below(self) -> dict[int | None, list[int]]:
        found: dict[int | None, list[int]] = {}
        for i, row in enumerate(self.rows):
            found.setdefault(row.parent, []).append(i)
        return found

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise ArrayTypeError(
                f"A row is found by a name such as 'net[0].weight', got {name!r}; .rows has them in order."
            )
        if name not in self._places:
            near = difflib.get_close_matches(name, list(self._places), 3)
            raise KeyError(f"no row {name!r} in this Snapshot; near are {', '.join(near) or list(self._places)[:3]}")
        return self.rows[self._places[name]]

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[BlockFacts | ParameterFacts]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def below(self, i: int) -> list[int]:
        """Return the numbers of the rows directly below row i: its parameters, then its children."""
        return self._below.get(i, [])

    def diff(self, other: Snapshot) -> Diff:
        """Return what changed from this Snapshot to a later one."""
        if not isinstance(other, Snapshot):
            raise ArrayTypeError(f"diff takes a later Snapshot, got {kind_of(other)}; write Snapshot.of(net).")
        return Diff.of(self, other)

    def __repr__(self) -> str:
        return snapshot_text(self)

    def columns(self) -> dict[str, list]:
        """Return the facts as columns, one entry a row; None where a row has no such fact."""
        names = dict.fromkeys(f.name for kind in (BlockFacts, ParameterFacts) for f in fields(kind))
        return {name: [getattr(row, name, None) for row in self.rows] for name in names}


class _Survey:
    """One walk down a tree, gathering rows."""

    def __init__(self, net: Block, values: float):
        self.net, self.values_left = net, values
        self.rows: list[BlockFacts | ParameterFacts] = []
        self.parameters: list[Parameter] = []  # of the rows that are parameters
        self.events: dict[int, Event] = {}
        self.values: dict[int, Values] = {}
        self.uses = Counter(id(p) for p in places(net))
        tied = (key for key, n in self.uses.items() if n > 1)
        self.calls = PlacedCalls(net)
        ends = sorted({call.end for block in _blocks(net) for call in self.calls.of(block)})
        self.ranks = {end: i for i, end in enumerate(ends)}
        self.ties = {key: i for i, key in enumerate(tied, 1)}

    def result(self) -> Snapshot:
        self.block(self.net, None, "net", "", "net", False)
        found = {id(p): p for p in self.parameters}
        sizes = {key: _count(p.shape) for key, p in found.items()}
        total = sum((n or 0) * self.uses[key] for key, n in sizes.items())
        unique = sum(n or 0 for n in sizes.values())
        unknown = sum(n is None for n in sizes.values())
        events = tuple(self.events[key] for key in sorted(self.events))
        return Snapshot(tuple(self.rows), events, total, total - unique, unknown)

    def block(self, block: Block, parent: int | None, key: str, path: str, accessor: str, fused: bool,
              within: Call | None = None) -> None:  # fmt: skip
        """Add the rows of a block and of all below it; a fused one has its call within its layer's."""
        me, depth = len(self.rows), 0 if parent is None else self.rows[parent].depth + 1
        call = self.calls.next(block) or within
        given = None if call is None else call.inputs[0] if len(call.inputs) == 1 else call.inputs
        text = _text(block)
        self.rows.append(BlockFacts(type(block).__name__, block.name, key, path, accessor, parent, depth, text, given,
                                    call and call.output, fused, call and self.ranks[call.end]))  # fmt: skip
        own = _own(block)
        for name, p in own.items():
            saved = name in block._reg_params
            self.parameter(block, p, me, name, _joined(path, name) if saved else None,
                           f"{accessor}.{name}" if saved else f"{accessor}.params[{p.name!r}]")  # fmt: skip
        keys: dict[str, str] = {p.name: name for name, p in own.items()}
        for e in block._resolutions:
            name = keys.get(e.parameter, e.parameter)
            names = block._sizes.get(name, ())
            size = names[e.dim] if e.dim < len(names) else f"{name}.shape[{e.dim}]"
            self.events.setdefault(
                e.order, Event(e.block, e.parameter, e.dim, e.before, e.after, e.input_shape, accessor, size)
            )
        for name, child in block._children.items():
            within = call and call._replace(inputs=(call.output,)) if name in block._fused else None
            self.block(child, me, name, _joined(path, name), accessor + step_to(block, name, child),
                       name in block._fused, within)  # fmt: skip

    def parameter(self, block: Block, p: Parameter, parent: int, key: str, path: str | None, accessor: str) -> None:
        reached = p._pending is None or self.net._last_call is None
        facts = parameter_facts(
            p, key=key, path=path, accessor=accessor, parent=parent, depth=self.rows[parent].depth + 1,
            sizes=block._sizes.get(key, ()), tie=self.ties.get(id(p)), values=self.values_of(p),
            state=_STATES[p.state] if reached else "not reached",
        )  # fmt: skip
        self.rows.append(facts)
        self.parameters.append(p)

    def values_of(self, p: Parameter) -> Values | None:
        if p._data is not None and id(p) not in self.values and self.values_left > 0:
            self.values_left -= 1
            self.values[id(p)] = Values.of(p._data._data)
        return self.values.get(id(p))


def _text(block: Block) -> str:
    """Return the first line of a block's repr, which its author may have written."""
    try:
        return repr(block).split("\n", 1)[0].rstrip("(")
    except Exception as problem:  # a view must not fail for it
        return f"{type(block).__name__}, whose __repr__ fails: {type(problem).__name__}"


_STATES = {"new": "constructed", "waiting": "deferred", "ready": "ready"}


def parameter_facts(p: Parameter, **place: Any) -> ParameterFacts:
    """Return the facts of one parameter; what is known of its place in a net can be given by name."""
    count, kind = _count(p.shape), as_dtype(p.dtype)
    return ParameterFacts(**{
        "kind": type(p).__name__, "name": p.name, "key": p.name, "path": None, "accessor": p.name, "parent": None, "depth": 0,
        "declared": _shape(p._declared), "shape": _shape(p.shape), "sizes": (), "dtype": _dtype_text(kind), "init": _init(p),
        "state": _STATES[p.state], "grad_req": p.grad_req, "count": count,
        "bytes": None if count is None else count * kind.itemsize, "tie": None, "values": None, **place,
    })  # fmt: skip


def init_text(init: Any) -> str:
    """Return an initializer as it is written: Normal(sigma=0.01)."""
    if isinstance(init, Initializer):
        return init._written()
    return init if isinstance(init, str) else type(init).__name__


def _init(p: Parameter) -> str:
    chosen = p._pending[0] if p._pending is not None else p._chosen or p.init
    return "from the net" if chosen is None else init_text(chosen)


@cache
def _dtype_text(kind: Any) -> str:
    return str(kind)


def _shape(shape: tuple | None) -> Shape | None:
    return None if shape is None else tuple(None if n < 0 else n for n in shape)


def _count(shape: tuple | None) -> int | None:
    return None if shape is None or any(n < 0 for n in shape) else math.prod(shape)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def step_to(block: Block, key: str, child: Block) -> str:
    """Return what stands behind the accessor of a block in that of its child."""
    if key.isidentifier() and getattr(block, key, None) is child:
        return "." + key
    return f"[{key}]" if key.isdigit() and hasattr(block, "__getitem__") else f"._children[{key!r}]"


def _own(block: Block) -> dict[str, Parameter]:
    """Return the block's parameters by attribute, and by their names those that only its ParameterDict knows."""
    found = dict(block._reg_params)
    known = {id(p) for p in found.values()}
    found.update({name: p for name, p in block.params.items() if id(p) not in known})
    return found


def _blocks(net: Block) -> Iterator[Block]:
    yield net
    for child in net._children.values():
        yield from _blocks(child)


def places(net: Block) -> Iterator[Parameter]:
    """Yield the parameters of a tree in the order of a Snapshot's rows, a tied one at every place."""
    yield from _own(net).values()
    for child in net._children.values():
        yield from places(child)
