"""The updater: an optimizer together with what it remembers of every weight."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as onp

from d2lblocks.errors import ArrayTypeError, FormatError
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.optimizer.base import Optimizer, joined, parts_of
from d2lblocks.optimizer.together import Together


class Updater:
    """updater(index, grad, weight) moves the weight by one step; `states` holds the optimizer's memory by index."""

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise ArrayTypeError(f"Updater takes an Optimizer such as optimizer.SGD(), got {type(optimizer).__name__}.")
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.own = type(optimizer).update is not Optimizer.update  # a rule on arrays, not on raw ones
        self.together: Together | None = None

    def __getstate__(self) -> dict:
        """Return the attributes for a copy or pickle, whose weights are other arrays."""
        return {**self.__dict__, "together": None}

    def __call__(self, index: Any, grad: ndarray, weight: ndarray) -> None:
        """Move `weight`, number `index`, by one step."""
        if index not in self.states:
            self.states[index] = self.optimizer.create_state(index, weight)
        self.optimizer.update(index, weight, grad, self.states[index])

    def move(self, index: Any, grad: onp.ndarray, weight: ndarray) -> None:
        """Do the same with a raw gradient."""
        if self.own or index not in self.states:
            self(index, wrap(grad), weight)
        else:
            self.optimizer.update_raw(index, weight, grad, self.states[index])

    def move_all(self, weights: dict[Any, Any]) -> None:
        """Move every weight by its own gradient."""
        if not self.together or not self.together.still(weights, self.states):
            for i, x in weights.items():
                if i not in self.states:
                    self.states[i] = self.optimizer.create_state(i, x)
                elif not self.own and not self.optimizer.multi_precision:
                    self.states[i] = _cast(self.states[i], x._data.dtype)
            self.together = Together(self.optimizer, weights, self.states)
        if not self.together.move(weights):
            for i, x in weights.items():
                self.move(i, x._node.grad, x)

    def arrays(self) -> dict[str, ndarray]:
        """Return all that is remembered, by name: 3.0 and 3.1 the parts of state 3, 3.t how often weight 3 was moved."""
        named = {}
        for index, state in self.states.items():
            for k, part in enumerate(parts_of(state)):
                named[f"{index}.{k}"] = part if isinstance(part, ndarray) else wrap(part)
            named[f"{index}.t"] = wrap(self.optimizer._index_update_count.get(index, 0))
        return named

    def take(self, named: dict[str, ndarray]) -> None:
        """Remember what `arrays` told."""
        raw = type(self.optimizer).create_state is Optimizer.create_state  # the rules here remember raw arrays
        found: dict[str, dict[str, ndarray]] = {}
        for key, x in named.items():
            name, _, part = key.rpartition(".")
            found.setdefault(name, {})[part] = x
        states, counts = {}, {}
        for name, told in found.items():
            index = int(name) if name.isdigit() else name
            counts[index] = int(told.pop("t"))
            parts = [x._data if raw else x for _, x in sorted(told.items(), key=lambda entry: int(entry[0]))]
            states[index] = joined(parts)
        last, optimizer = max(counts.values(), default=self.optimizer.begin_num_update), self.optimizer
        # one statement without calls: Ctrl-C comes before it or after
        self.states, optimizer._index_update_count, optimizer.num_update = states, counts, last

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """Return `arrays` as bytes (an npz archive); the optimizer's settings are code and stay there."""
        buffer = io.BytesIO()
        raw: dict[str, Any] = {name: x._data for name, x in self.arrays().items()}
        onp.savez(buffer, **raw)
        return buffer.getvalue()

    def set_states(self, states: bytes) -> None:
        """Remember what `get_states` gave."""
        try:
            with onp.load(io.BytesIO(states), allow_pickle=False) as archive:
                self.take({name: wrap(archive[name]) for name in archive.files})
        except (OSError, ValueError, AttributeError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as problem:
            raise FormatError(f"set_states takes the bytes that get_states gave: {problem}.") from None


def _cast(state: Any, dtype: Any) -> Any:
    """Return a state in the dtype of its weight, which may have been cast; itself where that has been so."""
    parts = parts_of(state)
    if all(type(part) is not onp.ndarray or part.dtype == dtype for part in parts):
        return state
    return joined([part.astype(dtype) if type(part) is onp.ndarray else part for part in parts])


def get_updater(optimizer: Optimizer) -> Updater:
    """Return an updater of the optimizer, with an empty memory."""
    return Updater(optimizer)
