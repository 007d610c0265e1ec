"""The framework's own switches: numpy semantics (always on), threads, waiting."""

from __future__ import annotations

from typing import Any

from threadpoolctl import threadpool_limits


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
