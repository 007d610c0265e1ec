"""Watching a net from outside: the shapes of a call are written down, and listeners hear when something changes.

Nothing here is on the way of `net(x)`. Shapes are noted by an ordinary forward hook, put on every block by
`initialize()`, which takes itself off after the first call; `watching(net)` keeps it on. Listeners hear of what is done
to a parameter or a block by a call (initialize, set_data, cast, load, add); numbers written through `p.data()[...]`
move only the array's write stamp.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from d2lblocks.errors import warn
from d2lblocks.gluon.hooks import HookHandle, Hooks
from d2lblocks.gluon.ready import initialized
from d2lblocks.tape import Variable, changes, stamp, state

KEPT = 15  # calls of a block that are remembered beside its last one
_ONCE, _ALWAYS = "shapes, once", "shapes, always"  # their keys among a block's hooks, whose others are numbers


class Call(NamedTuple):
    """One call of a block: the shape of each input, that of the output, and when it was, on the clock of the tape."""

    inputs: tuple
    output: Any
    start: int = 0  # what was recorded by this call is older than end and younger than start
    end: int = 0


def shapes(value: Any) -> Any:
    """Return the shape of an array, a tuple of shapes for several, the name of its type for anything else."""
    if isinstance(value, Variable):
        return value._data.shape
    return tuple(shapes(v) for v in value) if isinstance(value, list | tuple) else type(value).__name__


# ------------------------------------------------------------------------------------------------ shapes of a call


def _tree(block: Any, fused: bool = False) -> Iterator[Any]:
    """Yield the blocks of a tree that are called one by one: a hook on a fused child would take its layer apart."""
    if not fused:
        yield block
    for key, child in block._children.items():
        yield from _tree(child, key in block._fused)


def _begin(block: Any, args: tuple) -> None:
    block.__dict__["_called_at"] = stamp()


def _note(block: Any, args: tuple, out: Any) -> None:
    end = stamp()
    start = block.__dict__.pop("_called_at", end)  # none if the noting was begun when the call was under way
    call = block.__dict__["_last_call"] = Call(shapes(args), shapes(out), start, end)
    block.__dict__["_calls"] = (*block._calls[-KEPT:], call)
    tell(block, "call")


def _note_once(block: Any, args: tuple, out: Any) -> None:
    if state.trace is not None:
        state.trace.refuse()  # the true call will tell
    block.__dict__["_to_note"] -= 1
    if not block._to_note:
        block._forward_hooks.pop(_ONCE)
        block._forward_pre_hooks.pop(_ONCE)
    if _ALWAYS not in block._forward_hooks:
        _note(block, args, out)


def note_next_call(block: Any, times: int = 1) -> None:
    """Write down the shapes of this block's next call, or of the one that is under way; or of so many calls."""
    initialized(block)["_forward_pre_hooks"][_ONCE] = _begin
    block._forward_hooks[_ONCE] = _note_once
    block.__dict__["_to_note"] = max(times, block._to_note)


def noting(block: Any) -> bool:
    """Return whether the shapes of this block's next call will be written down."""
    return _ONCE in block._forward_hooks


def heard(block: Any) -> bool:
    """Return whether anybody else wants to hear of this block's calls."""
    return any(len(hooks) > (_ONCE in hooks) for hooks in (block._forward_hooks, block._forward_pre_hooks))


def note_first_calls(net: Any) -> None:
    """Forget what was noted and write down the next call of every block: `initialize()` starts anew."""
    found = Counter(_tree(net))
    for block, times in found.items():  # a block in several places is called once for each
        block.__dict__.update(_last_call=None, _calls=())
        note_next_call(block, times)


class PlacedCalls:
    """Which noted call belongs to which place in a net: one block may stand in several."""

    def __init__(self, net: Any):
        self._whole: Call | None = net._last_call
        self._places = Counter(_tree(net))
        self._next: dict[Any, int] = {}

    def of(self, block: Any) -> tuple[Call, ...]:
        """Return the calls of a block in the last call of the net, if it has as many as places; else its last one."""
        whole = self._whole
        calls = tuple([c for c in block._calls if whole and whole.start <= c.start and c.end <= whole.end])
        if calls and len(calls) == self._places[block]:
            return calls
        return () if block._last_call is None else (block._last_call,)

    def next(self, block: Any) -> Call | None:
        """Return the call at the next place of a block, in the order of the tree; None if none was noted."""
        calls = self.of(block)
        k = self._next[block] = self._next.get(block, -1) + 1
        return calls[min(k, len(calls) - 1)] if calls else None


