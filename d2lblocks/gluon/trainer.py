"""The trainer: gradients in, updates out."""

from __future__ import annotations

import numbers
import os
from typing import Any

from d2lblocks import io, optimizer
from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, kind_of
from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.np.ndarray import wrap


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
        self._params = sorted(params, key=lambda p: p.name)
        self._optimizer = _optimizer(optimizer, optimizer_params, dict(enumerate(self._params)))
        self._states: dict[int, Any] = {}

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
        """Do nothing: there is one device, whose gradients are the sum."""

    def step(self, batch_size: int, ignore_stale_grad: bool = False) -> None:
        """Move every parameter by its gradient / batch_size.

        Raises:
            StaleGradient: a parameter got no gradient since its last step, and ignore_stale_grad is False.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Real):
            raise ArrayTypeError(
                f"Trainer.step: batch_size must be a number, got {batch_size!r} ({kind_of(batch_size)})."
            )
        if not 0 < batch_size < float("inf"):
            raise ArgumentError(f"Trainer.step: batch_size must be a positive number, got {batch_size!r}.")
        live = [(i, p) for i, p in enumerate(self._params) if p.grad_req != "null"]
        nodes = [p.data()._node for _, p in live]
        if not ignore_stale_grad:  # all are looked at before any is moved
            for (_, p), node in zip(live, nodes, strict=True):
                if not node.fresh:
                    raise StaleGradient(
                        f"Gradient of Parameter `{p.name}` on context {p.data().ctx} has not been updated by backward "
                        "since last `step`. This could mean a bug in your model that made it only use a subset of the "
                        "Parameters (Blocks) for this iteration. If you are intentionally only using a subset, call step "
                        "with ignore_stale_grad=True to suppress this warning and skip updating of Parameters with stale "
                        "gradient"
                    )
        self._optimizer.rescale_grad = 1.0 / batch_size
        for (i, p), node in zip(live, nodes, strict=True):
            if node.fresh:
                data = p.data()
                if i not in self._states:
                    self._states[i] = self._optimizer.create_state(i, data)
                self._optimizer.update(i, data, wrap(node.grad), self._states[i])
                node.fresh = False

    update = step

    def save_states(self, fname: str | os.PathLike) -> None:
        """Save what the optimizer remembers, as a file of named arrays."""
        arrays = {}
        for i, state in self._states.items():
            parts = state if isinstance(state, tuple) else () if state is None else (state,)
            arrays.update({f"{i}.{k}": wrap(part) for k, part in enumerate(parts)})
            arrays[f"{i}.t"] = wrap(self._optimizer._counts.get(i, 0))
        io.save(fname, arrays)

    def load_states(self, fname: str | os.PathLike) -> None:
        """Take back what `save_states` wrote."""
        loaded = io.load(fname)
        arrays = loaded if isinstance(loaded, dict) else {}
        for name in sorted(arrays):
            i, part = name.split(".")
            if part == "t":
                self._optimizer._counts[int(i)] = int(arrays[name])
        for i, p in enumerate(self._params):
            parts = tuple(arrays[f"{i}.{k}"]._data for k in range(9) if f"{i}.{k}" in arrays)
            if any(part.shape != p.shape for part in parts):
                raise ArgumentError(f"File '{fname}': the state of {p.name} has not the parameter's shape {p.shape}.")
            if f"{i}.t" in arrays:
                self._states[i] = parts if len(parts) > 1 else parts[0] if parts else None
        self._optimizer.num_update = max(self._optimizer._counts.values(), default=0)


def _optimizer(given: Any, arguments: dict | None, params: dict) -> Any:
    if not isinstance(arguments, dict | None):
        raise ArrayTypeError(f"optimizer_params is a dict such as {{'learning_rate': 0.1}}, got {kind_of(arguments)}.")
    made = optimizer.create(given, **(arguments or {}))
    made.param_dict = params
    return made
