"""What NumPy's BLAS is set to."""

from __future__ import annotations

from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


def threads() -> int:
    """Return how many threads share a product now, whoever has set it: OMP_NUM_THREADS, npx.set_num_threads, threadpoolctl."""
    return max((library.num_threads for library in _libraries()), default=1)
