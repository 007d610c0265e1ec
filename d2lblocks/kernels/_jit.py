"""How a loop becomes a kernel: compiled by Numba when it is first called, and its NumPy equal where there is no Numba."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

# Fusing a product and a sum (FMA) is allowed, reordering and forgetting NaN never are: results do not depend on the CPU
# beyond FMA, and NaN passes through.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}

KERNELS: list[Kernel] = []


class Kernel:
    """A loop and its equal. Call it by `run`: that is the compiled function itself from the second call on."""

    def __init__(self, loop: Callable, equal: Callable, exact: bool):
        self.loop = loop  # the plain Python loop, which teaches and which Numba compiles
        self.equal = equal  # the same in a few NumPy calls: the test of the loop, and its stand-in
        self.exact = exact  # equal to the last bit: then even FMA is off
        self.run: Callable = self._first
        self.__name__, self.__doc__ = loop.__name__, loop.__doc__
        KERNELS.append(self)

    def ready(self) -> bool:
        """Return whether machine code runs, or will in the next call."""
        return enabled()

    def _first(self, *args: Any) -> Any:
        self.run = self._compiled() if enabled() else self.equal
        return self.run(*args)

    def _compiled(self) -> Callable:
        from numba import njit  # here and not above: the import takes longer than that of all else together

        options = OPTIONS if self.exact else {**OPTIONS, "fastmath": {"contract"}}
        try:
            return njit(cache=True, **options)(self.loop)
        except RuntimeError:  # no folder to keep the machine code in: it is compiled in every process
            return njit(**options)(self.loop)


def kernel(equal: Callable | None = None, exact: bool = False) -> Callable[[Callable], Kernel]:
    """Make a kernel of a loop that writes into its last arrays; `equal` takes the same arguments. None: the loop itself."""
    return lambda loop: Kernel(loop, equal or loop, exact)


def enabled() -> bool:
    """Return whether kernels are compiled: Numba is there, and NUMBA_DISABLE_JIT is not set."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0") and importlib.util.find_spec("numba") is not None


def cache_folder() -> str | None:
    """Return the folder in which Numba keeps the machine code of kernels, None if it keeps none."""
    if not enabled():
        return None
    from numba.core.caching import FunctionCache

    try:
        return FunctionCache(KERNELS[0].loop).cache_path
    except RuntimeError:
        return None
