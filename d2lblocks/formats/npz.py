"""NumPy's own files: .npy, one array; .npz, a zip archive of them. Nothing pickled is ever read."""

from __future__ import annotations

import ast
import errno
import io
import os
import struct
import zipfile
import zlib
from typing import Any

import numpy as onp

from d2lblocks.errors import FormatError
from d2lblocks.formats.atomic import replacing
from d2lblocks.formats.checksum import CACHED
from d2lblocks.formats.source import DTYPES, Source, check_dtypes

NPY, ZIP = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
_HEADER = 10_000  # no header of an array is longer
_RATIO = 1100  # deflate makes nothing smaller than 1 / 1032
_KINDS = {text: onp.dtype(text) for kind in DTYPES for text in (kind.str, kind.newbyteorder(">").str)}
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, KeyError, OverflowError,
           struct.error)  # fmt: skip


class _Archive(zipfile.ZipFile):
    """A zip archive that `with` alone closes. What comes while a `__del__` in Python runs is lost, and that may be Ctrl-C."""

    __del__ = object  # type: ignore[assignment]  # a call that does nothing, in C

    def __exit__(self, kind: Any, *error: object) -> None:
        if (
            kind is None
        ):  # else the file is given up: to end what is half written would raise another error in place of this
            self.close()


def read_npy(source: Source) -> list[onp.ndarray]:
    """Return the array of a .npy file, in a list."""
    raw = _read_array(source, source.f, source.size, "the array")
    if source.f.tell() != source.size:
        raise source.fail(f"{source.size - source.f.tell()} bytes too many")
    return [raw]


def read(source: Source) -> dict[str, onp.ndarray]:
    """Return the arrays of a .npz file by name, in file order. The archive's own checksums are verified."""
    try:
        with _Archive(source.f) as archive:
            members = archive.infolist()
            _check_archive(source, archive, members)
            return {info.filename[:-4]: _read_member(source, archive, info) for info in members}
    except FormatError:
        raise
    except (*_BROKEN, OSError) as problem:
        if (
            isinstance(problem, OSError) and problem.errno != errno.EINVAL
        ):  # a place before the start or beyond all bounds
            raise
        raise source.fail(f"the zip archive cannot be read: {problem or type(problem).__name__}") from None


