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
_ONE, _X8, _MODULUS = 0x80000000, 0x00800000, 0xEDB88320  # 1, x⁸ and CRC-32's x³² + x²⁶ + ... + 1, lowest power first


class Checksum:
    """Sums up bytes in the order in which they are told, whoever moves them: `add` here and now, `later` by threads.

    Threads are far apart in memory, a piece each: the system gives it in pages of up to 2 MB, which two would fight for.

    Use it in `with`: at the end all that was asked for has been done, or given up. Raises what the work raises. Only a second
    Ctrl-C can leave a thread at its part for a moment.

    The threads are the system's own, without an object of Python: when one of those dies, Python tells its registers, and a
    Ctrl-C that comes at that moment is lost.

    Args:
        size: of the file; threads are worth their while for a large one.
        wanted: if False, nothing is summed, and threads only move.
    """

    def __init__(self, size: int = 0, wanted: bool = True) -> None:
        self.wanted = wanted
        self._cores = min(4, _cores()) if size >= PIECE // 2 and hasattr(os, "preadv") else 1
        self._value = 0
        self._jobs: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._threads: list[_thread.LockType] = []  # each is let go when its thread has ended
        self._given_up = False
        self._handle: int | None = None
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
            for ended in self._threads:
                ended.acquire()
            if self._handle is not None:
                os.close(self._handle)

    def handle(self, f: BinaryIO) -> int:
        """Return a number of the file for threads: its own could become that of another file while one still writes."""
        if self._handle is None:
            self._handle = os.dup(f.fileno())
        return self._handle

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

    def later(self, move: Callable[[memoryview, int], None], view: memoryview, at: int) -> None:
        """Go on with these bytes, once a thread has moved them part by part from or to the place `at` of the file."""
        rounds = -(-len(view) // (PIECE * self._cores))
        size = -(-len(view) // (rounds * self._cores))  # so that all have the same to do
        for start in range(0, len(view), size):
            part = view[start : start + size]
            piece = _Piece(functools.partial(self._moved, move, part, at + start))
            if len(self._threads) < self._cores:
                self._start()
            if self._threads:
                self._jobs.put(piece)
            else:
                piece.do()
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
        self._value = joined(self._value, piece if isinstance(piece, int) else piece.result(), n)

    def _start(self) -> None:
        ended = _thread.allocate_lock()
        ended.acquire()
        with contextlib.suppress(RuntimeError):  # none is to be had: the system has no more, or Python is about to end
            _thread.start_new_thread(self._work, (ended,))
            self._threads.append(ended)

    def _work(self, ended: _thread.LockType) -> None:
        while (piece := self._jobs.get()) is not None:
            piece.do()
            del piece  # or it would hold its memory while this waits for the next
        ended.release()

    def _moved(self, move: Callable[[memoryview, int], None], piece: memoryview, at: int) -> int:
        """Move a piece; gives back its sum."""
        total, step = 0, CACHED if self.wanted else PIECE
        for start in range(0, len(piece), step):
            if self._given_up:
                break
            part = piece[start : start + step]
            move(part, at + start)
            total = zlib.crc32(part, total) if self.wanted else 0
        return total


class _Piece:
    """Work for any thread, and what comes of it for the one that asked for it."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._work = work
        self._result: int | BaseException = 0
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def do(self) -> None:
        try:
            self._result = self._work()
        except BaseException as problem:
            self._result = problem
        self._done.release()

    def result(self) -> int:
        """Wait for it; Ctrl-C ends the wait."""
        self._done.acquire()
        result, self._result = self._result, 0  # an error knows its frames, and by them this: forget it
        if isinstance(result, BaseException):
            raise result
        return result


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
