"""The tape: what was computed is remembered node by node; `walk` visits the nodes backward and pulls gradients through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as onp

from d2lblocks.errors import NotRecordedError

# Stamps nodes and writes: a node is younger than its parents, so age is a valid order for the walk back.
_clock = count(1)
_last_write = [0]  # when any array was written last that somebody cares about
_age = attrgetter("age")


def stamp() -> int:
    """Return a stamp that is older than all nodes to come and younger than all there are."""
    return next(_clock)


# Counts what recorded programs rely on: new leaves, parameters that became other arrays, blocks and hooks that came or went.
changes = [0]


class _State(threading.local):
    """The flags of one thread. Its __dict__ is that thread's own: to look it up once is faster where several are set."""

    def __init__(self) -> None:
        self.recording = False
        self.training = False
        self.pulling = False  # on while rules run: then ops take raw arrays
        self.trace: Any = None  # what writes down the operations of a hybridized forward


state = _State()


def rebound(old: Any, new: Any) -> None:
    """Note that an attribute that is an array takes the place of another: a program may rely on that, and none can do it."""
    if state.trace is not None:
        state.trace.refuse()
    alike = isinstance(old, Variable) and isinstance(new, Variable) and old._written_at is None  # no program holds it
    if not alike or old._data.shape != new._data.shape or old._data.dtype != new._data.dtype:
        changes[0] += 1


class Variable:
    """What the tape knows of an array: its numbers, the node (with output number) that made it, and where it lives."""

    __slots__ = ("_data", "_node", "_out", "_written_at", "_ctx")
    _data: onp.ndarray
    _node: Node | Leaf | None
    _out: int
    _ctx: Any  # None on the default context; results live where their first array does
    _written_at: list[int] | None  # one cell per buffer, shared by views: when it was last written since somebody cared

    def _numbers(self) -> onp.ndarray:
        """Return the numbers for what is no operation: Python looks at them now, so that no program can stand for it."""
        if state.trace is not None:
            state.trace.refuse()
        return self._data

    def _written(self) -> None:
        if self._written_at is not None or type(self._node) is Node:
            self._watch()[0] = _last_write[0] = next(_clock)

    def _place(self) -> Any:
        """Return where its gradients gather: at what made it, with the number of the output unless it is the first."""
        return (self._node, self._out) if self._out else self._node

    def _watch(self) -> list[int]:
        if self._written_at is None:
            self._written_at = [0]
            if type(self._node) is Node:
                self._node.watch(self._written_at)
        return self._written_at


def mark(cells: Iterable[list[int]]) -> None:
    """Note that the arrays with these cells were written now."""
    _last_write[0] = now = next(_clock)
    for cell in cells:
        cell[0] = now


class Due:
    """A gradient that is not written out yet: see late.py."""

    __slots__ = ()
    __array_ufunc__ = None  # a sum with an array is made here

    def write(self, grad: onp.ndarray) -> None:
        """Write it into this buffer."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        written = onp.empty_like(other)
        self.write(written)
        return written + other

    __radd__ = __add__


class Leaf:
    """The end of the tape: a variable's gradient buffer and how gradients go into it."""

    __slots__ = ("buffer", "given", "cell", "told", "late", "req", "fresh", "age")

    def __init__(self, grad: onp.ndarray, req: str, cell: list[int], given: Variable | None = None):
        self.buffer = grad
        self.given = given  # the array whose numbers the buffer is, where it is not the leaf's own
        self.cell = cell  # of the variable
        self.told = None if given is None else given._watch()  # the cell of the buffer, once somebody has seen it
        self.late: Any = None  # what is due to be written into the buffer
        self.req = req
        self.fresh: bool | None = None  # has a backward pass written here since the last update? None: never yet
        self.age = next(_clock)
        changes[0] += 1

    @property
    def grad(self) -> onp.ndarray:
        """The gradient: the buffer, with what is due written into it."""
        if self.late is not None:
            self.write_out()
        return self.buffer

    def show(self, grad: Variable) -> Variable:
        """Return this array of the buffer, which somebody may hold from now on, read, and write into."""
        changes[0] += 1
        self.told = grad._written_at = self.told or [0]
        return grad

    def write_out(self) -> None:
        """Write what is due into the buffer."""
        if self.late is not None:
            self.late.write(self.buffer)
            self.late = None

    def free(self) -> bool:
        """Return whether a rule may use the buffer for its result: nobody else holds it, who could be computing with it."""
        return self.req == "write" and self.given is None and getrefcount(self.buffer) == ALONE

    def deposit(self, g: Any) -> None:
        """Put the gradient g into the buffer, in place: whoever holds the buffer sees it."""
        if self.req == "null":
            return
        if self.req == "add":
            onp.add(self.grad, g, self.grad, casting="unsafe")
        elif isinstance(g, Due):
            self.late = g
        else:
            self.late = None
            if g is not self.buffer:  # else the rule has written it there
                self.buffer[...] = g
        self.written()

    def come(self) -> bool:
        """Return whether there is a gradient: a backward pass has written one, zeros too, or somebody by hand."""
        return self.fresh is not None or bool(self.grad.any())

    def written(self) -> None:
        """Note that a gradient has come into the buffer."""
        self.fresh = True
        if self.told:
            mark((self.told,))


