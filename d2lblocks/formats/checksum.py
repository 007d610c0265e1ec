"""CRC-32, 4 bytes by which a reader knows that every byte is as it was written."""

from __future__ import annotations

import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

PIECE = 1 << 20  # a piece of this size is summed while it is still in the processor's cache; Ctrl-C comes in between


class Checksum:
    """Sums up bytes in the order of `add`; large pieces in a thread of its own, while the disk has the next.

    Use it in `with`: the thread ends there. Raises nothing of its own.
    """

    def __init__(self) -> None:
        self._value = 0
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future | None = None

    def __enter__(self) -> Checksum:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether there are pieces still to be summed."""
        return self._last is not None and not self._last.done()

    def add(self, data: Any) -> None:
        """Go on with these bytes, which must not change before `value` is asked for."""
        if len(data) < PIECE and not self.busy:
            self._sum(data)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1)
        self._last = self._pool.submit(self._sum, data)

    def value(self) -> int:
        """Return the sum of all bytes so far."""
        if self._last is not None:
            self._last.result()
        return self._value

    def _sum(self, data: Any) -> None:
        self._value = zlib.crc32(data, self._value)
