"""How a loop becomes a kernel: a builtin function of machine code, with a NumPy equal that answers where there is none.

`_build` makes machine code of all kernels by Numba, once for a version and a processor, `_cache` keeps it in a file, and
`_load` takes it from there in some milliseconds, without Numba. While there is no file yet a process in the background
makes it, and the NumPy equals answer.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as onp


class Array(NamedTuple):
    """An array that a kernel takes: of the class ndarray itself, aligned, writeable, in C order."""

    dtype: str
    ndim: int


# What a parameter of a loop may be, beside int, float and bool.
Matrix = Annotated[onp.ndarray, Array("float32", 2)]
Vector = Annotated[onp.ndarray, Array("float32", 1)]
Table = Annotated[onp.ndarray, Array("int64", 2)]
Numbers = Annotated[onp.ndarray, Array("float64", 2)]
Work = Annotated[int, "numbers"]  # how many numbers the loop will read, where arrays are told by their addresses
Integers = Annotated[onp.ndarray, Array("int64", 1)]

KERNELS: list[Kernel] = []
PAUSE = 0.2  # seconds between two looks for the file


class Kernel:
    """A loop and its equal: `fast` is the machine code if there is some, `run` takes the equal where it does not fit."""

    def __init__(self, loop: Callable, equal: Callable, exact: bool):
        self.loop = loop  # the plain Python loop, which teaches and which Numba compiles
        self.equal = equal  # the same in a few NumPy calls: the test of the loop, and its stand-in
        self.exact = exact  # equal to the last bit: then even FMA is off
        self.name = f"{loop.__module__.rpartition('.')[2]}.{loop.__name__}"
        self.__name__, self.__doc__ = loop.__name__, loop.__doc__
        self.fast: Callable[..., bool] = self._first  # returns whether it did the work
        library.add(self)

    def run(self, *args: Any) -> None:
        """Do the work. Where every step counts: `kernel.fast(...) or equal(...)`."""
        if not self.fast(*args):
            self.equal(*args)

    def ready(self) -> bool:
        """Return whether there is machine code."""
        library.look()
        return self.fast not in (self._first, refuse)

    def _first(self, *args: Any) -> bool:
        library.look()
        return self.fast(*args) if self.fast != self._first else False


def kernel(equal: Callable | None = None, exact: bool = False) -> Callable[[Callable], Kernel]:
    """Make a kernel of a loop that writes into its last arrays; `equal` takes the same arguments. None: the loop itself.

    Annotations tell what a parameter is: Matrix, Vector, Table, Numbers, Integers, Work, int, float or bool. Machine code
    refuses all else, before it has read or written a number. A loop that returns a bool refuses by False, just so: arrays
    whose shapes do not fit together.
    """

    def made(loop: Callable) -> Kernel:
        KERNELS.append(Kernel(loop, equal or loop, exact))
        return KERNELS[-1]

    return made


def refuse(*args: Any) -> bool:
    """Stand for machine code where there is none."""
    return False


class Library:
    """The machine code of this process: looked for when the first kernel is called and then now and then, till it is there."""

    def __init__(self) -> None:
        self.kernels: list[Kernel] = []
        self.builtins: dict[str, Callable[..., bool]] | None = None  # None: not there yet; empty: given up
        self.builder: Any = None
        self.next = 0.0
        self.lock = threading.RLock()

    def add(self, kernel: Kernel) -> None:
        """Give a kernel its machine code, now or later."""
        self.kernels.append(kernel)
        if self.builtins is not None:
            kernel.fast = self.builtins.get(kernel.name, refuse)

    def look(self) -> None:
        """Take the machine code if it is there; if not, let it be made."""
        if self.builtins is None and time.monotonic() >= self.next:
            with self.lock:
                if self.builtins is None:
                    self._look()
                    self.next = time.monotonic() + PAUSE

    def _look(self) -> None:
        if not enabled():
            return self._take({})
        try:
            cache = importlib.import_module("d2lblocks.kernels._cache")
        except (ImportError, OSError):  # llvmlite is missing or broken
            return self._take({})
        ended = self.builder and self.builder.poll() is not None
        stored = cache.find()
        if stored is not None:
            self.load(stored)
        elif self.builder is None:
            self.builder = started() if sys.executable and cache.writable() else None
            if self.builder is None:
                self._take({})
        elif ended:  # without success
            self._take({})
        return None

    def load(self, stored: bytes) -> None:
        """Link machine code, and take it if it does what it should."""
        load = importlib.import_module("d2lblocks.kernels._load")
        builtins = load.loaded(stored)
        self._take(builtins if builtins and load.works(builtins[PROBE.name]) else {})

    def _take(self, builtins: dict[str, Callable[..., bool]]) -> None:
        for kernel in self.kernels:
            kernel.fast = builtins.get(kernel.name, refuse)
        self.builtins = builtins

    def forked(self) -> None:
        """Forget what stayed in the process that this one was forked from."""
        self.lock, self.builder = threading.RLock(), None


def enabled() -> bool:
    """Return whether kernels may be machine code: Numba is there, and NUMBA_DISABLE_JIT is not set."""
    return (
        os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
        and sys.implementation.name == "cpython"
        and sys.maxsize > 2**32
        and importlib.util.find_spec("numba") is not None
    )


def environment() -> dict[str, str]:
    """Return environment variables for another Python that shall find this package, and nothing in its working folder."""
    here, told = str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, told] if told else [here])}


def started() -> Any:
    """Start a process in the background that makes the machine code; it may outlive this one. Return None if that fails."""
    subprocess = importlib.import_module("subprocess")
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.IDLE_PRIORITY_CLASS}
    else:
        apart = {"start_new_session": True}  # Ctrl-C is not for it
    try:
        builder = subprocess.Popen(
            [sys.executable, "-P", "-m", "d2lblocks", "warm", "--kernels"], env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **apart,
        )  # fmt: skip
    except OSError:
        return None
    atexit.register(builder.__dict__.update, returncode=0)  # or Python warns of it at its end
    return builder


def ready() -> bool:
    """Make the machine code if it is not there, take it, and return whether there is some now."""
    if not library.builtins and enabled():
        with contextlib.suppress(ImportError, OSError), library.lock:
            library.load(importlib.import_module("d2lblocks.kernels._cache").made())
    return bool(library.builtins)


def cache_file() -> Path | None:
    """Return the file in which machine code is kept or will be, None if there is none."""
    try:
        return importlib.import_module("d2lblocks.kernels._cache").place() if enabled() else None
    except (ImportError, OSError):
        return None


def reason() -> str:
    """Return why there is no machine code, as far as it was written down."""
    if not enabled():
        return "Numba is not installed, or NUMBA_DISABLE_JIT is set."
    try:
        cache = importlib.import_module("d2lblocks.kernels._cache")
    except (ImportError, OSError) as problem:
        return f"llvmlite cannot be imported: {problem}"
    return cache.reason()


library = Library()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=library.forked)


def probe(x: Matrix, label: Integers, factor: float, shifted: bool, y: Matrix) -> None:
    """y = factor x, and if `shifted` + label, with the shape of x added to its first row."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = factor * x[i, j] + (label[0] if shifted else 0)
    if shifted:
        y[0, 0] += x.shape[0]
        y[0, 1] += x.shape[1]


PROBE = Kernel(probe, refuse, exact=True)  # tells whether machine code reads what Python gives it
