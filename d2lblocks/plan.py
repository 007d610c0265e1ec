"""Buffers for a recorded program, and the calls that fill them: stretches of rows for the compiled loop, Python in between."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.kernels import program as kernel
from d2lblocks.kernels import tiles
from d2lblocks.kernels.buffers import Results, empty, whole, zeros_like
from d2lblocks.late import BIG, Late, pays_off
from d2lblocks.steps import backward, forward
from d2lblocks.tape import changes

SMALL = 4096  # so many numbers are copied sooner than NumPy tells where they lie


class Plan:
    """Buffers for the values of a program and for their gradients, and the calls that fill them in order."""

    def __init__(self, program: Any):
        self.program, n, recording = program, len(program.values), program.recording
        self.home = list(range(n))  # a value of other shape but the same numbers lies where the other lies
        self.raw: list[Any] = [None if v.held is None else v.held._data for v in program.values]
        self.grad: list[Any] = [None] * n  # of a leaf: None where its own buffer is written
        self.ends = dict(zip(program.leaves, program.places, strict=True))
        self.leaves = list(self.ends.values())
        self.large = [leaf for leaf in self.leaves if leaf.buffer.size >= BIG]
        self.lates: dict[Any, Late] = {}  # by leaf: gradients that rows do not write out
        self.where: list[int] = [0] * (2 * n + 1)  # addresses: of values, of their gradients, 0 for nothing, extras
        self.none = 2 * n
        self.room = 0  # numbers that the greediest step needs for itself
        self.kept: dict[int, Any] = {}  # what was computed without rows, for the rules
        self.drawn: dict[int, Any] = {}  # what is not computed but taken from another plan, such as dropout
        self.extras: list[onp.ndarray] = []  # buffers of numbers that are no value
        self.remembered: dict[int, int] = {}  # by the result of a row: the place of what it keeps for the row back
        for k in program.inputs:
            self.raw[k] = empty(program.values[k].shape, program.values[k].dtype)
        self.dead: dict[int, list] = {}  # buffers that can be used again, by their bytes
        self.called: set[int] = set()  # values made by Python: they lie elsewhere each time
        self.reached: set[int] = set()  # places that a gradient gets to
        self.stretches: list[list] = []  # rows of both directions
        self.looked: set[int] = set()  # places that somebody else than rows looks at
        self.ahead = self._ahead()
        self.fixed = {k for step in program.steps for k in step.outs} - self.called
        self.back = self._back() if recording else []
        self._keep_in_tiles()
        for k, raw in enumerate(self.raw):
            self.where[k] = self.where[k] if raw is None else address(raw)
        self.spare = empty((self.room,), onp.float32)
        self.slots = onp.array([*self.where, address(self.spare)], onp.int64)
        self.status = onp.zeros(1, onp.int64)
        self.copied = {
            k for k, v in enumerate(program.values) if self.raw[k] is not None and v.held is None and v.size <= SMALL
        }
        self.ins = [(k, self.raw[k] if k in self.copied else None) for k in program.inputs]
        big = [k for k in program.outputs if k in self.fixed and self.home[k] == k and k not in self.copied]
        self.big = {k: Results(program.values[k].shape, program.values[k].dtype) for k in big}  # returned as they are
        made = self.fixed - self.big.keys()
        self.outs = [(k, self.array(k) if self.home[k] in made else None) for k in program.outputs]
        self.given = [self.gradient(k) for k in program.outputs] if recording else []
        reached = [recording and program.values[k].wanted and self.home[k] in self.reached for k in program.inputs]
        self.before = [self.gradient(k) if found else None for k, found in zip(program.inputs, reached, strict=True)]
        self.all = self.reached.issuperset(self.ends)  # is there a gradient for every leaf?
        self.bound = -1  # at this count of changes they were found to be the leaves' own buffers

    def arguments(self) -> list:
        """Return the raw arguments of the last call: inputs, then leaves."""
        return [self.raw[k] for k in self.program.inputs + self.program.leaves]

    # ------------------------------------------------------------------------------------------ building

    def _ahead(self) -> list[Callable]:
        table, program = Table(self), self.program
        last = {a: i for i, step in enumerate(program.steps) for a in step.args if type(a) is int}
        for i, step in enumerate(program.steps):
            if step.op.row is None or not step.op.row(table, step):
                table.call(forward(self, i, step), step)
            if not program.recording:
                self._end(step, {a for a in step.args if type(a) is int and last[a] == i})
        return table.calls

    def _end(self, step: Any, done: set[int]) -> None:
        """Let later values lie where values lay that nobody needs any more."""
        for k in done:
            shared = self.home.count(self.home[k]) > 1
            if (
                not shared
                and self.program.values[k].held is None
                and k not in self.program.inputs + self.program.outputs
            ):
                self._drop(self.raw[k])

    def _back(self) -> list[Callable]:
        table, program = Table(self), self.program
        for k in program.outputs:
            self.gradient(k)
            table.begun.add(self.home[k])
        for i, step in reversed(list(enumerate(program.steps))):
            if not step.wanted or step.op.discrete or table.begun.isdisjoint(self.home[k] for k in step.outs):
                continue  # nobody wants its gradient, or none comes in
            if i in self.kept or step.op.row_back is None or not step.op.row_back(table, step):
                table.call(backward(self, i, step, table), step)
            table.add_up()
            for k in step.outs:  # what came before needs their gradients no more
                if self.home[k] == k and self.grad[k] is not None:
                    self._drop(self.grad[k])
        self.reached = table.begun
        return table.calls

    def _keep_in_tiles(self) -> None:
        """Let values and gradients that only the links of one chain need lie in tiles, never in memory."""
        program, n = self.program, len(self.raw)
        shown = {*program.inputs, *program.outputs, *[k for k, v in enumerate(program.values) if v.held is not None]}
        self.looked.update(place for k in shown for place in (self.home[k], n + self.home[k]))
        for place, rows in kernel.within_chains(self.stretches).items():
            if place < 2 * n and place not in self.looked:
                tile = self.extra(tiles.TILE)
                for row in rows:
                    for bit, column in ((1, 5), (2, 6), (4, 7)):
                        if row[column] == place:
                            row[column], row[2] = tile, row[2] & ~bit
                if place < n:
                    self.raw[place] = self.extras[-1]
                else:
                    self.grad[place - n] = None

    def make(self, k: int) -> int:
        """Give value k a buffer of its own; returns its place."""
        self.raw[k] = self._buffer(self.program.values[k])
        return k

    def _buffer(self, value: Any) -> onp.ndarray:
        dead = self.dead.get(value.size * value.dtype.itemsize)
        return (
            dead.pop().reshape(-1).view(value.dtype).reshape(value.shape) if dead else empty(value.shape, value.dtype)
        )

    def _drop(self, buffer: onp.ndarray) -> None:
        self.dead.setdefault(buffer.nbytes, []).append(buffer)

    def array(self, k: int) -> Any:
        """Return the numbers of value k in its shape."""
        home = self.home[k]
        return self.raw[k] if home == k else self.raw[home].reshape(self.program.values[k].shape)

    def gradient(self, k: int) -> Any:
        """Return the gradient of value k in its shape; the buffer is made when first asked for."""
        home = self.home[k]
        if home in self.ends and self.grad[home] is None:
            return self.ends[home].buffer
        if self.grad[home] is None:
            self.grad[home] = self._buffer(self.program.values[home])
            self.where[len(self.raw) + home] = address(self.grad[home])
        return self.grad[home] if home == k else self.grad[home].reshape(self.program.values[k].shape)

    def extra(self, size: int) -> int:
        """Make room for numbers that are no value, such as what a step remembers; returns its place."""
        buffer = empty((size,), onp.float32)
        self.extras.append(buffer)
        self.where.append(address(buffer))
        return len(self.where) - 1

    # ------------------------------------------------------------------------------------------ running

    def take(self, k: int, a: Any) -> None:
        """Let value k have these numbers: by a copy if they are few, else where they lie."""
        if k in self.copied:
            self.raw[k][...] = a
        else:
            self.raw[k] = a = onp.ascontiguousarray(a)
            self.slots[k] = address(a)

    def forward(self, inputs: list) -> list:
        """Return the raw outputs for these raw inputs."""
        for (k, buffer), a in zip(self.ins, inputs, strict=True):
            if buffer is None:
                self.take(k, a)
            else:
                buffer[...] = a
        for k, results in self.big.items():
            self.raw[k] = None
            self.raw[k] = results.next()
            self.slots[k] = address(self.raw[k])
        for call in self.ahead:
            call()
        if self.status[0]:
            self.status[0] = 0
            raise ValueError("a label is no class")
        if self.big:
            return [self.raw[k] if k in self.big else self.array(k).copy() for k in self.program.outputs]
        return [self._made(k) if z is None else z.copy() for k, z in self.outs]

    def _made(self, k: int) -> Any:
        """Return a result that no row made: itself if it is new, else a copy."""
        z = self.array(k)
        return z if self.home[k] == k and k not in self.copied and whole(z) else z.copy()

    def backward(self, gs: list, grads: dict | None) -> list:
        """Return the gradients of inputs and leaves from those of the outputs, None stands for zeros."""
        alone = grads is not None and grads.keys().isdisjoint(self.program.places)
        if not alone or self.bound != changes[0]:
            self._bind(alone)
        for leaf, late in self.lates.items():
            if leaf.late is late:  # of an earlier backward(): its numbers are about to go
                if grads is None:
                    leaf.write_out()
                leaf.late = None  # this backward() puts another gradient there, and may have begun to
        self._down(gs)
        for k, leaf in self.ends.items():
            if leaf in self.lates:
                self.lates[leaf].write(self.gradient(k))
        if self.bound >= 0 and self.all:
            return self.before + [leaf.buffer for leaf in self.leaves]
        return self.before + [self.gradient(k) if k in self.reached else None for k in self.ends]

    def settle(self, gs: list) -> bool:
        """Write all gradients into the leaves' own buffers; return False, with nothing done, if one of them is not free."""
        if self.bound != changes[0]:
            self._bind(True)
        if self.bound < 0 or not self.all:
            return False
        self._down(gs)
        for leaf in self.leaves:
            leaf.fresh = True
        for leaf in self.large:
            leaf.late = self.lates.get(leaf)
        return True

    def _down(self, gs: list) -> None:
        for buffer, g in zip(self.given, gs, strict=True):
            buffer[...] = 0 if g is None else g
        for call in self.back:
            call()

    def _bind(self, alone: bool) -> None:
        """Choose where the gradients of the leaves go: into their own buffers, if nobody else has seen or filled them."""
        fixed, n = True, len(self.raw)
        self.bound = -1  # or after Ctrl-C amid the loop some gradients would go where nobody reads them
        for k, leaf in self.ends.items():
            own = alone and leaf.free()
            self.grad[k] = None if own else zeros_like(leaf.buffer)
            self.slots[n + k] = address(leaf.buffer if own else self.grad[k])
            fixed = fixed and own
        self.bound = changes[0] if fixed else -1


