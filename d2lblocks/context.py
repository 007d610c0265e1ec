"""Devices by name. Only the CPU computes; a context says where an array pretends to live."""

from __future__ import annotations

import numbers
import threading
from typing import Any

from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError

KINDS = ("cpu", "gpu", "cpu_pinned", "cpu_shared")


class Context:
    """A device such as `cpu(0)`; `with cpu(1):` makes it the default inside the block."""

    default_ctx: Context
    _stack = threading.local()

    def __init__(self, device_type: str | Context, device_id: int = 0):
        if isinstance(device_type, Context):
            device_type, device_id = device_type.device_type, device_type.device_id
        if device_type not in KINDS:
            raise ArgumentError(f"Unknown device {device_type!r}; expected one of {', '.join(KINDS)}.")
        if isinstance(device_id, bool) or not isinstance(device_id, numbers.Integral):
            raise ArrayTypeError(f"The number of a device is a whole number, got {device_type}({device_id!r}).")
        self.device_type = device_type
        self.device_id = int(device_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    def __enter__(self) -> Context:
        if not hasattr(self._stack, "contexts"):
            self._stack.contexts = []
        self._stack.contexts.append(require_cpu(self))
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.contexts.pop()


def cpu(device_id: int = 0) -> Context:
    """Return the CPU; other ids than 0 are pretend devices with their own name."""
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """Return the CPU under the name that GPU programs use for pinned memory."""
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    """Return the name of a GPU; using it raises, since there is none."""
    return Context("gpu", device_id)


def num_gpus() -> int:
    """Return 0: everything here runs on the CPU."""
    return 0


def current_context() -> Context:
    """Return the context of the innermost `with`, `cpu(0)` outside any."""
    contexts = getattr(Context._stack, "contexts", None)
    return contexts[-1] if contexts else Context.default_ctx


def require_cpu(ctx: Context | None) -> Context:
    """Return `ctx` (None: the current one) if arrays can live there; else MXNetError with the cure."""
    if ctx is None:
        return current_context()
    if not isinstance(ctx, Context):
        raise TypeError(f"ctx must be a Context such as npx.cpu(), got {type(ctx).__name__}.")
    if ctx.device_type == "gpu":
        raise MXNetError(f"{ctx} cannot be used: d2lblocks has no GPU support (GPU is not enabled). Use npx.cpu().")
    return ctx


def kept(ctx: Context | None) -> Context | None:
    """Return `ctx` (None: the current one) as arrays keep it: None for the default one, which costs nothing to compare."""
    ctx = require_cpu(ctx)
    return None if ctx == Context.default_ctx else ctx


Context.default_ctx = Context("cpu", 0)
