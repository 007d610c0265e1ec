"""Where machine code is kept: one file for all kernels, named after everything it depends on."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib
import importlib.util
import os
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import numpy as onp
from llvmlite import binding as llvm

from d2lblocks.formats.atomic import replacing

MAGIC = b"d2lblocks kernels 1\n"
FAILURE = b"{}\n"  # begins what is kept if machine code could not be made: then comes the reason
HERE = Path(__file__).parent
KEPT = 8  # files of other versions and processors that stay in the folder
if os.name == "nt":
    import msvcrt
else:
    import fcntl


def folders() -> list[Path]:
    """Return the places for the file, the first that has it or can be written is taken."""
    told = os.environ.get("D2LBLOCKS_CACHE_DIR")
    if told:
        return [Path(os.path.expanduser(told))]  # no shell has seen what a Dockerfile sets
    places = [HERE / "__pycache__"]
    with contextlib.suppress(RuntimeError):  # there are users without a home
        if os.name == "nt":
            user = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        elif sys.platform == "darwin":
            user = Path.home() / "Library/Caches"
        else:
            user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        places.append(user / "d2lblocks")
    return [*places, Path(tempfile.gettempdir()) / f"d2lblocks-{os.getuid() if os.name != 'nt' else 'kernels'}"]


@functools.cache
def key() -> str:
    """Return a fingerprint of all that machine code depends on."""
    processor = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None and not os.environ.get("NUMBA_CPU_NAME"):
        features = llvm.get_host_cpu_features().flatten()
    numba = importlib.util.find_spec("numba")
    told = Path(numba.origin).with_name("_version.py") if numba and numba.origin else HERE
    parts = [sys.version, str(object.__basicsize__), llvm.get_process_triple(), processor, features or "",
             llvmlite.__version__, onp.__version__]  # fmt: skip
    files = [*sorted(HERE.glob("*.py")), *([told] if told.is_file() else [])]
    found = hashlib.sha256("\0".join(parts).encode())
    for file in files:
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:24]


def name() -> str:
    """Return the name of the file."""
    return f"kernels-{sys.implementation.cache_tag}-{key()}.bin"


def read(file: Path) -> bytes | None:
    """Return what `write` was given; None if there is no such file, if it is damaged, or if a stranger can have written it."""
    try:
        with open(file, "rb") as f:
            state, content = os.fstat(f.fileno()), f.read()
    except OSError:
        return None
    if os.name != "nt" and (
        state.st_uid not in (0, os.geteuid(), os.stat(HERE).st_uid) or state.st_mode & stat.S_IWOTH
    ):
        return None
    head, body = content[: len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    return body if head == MAGIC + hashlib.sha256(body).digest() else None


def write(file: Path, body: bytes) -> None:
    """Put a file in its place, whole or not at all; the oldest of many others go."""
    with replacing(file) as f:
        f.write(MAGIC + hashlib.sha256(body).digest() + body)
        if os.name != "nt":
            os.chmod(f.fileno(), 0o644)  # whatever the umask: what others can write is not read
    with contextlib.suppress(OSError):
        others = sorted(file.parent.glob("kernels-*.bin"), key=lambda other: other.stat().st_mtime)
        for other in others[:-KEPT]:
            other.unlink()


def writable() -> Path | None:
    """Return the first of the folders in which files can be made, and make it."""
    for folder in folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder) as f:
                f.write(bytes(2**17))
                f.flush()
                return folder
    return None


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Let one process at a time go on. The system itself ends the turn of a process that dies."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a lock that is somebody else's: then work may be done twice
            f = stack.enter_context(open(folder / f"{name()}.lock", "ab"))
            while not locked(f.fileno()):
                time.sleep(0.05)
        yield


def locked(file: int) -> bool:
    """Try to lock a file; True also where the file system knows no locks: then work may be done twice."""
    try:
        if os.name == "nt":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        return problem.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def place() -> Path | None:
    """Return the file with the machine code, or where it would be made; None if nothing can be written."""
    for folder in folders():
        if read(folder / name()):
            return folder / name()
    folder = writable()
    return folder and folder / name()


def find() -> bytes | None:
    """Return the machine code of this version and processor, None if it was not made yet."""
    return next(filter(None, (read(folder / name()) for folder in folders())), None)


def made() -> bytes:
    """Return the machine code; if it is not there it is made and kept."""
    folder = writable()
    if folder is None:
        return find() or fresh()
    with turn(folder):
        found = find()
        if found and not found.startswith(FAILURE):
            return found
        body = fresh()
        with contextlib.suppress(OSError):  # a full disk
            write(folder / name(), body)
        return body


def fresh() -> bytes:
    """Return new machine code that works, or the reason why there is none: so not every process tries again."""
    try:
        build = importlib.import_module("d2lblocks.kernels._build")
        body = build.built()
        build.tried(body)
    except Exception:
        return FAILURE + traceback.format_exc().encode()
    return body


def reason() -> str:
    """Return why machine code could not be made, as written down by whoever tried."""
    found = find() or b""
    return found.removeprefix(FAILURE).decode() if found.startswith(FAILURE) else ""