class Table:
    """The calls of one direction as they are collected: stretches of rows, and calls of Python in between."""

    def __init__(self, plan: Plan):
        self.plan, self.values = plan, plan.program.values
        self.calls: list[Callable] = []
        self.rows: list[list[int]] = []  # the stretch at the end
        self.chain: list[int] | None = None  # the head of the chain at the end
        self.still: set[int] = set()  # places of tiles: they do not go on with the numbers
        self.begun: set[int] = set()  # places whose gradient has got a part already
        self._sums: list[tuple] = []

    def raw(self, a: Any) -> Any:
        """Return the raw array of a parameter or constant."""
        return self.plan.raw[self.plan.home[a]]

    def at(self, a: Any) -> int:
        """Return the place of an argument, that of nothing for None."""
        return self.plan.home[a] if type(a) is int else self.plan.none

    def out(self, step: Any) -> int:
        """Return the place for the result of a step."""
        return self.plan.make(step.outs[0])

    def same(self, step: Any) -> bool:
        """Let the result of a step lie where its first argument lies: other shape, same numbers.

        Not that of a parameter, whose columns may lie side by side, nor an output, which has a gradient of its own.
        """
        (a, *_), (k,) = step.args, step.outs
        if self.values[a].held is not None or k in self.plan.program.outputs:
            return False
        self.plan.home[k] = self.at(a)
        return True

    def grad(self, k: int) -> int:
        """Return the place of the gradient of a result."""
        self.plan.gradient(k)
        return len(self.values) + self.plan.home[k]

    def into(self, a: Any) -> int:
        """Return the place to write the gradient of an argument into; that of nothing if nobody wants it."""
        if type(a) is not int or not self.values[a].wanted:
            return self.plan.none
        home, place = self.plan.home[a], self.grad(a)
        if home not in self.begun:
            self.begun.add(home)
            return place
        part = self.plan.extra(self.values[a].size)
        self._sums.append((self.values[a].size, place, part))
        return part

    def waits(self, a: int, n: int) -> bool:
        """Return whether the gradient of a layer's weight is better not written out: see late.py."""
        m, k = self.values[a].shape
        return a in self.plan.ends and pays_off(n, k, m) and self.uses(a) == 1

    def uses(self, a: int) -> int:
        """Return how often a value is an argument."""
        return sum(step.args.count(a) for step in self.plan.program.steps)

    def late(self, a: int, n: int) -> tuple[int, int]:
        """Let the gradient of a layer's weight wait; returns the places of its factors, xᵀ and h."""
        m, k = self.values[a].shape
        late = self.plan.lates[self.plan.ends[a]] = Late(n, k, m, fixed=True)
        self.begun.add(a)
        self.plan.where += [address(late.t), address(late.h)]
        return len(self.plan.where) - 2, len(self.plan.where) - 1

    def add_up(self) -> None:
        """Add the parts that found another part in their place."""
        for n, place, part in self._sums:
            self.link(tiles.SUM, n, place, part, place)
        self._sums.clear()

    def row(self, *numbers: int) -> bool:
        """Append a row: code, four numbers, places."""
        if self.rows and (kernel.alone(numbers) or (kernel.alone(self.rows[0]) and numbers[0] != kernel.LINK)):
            self.rows = []
        if not self.rows:
            self.calls.append(_stretch(self.plan, self.rows))
            self.plan.stretches.append(self.rows)
        self.rows.append([*numbers, *[self.plan.none] * (kernel.WIDTH - len(numbers))])
        self.chain = None
        return True

    def link(self, kind: int, n: int, a: int, b: int, to: int) -> bool:
        """Append a row that acts number by number to a chain of such rows, see kernels/tiles.py."""
        self.need(tiles.TILE)
        chain = self.chain
        if chain is None or chain[1] != n:
            self.row(kernel.CHAIN, n, 0)
            chain = self.rows[-1]
        flags = sum(bit for bit, place in ((1, a), (2, b), (4, to)) if place not in self.still)
        self.row(kernel.LINK, kind, flags, 0, 0, a, b, to)
        chain[2] += 1
        self.chain = chain
        return True

    def tile(self) -> int:
        """Return the place of one tile, for what a chain needs for itself."""
        place = self.plan.extra(tiles.TILE)
        self.still.add(place)
        return place

    def number(self, x: float) -> int:
        """Return the place of a tile full of one number."""
        place = self.tile()
        self.plan.extras[-1][...] = x
        return place

    def call(self, function: Callable, step: Any) -> None:
        """Append a call of Python for a step."""
        homes = [self.plan.home[k] for k in (*step.args, *step.outs) if type(k) is int]
        self.plan.looked.update(place for home in homes for place in (home, len(self.values) + home))
        self.calls.append(function)
        self.rows, self.chain = [], None

    def need(self, size: int) -> None:
        """Ask for room that one row needs for itself."""
        self.plan.room = max(self.plan.room, size)


def _stretch(plan: Plan, rows: list) -> Callable:
    """Return a function that runs these rows, also those still to come."""
    table: Any = None
    chain: Any = None
    work = 0

    def call() -> None:
        nonlocal table, chain, work
        if table is None:
            table = onp.array(rows, onp.int64)
            work = sum(kernel.work(row) for row in rows)
            chain = kernel.alone(rows[0]) and importlib.import_module("d2lblocks.kernels.chain").Chain(rows, plan.slots)
        if not (chain and chain.run()):
            kernel.walk.fast(table, plan.slots, plan.status, work)

    return call


def address(a: onp.ndarray) -> int:
    """Return where the numbers of an array lie in memory."""
    return a.ctypes.data
