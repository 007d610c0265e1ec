"""The files that PyTorch, JAX and others exchange: u64 length | a table in JSON | the numbers of all arrays.

The table tells dtype, shape and place of each array by its name. In it may stand texts, `__metadata__`; there is our checksum.
"""

from __future__ import annotations

import importlib
import json
import os
import zlib
from typing import Any

import numpy as onp

from d2lblocks.errors import FormatError
from d2lblocks.formats.atomic import regular, replacing, reserve, write_all, write_rows
from d2lblocks.formats.checksum import Checksum
from d2lblocks.formats.source import Source, check_dtypes, widened

# in the order in which arrays are written: wide numbers first, so that each stands at a multiple of its width
_KINDS = {"I64": "<i8", "F64": "<f8", "F32": "<f4", "I32": "<i4", "BF16": "<u2", "F16": "<f2", "I8": "|i1", "U8": "|u1",
          "BOOL": "|b1"}  # fmt: skip
_KIND_OF = {onp.dtype(text): kind for kind, text in _KINDS.items()}
_LONGEST = 100_000_000  # bytes of the table; the package has the same bound
_CRC = "d2lblocks.crc32"


def starts(start: bytes, size: int) -> bool:
    """Tell a file by its first 16 bytes."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size


def read(source: Source) -> dict[str, onp.ndarray]:
    """Return the arrays of a .safetensors file by name; bfloat16 becomes float32."""
    length = int.from_bytes(source.take(8, "the length of the table"), "little")
    if length > _LONGEST:
        raise source.fail(f"a table of {length} bytes is too long")
    table = _parse(source, source.take(length, "the table"))
    told = table.pop("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise source.fail("the metadata are no texts")
    places = sorted((_extent(source, name, entry), name) for name, entry in table.items())
    _check_tiling(source, places)
    ours = any("d2lblocks" in word for word in (*told, *told.values()))  # so that damage to the name hides no damage
    arrays = {}
    checked = ours and told.get(_CRC) != "none"
    with Checksum(source.size, checked, source.f) as source.crc:
        for _, name in places:
            raw = source.empty(tuple(table[name]["shape"]), onp.dtype(_KINDS[table[name]["dtype"]]), repr(name))
            source.into(raw, repr(name))
            arrays[name] = raw
        if checked and told.get(_CRC) != _checksum(source.crc.value(), table):
            raise source.fail("the checksum does not fit: some byte was changed")
    return {name: _checked(source, name, arrays[name], entry["dtype"]) for name, entry in table.items()}


def _checked(source: Source, name: str, raw: onp.ndarray, kind: str) -> onp.ndarray:
    return source.check(widened(raw) if kind == "BF16" else raw, repr(name))


def _parse(source: Source, text: bytes) -> dict[str, Any]:
    """Return the table; a name may stand in it once."""

    def once(pairs: list[tuple[str, Any]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is there twice")
        return found

    try:
        table = json.loads(text.decode(), object_pairs_hook=once)
        "".join(table).encode()  # JSON can write half of a letter, which no other file could hold
        return table
    except (ValueError, RecursionError) as problem:
        raise source.fail(f"the table is damaged: {problem}") from None


def _extent(source: Source, name: str, entry: Any) -> tuple[int, int]:
    """Return from where to where the numbers of an array go, after a look at all that is said of it."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise source.fail(f"{name!r} must tell dtype, shape and data_offsets")
    kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise source.fail(f"{name!r} has the dtype {kind!r}, expected one of {', '.join(_KINDS)}")
    if "\0" in name or not all(_is_sizes(thing) for thing in (shape, place)) or len(place) != 2:
        raise source.fail(f"{name!r} has the impossible shape {shape} or place {place}")
    nbytes = source.nbytes(tuple(shape), onp.dtype(_KINDS[kind]), repr(name))
    if place[1] - place[0] != nbytes:
        raise source.fail(f"{name!r} of shape {shape} needs {nbytes} bytes, got {place}")
    return place[0], place[1]


def _is_sizes(thing: Any) -> bool:
    return isinstance(thing, list) and all(type(n) is int and n >= 0 for n in thing)


def _check_tiling(source: Source, places: list[tuple[tuple[int, int], str]]) -> None:
    """Every byte of the numbers belongs to one array: no hole, no overlap, no rest."""
    end, size = 0, source.size - source.at
    for (start, stop), name in places:
        if start != end:
            raise source.fail(f"{name!r} starts at byte {start} of the numbers, expected {end}")
        end = stop
    if end != size:
        raise source.fail(f"truncated or too long: the arrays need {end} bytes, {size} are there")


def _checksum(of_data: int, table: dict[str, Any]) -> str:
    """Return the checksum of the numbers, given, and behind them of all names, dtypes and shapes."""
    told = "".join(
        f"{name}\0{entry['dtype']}\0{','.join(map(str, entry['shape']))}\0" for name, entry in sorted(table.items())
    )
    return f"{zlib.crc32(told.encode(), of_data):08x}"


def write(file: str | os.PathLike, arrays: dict[str, onp.ndarray], checksum: bool = True) -> None:
    """Write arrays as a .safetensors file, such as PyTorch's safetensors.torch.load_file reads."""
    check_dtypes(file, arrays)
    table, size = _table(arrays)
    head = _head(table, "0" * 8 if checksum else None)
    if len(head) > _LONGEST:
        raise FormatError(f"{os.fspath(file)}: the names of {len(arrays)} arrays are too long for a .safetensors file.")
    with replacing(file) as f, Checksum(size if regular(f) else 0, checksum, f) as crc:
        reserve(f, len(head) + size)
        later = checksum and regular(f)
        if checksum and not later:  # what has gone into a pipe cannot be mended: sum up before
            with open(os.devnull, "wb") as nowhere:
                for name in table:
                    write_rows(nowhere, arrays[name], crc)
            head = _head(table, _checksum(crc.value(), table))
        write_all(f, head)
        for name in table:
            write_rows(f, arrays[name], crc)
        if later:
            f.seek(0)
            write_all(f, _head(table, _checksum(crc.value(), table)))


def _table(arrays: dict[str, onp.ndarray]) -> tuple[dict[str, Any], int]:
    """Return the entry of each array, in the order in which they are written, and the bytes of all."""
    kinds = {name: _KIND_OF[raw.dtype.newbyteorder("<")] for name, raw in arrays.items()}
    table, at = {}, 0
    for name in sorted(arrays, key=lambda name: (list(_KINDS).index(kinds[name]), name)):
        start, at = at, at + arrays[name].nbytes
        table[name] = {"dtype": kinds[name], "shape": list(arrays[name].shape), "data_offsets": [start, at]}
    return table, at


def _head(table: dict[str, Any], checksum: str | None) -> bytes:
    """Return what stands before the numbers: filled up with blanks, so that they begin at a multiple of 8."""
    version = importlib.import_module("d2lblocks").__version__  # the roof, not whole while it imports this
    told = {"format": "pt", "producer": f"d2lblocks {version}", _CRC: checksum or "none"}
    text = json.dumps({"__metadata__": told, **table}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