_lonely = Leaf(onp.zeros(0), "write", [0])
ALONE = getrefcount(_lonely.buffer)  # the count of a buffer that only its leaf holds


class Ends(list):
    """The parents of a node of which none has parents: leaves, and arguments whose gradient nobody wants."""


class Recorded:
    """What a node is a call of: an op, a program, a function written by hand. Each has its own `pullback`."""

    name: str
    title: str
    reads = True  # its rules may read inputs again

    def pullback(self, node: Node, g: Any, grads: dict | None, lift: Callable | None) -> list:
        """Return the gradient of each argument, given that of the output: see `Op.pullback`."""
        raise NotImplementedError

    def settle(self, node: Node, g: Any) -> bool:
        """Write the gradients into the leaves, as the last step of a walk; False, with nothing done, where that cannot be."""
        return False


class Node:
    """One recorded call: z = op(*args, **settings). Holds raw numbers, never the arrays that hold it: no loops."""

    __slots__ = ("op", "args", "settings", "parents", "outs", "count", "watched", "age")
    args: Any
    outs: Any

    def __init__(
        self, op: Recorded, args: Any, settings: dict, parents: Sequence, outs: Any, count: int, watched: Sequence
    ):
        self.op = op
        self.args = args  # raw arrays and plain numbers
        self.settings = settings
        self.parents = parents  # per argument: its place, see `whose`, or None if nobody wants its gradient
        self.outs = outs  # a raw array, or a tuple of them
        self.count = count  # how many outputs the caller got
        self.watched = watched  # the cells of constants, and of those outputs that have one; leaves know theirs
        self.age = next(_clock)

    def watch(self, cell: list[int]) -> None:
        """Watch an output from now on: somebody could write there."""
        if self.args is not None:
            self.watched = (*self.watched, cell)

    def refuse_changed(self) -> None:
        """Raise if numbers were overwritten after the recording: the gradient would be silently wrong."""
        cells = list(self.watched)
        if self.op.reads:
            cells += [place.cell for place in self.parents if type(place) is Leaf]
        if any(cell[0] > self.age for cell in cells):
            raise NotRecordedError(
                f"An array used by {self.op.title} was changed in place after it was recorded and before backward(), "
                "so its gradient would be wrong. Call backward() first, or write y = y + ... to make a new array."
            )

    def pull(self, g: Any, grads: dict | None, lift: Callable | None) -> list:
        """Return the gradient of each argument, given that of the output: see `Op.pullback`."""
        return self.op.pullback(self, g, grads, lift)


def release(nodes: Iterable[Node]) -> None:
    """Drop the numbers that nodes hold; a second walk then stops there with a message."""
    for node in nodes:
        node.args = node.outs = None
        node.parents = node.watched = ()


def whose(place: Any) -> tuple[Any, int]:
    """Return the node or leaf of a place, and which of its outputs: a place is a node, for its first output, or both."""
    return place if type(place) is tuple else (place, 0)


