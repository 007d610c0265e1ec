"""The framework's own switches: numpy semantics (always on), threads, waiting."""

from __future__ import annotations

from typing import Any

import numpy as onp
from threadpoolctl import threadpool_limits

from d2lblocks.errors import ArgumentError, MXNetError
from d2lblocks.op import discrete


def set_np(shape: bool = True, array: bool = True, dtype: bool = False) -> None:
    """Do nothing: in the original this switched NumPy semantics on; here they are always on."""


def reset_np() -> None:
    """Do nothing: NumPy semantics are always on."""


def is_np_array() -> bool:
    """Return True: arrays follow NumPy."""
    return True


def is_np_shape() -> bool:
    """Return True: 0-d and empty shapes are ordinary, and an unknown size is -1."""
    return True


def waitall() -> None:
    """Return at once: every operation has finished when its call returns."""


def set_num_threads(n: int) -> Any:
    """Let matrix products use n threads; gives back a handle whose `restore_original_limits()` undoes it."""
    return threadpool_limits(n)


def cast(data: Any, dtype: Any) -> Any:
    """Return the numbers in another dtype."""
    return data.astype(dtype)


@discrete
def all_hold(x, *, msg):
    """True if all entries of x hold; else an error with the message."""
    if not x.all():
        raise ArgumentError(msg)
    return onp.asarray(True)


all_hold.title = "constraint_check"


def constraint_check(x: Any, msg: str = "Constraint violated!") -> Any:
    """Return True as an array if all entries of x hold; else raise ArgumentError with the message."""
    return all_hold(x, msg=msg)


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """Raise: there is no GPU whose free and total memory could be told."""
    raise MXNetError(f"gpu({device_id}): d2lblocks has no GPU support, so there is no GPU memory.")
