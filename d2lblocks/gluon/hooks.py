"""Handles by which a registered hook is taken off again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from d2lblocks.tape import changes

_ids = count()


class HookHandle:
    """What `register_forward_hook` gives back; `detach()`, or the end of a `with`, removes the hook."""

    def __init__(self) -> None:
        self._hooks: dict | None = None
        self._id: int | None = None

    def attach(self, hooks_dict: dict, hook: Callable) -> HookHandle:
        """Put the hook into the dict; a handle holds one hook."""
        if self._hooks is not None:
            raise RuntimeError("The same handle cannot be attached twice.")
        self._hooks, self._id = hooks_dict, next(_ids)
        hooks_dict[self._id] = hook
        changes[0] += 1
        return self

    def detach(self) -> None:
        """Remove the hook; once is enough, again does nothing."""
        if self._hooks is not None and self._hooks.pop(self._id, None) is not None:
            changes[0] += 1

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.detach()
