"""The trainer: gradients in, updates out."""

from __future__ import annotations

import numbers
import os
from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from d2lblocks import io
from d2lblocks.errors import (
    ArgumentError,
    ArrayTypeError,
    DeferredInitializationError,
    MXNetError,
    kind_of,
    listed,
    warn,
)
from d2lblocks.gluon import states
from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.gluon.watch import hearers, tell_step
from d2lblocks.np.ndarray import ndarray
from d2lblocks.optimizer import Updater, create
from d2lblocks.tape import changes


class StaleGradient(UserWarning, MXNetError):
    """A step was asked for, but backward() has not touched this parameter since the last one."""


class Trainer:
    """Moves parameters by an optimizer after each backward().

    Args:
        params: net.collect_params(), or a dict or list of parameters; taken in the order of their names.
        optimizer: a name ('sgd', 'adam', ...) or an Optimizer.
        optimizer_params: its arguments, such as {'learning_rate': 0.1}.
    """

    def __init__(self, params: Any, optimizer: Any, optimizer_params: dict | None = None, kvstore: Any = "device",
                 compression_params: Any = None, update_on_kvstore: Any = None):  # fmt: skip
        if isinstance(params, dict | ParameterDict):
            params = list(params.values())
        if not isinstance(params, list | tuple):
            raise ArgumentError(
                f"First argument must be a list or dict of Parameters, got {kind_of(params)}; write net.collect_params()."
            )
        for p in params:
            if not isinstance(p, Parameter):
                raise ArgumentError(f"First argument must be a list or dict of Parameters, got list of {kind_of(p)}.")
        twice = [p.name for p, n in Counter(params).items() if n > 1]
        if twice:
            raise ArgumentError(
                f"Trainer: parameter {listed(twice)} is in the list twice and would be moved twice a step; give each once, as "
                "net.collect_params() does."
            )
        self._params = sorted(params, key=lambda p: p.name)
        self._optimizer = _optimizer(optimizer, optimizer_params, dict(enumerate(self._params)))
        if not self._params:
            warn(
                "Trainer: there are no parameters to move. net.collect_params() gathers those of all layers, net.params only "
                "a block's own."
            )
        self._rescale = self._optimizer.rescale_grad
        self._updater = Updater(self._optimizer)
        self._seen = -1  # at this count of changes the following was so
        self._copies: dict[int, list[Any]] = {}  # of every parameter that learns, by its number
        self._leaves: list[Any] = []
        self._single: dict[int, Any] = {}  # those that live on one context
        self._hearers: tuple = ()
        self.steps = 0  # made so far

    @property
    def optimizer(self) -> Any:
        """The optimizer."""
        return self._optimizer

    @property
    def learning_rate(self) -> float:
        """The learning rate now; `set_learning_rate` changes it."""
        return self._optimizer.learning_rate

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate for the steps to come."""
        self._optimizer.set_learning_rate(lr)

    def allreduce_grads(self) -> None:
        """Give every context the sum of its parameter's fresh gradients over all contexts."""
        for copies in [p.list_data() for p in self._params if p.grad_req != "null"]:
            total = _total(copies)
            for x in copies if total is not None and len(copies) > 1 else ():
                leaf: Any = x._node
                leaf.grad[...] = total
                leaf.written()

    def step(self, batch_size: float | ndarray, ignore_stale_grad: bool = False) -> None:
        """Move every parameter by its gradient, summed over contexts, times rescale_grad / batch_size.

        Args:
            batch_size: how many examples the loss was summed over; also an array without axes, such as lengths.sum().
            ignore_stale_grad: pass by the parameters that got no gradient.

        Raises:
            StaleGradient: a parameter got no gradient since its last step, and ignore_stale_grad is False.
        """
        n = _number(batch_size)
        self._move(self._live(ignore_stale_grad), n, ignore_stale_grad, _total)

    def update(self, batch_size: float | ndarray, ignore_stale_grad: bool = False) -> None:
        """Do what `step` does, after a call of `allreduce_grads`."""
        n = _number(batch_size)
        self._move(self._live(ignore_stale_grad), n, ignore_stale_grad, lambda copies: _total(copies[:1]))

    def _live(self, ignore_stale_grad: bool) -> dict[int, list[Any]]:
        """Return the copies of every parameter that learns, by its number. All are looked at before any is moved."""
        if self._seen != changes[0]:
            self._look()
        live = self._copies
        if not ignore_stale_grad and not all(map(_is_fresh, self._leaves)):
            stale = [(i, x) for i, copies in live.items() for x in copies if not x._node.fresh]
            if stale:
                told = [(self._params[i].name, x.ctx) for i, x in stale]
                raise StaleGradient(_told(told, sum(map(len, live.values()))))
        return live

    def _look(self) -> None:
        """Find the copies of every parameter that learns and their leaves, after something has changed."""
        live = {i: p._copies for i, p in enumerate(self._params) if p._grad_req != "null"}
        if not all(live.values()):
            self._refuse_waiting(live)
        self._copies = live
        self._leaves = [x._node for copies in live.values() for x in copies]
        self._single = {i: copies[0] for i, copies in live.items() if len(copies) == 1}
        self._hearers = hearers(self, [self._params[i] for i in live])
        self._seen = changes[0]

    def _refuse_waiting(self, live: dict[int, list[Any]]) -> None:
        """Raise for the first parameter that has no array yet, and say whether forward passed it by."""
        try:
            for i in live:
                self._params[i].list_data()
        except DeferredInitializationError as problem:
            if not any(_fresh(x) for copies in live.values() for x in copies):
                raise
            raise DeferredInitializationError(
                f"{problem} backward() gave gradients to others, so forward never reached the block of this one: call it "
                "there, or leave it out of the net."
            ) from None

    def _move(self, live: dict[int, list[Any]], batch_size: float, some_stale: bool, gradient: Callable) -> None:
        self._optimizer.rescale_grad = self._rescale / batch_size
        single = self._single
        if some_stale and not all(map(_is_fresh, self._leaves)):
            single = {i: x for i, x in single.items() if _fresh(x)}
        self._updater.move_all(single)
        if len(single) == len(self._leaves):
            for leaf in self._leaves:
                leaf.fresh = False
        for i, copies in live.items() if len(single) < len(self._leaves) else ():
            if i in single:
                copies[0]._node.fresh = False
                continue
            data, grad = copies[0], gradient(copies)
            if grad is not None:
                self._updater.move(i, grad, data)
            for x in filter(_fresh, copies):  # one that never came stays so: `Leaf.come`
                x._node.fresh = False
            for x in copies[1:]:
                x[...] = data
        self.steps += 1
        if self._hearers:
            tell_step(self._hearers)

    def __getstate__(self) -> dict:
        """Return the attributes for a copy or pickle, which nobody listens to."""
        return {**self.__dict__, "_hearers": (), "_seen": -1}

    def save_states(self, fname: str | os.PathLike) -> None:
        """Save what the optimizer remembers of each parameter, and whose it is, as a file of named arrays."""
        io.save(fname, {states.WHOSE: states.whose(self._params, self._optimizer), **self._updater.arrays()})

    def load_states(self, fname: str | os.PathLike) -> None:
        """Take back what `save_states` wrote, for the parameters of this net or of one of the same structure.

        Raises:
            ArgumentError: the file has the states of other parameters, or of another optimizer; nothing has changed then.
        """
        self._updater.take(states.taken(io.load(fname), self._params, self._optimizer, fname))


