"""Automatic differentiation: record what is computed, then ask for the gradients of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, MismatchError, NotRecordedError, kind_of, warn
from d2lblocks.tape import Leaf, Node, Recorded, Variable, kept_apart, release, state, walk

GRAD_REQS = ("write", "add", "null")


# ---------------------------------------------------------------------------------------------- flags


class _Called(type):
    """The class of scopes: `with autograd.record:` without parentheses says what is missing."""

    def __enter__(cls) -> None:
        raise TypeError(f"Parentheses are missing: write `with autograd.{cls.__name__}():`, not a bare {cls.__name__}.")

    def __exit__(cls, *exc: Any) -> None:
        """Never reached: entering has raised."""


class _Mode(metaclass=_Called):
    """Sets the two flags for the length of a `with`, and puts back what was there before."""

    __slots__ = ("_recording", "_training", "_before")

    def __init__(self, recording: bool | None, training: bool | None):
        self._recording, self._training = recording, training
        # The flags there were, and what stood here: a scope may be entered again inside itself.
        self._before: Any = None

    def __enter__(self) -> Self:
        flags = state.__dict__
        self._before = flags["recording"], flags["training"], self._before
        if self._recording is not None:
            flags["recording"] = self._recording
        if self._training is not None:
            flags["training"] = self._training
        return self

    def __exit__(self, *exc: Any) -> None:
        flags = state.__dict__
        flags["recording"], flags["training"], self._before = self._before


class record(_Mode):  # noqa: N801
    """A scope in which operations are recorded for `backward()`; `train_mode` also switches dropout on."""

    __slots__ = ()

    def __init__(self, train_mode: bool = True):
        self._recording, self._training, self._before = True, train_mode, None


class pause(_Mode):  # noqa: N801
    """A scope inside `record()` in which nothing is recorded."""

    __slots__ = ()

    def __init__(self, train_mode: bool = False):
        super().__init__(False, train_mode)


class train_mode(_Mode):  # noqa: N801
    """A scope that behaves as in training (dropout on); recording stays as it is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, True)


