r"""The parameter file of Gluon: a list of arrays and, for a dict, their names. All integers little-endian.

    u64 0x112 | u64 0 | u64 N | N records | u64 M (0 or N) | M names, each u64 length and UTF-8

A record of version 3: u32 magic, i32 storage, i32 ndim, ndim x i64 sizes, i32 device, i32 device id, i32 dtype code,
then the numbers, row by row. Older versions differ in the width of the sizes and have no storage field.

Behind the names may stand a checksum, which the original does not look at:
    "D2LBLK\x01\n" | u64 length before it | u32 CRC-32 of all before this | u32 CRC-32 of the 20 bytes before this
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as onp

from d2lblocks.formats.atomic import regular, replacing, reserve, write_all, write_rows
from d2lblocks.formats.checksum import Checksum
from d2lblocks.formats.source import Source, check_dtypes, widened

MAGIC = struct.pack("<Q", 0x112)
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_CODES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "|u1", 4: "<i4", 5: "|i1", 6: "<i8", 7: "|b1"}
_BFLOAT16 = 12
_CODE_OF = {onp.dtype(text): code for code, text in _CODES.items()}
_TRAILER = b"D2LBLK\x01\n"


def read(source: Source) -> list[onp.ndarray] | dict[str, onp.ndarray]:
    """Return the arrays of a parameter file: a list, or a dict in file order. Raises FormatError for anything damaged."""
    trailer = source.ending(24)
    with Checksum(source.size, trailer.startswith(_TRAILER), source.f) as source.crc:
        source.take(8, "the magic number")
        reserved = _number(source, "Q", "the reserved word")
        count = _number(source, "Q", "the number of arrays")
        if count * 20 > source.size:
            raise source.fail(f"{count} arrays cannot fit in {source.size} bytes")
        raws, codes = zip(*(_read_record(source, i) for i in range(count)), strict=True) if count else ((), ())
        names = _read_names(source, count)
        _check_end(source, reserved, trailer)
    arrays = [
        source.check(widened(raw) if code == _BFLOAT16 else raw, f"array {i}")
        for i, (raw, code) in enumerate(zip(raws, codes, strict=True))
    ]
    return dict(zip(names, arrays, strict=True)) if names else arrays


def _number(source: Source, form: str, what: str) -> int:
    return struct.unpack("<" + form, source.take(struct.calcsize("<" + form), what))[0]


def _read_record(source: Source, i: int) -> tuple[onp.ndarray, int]:
    """Return an array, which may still be on its way, and the code of its dtype."""
    what = f"array {i}"
    first = _number(source, "I", f"the start of {what}")
    if first in (_V2, _V3):
        storage = _number(source, "i", f"the storage type of {what}")
        if storage != 0:
            raise source.fail(f"{what} is stored sparse (type {storage}); only dense arrays can be read")
    if first in (_V1, _V2, _V3):
        ndim, size = _number(source, "i", f"the number of axes of {what}"), "q"
    else:
        ndim, size = first, "I"
    if not (0 if first == _V3 else 1) <= ndim <= 64:
        raise source.fail(f"{what} has {ndim} axes")
    source.need(struct.calcsize("<" + size) * ndim, f"the shape of {what}")
    shape = tuple(_number(source, size, f"the shape of {what}") for _ in range(ndim))
    device = _number(source, "i", f"the device of {what}")
    if device not in (1, 2, 3, 5):
        raise source.fail(f"{what} has the unknown device type {device}")
    source.take(4, f"the device id of {what}")
    return _read_numbers(source, what, shape, _number(source, "i", f"the dtype of {what}"))


def _read_numbers(source: Source, what: str, shape: tuple, code: int) -> tuple[onp.ndarray, int]:
    if code not in _CODES and code != _BFLOAT16:
        raise source.fail(f"{what} has the unknown dtype code {code}")
    raw = source.empty(shape, onp.dtype(_CODES.get(code, "<u2")), what)
    source.into(raw, what)
    return raw, code


def _read_names(source: Source, count: int) -> list[str]:
    many = _number(source, "Q", "the number of names")
    if many not in (0, count):
        raise source.fail(f"{count} arrays, but {many} names")
    names: dict[str, None] = {}
    for i in range(many):
        length = _number(source, "Q", f"the length of name {i}")
        try:
            name = source.take(length, f"name {i}").decode()
        except UnicodeDecodeError:
            raise source.fail(f"name {i} is not UTF-8") from None
        if "\0" in name or name in names:
            raise source.fail(f"name {i}, {name!r}, " + ("is there twice" if name in names else "holds a NUL"))
        names[name] = None
    return list(names)


def _check_end(source: Source, reserved: int, trailer: bytes) -> None:
    """Accept the end of the file, or a trailer with the right checksum; refuse anything else."""
    rest = source.size - source.at
    if not rest:
        return
    if rest != 24 or not trailer.startswith(_TRAILER):
        raise source.fail(f"{rest} bytes too many")
    length, found, own = struct.unpack("<QII", trailer[8:])
    if length != source.at or own != zlib.crc32(trailer[:20]):
        raise source.fail("24 bytes too many, and they are no checksum")
    if found != zlib.crc32(trailer[:16], source.crc.value()) or reserved:
        raise source.fail("the checksum does not fit: some byte was changed")


def write(file: str | os.PathLike, arrays: list[onp.ndarray] | dict[str, onp.ndarray], checksum: bool = True) -> None:
    """Write arrays as a parameter file, version 3, byte for byte as the original, and behind it 24 bytes of checksum."""
    listed = list(arrays.values()) if isinstance(arrays, dict) else arrays
    check_dtypes(file, arrays if isinstance(arrays, dict) else dict(enumerate(arrays)))  # before a file is touched
    heads = [_head(raw) for raw in listed]
    names = [name.encode() for name in arrays] if isinstance(arrays, dict) else []
    tail = struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(name)) + name for name in names)
    size = 24 + sum(map(len, heads)) + sum(raw.nbytes for raw in listed) + len(tail)
    with replacing(file) as f, Checksum(size if regular(f) else 0, checksum, f) as crc:
        reserve(f, size + 24 * checksum)
        write_all(f, MAGIC + struct.pack("<QQ", 0, len(listed)), crc)
        for raw, head in zip(listed, heads, strict=True):
            write_all(f, head, crc)
            write_rows(f, raw, crc)
        write_all(f, tail, crc)
        if checksum:
            start = _TRAILER + struct.pack("<Q", size)
            start += struct.pack("<I", zlib.crc32(start, crc.value()))
            write_all(f, start + struct.pack("<I", zlib.crc32(start)))


def _head(raw: onp.ndarray) -> bytes:
    """Return what stands before the numbers of an array."""
    shape = struct.pack(f"<{raw.ndim}q", *raw.shape)
    return (
        struct.pack("<Iii", _V3, 0, raw.ndim) + shape + struct.pack("<iii", 1, 0, _CODE_OF[raw.dtype.newbyteorder("<")])
    )
