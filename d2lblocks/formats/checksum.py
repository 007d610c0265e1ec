"""CRC-32, 4 bytes by which a reader knows that every byte is as it was written."""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import queue
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

CACHED = 1 << 19  # so much is moved and then summed while it is still in the processor's cache
PIECE = 1 << 23  # so much a thread takes at most, or is moved at a time without a sum; Ctrl-C comes in between
_AHEAD = 8  # pieces that may wait: this bounds what they hold in memory
_IDLE = 0.1  # seconds: a thread that has had nothing to do for so long ends
_ONE, _X8, _MODULUS = 0x80000000, 0x00800000, 0xEDB88320  # 1, x⁸ and CRC-32's x³² + x²⁶ + ... + 1, lowest power first


class Checksum:
    """Sums up bytes in the order in which they are told, whoever moves them: `add` here and now, `later` by threads.

    Threads are far apart in memory, a piece each: the system gives it in pages of up to 2 MB, which two would fight for.

    Use it in `with`: at the end all that was asked for has been done, or is given up, and raises what the work raises. Ctrl-C
    may come anywhere here. So nobody waits for a thread, only for pieces of work; a thread has its own handle to the file,
    closes it and ends by itself, at the latest when it finds nothing to do. And it is the system's own, without an object of
    Python: when one of those dies, Python tells its registers, and a Ctrl-C that comes at that moment is lost.

    Args:
        size: of the file; threads are worth their while for a large one.
        wanted: if False, nothing is summed, and threads only move.
        file: that threads read or write.
    """

    def __init__(self, size: int = 0, wanted: bool = True, file: BinaryIO | None = None) -> None:
        self.wanted = wanted
        able = file is not None and size >= PIECE // 2 and hasattr(os, "preadv")
        self._file, self._cores = file, min(4, _cores()) if able else 1
        self._value = 0
        self._jobs: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._place = _place(file.fileno()) if self._cores > 1 else None  # type: ignore[union-attr]
        # Lists as counters, since append and pop are one step for all threads, and a count += 1 is several:
        self._begun: list[None] = []  # threads that were started and have not ended
        self._alive: list[None] = []  # and those at work, which they say themselves
        self._given_up = False
        self._waiting: deque[tuple[_Piece | int, int]] = deque()

    def __enter__(self) -> Checksum:
        return self

    def __exit__(self, kind: Any, *error: object) -> None:
        try:
            if kind is None:
                self.value()
        finally:
            self._given_up = True
            for _ in range(self._cores):
                self._jobs.put(None)

    def shares(self, n: int) -> bool:
        """Whether n bytes are work for `later`."""
        return self._cores > 1 and n >= CACHED

    def add(self, data: Any) -> None:
        """Go on with these bytes."""
        if not self.wanted:
            return
        if not self._waiting:
            self._value = zlib.crc32(data, self._value)
            return
        last, n = self._waiting[-1]
        if isinstance(last, int):
            self._waiting[-1] = zlib.crc32(data, last), n + len(data)
        else:
            self._waiting.append((zlib.crc32(data), len(data)))

    def later(self, move: Callable[[int, memoryview, int], None], view: memoryview, at: int) -> None:
        """Go on with these bytes, once a thread has moved them part by part: move(handle of the file, part, its place)."""
        rounds = -(-len(view) // (PIECE * self._cores))
        size = -(-len(view) // (rounds * self._cores))  # so that all have the same to do
        for start in range(0, len(view), size):
            part = view[start : start + size]
            piece = _Piece(functools.partial(self._moved, move, part, at + start))
            if len(self._begun) < self._cores:
                self._start()
            self._jobs.put(piece)
            self._waiting.append((piece, len(part)))
            if len(self._waiting) > _AHEAD:
                self._join()

    def value(self) -> int:
        """Return the sum of all bytes so far."""
        while self._waiting:
            self._join()
        return self._value

    def _join(self) -> None:
        piece, n = self._waiting.popleft()
        self._value = joined(self._value, piece if isinstance(piece, int) else self._result(piece), n)

    def _result(self, piece: _Piece) -> int:
        """Wait for a piece. Where no thread is at work, none may be to be had: then the work is done here."""
        found = None
        while found is None:
            working = bool(self._alive)  # asked first: a thread tells a result before it ends
            with contextlib.suppress(queue.Empty):
                found = piece.results.get(timeout=_IDLE) if working else piece.results.get_nowait()
            if found is None and not working:
                try:
                    job = self._jobs.get_nowait() or piece
                except queue.Empty:
                    if self._alive or not piece.results.empty():
                        continue  # a thread has taken it meanwhile: done here as well, it might be moved after the end
                    job = piece  # its thread ended without a word, for lack of memory
                job.do(self._file.fileno())  # type: ignore[union-attr]
        if isinstance(found, BaseException):
            raise found
        return found

    def _start(self) -> None:
        self._begun.append(None)
        try:
            _thread.start_new_thread(self._work, ())
        except (RuntimeError, MemoryError):  # none is to be had: the system has no more, or Python is about to end
            self._begun.pop()

    def _work(self) -> None:
        """Run a thread: Ctrl-C comes in the main one alone, so here nothing comes between a handle and its closing."""
        with contextlib.suppress(ValueError, OSError):  # the file is closed by now; there are no more handles
            handle = os.dup(self._file.fileno())  # type: ignore[union-attr]
            try:
                if _place(handle) == self._place:  # else the file was closed just now, and its number is another's
                    self._serve(handle)
            finally:
                os.close(handle)
        self._begun.pop()

    def _serve(self, handle: int) -> None:
        self._alive.append(None)
        try:
            while (piece := self._jobs.get(timeout=_IDLE)) is not None:
                try:
                    piece.do(handle)
                except BaseException as problem:
                    piece.results.put(problem)
                del piece  # or it would hold its memory while this waits for the next
        except queue.Empty:
            pass
        finally:
            self._alive.pop()

    def _moved(self, move: Callable[[int, memoryview, int], None], piece: memoryview, at: int, handle: int) -> int:
        """Move a piece; gives back its sum."""
        total, step = 0, CACHED if self.wanted else PIECE
        for start in range(0, len(piece), step):
            if self._given_up:
                break
            part = piece[start : start + step]
            move(handle, part, at + start)
            total = zlib.crc32(part, total) if self.wanted else 0
        return total


class _Piece:
    """Work for any thread, and what comes of it: a sum, or an error. It is done again only if its thread has died."""

    def __init__(self, work: Callable[[int], int]) -> None:
        self._work = work
        self.results: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()

    def do(self, handle: int) -> None:
        """Do it. What it raises is for the caller: in the main thread Ctrl-C may come just behind the result."""
        self.results.put(self._work(handle))


def _place(handle: int) -> tuple[int, int]:
    """Return what no two files share: the disk, and the number there."""
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


UNCHECKED = Checksum(wanted=False)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def joined(first: int, second: int, n: int) -> int:
    """crc(a b) = crc(a) x⁸ⁿ + crc(b), where b has n bytes.

    A checksum is the remainder of the bytes, taken as a polynomial whose coefficients are 0 and 1; + is exclusive or.
    """
    return _times(first, _power(n)) ^ second


def _times(a: int, b: int) -> int:
    """Return the product of two polynomials, modulo that of CRC-32."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = b >> 1 ^ (_MODULUS if b & 1 else 0)
    return product


@functools.lru_cache(1000)
def _power(n: int) -> int:
    """Return x⁸ⁿ."""
    power = _ONE
    for k in range(n.bit_length()):
        if n >> k & 1:
            power = _times(power, _square(k))
    return power


@functools.cache
def _square(k: int) -> int:
    """Return x⁸ to the power of 2ᵏ."""
    return _times(_square(k - 1), _square(k - 1)) if k else _X8