class predict_mode(_Mode):  # noqa: N801
    """A scope that behaves as in prediction (dropout off); recording stays as it is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, False)


def is_recording() -> bool:
    """Return whether this thread records operations now."""
    return state.recording


def is_training() -> bool:
    """Return whether this thread is in training mode now."""
    return state.training


def set_recording(is_recording: bool) -> bool:
    """Switch recording on or off for this thread; gives back what it was."""
    before, state.recording = state.recording, bool(is_recording)
    return before


def set_training(train_mode: bool) -> bool:
    """Switch training mode on or off for this thread; gives back what it was."""
    before, state.training = state.training, bool(train_mode)
    return before


def reset_open_record(*_: Any) -> None:
    """End a `record()` that was entered and never left, with a warning: the next cell must not record in silence."""
    if state.recording or state.training:
        state.recording = state.training = False
        warn("autograd.record() was still open at the end of the cell; it is closed now. Write it as a `with` block.")


# ---------------------------------------------------------------------------------------------- the walk back


def check_grad_req(req: str) -> str:
    """Return `req` if it is write, add or null; else ArgumentError listing them."""
    if req not in GRAD_REQS:
        raise ArgumentError(f"grad_req must be one of 'write', 'add', or 'null', but got {req!r}")
    return req


def mark_variables(variables: Any, gradients: Any, grad_reqs: str | Sequence[str] = "write") -> None:
    """Make arrays leaves of the tape, with the given arrays as gradient buffers."""
    variables, gradients = _listed(variables), _listed(gradients)
    reqs = [grad_reqs] * len(variables) if isinstance(grad_reqs, str) else list(grad_reqs)
    if not len(variables) == len(gradients) == len(reqs):
        raise ArgumentError(f"Got {len(variables)} variables, {len(gradients)} gradients and {len(reqs)} grad_reqs.")
    for x, g, req in zip(variables, gradients, reqs, strict=True):
        _check_array(x, "A variable")
        _check_array(g, "A gradient")
        check_grad_req(req)
        if x._data.dtype.kind != "f" or g._data.shape != x._data.shape or g._data.dtype != x._data.dtype:
            raise ArgumentError(
                f"A variable is a float array, and its gradient has its shape and dtype; got {x._data.shape} "
                f"{x._data.dtype} and {g._data.shape} {g._data.dtype}."
            )
    for x, g, req in zip(variables, gradients, reqs, strict=True):
        x._node, x._out = Leaf(g._data, req, x._watch(), g), 0


def backward(heads: Any, head_grads: Any = None, retain_graph: bool = False, train_mode: bool = True) -> None:
    """Write d(sum of heads)/dx into the gradient buffer of every leaf x that the heads were computed from.

    Args:
        head_grads: one gradient per head, of its shape; None stands for ones.
        retain_graph: keep the tape, so that another backward() can walk it again.
    """
    if head_grads is None and isinstance(heads, Variable) and heads._node is not None:  # most often
        ys, seeds = [heads], [_ones(heads._data)]
    else:
        ys, given = _seeds(heads, head_grads)
        seeds = _raw_seeds(ys, given)
    found, order = walk(ys, seeds, None, train_mode, into_leaves=True)
    for leaf, g in found.items():
        if g is leaf.buffer and leaf.req == "write":  # most often: the rule has written it there
            leaf.late, leaf.fresh = None, True
        else:
            leaf.deposit(g)
    if not retain_graph:
        release(order)


def grad(
    heads: Any,
    variables: Any,
    head_grads: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    train_mode: bool = True,
) -> list:
    """Return [d(sum of heads)/dx for x in variables]; with `create_graph` the results can be differentiated again."""
    heads, seeds = _seeds(heads, head_grads)
    wanted = _listed(variables)
    for x in wanted:
        _check_array(x, "A variable of autograd.grad()")
        if x._node is None:
            raise NotRecordedError("A variable of autograd.grad() is on no tape: call x.attach_grad() before record().")
    make = type(heads[0])._wrap
    keep = [x._place() for x in wanted]
    if create_graph:

        def lift(raw: Any, node: Any, out: int) -> Any:
            lifted = make(raw)
            lifted._node, lifted._out = node, out
            return lifted

        seeds = [make(onp.ones_like(y._data)) if g is None else g for y, g in zip(heads, seeds, strict=True)]
        with record(train_mode):
            found, order = walk(heads, seeds, lift, train_mode, keep)
    else:
        found, order = walk(heads, _raw_seeds(heads, seeds), None, train_mode, keep)
    gradients = [found.get(place) for place in keep]
    if any(g is None for g in gradients):
        raise NotRecordedError("A variable of autograd.grad() was not used to compute the heads.")
    if create_graph:
        with record(train_mode):
            results = [_rooted(g.astype(x._data.dtype, copy=False), x) for g, x in zip(gradients, wanted, strict=True)]
    else:  # copies: a rule may have handed the same array to two
        results = [make(g.astype(x._data.dtype)) for g, x in zip(gradients, wanted, strict=True)]
    if not (create_graph if retain_graph is None else retain_graph):
        release(order)
    return results


class _Level(Recorded):
    """The op of a gradient that does not depend on x: its own gradient is 0."""

    name, title, reads = "constant gradient", "constant gradient", False

    def pullback(self, node: Node, g: Any, grads: dict | None, lift: Callable | None) -> list:
        return node.args if lift is None else [lift(node.args[0], None, 0)]


def _rooted(gradient: Any, x: Any) -> Any:
    """Return the gradient on the tape, also where it is constant: d(dy/dx)/dx is 0 then, not an error."""
    if gradient._node is None:
        zeros = onp.zeros_like(gradient._data)
        gradient._node = Node(_Level(), [zeros], {}, [x._place()], gradient._data, 1, ())
    return gradient


def _check_array(x: Any, what: str) -> None:
    if not isinstance(x, Variable):
        raise ArrayTypeError(f"{what} must be an array made by np.array(...), got {kind_of(x)}.")


def _raw_seeds(heads: list, seeds: list) -> list:
    return [_ones(y._data) if g is None else g._data for y, g in zip(heads, seeds, strict=True)]


def _ones(raw: onp.ndarray) -> onp.ndarray:
    ones = onp.empty(raw.shape, raw.dtype)  # onp.ones takes three times as long for few numbers
    ones.fill(1)
    return ones


def _listed(arrays: Any) -> list:
    return list(arrays) if isinstance(arrays, list | tuple) else [arrays]


def _seeds(heads: Any, head_grads: Any) -> tuple[list, list]:
    """Check heads and head gradients before anything is written."""
    heads = _listed(heads)
    seeds = [None] * len(heads) if head_grads is None else _listed(head_grads)
    if len(seeds) != len(heads):
        raise ArgumentError(f"Got {len(heads)} heads but {len(seeds)} head gradients.")
    for y, g in zip(heads, seeds, strict=True):
        _check_array(y, "A head, where backward() starts,")
        if y._node is None:
            raise NotRecordedError(
                "Cannot differentiate: no recorded path leads from this array to a variable, it is in no computational "
                "graph. Compute it inside `with autograd.record():`, after x.attach_grad() or net.initialize(); asnumpy(), "
                "float(), np.array(...) and detach() cut the path."
            )
        if g is None:
            continue
        _check_array(g, "A head gradient")
        if g._data.shape != y._data.shape:
            raise ArgumentError(f"The head gradient has shape {g._data.shape}, its array has shape {y._data.shape}.")
    return heads, seeds


# ---------------------------------------------------------------------------------------------- own functions


class Function(Recorded):
    """A differentiable function written by hand: subclass with `forward(*inputs)` and `backward(*output_grads)`.

    An instance is called once with arrays; `save_for_backward` keeps what `backward` needs in `saved_tensors`.
    """

    name, title, reads = "Function", "Function", False

    _saved: tuple = ()
    _used = False

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep arrays of the forward pass for `backward`."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple:
        """The arrays kept by `save_for_backward`."""
        return self._saved

    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs; override."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); write one that computes the outputs.")

    def backward(self, *output_grads: Any) -> Any:
        """Return one gradient per input of `forward`; override."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(); write one that returns the gradients.")

    def __call__(self, *inputs: Any) -> Any:
        if state.trace is not None:
            state.trace.refuse()  # its rule is Python, and no step of a program
        if self._used:
            raise MismatchError(
                f"Each Function instance can only be called once: {type(self).__name__} keeps what backward() needs. Please "
                f"create another instance, {type(self).__name__}()(x)."
            )
        self._used = True
        with pause(train_mode=state.training):
            outputs = self.forward(*inputs)
        parents = [x._place() if isinstance(x, Variable) else None for x in inputs]
        if not state.recording or not any(parents):
            return outputs
        several = isinstance(outputs, list | tuple)
        listed = list(outputs) if several else [outputs]
        for y in listed:
            _check_array(y, f"What {type(self).__name__}.forward() returns")
        raw = tuple(y._data for y in listed)
        watched = tuple(x._watch() for x in self._saved if isinstance(x, Variable))
        node = Node(
            self,
            [getattr(x, "_data", x) for x in inputs],
            {"make": type(listed[0])._wrap},
            parents,
            raw,
            len(raw),
            watched,
        )
        made = []
        for k, y in enumerate(listed):
            fresh = type(y)._wrap(y._data)
            fresh._node, fresh._out = node, k
            made.append(fresh)
        return made if several else made[0]

    def pullback(self, node: Node, g: Any, grads: dict | None, lift: Callable | None) -> list:
        """Call `backward` with arrays, whatever the walk computes with, and check what it gives."""
        make = node.settings["make"]
        incoming = [g] if node.count == 1 else g
        arrays = [onp.zeros_like(z) if g is None else g for g, z in zip(incoming, node.outs, strict=True)]
        lifted = lift is not None
        kept_apart(grads or {})
        pulling, state.pulling = state.pulling, False  # user code: official arrays are refused here as everywhere
        try:
            with _Mode(lifted, None):
                pulled = self.backward(*[g if isinstance(g, Variable) else make(g) for g in arrays])
        finally:
            state.pulling = pulling
        pulled = list(pulled) if isinstance(pulled, list | tuple) else [pulled]
        if len(pulled) != len(node.parents):
            raise ArgumentError(
                f"{type(self).__name__}.backward() gave {len(pulled)} gradients for {len(node.parents)} inputs."
            )
        for g, x in zip(pulled, node.args, strict=True):
            if g is None:
                continue
            _check_array(g, f"A gradient that {type(self).__name__}.backward() returns")
            if g._data.shape != onp.shape(x):
                raise ArgumentError(
                    f"{type(self).__name__}.backward() gave a gradient of shape {g._data.shape} for an input of shape "
                    f"{onp.shape(x)}."
                )
        return [g if lifted or g is None else g._data for g in pulled]
