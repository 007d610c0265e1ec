"""The tape: what was computed is remembered node by node; `walk` visits the nodes backward and pulls gradients through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import numpy as onp

from d2lblocks.errors import NotRecordedError

_ages = count()  # a node is always younger than its parents: age is a valid order for the walk back


class _State(threading.local):
    """The flags of one thread. `pulling` is on while rules run: then ops take raw arrays."""

    recording = False
    training = False
    pulling = False


state = _State()


class Variable:
    """What the tape knows of an array: its numbers, and the node (with output number) that made it."""

    __slots__ = ("_data", "_node", "_out", "_version")
    _data: onp.ndarray
    _node: Node | Leaf | None
    _out: int
    _version: list[int] | None  # one cell per buffer, shared by views; counts the writes since somebody cared

    def _written(self) -> None:
        if self._version is not None:
            self._version[0] += 1

    def _watch(self) -> list[int]:
        if self._version is None:
            self._version = [0]
        return self._version


class Leaf:
    """The end of the tape: a variable's gradient buffer and how gradients go into it."""

    __slots__ = ("grad", "req", "fresh", "age")

    def __init__(self, grad: onp.ndarray | None, req: str):
        self.grad = grad
        self.req = req
        self.fresh = False  # has a backward pass written here since the last update?
        self.age = next(_ages)

    def deposit(self, g: onp.ndarray) -> None:
        """Put the gradient g into the buffer, in place: whoever holds the buffer sees it."""
        if self.grad is None or self.req == "null":
            return
        if self.req == "add":
            onp.add(self.grad, g, self.grad, casting="unsafe")
        else:
            self.grad[...] = g
        self.fresh = True


class Node:
    """One recorded call: z = op(*args, **settings). Holds raw numbers, never the arrays that hold it: no loops."""

    __slots__ = ("op", "args", "settings", "parents", "outs", "watched", "age")

    def __init__(self, op: Any, args: Any, settings: dict, parents: list, outs: Any, watched: list):
        self.op = op
        self.args = args  # raw arrays and plain numbers
        self.settings = settings
        self.parents = parents  # per argument: (node, output number), or None if nobody wants its gradient
        self.outs = outs  # a raw array, or a tuple of them
        self.watched = watched  # (version cell, count at recording) of everything a rule may read again
        self.age = next(_ages)

    def check_unchanged(self) -> None:
        """Refuse numbers that were overwritten after the recording: the gradient would be silently wrong."""
        for cell, seen in self.watched:
            if cell[0] != seen:
                raise NotRecordedError(
                    f"An array used by {self.op.title} was changed in place after it was recorded and before backward(), "
                    "so its gradient would be wrong. Call backward() first, or write y = y + ... to make a new array."
                )

    def release(self) -> None:
        """Drop the numbers; a second walk then stops here with a message."""
        self.args = None
        self.outs = None
        self.parents = ()
        self.watched = ()


def walk(heads: Sequence, seeds: Sequence, lift: Callable | None, train_mode: bool = True, keep: Iterable = ()) -> Any:
    """Visit the nodes under `heads` youngest first and pull gradients through them.

    Rules compute with the recorded raw arrays. `lift(raw, node, output)`, if given, first turns these into arrays on
    the tape, and then the gradients can be differentiated again.

    Returns ({node: {output: gradient}} of leaves and of the nodes in `keep`, the visited nodes).
    """
    order = reachable(heads)
    grads: dict = {}
    for y, g in zip(heads, seeds, strict=True):
        _add(grads.setdefault(y._node, {}), y._out, g)
    keep = set(keep)
    before = state.pulling, state.training
    state.pulling, state.training = True, train_mode
    try:
        for node in order:
            incoming = grads.get(node) if node in keep else grads.pop(node, None)
            if incoming is None:
                continue
            node.check_unchanged()
            pulled = node.op.pullback(node, incoming, lift)
            for parent, g in zip(node.parents, pulled, strict=True):
                if parent is not None and g is not None:
                    source, out = parent
                    _add(grads.setdefault(source, {}), out, g)
    finally:
        state.pulling, state.training = before
    return grads, order


def reachable(heads: Sequence) -> list[Node]:
    """Return the nodes under `heads`, youngest first: each stands before everything it was computed from."""
    seen = set()
    stack = [y._node for y in heads]
    while stack:
        node = stack.pop()
        if type(node) is Leaf or node in seen:
            continue
        if node.args is None:
            raise NotRecordedError(
                "The graph of this array has already been walked by backward() and was freed. If you want to "
                "differentiate the same graph twice, you need to pass retain_graph=True to backward."
            )
        seen.add(node)
        stack.extend(parent[0] for parent in node.parents if parent is not None)
    return sorted(seen, key=lambda node: node.age, reverse=True)


def _add(slots: dict, out: int, g: Any) -> None:
    """Add g to what has come in for this output. Never in place: a rule may have handed the same array to two."""
    slots[out] = slots[out] + g if out in slots else g
