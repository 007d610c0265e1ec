"""The parameter file of Gluon: a list of arrays and, for a dict, their names. All integers little-endian.

    u64 0x112 | u64 0 | u64 N | N records | u64 M (0 or N) | M names, each u64 length and UTF-8

A record of version 3: u32 magic, i32 storage, i32 ndim, ndim x i64 sizes, i32 device, i32 device id, i32 dtype code,
then the numbers, row by row. Older versions differ in the width of the sizes and have no storage field.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from typing import BinaryIO

import numpy as onp

from d2lblocks.errors import FormatError
from d2lblocks.formats.atomic import replacing, write_all

MAGIC = struct.pack("<Q", 0x112)
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_CODES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "|u1", 4: "<i4", 5: "|i1", 6: "<i8", 7: "|b1"}
_BFLOAT16 = 12
_CODE_OF = {onp.dtype(text): code for code, text in _CODES.items()}
_TRAILER = b"D2LBLK\x01\n"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (.npz or a PyTorch file)",
    b"PK\x05\x06": "an empty zip archive",
    b"\x80\x02": "a Python pickle, which is never opened: it can run code",
    b"\x80\x03": "a Python pickle, which is never opened: it can run code",
    b"\x80\x04": "a Python pickle, which is never opened: it can run code",
    b"\x80\x05": "a Python pickle, which is never opened: it can run code",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUM": "a .npy file",
    b"version ": "a git-lfs pointer; fetch the real file with `git lfs pull`",
    b"<": "an HTML page; the download failed",
}


class _Reader:
    """Reads from a file whose size is known: nothing is allocated before it is sure to be there."""

    def __init__(self, f: BinaryIO, name: str):
        self.f, self.name = f, name
        self.size = os.fstat(f.fileno()).st_size
        self.at = 0
        self.crc = 0

    def fail(self, what: str) -> FormatError:
        return FormatError(
            f"{self.name}: {what} (at byte {self.at} of {self.size}). The file is damaged or no parameter file."
        )

    def need(self, n: int, what: str) -> None:
        if n > self.size - self.at:
            raise self.fail(f"truncated: {what} needs {n} bytes, {self.size - self.at} are left")

    def take(self, n: int, what: str) -> bytes:
        self.need(n, what)
        data = self.f.read(n)
        if len(data) != n:
            raise self.fail(f"truncated: {what} needs {n} bytes, {len(data)} came")
        self.at += n
        self.crc = zlib.crc32(data, self.crc)
        return data

    def number(self, form: str, what: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form), what))[0]

    def into(self, raw: onp.ndarray, what: str) -> None:
        if not raw.nbytes:
            return
        view = raw.reshape(-1).data.cast("B")
        if self.f.readinto(view) != raw.nbytes:  # type: ignore[attr-defined]
            raise self.fail(f"truncated: {what} needs {raw.nbytes} bytes")
        self.at += raw.nbytes
        self.crc = zlib.crc32(view, self.crc)


def read(file: str | os.PathLike) -> list[onp.ndarray] | dict[str, onp.ndarray]:
    """Return the arrays of a parameter file: a list, or a dict in file order.

    Raises FormatError with the file's name for anything damaged or foreign, OSError for what the system refuses.
    """
    name = os.fspath(file)
    if not stat.S_ISREG(mode := os.stat(name).st_mode) and not stat.S_ISDIR(mode):
        raise FormatError(f"{name}: this is a device or a pipe, not a file.")
    with open(name, "rb") as f:
        reader = _Reader(f, name)
        _check_magic(reader)
        reserved = reader.number("Q", "the reserved word")
        count = reader.number("Q", "the number of arrays")
        if count * 20 > reader.size:
            raise reader.fail(f"{count} arrays cannot fit in {reader.size} bytes")
        arrays = [_read_record(reader, i) for i in range(count)]
        names = _read_names(reader, count)
        _check_end(reader, reserved)
    return dict(zip(names, arrays, strict=True)) if names else arrays


def _check_magic(reader: _Reader) -> None:
    if not reader.size:
        raise reader.fail("the file is empty")
    start = reader.f.read(16)
    reader.f.seek(0)
    if start[:8] != MAGIC:
        kind = _foreign_kind(start, reader.size)
        raise reader.fail(f"this is {kind}" if kind else f"the first bytes are {start[:8].hex()}, not {MAGIC.hex()}")
    reader.take(8, "the magic number")


def _foreign_kind(start: bytes, size: int) -> str | None:
    """Return what a file seems to be by its first 16 bytes; suffixes lie."""
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size:
        return "a .safetensors file"
    return next(
        (kind for mark, kind in _FOREIGN.items() if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(mark)), None
    )


def _read_record(reader: _Reader, i: int) -> onp.ndarray:
    what = f"array {i}"
    first = reader.number("I", f"the start of {what}")
    if first in (_V2, _V3):
        storage = reader.number("i", f"the storage type of {what}")
        if storage != 0:
            raise reader.fail(f"{what} is stored sparse (type {storage}); only dense arrays can be read")
    if first in (_V1, _V2, _V3):
        ndim, size = reader.number("i", f"the number of axes of {what}"), "q"
    else:
        ndim, size = first, "I"
    if not (0 if first == _V3 else 1) <= ndim <= 64:
        raise reader.fail(f"{what} has {ndim} axes")
    reader.need(struct.calcsize("<" + size) * ndim, f"the shape of {what}")
    shape = tuple(reader.number(size, f"the shape of {what}") for _ in range(ndim))
    if any(n < 0 for n in shape):
        raise reader.fail(f"{what} has the impossible shape {shape}")
    device = reader.number("i", f"the device of {what}")
    if device not in (1, 2, 3, 5):
        raise reader.fail(f"{what} has the unknown device type {device}")
    reader.take(4, f"the device id of {what}")
    return _read_numbers(reader, what, shape, reader.number("i", f"the dtype of {what}"))


def _read_numbers(reader: _Reader, what: str, shape: tuple, code: int) -> onp.ndarray:
    if code not in _CODES and code != _BFLOAT16:
        raise reader.fail(f"{what} has the unknown dtype code {code}")
    kind = onp.dtype(_CODES.get(code, "<u2"))
    count = 1
    for n in shape:
        count *= n
    beside_zeros = 1
    for n in shape:
        beside_zeros *= max(n, 1)
    if beside_zeros * kind.itemsize >= 2**63:
        raise reader.fail(f"{what} has the impossible shape {shape}")
    reader.need(count * kind.itemsize, f"{what} of shape {shape}")
    raw = onp.empty(shape, kind)
    reader.into(raw, what)
    if kind.kind == "b" and raw.size and raw.view(onp.uint8).max() > 1:
        raise reader.fail(f"{what} holds truth values other than 0 and 1")
    if code == _BFLOAT16:  # the two bytes are the high half of a float32: widening is exact
        raw = (raw.astype("<u4") << onp.uint32(16)).view("<f4").reshape(shape)
    return raw.astype(raw.dtype.newbyteorder("="), copy=False)


def _read_names(reader: _Reader, count: int) -> list[str]:
    many = reader.number("Q", "the number of names")
    if many not in (0, count):
        raise reader.fail(f"{count} arrays, but {many} names")
    names: dict[str, None] = {}
    for i in range(many):
        length = reader.number("Q", f"the length of name {i}")
        try:
            name = reader.take(length, f"name {i}").decode()
        except UnicodeDecodeError:
            raise reader.fail(f"name {i} is not UTF-8") from None
        if "\0" in name or name in names:
            raise reader.fail(f"name {i}, {name!r}, " + ("is there twice" if name in names else "holds a NUL"))
        names[name] = None
    return list(names)


def _check_end(reader: _Reader, reserved: int) -> None:
    """Accept the end of the file, or a trailer with the right checksum; refuse anything else."""
    rest = reader.size - reader.at
    if not rest:
        return
    body, crc = reader.at, reader.crc
    if rest != 24:
        raise reader.fail(f"{rest} bytes too many")
    trailer = reader.f.read(24)
    length, found, own = struct.unpack("<QII", trailer[8:])
    if trailer[:8] != _TRAILER or length != body or own != zlib.crc32(trailer[:20]):
        raise reader.fail("24 bytes too many, and they are no checksum")
    if found != zlib.crc32(trailer[:16], crc) or reserved:
        raise reader.fail("the checksum does not fit: some byte was changed")


def write(file: str | os.PathLike, arrays: list[onp.ndarray] | dict[str, onp.ndarray]) -> None:
    """Write arrays as a parameter file, version 3, byte for byte as the original; atomic and durable."""
    names = [name.encode() for name in arrays] if isinstance(arrays, dict) else []
    listed = list(arrays.values()) if isinstance(arrays, dict) else arrays
    codes = [_code(raw) for raw in listed]  # whatever cannot be written is found before a file is touched
    with replacing(file) as f:
        write_all(f, MAGIC + struct.pack("<QQ", 0, len(listed)))
        for raw, code in zip(listed, codes, strict=True):
            head = struct.pack("<Iii", _V3, 0, raw.ndim) + struct.pack(f"<{raw.ndim}q", *raw.shape)
            write_all(f, head + struct.pack("<iii", 1, 0, code))
            write_all(f, onp.ascontiguousarray(raw, raw.dtype.newbyteorder("<")).reshape(-1))
        write_all(f, struct.pack("<Q", len(names)))
        for name in names:
            write_all(f, struct.pack("<Q", len(name)) + name)


def _code(raw: onp.ndarray) -> int:
    """Return the number that stands for an array's dtype."""
    try:
        return _CODE_OF[raw.dtype.newbyteorder("<")]
    except KeyError:
        known = ", ".join(str(kind) for kind in _CODE_OF)
        raise FormatError(f"A parameter file cannot hold {raw.dtype} arrays, only {known}. Use astype first.") from None
