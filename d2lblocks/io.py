"""Named arrays in files: `save` and `load`, in the format the first bytes tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.formats import npz, params, safetensors
from d2lblocks.formats.source import Source, opened
from d2lblocks.np.ndarray import ndarray, wrap

_FOREIGN = {
    b"\x80\x02": "a Python pickle, which is never opened: it can run code",
    b"\x80\x03": "a Python pickle, which is never opened: it can run code",
    b"\x80\x04": "a Python pickle, which is never opened: it can run code",
    b"\x80\x05": "a Python pickle, which is never opened: it can run code",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"version ": "a git-lfs pointer; fetch the real file with `git lfs pull`",
    b"<": "an HTML page; the download failed",
}


def save(file: str | os.PathLike, arr: Any, checksum: bool = True) -> None:
    """Write one array, a list of arrays, or a dict of named arrays. The old file stays until the new one is whole.

    The suffix tells the form: .safetensors and .npz are those of other programs, any other name is Gluon's own. There,
    `checksum` adds 24 bytes which the original does not look at, and by which `load` finds any damage.

    Raises:
        TypeError: something else than arrays; ValueError: a name that no file can hold; OSError: the system refuses.
    """
    _check_name(file)
    if isinstance(arr, ndarray):
        arr = [arr]
    if isinstance(arr, dict):
        for name in arr:
            _check_key(name)
        raw: Any = {name: _raw(value, f"value of {name!r}") for name, value in arr.items()}
    elif isinstance(arr, list):
        raw = [_raw(value, f"entry {i}") for i, value in enumerate(arr)]
    else:
        raise ArrayTypeError(f"Only accepts dict str->ndarray or list of ndarrays, got {_described(arr)}.")
    suffix = os.path.splitext(os.fspath(file))[1].lower()
    if suffix == ".npz":
        npz.write(file, raw)
    elif suffix != ".safetensors":
        params.write(file, raw, checksum)
    elif isinstance(raw, dict) and "__metadata__" not in raw:
        safetensors.write(file, raw, checksum)
    else:
        why = "the name '__metadata__' has a meaning of its own" if isinstance(raw, dict) else "give a dict"
        raise ArgumentError(f"{os.fspath(file)}: a .safetensors file holds arrays by their names; {why}.")


def load(file: str | os.PathLike) -> list[ndarray] | dict[str, ndarray]:
    """Return what `save` wrote: a list (also of one array), or a dict in file order. The first bytes tell the form.

    Raises:
        FormatError: a file that is damaged or of another kind; OSError: the system refuses.
    """
    _check_name(file)
    with opened(file) as source:
        found = _reader(source)(source)
    if isinstance(found, dict):
        return {name: wrap(raw) for name, raw in found.items()}
    return [wrap(raw) for raw in found]


def _reader(source: Source) -> Callable:
    """Return the function that reads a file which starts like this; suffixes lie."""
    start = source.start
    if start.startswith(params.MAGIC):
        return params.read
    if start.startswith(npz.ZIP):
        return npz.read
    if start.startswith(npz.NPY):
        return npz.read_npy
    if safetensors.starts(start, source.size):
        return safetensors.read
    words = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    kind = next((kind for mark, kind in _FOREIGN.items() if words.startswith(mark)), None)
    unknown = f"the first bytes are {start[:8].hex()}, not {params.MAGIC.hex()}"
    raise source.fail(f"this is {kind}" if kind else unknown)


def _check_name(file: Any) -> None:
    if not isinstance(file, str | os.PathLike):
        raise ArrayTypeError(f"A file name is text or a path, got {type(file).__name__}.")
    name = os.fspath(file)
    if not isinstance(name, str):
        raise ArrayTypeError(f"A file name is text, got {type(name).__name__}: {name!r}. Use os.fsdecode.")
    if "\0" in name:
        raise ArgumentError(f"The name {name!r} holds a NUL character, which no file can have.")


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