def _check_archive(source: Source, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """Refuse what zip readers overlook: hidden entries, comments, gaps, sizes that lie."""
    names = [info.filename for info in members]
    if any(name.endswith("data.pkl") for name in names):
        raise source.fail(
            "this is a PyTorch file, a Python pickle in a zip archive, which is never opened: it can run code. In PyTorch, "
            "write safetensors.torch.save_file(model.state_dict(), 'net.safetensors'), and load that"
        )
    source.f.seek(-22, os.SEEK_END)
    mark, _, _, count, total, *_ = struct.unpack("<4s4H2LH", source.f.read(22))
    if mark != b"PK\x05\x06" or archive.comment or any(info.comment for info in members):
        raise source.fail("the archive has a comment, which no array file has")
    if count != total or count not in (len(members), 0xFFFF):
        raise source.fail(f"the archive tells of {total} entries, but {len(members)} are there")
    if len(set(names)) != len(names):
        raise source.fail("a name is there twice")
    if min((info.header_offset for info in members), default=source.size - 22) != 0:
        raise source.fail("the zip archive does not start at the start of the file")
    for info in members:
        if not info.filename.endswith(".npy"):
            raise source.fail(f"{info.filename!r} is no array")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise source.fail(f"{info.filename!r} is compressed by an unknown method")
        most = info.compress_size if info.compress_type == zipfile.ZIP_STORED else _RATIO * info.compress_size
        if info.file_size > most or info.compress_size > source.size - info.header_offset:
            raise source.fail(f"truncated: {info.filename!r} needs {info.file_size} bytes")


def _read_member(source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> onp.ndarray:
    with archive.open(info) as f:
        raw = _read_array(source, f, info.file_size, repr(info.filename))
        if f.read(1):  # at the end the archive compares its checksum
            raise source.fail(f"{info.filename!r} has bytes too many")
    return raw


def _read_array(source: Source, f: Any, size: int, what: str) -> onp.ndarray:
    """Return one array, from a stream of `size` bytes in NumPy's form."""
    try:
        shape, fortran, descr = _header(f)
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as problem:
        raise source.fail(f"{what} has a damaged header: {problem}") from None
    if descr not in _KINDS:
        cure = "; Python objects are never opened: they can run code" if descr == "|O" else ""
        raise source.fail(f"{what} has the dtype {descr!r}, expected one of {', '.join(DTYPES.values())}{cure}")
    dtype = _KINDS[descr]
    nbytes, left = source.nbytes(shape, dtype, what), size - f.tell()
    if nbytes > left:
        raise source.fail(f"truncated: {what} of shape {shape} needs {nbytes} bytes, {left} are left")
    raw = onp.empty(shape[::-1] if fortran else shape, dtype)
    view = raw.reshape(-1).view(onp.uint8).data if raw.size else memoryview(b"")
    for start in range(0, len(view), CACHED):
        piece = view[start : start + CACHED]
        if f.readinto(piece) != len(piece):
            raise source.fail(f"truncated: {what} needs {raw.nbytes} bytes")
    return onp.ascontiguousarray(source.check(raw, what).T) if fortran else source.check(raw, what)


def _header(f: Any) -> tuple[tuple, bool, str]:
    """Return shape, whether columns come first, and dtype: a dict in Python's notation, behind its length."""
    start = f.read(8)
    if start[:6] != NPY or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise ValueError(f"it starts with {start.hex()}")
    length = int.from_bytes(f.read(2 if start[6] == 1 else 4), "little")
    text = f.read(min(length, _HEADER))
    if len(text) != length:
        raise ValueError(f"{length} bytes are told, {len(text)} are there")
    told = ast.literal_eval(text.decode("latin1").strip())
    shape, fortran, descr = told["shape"], told["fortran_order"], told["descr"]
    if len(told) != 3 or type(fortran) is not bool or type(descr) is not str:
        raise ValueError(f"{told} cannot be an array")
    if type(shape) is not tuple or any(type(n) is not int for n in shape):
        raise ValueError(f"the shape is {shape}")
    return shape, fortran, descr


def write(file: str | os.PathLike, arrays: list[onp.ndarray] | dict[str, onp.ndarray]) -> None:
    """Write arrays as a .npz file, not compressed; a list under the names arr_0, arr_1, ..."""
    named = arrays if isinstance(arrays, dict) else {f"arr_{i}": raw for i, raw in enumerate(arrays)}
    check_dtypes(file, named)
    for name in named:
        if len(name.encode()) > 60_000:
            raise FormatError(f"{os.fspath(file)}: a name of {len(name)} characters is too long for a zip archive.")
    with replacing(file) as f, _Archive(f, "w") as archive:
        for name, raw in named.items():
            entry = zipfile.ZipInfo(date_time=(1980, 1, 1, 0, 0, 0))  # the same arrays, the same bytes
            entry.filename = name + ".npy"  # as it stands: ZipInfo itself would cut or turn some characters
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as out:
                _write_array(out, raw)


def _write_array(out: Any, raw: onp.ndarray) -> None:
    data = onp.ascontiguousarray(raw, raw.dtype.newbyteorder("<")).reshape(raw.shape)
    head = io.BytesIO()
    onp.lib.format.write_array_header_1_0(head, onp.lib.format.header_data_from_array_1_0(data))
    out.write(head.getvalue())
    view = data.reshape(-1).view(onp.uint8).data if data.size else memoryview(b"")
    for start in range(0, len(view), CACHED):
        out.write(view[start : start + CACHED])
