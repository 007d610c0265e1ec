"""When to look again: after every cell of the notebook, and within a long one at most ten times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

from IPython.core.getipython import get_ipython

from d2lblocks.gluon.block import Block
from d2lblocks.gluon.watch import on_change

EVERY = 0.1  # seconds
SHARE = 30  # a look that took t seconds is followed by at least 30 t without one: some 3 % of a running cell

_newest: WeakKeyDictionary[Block, Live] = WeakKeyDictionary()  # only the newest view of a net looks within cells


class Live:
    """Calls `look(net_changed, cell_ended)` when there may be something to see; `close()` ends that."""

    def __init__(self, net: Block, look: Callable[[bool, bool], Any]):
        self._look, self._net = look, ref(net)
        self._changed = False
        self._rest_until = time.perf_counter() + EVERY
        self._listening = on_change(net, self._heard)
        shell = get_ipython()
        self._events = None if shell is None else shell.events
        if self._events is not None:
            self._events.register("pre_run_cell", self._cell_starts)
            self._events.register("post_run_cell", self._cell_ended)
        _newest[net] = self

    def _heard(self, thing: Any, how: str) -> None:
        self._changed |= how != "step"
        if time.perf_counter() >= self._rest_until and self._newest_of() is not None:
            self._now(False)

    def _newest_of(self) -> Block | None:
        """Return the net if this is its newest view."""
        net = self._net()
        return net if net is not None and _newest.get(net) is self else None

    def _cell_starts(self, *_: Any) -> None:
        self._rest_until = time.perf_counter() + EVERY

    def _cell_ended(self, *_: Any) -> None:
        self._changed = True  # facts such as grad_req change without a word
        self._now(True)

    def _now(self, cell_ended: bool) -> None:
        start, changed, self._changed = time.perf_counter(), self._changed, False
        self._rest_until = start + 3600  # what the look itself sets off is no news
        try:
            self._look(changed, cell_ended)
        finally:
            end = time.perf_counter()
            self._rest_until = end + max(EVERY, SHARE * (end - start))

    def close(self) -> None:
        """Hear no more."""
        self._listening.detach()
        if self._events is not None:
            self._events.unregister("pre_run_cell", self._cell_starts)
            self._events.unregister("post_run_cell", self._cell_ended)
            self._events = None
        net = self._newest_of()
        if net is not None:
            del _newest[net]
