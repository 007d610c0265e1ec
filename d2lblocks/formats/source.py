"""A file that is read with distrust: nothing is allocated before it is sure to be there, and every error names the file."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as onp

from d2lblocks.errors import FormatError
from d2lblocks.formats.atomic import naming
from d2lblocks.formats.checksum import CACHED, PIECE, UNCHECKED

DTYPES = {onp.dtype(name): name for name in "float32 float64 float16 uint8 int32 int8 int64 bool".split()}


class Source:
    """An open file, its name, size and first bytes, how far it has been read, and a checksum of that if one is wanted."""

    def __init__(self, f: BinaryIO, name: str):
        self.f, self.name = f, name
        self.crc = UNCHECKED
        self.size = os.fstat(f.fileno()).st_size
        self.at = 0
        self.start = f.read(16)
        f.seek(0)

    def fail(self, what: str) -> FormatError:
        """Return the error to raise."""
        return FormatError(
            f"{self.name}: {what} (at byte {self.at} of {self.size}). The file is damaged or no parameter file."
        )

    def need(self, n: int, what: str) -> None:
        """Make sure that n bytes are left."""
        if n > self.size - self.at:
            raise self.fail(f"truncated: {what} needs {n} bytes, {self.size - self.at} are left")

    def take(self, n: int, what: str) -> bytes:
        """Return the next n bytes."""
        self.need(n, what)
        data = self.f.read(n)
        if len(data) != n:
            raise self.fail(f"truncated: {what} needs {n} bytes, {len(data)} came")
        self._passed(data)
        return data

    def into(self, raw: onp.ndarray, what: str) -> None:
        """Fill a contiguous array with the next bytes; they are sure to be there when the checksum has its value."""
        self.need(raw.nbytes, what)
        view = raw.reshape(-1).view(onp.uint8).data if raw.size else memoryview(b"")
        if self.crc.shares(len(view)):
            self.crc.later(self._read_at, view, self.at)
            self.at += len(view)
            self.f.seek(self.at)
            return
        step = CACHED if self.crc.wanted else PIECE
        for start in range(0, len(view), step):
            part = view[start : start + step]
            if self.f.readinto(part) != len(part):  # type: ignore[attr-defined]
                raise self.fail(f"truncated: {what} needs {raw.nbytes} bytes")
            self._passed(part)

    def _read_at(self, handle: int, part: memoryview, at: int) -> None:
        while part:
            came = os.preadv(handle, [part], at)
            if not came:
                raise self.fail(f"truncated: there is nothing at byte {at} any more")
            part, at = part[came:], at + came

    def _passed(self, data: Any) -> None:
        self.at += len(data)
        self.crc.add(data)

    def ending(self, n: int) -> bytes:
        """Return the last n bytes, without going on to them."""
        self.f.seek(max(0, self.size - n))
        data = self.f.read(n)
        self.f.seek(self.at)
        return data

    def nbytes(self, shape: tuple[int, ...], dtype: onp.dtype, what: str) -> int:
        """Return the bytes that an array needs; a shape that NumPy cannot make is refused."""
        count, beside_zeros = 1, 1
        for n in shape:
            count, beside_zeros = count * n, beside_zeros * max(n, 1)
        width = 4 if dtype.str == "<u2" else dtype.itemsize  # that stands for bfloat16, which becomes float32
        if len(shape) > 64 or any(n < 0 for n in shape) or beside_zeros * width >= 2**63:
            raise self.fail(f"{what} has the impossible shape {shape}")
        return count * dtype.itemsize

    def empty(self, shape: tuple[int, ...], dtype: onp.dtype, what: str) -> onp.ndarray:
        """Return an array to be filled from what is left of the file."""
        self.need(self.nbytes(shape, dtype, what), f"{what} of shape {shape}")
        return onp.empty(shape, dtype)

    def check(self, raw: onp.ndarray, what: str) -> onp.ndarray:
        """Return an array that was read, in this machine's byte order; truth values are 0 or 1."""
        if raw.dtype.kind == "b" and raw.size and raw.view(onp.uint8).max() > 1:
            raise self.fail(f"{what} holds truth values other than 0 and 1")
        return raw.astype(raw.dtype.newbyteorder("="), copy=False)


def widened(raw: onp.ndarray) -> onp.ndarray:
    """Return bfloat16 numbers, given as uint16, as float32: the two bytes are its high half, so nothing is lost."""
    return (raw.astype("<u4") << onp.uint32(16)).view("<f4").reshape(raw.shape)


def check_dtypes(file: str | os.PathLike, arrays: Mapping[Any, onp.ndarray]) -> None:
    """Refuse what no file of ours can hold; the arrays by their names or numbers."""
    for name, raw in arrays.items():
        if raw.dtype.newbyteorder("=") not in DTYPES:
            known = ", ".join(DTYPES.values())
            raise FormatError(
                f"{os.fspath(file)}: array {name!r} is {raw.dtype}, and a file can hold only {known}. Use astype first."
            )


@contextlib.contextmanager
def opened(file: str | os.PathLike) -> Iterator[Source]:
    """Open a file to read. Raises OSError for what the system refuses, FormatError for a device, pipe or empty file."""
    name = os.fspath(file)
    if not stat.S_ISREG(mode := os.stat(name).st_mode) and not stat.S_ISDIR(mode):
        raise FormatError(f"{name}: this is a device or a pipe, not a file.")
    try:
        with open(name, "rb") as f:
            source = Source(f, name)
            if not source.size:
                raise source.fail("the file is empty")
            yield source
    except OSError as problem:
        raise naming(name, problem) from None
