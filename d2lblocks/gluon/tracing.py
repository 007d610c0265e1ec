"""What `hybridize()` does: the first call with inputs of some shapes is traced into a program, later ones run the program.

While a forward is traced its arrays are stand-ins: they have shapes and go through operations, but nobody may look at
their numbers, since the program is for other numbers, too. An `if` on them is an error; whatever else cannot be noted
down (writing in place, random numbers drawn by hand) lets the block run as it is written. Arrays that were there before
are values of the program, too: they may hold other numbers at the next call.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any, NoReturn
from weakref import ref

import numpy as onp

from d2lblocks import rng
from d2lblocks.errors import ArrayTypeError, MXNetError, warn
from d2lblocks.gluon.watch import heard, noting
from d2lblocks.graph import Plain, Program, Step, Value
from d2lblocks.kernels import program as kernel
from d2lblocks.np import moves
from d2lblocks.np.indexing import raw_key
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import Op
from d2lblocks.tape import Leaf, changes, state


class Untraceable(MXNetError):
    """A forward did what no program can do; it runs as it is written."""


# who catches that notes nothing and says nothing; after the forward nobody catches it
_LATE = (
    "This array stands for one in a hybridized forward, which has ended: it has a shape, but no numbers. Return it from the "
    "forward, set it as an attribute of the block, or leave the block as it is: hybridize(False)."
)


class DataDependent(ArrayTypeError):
    """A forward decides by the numbers of an array what to do."""


class Traced(ndarray):
    """An array in a forward that is being traced."""

    __slots__ = ("_trace", "_raw", "_number", "__weakref__")

    def __init__(self, trace: Trace, raw: Any, place: int):
        self._node, self._out, self._written_at, self._ctx = None, 0, None, None
        self._trace, self._raw, self._number = trace, raw, place
        trace.made.append(ref(self))

    shape = property(lambda self: self._raw.shape)
    ndim = property(lambda self: self._raw.ndim)
    size = property(lambda self: self._raw.size)
    dtype = property(lambda self: self._raw.dtype)
    itemsize = property(lambda self: self._raw.itemsize)
    nbytes = property(lambda self: self._raw.nbytes)

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, key: Any) -> Any:
        return moves.get(self, key=raw_key(key))

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    @property
    def _data(self) -> Any:
        self._trace.refuse(_LATE)

    @_data.setter
    def _data(self, raw: Any) -> None:
        self._trace.refuse(_LATE)


def _asked(name: str) -> Callable:
    """Return a method that says which line asks for numbers."""

    def method(self: Traced, *args: Any, **kwargs: Any) -> Any:
        if state.trace is not self._trace or self._number in self._trace.free:
            self._trace.refuse(_LATE)
        self._trace.refused = True
        frame: Any = sys._getframe(1)
        while frame and frame.f_globals.get("__name__", "").startswith("d2lblocks"):
            frame = frame.f_back
        where = (
            f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}" if frame else "its forward"
        )
        raise DataDependent(
            f"{self._trace.title} is hybridized, so its forward is noted down once for all numbers, but {where} asks for the "
            f"numbers of an array of shape {self.shape} ({name}). Let both ways be computed and choose by np.where(...), or "
            "leave the block as it is: hybridize(False)."
        )

    return method


for _name in ("__bool__", "__float__", "__int__", "__index__", "item", "asnumpy", "asscalar", "tolist"):
    setattr(Traced, _name, _asked(_name.strip("_")))


class Trace:
    """The values and steps that a forward has led to so far."""

    def __init__(self, title: str, args: tuple):
        self.title = title
        self.refused = False  # has the forward done what no program can do? It may have caught the error
        self.made: list[ref] = []  # the stand-ins
        self.owners: list[tuple[Any, ndarray]] = []  # parameters, and the arrays that they had
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.held: dict[int, Traced] = {}
        self.free: set[int] = set()  # values that neither an input nor a parameter has gone into
        self.flags = state.recording, state.training
        self.drawn = 0  # random words drawn by steps, which will draw them again
        self.before = _drawn()
        self.inputs = tuple([self._new(a._data) if type(a) is ndarray else a for a in args])
        for x, given in zip(self.inputs, args, strict=True):
            if type(x) is Traced:
                self.values[x._number].wanted = given._node is not None

    def _new(self, raw: Any, held: ndarray | None = None) -> Traced:
        self.values.append(Value(raw, held))
        return Traced(self, raw, len(self.values) - 1)

    def refuse(self, why: str = "") -> NoReturn:
        """Let the block run as it is written: it does what would be done once only."""
        self.refused = True
        raise Untraceable(why)

    def hold(self, x: ndarray, free: bool = False, owner: Any = None) -> Traced:
        """Return the stand-in of a parameter's array (the owner is the parameter), or of one that is there before (free)."""
        if x._node is not None and type(x._node) is not Leaf:
            self.refuse()
        if owner is not None:
            self.owners.append((owner, x))
        found = self.held.get(id(x))
        if found is None:
            found = self.held[id(x)] = self._new(x._data, x)
            self.free |= {found._number} if free else set()
        return found

    def call(self, op: Op, args: tuple, settings: dict) -> Any:
        """Compute a step with the numbers of this call, and note it."""
        if state.trace is not self:
            raise Untraceable(_LATE)
        if (state.recording, state.training) != self.flags:
            self.refuse()
        stand_ins = [self.hold(a, True) if type(a) is ndarray else a for a in args]
        if any(type(a) is Traced and a._trace is not self for a in stand_ins):
            self.refuse()
        drawn = _drawn()
        state.trace = None
        try:
            z = op.apply(tuple([wrap(a._raw) if type(a) is Traced else a for a in stand_ins]), settings)
        finally:
            state.trace = self
        self.drawn += _drawn() - drawn
        outs = tuple([self._new(part._data) for part in (z if type(z) is tuple else (z,))])
        if all(a._number in self.free for a in stand_ins if type(a) is Traced):
            self.free.update(y._number for y in outs)
        places = [a._number if type(a) is Traced else Plain(a) for a in stand_ins]
        self.steps.append(Step(op, places, settings, [y._number for y in outs]))
        return outs if type(z) is tuple else outs[0]

    def finished(self, outputs: list) -> Program:
        """Return the program that ends in these outputs."""
        places = [y._number if type(y) is Traced and y._trace is self else -1 for y in outputs]
        made = {k for step in self.steps for k in step.outs}
        if not places or len(set(places)) < len(places) or not made.issuperset(places):
            raise Untraceable  # nothing is computed: an input comes out as it went in
        if self.refused or _drawn() - self.before != self.drawn:
            raise Untraceable
        inputs = [x._number for x in self.inputs if type(x) is Traced]
        return Program(self.title, self.values, inputs, self.steps, places, self.flags[0], self.owners)

    def kept(self) -> bool:
        """Return whether the forward, which is over, has kept a stand-in: an attribute, a list, a closure."""
        self.inputs, self.held = (), {}
        return any(one() is not None for one in self.made)