def walk(heads: Sequence, seeds: Sequence, lift: Callable | None, train_mode: bool = True, keep: Iterable = (),
         pull: Callable | None = None, into_leaves: bool = False) -> Any:  # fmt: skip
    """Visit the nodes under `heads` youngest first and pull gradients through them.

    Args:
        lift: rules compute with the recorded raw arrays; lift(raw, node, output) first turns these into arrays on the
            tape, and then the gradients can be differentiated again.
        keep: places whose gradients are returned besides those of the leaves.
        pull: how a node's gradients are got; whoever wants to look on gives a function that calls Node.pull.
        into_leaves: rules may write into the leaves' own buffers. For backward() only: others must leave them alone.

    Returns ({place: gradient} of leaves and of the places in `keep`, the visited nodes).
    """
    order = reachable(heads)
    last = order[-1] if order else None
    grads = Keeping(keep) if keep else {}  # gradients of outputs and leaves that the walk has not come to yet
    may_write = grads if into_leaves else None
    for k, y in enumerate(heads):
        place, g = y._place(), seeds[k]
        grads[place] = grads[place] + g if place in grads else g
    flags = state.__dict__
    before = flags["pulling"], flags["training"]
    try:
        flags["pulling"], flags["training"] = True, train_mode
        for node in order:
            if node.count == 1:
                g = grads.pop(node, None)
                if g is None:
                    continue
            else:
                g = [grads.pop(node, None), *[grads.pop((node, k), None) for k in range(1, node.count)]]
                if not any(part is not None for part in g):
                    continue
            if node is last and into_leaves and not grads and node.op.settle(node, g):
                break
            if pull is None:
                pulled = node.op.pullback(node, g, may_write, lift)
            else:
                pulled = pull(node, g, may_write, lift)
            k = 0  # zip(..., strict=True) would cost as much as a product of small matrices
            for place in node.parents:
                part = pulled[k]
                k += 1
                if place is not None and part is not None:  # not in place: a rule may have handed one array to two
                    grads[place] = grads[place] + part if place in grads else part
    finally:
        flags["pulling"], flags["training"] = before
    return {**grads.kept, **grads} if type(grads) is Keeping else grads, order


class Keeping(dict):
    """Gradients by place, of which some can still be read when the walk has taken them out."""

    def __init__(self, places: Iterable):
        self.kept = dict.fromkeys(places)

    def pop(self, place: Any, default: Any = None) -> Any:
        """Take a gradient out."""
        g = super().pop(place, default)
        if place in self.kept:
            self.kept[place] = g
        return g


def reachable(heads: Sequence) -> list[Node]:
    """Return the nodes under `heads`, youngest first: each stands before everything it was computed from."""
    seen: dict[Node, None] = {}
    stack, sorted_already, before = [y._node for y in heads], True, 0
    while stack:
        node = stack.pop()
        if node in seen or type(node) is Leaf:
            continue
        if node.args is None:
            raise NotRecordedError(
                "The graph of this array has already been walked by backward() and was freed. If you want to "
                "differentiate the same graph twice, you need to pass retain_graph=True to backward."
            )
        seen[node] = None
        if node.age > before > 0:
            sorted_already = False
        before = node.age
        if type(node.parents) is not Ends:
            for place in node.parents:
                if type(place) is Node:
                    stack.append(place)
                elif type(place) is tuple:
                    stack.append(place[0])
    order = list(seen) if sorted_already else sorted(seen, key=_age, reverse=True)  # chains are most frequent
    _refuse_changed(order)
    return order


def _refuse_changed(order: list[Node]) -> None:
    """Raise if numbers of these nodes were overwritten; nothing need be compared if nothing was written since the oldest."""
    if order and _last_write[0] > order[-1].age:
        for node in order:
            node.refuse_changed()


def kept_apart(grads: dict) -> None:
    """Copy the gradients that lie in the leaves' own buffers or wait in their room: a backward() to come may write there."""
    for place, g in grads.items():
        if type(place) is Leaf and (g is place.buffer or isinstance(g, Due)):
            grads[place] = onp.empty_like(place.buffer)
            if isinstance(g, Due):
                g.write(grads[place])
            else:
                grads[place][...] = g


def buffers(parents: Sequence, grads: dict | None) -> list:
    """Return, per argument, where its gradient may be written: a leaf's own buffer, True for anywhere, None for unwanted.

    grads is what the walk has found so far: into a buffer that holds one part already, no other part may be written.
    """
    found: list[Any] = []
    for place in parents:
        if place is None:
            found.append(None)
        elif (  # Leaf.free() among it, written out: this is asked for every argument
            grads is not None
            and type(place) is Leaf
            and place.req == "write"
            and place.given is None
            and getrefcount(place.buffer) == ALONE
            and place not in grads
        ):
            found.append(place.buffer)
        else:
            found.append(True)
    return found
