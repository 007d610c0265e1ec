"""Files that are either the old one or the new one, never half of each: write beside, sync, rename, sync the folder."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as onp

from d2lblocks.formats.checksum import CACHED, PIECE, UNCHECKED, Checksum

OLD = 86_400  # seconds: nobody writes into a file for a day
_writing: set[str] = set()  # names of the temporary files of this process; a folder may have several


@contextlib.contextmanager
def replacing(file: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file beside `file`; it takes its place when the block ends well, and vanishes otherwise.

    Raises OSError naming `file`: no such folder, no permission, a read-only file, a full disk.
    """
    named = os.fspath(file)
    try:
        mode = _check_target(named)
        if mode is not None and not stat.S_ISREG(mode):  # a pipe or a device is written into, never replaced
            with open(named, "wb") as f:
                yield f
            return
        folder, base = os.path.split(os.path.realpath(named))
        with _beside(folder, base, mode) as f:
            yield f
        _sync_folder(folder)
    except OSError as problem:
        raise naming(named, problem) from None
    _remove_orphans(folder, base)


@contextlib.contextmanager
def _beside(folder: str, base: str, mode: int | None) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes the file of that name when the block ends well."""
    name = f".{_stem(base)}.{_world()}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    temporary = os.path.join(folder, name)
    _writing.add(name)
    try:
        with _create(temporary) as f:
            if mode is not None:
                with contextlib.suppress(PermissionError):  # disks that know no modes
                    os.chmod(temporary, stat.S_IMODE(mode))
            yield f
            sync(f)
        os.replace(temporary, os.path.join(folder, base))
    except BaseException:  # Ctrl-C too: nothing is left lying about
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    finally:
        _writing.discard(name)


def _create(temporary: str) -> BinaryIO:
    try:
        return open(temporary, "xb")
    except PermissionError as problem:
        where = os.path.dirname(temporary)
        why = f"{problem.strerror}: the folder {where!r} takes no new files, and one is written beside the old"
        raise PermissionError(problem.errno, why) from None


def naming(file: str, problem: OSError) -> OSError:
    """Return the error with the name of the file as it was given, not that of one beside it or none."""
    if problem.filename == file or problem.errno is None:
        return problem
    return type(problem)(problem.errno, problem.strerror, file)


def _check_target(named: str) -> int | None:
    """Return the mode of the file that is there, None if there is none; refuse what cannot be replaced."""
    if named.endswith((os.sep, os.altsep or os.sep)):
        raise IsADirectoryError(errno.EISDIR, "Is a directory; give the name of a file", named)
    try:
        mode = os.stat(named).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory; give the name of a file", named)
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(named, os.W_OK):
        raise PermissionError(errno.EACCES, "The file is read-only", named)
    return mode


def _stem(base: str) -> str:
    """Return a name for temporary files of a file that leaves room for what is added: systems stop at 255 bytes."""
    encoded = os.fsencode(base)
    return base if len(encoded) <= 200 else hashlib.sha256(encoded).hexdigest()[:32]


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where folders can be opened and synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, and folders in which one may write but not look
        return
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


@functools.cache
def _world() -> str:
    """Return a word for where a process number means one process: on Linux a container of a machine since it started."""
    told = platform.node()
    with contextlib.suppress(OSError):  # these are Linux's
        with open("/proc/sys/kernel/random/boot_id") as f:
            told += f.read() + os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _remove_orphans(folder: str, base: str) -> None:
    """Remove temporary files of this target whose process was killed while it wrote, or which a second Ctrl-C left."""
    pattern = re.compile(re.escape(f".{_stem(base)}.") + r"(\w+)\.(\d+)\.\w+\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            match = pattern.fullmatch(entry)
            if match and _is_orphan(os.path.join(folder, entry), match[1], int(match[2])):
                with contextlib.suppress(OSError):
                    os.remove(os.path.join(folder, entry))


def _is_orphan(temporary: str, world: str, pid: int) -> bool:
    if world != _world():  # of its process nothing can be known here
        return time.time() - os.stat(temporary).st_mtime > OLD
    return os.path.basename(temporary) not in _writing if pid == os.getpid() else not _alive(pid)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # there os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def regular(f: BinaryIO) -> bool:
    """Whether this is a file on a disk, where one may write here and there; a pipe or a device takes one byte after another."""
    return stat.S_ISREG(os.fstat(f.fileno()).st_mode)


def reserve(f: BinaryIO, size: int) -> None:
    """Take the room on the disk now, where the system can: a full disk is found before anything is written."""
    if size and hasattr(os, "posix_fallocate") and regular(f):
        try:
            os.posix_fallocate(f.fileno(), 0, size)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def sync(f: BinaryIO) -> None:
    """Wait until the disk has all that was written."""
    f.flush()
    if regular(f):
        os.fsync(f.fileno())


def write_all(f: BinaryIO, data: Any, crc: Checksum = UNCHECKED) -> None:
    """Write every byte, and add it to the checksum; a short write is an error of the disk, not a success."""
    whole = memoryview(data)
    view = whole.cast("B") if whole.nbytes else memoryview(b"")
    if crc.wanted and crc.shares(len(view)):  # the system lets threads write by turns: they gain by their sums
        f.flush()
        at = f.tell()
        crc.later(_write_at, view, at)
        f.seek(at + len(view))
        return
    step = CACHED if crc.wanted else PIECE
    for start in range(0, len(view), step):
        piece = view[start : start + step]
        crc.add(piece)
        while piece:
            piece = piece[f.write(piece) :]


def write_rows(f: BinaryIO, raw: onp.ndarray, crc: Checksum = UNCHECKED) -> None:
    """Write the numbers of an array row by row, low bytes first; no more than one array at a time is copied for that."""
    rows = onp.ascontiguousarray(raw, raw.dtype.newbyteorder("<"))
    write_all(f, rows, crc)
    if crc.shares(rows.nbytes) and not onp.may_share_memory(rows, raw):
        crc.value()


def _write_at(handle: int, part: memoryview, at: int) -> None:
    """Write every byte, from a place on."""
    while part:
        written = os.pwrite(handle, part, at)
        part, at = part[written:], at + written
