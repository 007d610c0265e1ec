"""Named arrays in files: `save` and `load`, in the format the first bytes tell."""

from __future__ import annotations

import os
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.formats import params
from d2lblocks.np.ndarray import ndarray, wrap


def save(file: str | os.PathLike, arr: Any) -> None:
    """Write one array, a list of arrays, or a dict of named arrays. The old file stays until the new one is whole.

    Raises:
        TypeError: something else than arrays; ValueError: a name that no file can hold; OSError: the system refuses.
    """
    _check_name(file)
    if isinstance(arr, ndarray):
        arr = [arr]
    if isinstance(arr, dict):
        for name in arr:
            _check_key(name)
        params.write(file, {name: _raw(value, f"value of {name!r}") for name, value in arr.items()})
    elif isinstance(arr, list):
        params.write(file, [_raw(value, f"entry {i}") for i, value in enumerate(arr)])
    else:
        raise ArrayTypeError(f"Only accepts dict str->ndarray or list of ndarrays, got {_described(arr)}.")


def load(file: str | os.PathLike) -> list[ndarray] | dict[str, ndarray]:
    """Return what `save` wrote: a list (also of one array), or a dict in file order."""
    _check_name(file)
    found = params.read(file)
    if isinstance(found, dict):
        return {name: wrap(raw) for name, raw in found.items()}
    return [wrap(raw) for raw in found]


def _check_name(file: Any) -> None:
    if not isinstance(file, str | os.PathLike):
        raise ArrayTypeError(f"A file name is text or a path, got {type(file).__name__}.")


def _check_key(name: Any) -> None:
    if not isinstance(name, str):
        raise ArrayTypeError(f"Names of arrays are text, got {name!r} ({type(name).__name__}).")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"The name {name!r} is no valid Unicode text and cannot be saved.") from None
    if "\0" in name:
        raise ArgumentError(f"The name {name!r} holds a NUL character and cannot be saved.")


def _raw(value: Any, where: str) -> onp.ndarray:
    if not isinstance(value, ndarray):
        raise ArrayTypeError(f"Only accepts dict str->ndarray or list of ndarrays; {where} is {_described(value)}.")
    return value._data


def _described(value: Any) -> str:
    if isinstance(value, onp.ndarray):
        return "a numpy.ndarray; wrap it with np.array(...)"
    if hasattr(value, "save_parameters"):
        return f"the block {type(value).__name__}; use its save_parameters(file)"
    return f"a {type(value).__name__}"