@contextmanager
def watching(net: Any) -> Iterator[Any]:
    """Note every call in the `with`: a Snapshot then knows the shapes of the last one, a Tape what belongs to it."""
    blocks = {id(block): block for block in _tree(net) if _ALWAYS not in block._forward_hooks}.values()
    for block in blocks:
        block._forward_pre_hooks[_ALWAYS] = _begin
        block._forward_hooks[_ALWAYS] = _note
    try:
        yield net
    finally:
        for block in blocks:
            block._forward_pre_hooks.pop(_ALWAYS)
            block._forward_hooks.pop(_ALWAYS)


# ------------------------------------------------------------------------------------------------ listeners

# Kept beside the nets, not in them: a copied or pickled net has no listeners, and a dropped net takes its own along.
_listening: WeakKeyDictionary[Any, Hooks] = WeakKeyDictionary()


def tell(thing: Any, what: str) -> None:
    """Say to the listeners of a parameter, block or trainer what happened to it. A listener's error is a warning only."""
    if what == "structure" or what == "state":
        changes[0] += 1
    if not _listening:
        return
    heard = _listening.get(thing)
    if heard:
        for listener in heard.order:
            try:
                listener(thing, what)
            except Exception as problem:  # a view that fails must not stop a training run
                _failed(thing, what, problem)


def hearers(trainer: Any, params: Iterable) -> tuple:
    """Return (listener, thing) for everyone who is to hear of a trainer's steps: of itself, or of its first parameter.

    Steps may take some ten microseconds. So who listens is asked when `changes` has moved, not at every step.
    """
    found: dict[Listening, Any] = {}
    for thing in (trainer, *params) if _listening else ():
        for listening in _listening.get(thing, Hooks()).order:
            found.setdefault(listening, thing)
    return tuple((listening._listener, thing) for listening, thing in found.items())


def tell_step(found: tuple) -> None:
    """Say to `hearers` that a step was made."""
    for listener, thing in found:
        try:
            listener(thing, "step")
        except Exception as problem:
            _failed(thing, "step", problem)


def _failed(thing: Any, what: str, problem: Exception) -> None:
    name = getattr(thing, "name", type(thing).__name__)
    warn(f"A listener failed on {what!r} of {name}: {problem!r}")


class Listening:
    """What `on_change` gives back: `detach()`, or the end of a `with`, ends the listening."""

    def __init__(self, listener: Callable):
        self._listener = listener
        self._handles: list[HookHandle] = []

    def attach(self, thing: Any) -> Listening:
        """Listen to this parameter or trainer; to a block with all that is in it, now and later."""
        found = [thing]
        while found:
            one = found.pop()
            heard = _listening.setdefault(one, Hooks())
            if self not in heard.order:
                self._handles.append(HookHandle().attach(heard, self))
            if hasattr(one, "_children"):
                found += [*one._children.values(), *one.params.values(), *one._reg_params.values()]
        return self

    def __call__(self, thing: Any, what: str) -> None:
        if what == "structure":
            self.attach(thing)
        self._listener(thing, what)

    def detach(self) -> None:
        """Hear no more."""
        for handle in self._handles:
            handle.detach()
        for thing in [thing for thing, heard in list(_listening.items()) if not heard]:
            del _listening[thing]

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.detach()


def on_change(thing: Any, listener: Callable[[Any, str], Any]) -> Listening:
    """Call `listener(what_changed, how)` from now on; gives back a handle with detach().

    how is "state" (a parameter waits for its shape), "data" (it was filled, set, loaded or cast), "structure" (a block
    got a child or a parameter), "call" (a block ended a call whose shapes were noted) or "step" (of a trainer, and
    of its parameters: told once, with the first of them that is listened to).
    """
    return Listening(listener).attach(thing)
