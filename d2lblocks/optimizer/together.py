"""All weights of a trainer moved by one kernel call, when they are plain enough."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as onp

from d2lblocks.kernels.update import addresses, alike, sgd
from d2lblocks.late import BIG
from d2lblocks.np.ndarray import ndarray
from d2lblocks.optimizer.base import Optimizer
from d2lblocks.tape import changes, mark


class Together:
    """Weights, gradients and states as a table of addresses: made once, and anew when one of them is another array."""

    def __init__(self, optimizer: Optimizer, weights: dict[Any, Any], states: dict):
        self.optimizer = optimizer
        self.params: list[Any] = [optimizer.param_dict.get(i) for i in weights]
        self.rows = [
            (w, w._data, w._node, states.get(i)) for i, w in weights.items()
        ]  # keeps what has an address alive
        self.cells = [w._watch() for w in weights.values()]
        self.kernel: Any = None
        self.factors: list = []
        self.set: tuple = ()  # the numbers in the table
        self.weights: dict[Any, Any] = {}  # the dictionaries that were found to be the same, and when
        self.states, self.seen = states, -1
        self.t = -1  # the count of the last step
        widened = any(optimizer._widens(raw) for _, raw, *_ in self.rows)
        if widened or _own_ways(optimizer) or None in self.params:
            return
        recipes = [optimizer.recipe(state, 0.0, 0.0, 1) for *_, state in self.rows]
        arrays = [(raw, leaf.grad, *recipe[1]) for (_, raw, leaf, _), recipe in zip(self.rows, recipes, strict=True)]
        once = len({id(raw) for _, raw, *_ in self.rows}) == len(arrays)
        if once and len({recipe[0] for recipe in recipes}) == 1 and all(map(alike, arrays)):
            self.kernel, _, numbers = recipes[0]
            self.table = onp.array([addresses(row) for row in arrays], onp.int64)
            self.numbers = onp.empty((len(arrays), len(numbers)))
            self.work = int(self.table[:, 0].sum())
            self.large = [r for r, (_, raw, *_) in enumerate(self.rows) if raw.size >= BIG]

    def still(self, weights: dict[Any, Any], states: dict) -> bool:
        """Return whether the table is of these weights, gradients and states."""
        if weights is self.weights and states is self.states and self.seen == changes[0]:
            return True
        if len(weights) != len(self.rows):
            return False
        for (i, w), (same, raw, leaf, state) in zip(weights.items(), self.rows, strict=True):
            if w is not same or w._data is not raw or w._node is not leaf or states.get(i) is not state:
                return False
        self.weights, self.states, self.seen = weights, states, changes[0]
        return True

    def move(self, weights: dict[Any, ndarray]) -> bool:
        """Move all by one step; return False, with nothing done, if each must be moved by itself."""
        optimizer = self.optimizer
        counts = optimizer._index_update_count
        if self.kernel is None:
            return False
        if optimizer.num_update != self.t:  # else all weights have the same count, that of the last step here
            before = {counts.get(i, optimizer.begin_num_update) for i in weights}
            if len(before) != 1:
                return False
            self.t = before.pop()
        self.t = t = self.t + 1
        counts.update(dict.fromkeys(weights, t))
        optimizer.num_update = max(optimizer.num_update, t)
        factors = list(map(_factors, self.params))
        if factors != self.factors:
            self.set = ()
            self.lr_mult, self.wd_mult = onp.array(factors, onp.float64).T
            self.same = len(set(factors)) == 1  # then numbers are set only when they change
            self.factors = (
                factors  # last, as below: this may be stopped at any line, by Ctrl-C or a setting that is no number
            )
        lr_mult, wd_mult = factors[0] if self.same else (self.lr_mult, self.wd_mult)
        _, _, numbers = optimizer.recipe(self.rows[0][3], optimizer.learning_rate * lr_mult, optimizer.wd * wd_mult, t)
        if not self.same or numbers != self.set:
            self.set = ()
            for k, column in enumerate(numbers):
                self.numbers[:, k] = column
            self.set = numbers
        for r in self.large:
            self.table[r, 0] = 0 if self._late(r) else self.rows[r][1].size
        self.kernel.run(self.table, self.numbers, self.work)
        mark(self.cells)
        return True

    def _late(self, r: int) -> bool:
        """Move a weight by a gradient that is not multiplied out, if plain SGD does; else see to it that it is."""
        _, raw, leaf, _ = self.rows[r]
        if leaf.late is None:
            return False
        if self.kernel is sgd:
            lr, rescale, clip, wd = self.numbers[r].tolist()
            if clip == wd == 0:
                leaf.late.move(raw, lr, rescale)
                return True
        leaf.write_out()
        return False


_factors = attrgetter("lr_mult", "wd_mult")


def _own_ways(optimizer: Optimizer) -> bool:
    """Return whether this optimizer does in its own way what `Together` does for all weights at once."""
    kind = type(optimizer)
    names = ("move", "update", "update_raw", "create_state", "_get_lr", "_get_wd", "_factor", "_update_count")
    return kind.recipe is Optimizer.recipe or any(getattr(kind, n) is not getattr(Optimizer, n) for n in names)