class Before:
    """What was before a trace: blocks, their lists, foreign random streams. A trace that comes to nothing has not been."""

    def __init__(self, blocks: list):
        self._things: list[tuple[Any, Any]] = [(one.__dict__, dict(one.__dict__)) for one in blocks]
        lists = [x for _, then in self._things for x in then.values() if type(x) in (list, dict, set)]
        self._things += [(x, x.copy()) for x in lists]
        self._streams = random.getstate(), onp.random.get_state()

    def drew(self) -> bool:
        """Return whether numbers of Python's or NumPy's own streams were drawn, which a program would repeat for ever."""
        now, then = onp.random.get_state(), self._streams[1]
        return random.getstate() != self._streams[0] or now[2:] != then[2:] or (now[1] != then[1]).any()  # type: ignore

    def put_back(self) -> None:
        """Let all be as it was. Nothing is empty meanwhile: other threads may call the net."""
        for now, then in self._things:
            if type(now) is list:
                now[:] = then
                continue
            for key in set(now).difference(then):
                drop: Callable = now.remove if type(now) is set else now.pop
                drop(key)
            now.update(then)
        random.setstate(self._streams[0])
        onp.random.set_state(self._streams[1])


Op.stand_in = Traced


def _drawn() -> int:
    return rng.streams.serial.drawn + sum(engine.drawn for engine in rng.streams.parallel.values())


AS_WRITTEN = object()
MOST = 64  # programs of a block: inputs of ever new lengths must not fill the memory