_is_fresh = attrgetter("fresh")


def _fresh(x: ndarray) -> bool:
    leaf: Any = x._node
    return leaf.fresh


def _told(stale: list, count: int) -> str:
    """Return what to say of stale gradients, (parameter, context) each, among `count` in all."""
    (name, ctx), *others = stale
    text = (
        f"Gradient of Parameter `{name}` on context {ctx} has not been updated by backward since last `step`. This could "
        "mean a bug in your model that made it only use a subset of the Parameters (Blocks) for this iteration. If you are "
        "intentionally only using a subset, call step with ignore_stale_grad=True to suppress this warning and skip updating "
        "of Parameters with stale gradient"
    )
    if len(stale) == count:
        return text + ". No gradient is fresh: call loss.backward() before step()."
    return text + (f". Stale too: {listed(dict.fromkeys(name for name, _ in others))}." if others else "")


def _total(copies: list[ndarray]) -> Any:
    """Return the sum of the fresh gradients of a parameter's copies, None if none is fresh."""
    leaves: list[Any] = [x._node for x in copies]
    fresh = [leaf.grad for leaf in leaves if leaf.fresh]
    return sum(fresh[1:], fresh[0]) if fresh else None


def _number(batch_size: Any) -> Any:
    """Return the batch size as a number of Python's, if it is one."""
    if type(batch_size) is int and batch_size > 0:  # most often
        return batch_size
    n: Any = batch_size.item() if isinstance(batch_size, ndarray) and not batch_size.ndim else batch_size
    if isinstance(n, bool) or not isinstance(n, numbers.Real):
        raise ArrayTypeError(f"Trainer.step: batch_size must be a number, got {batch_size!r} ({kind_of(batch_size)}).")
    if not 0 < n < float("inf"):  # type: ignore[operator]  # numbers are compared, whatever class they are of
        raise ArgumentError(f"Trainer.step: batch_size must be a positive number, got {batch_size!r}.")
    return n


def _optimizer(given: Any, arguments: dict | None, params: dict) -> Any:
    if not isinstance(arguments, dict | None):
        raise ArrayTypeError(f"optimizer_params is a dict such as {{'learning_rate': 0.1}}, got {kind_of(arguments)}.")
    made = create(given, **(arguments or {}))
    made.param_dict = params
    return made