class Programs:
    """The programs of a hybridized block, one for each kind of inputs; called in place of its forward."""

    def __init__(self) -> None:
        self.known: dict[tuple, Any] = {}
        self._facts: list = []
        self._whole = False  # is every block ready for it?
        self._seen = -1  # the count of changes at which the facts were true

    def __reduce__(self) -> tuple:
        return Programs, ()  # a copy traces anew

    def __call__(self, block: Any, args: tuple) -> Any:
        """Return what the forward returns, or AS_WRITTEN if this call has to be one of the forward itself."""
        if state.trace is not None:  # the block is part of one that is being traced
            return AS_WRITTEN
        key: tuple = (state.recording, state.training)
        for a in args:
            if type(a) is ndarray and a._ctx is None:
                raw = a._data
                key += (raw.shape, raw.dtype.num, a._node is None)
            elif a is None:
                key += (None,)
            else:
                return AS_WRITTEN
        if self._seen != changes[0]:
            self._look(block)
        program = self.known.get(key)
        if program is None:
            program = self._trace(block, key, args)
        if program is AS_WRITTEN:
            return program
        try:
            found = program.run(args if program.full else [a for a in args if a is not None], wrap)
        except Exception as problem:
            block.forward(*args)  # says best what is wrong with the numbers
            self.known[key] = AS_WRITTEN
            warn(f"The program of {block.name} failed, it is not used any more: {problem!r}")
            return AS_WRITTEN
        return found[0] if program.single else program.kind(found)

    def _look(self, block: Any) -> None:
        """Forget all programs if something they rely on is not what it was."""
        blocks = _blocks(block)
        facts = [fact for one in blocks for fact in _facts(one)]
        if len(facts) != len(self._facts) or any(a is not b for a, b in zip(facts, self._facts, strict=True)):
            self.known.clear()
            self._facts = facts
            self._whole = all(_traceable(one, one is block) for one in blocks)
        for key, program in list(self.known.items()):  # a copy: other threads may call the net, too
            if program is not AS_WRITTEN and not program.still():
                self.known.pop(key, None)
        self._seen = changes[0]

    def _trace(self, block: Any, key: tuple, args: tuple) -> Any:
        """Return the program for such inputs, or AS_WRITTEN."""
        if not self._whole or not kernel.walk.ready():
            return AS_WRITTEN
        streams, before = rng.get_state(), Before(_blocks(block))
        trace = Trace(f"{block.name} ({type(block).__name__})", args)
        program: Any = AS_WRITTEN
        try:
            state.trace = trace
            found = block.forward(*trace.inputs)
            single = type(found) is not list and type(found) is not tuple
            program = trace.finished([found] if single else list(found))
            program.single, program.kind, program.full = single, type(found), None not in key
            del found
            if trace.kept() or before.drew():
                program = AS_WRITTEN
        except DataDependent:
            raise
        except Untraceable:
            pass
        except Exception:  # the forward itself will say it of the true arrays
            return AS_WRITTEN
        finally:
            state.trace = None
            rng.set_state(streams)
            if program is AS_WRITTEN:
                before.put_back()
        for oldest in list(self.known)[: max(0, len(self.known) + 1 - MOST)]:
            self.known.pop(oldest, None)
        self.known[key] = program
        return program


def _blocks(block: Any) -> list:
    """Return the blocks of a tree, each once."""
    found, stack = {}, [block]
    while stack:
        one = stack.pop()
        if id(one) not in found:
            found[id(one)] = one
            stack += one._children.values()
    return list(found.values())


def _facts(block: Any) -> list:
    """Return what a program relies on: objects that must stay the very same."""
    facts = [x for x in block.__dict__.values() if type(x) is ndarray]  # constants, which may be replaced
    facts += [ref(block), bool(block._forward_hooks or block._forward_pre_hooks), *map(ref, block._children.values())]
    for p in block._reg_params.values():
        x = p._data
        facts += [x] if x is None else [x, x._data, x._node]
    return facts


def _traceable(block: Any, outermost: bool) -> bool:
    """Return whether a block is all there, on the default context, and nobody wants to hear of its calls.

    Its first call is never traced: the blocks in it tell their shapes then, and would trace programs that are never run.
    One that is still to tell its shapes later is not called as a whole: its children are called one by one.
    """
    hooked = noting(block) if outermost else heard(block)
    ready = all(
        p._data is not None and p._data._ctx is None and len(p._copies) == 1 for p in block._reg_params.values()
    )
    return not hooked and ready
