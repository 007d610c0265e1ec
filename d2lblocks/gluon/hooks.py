"""Handles by which a registered hook is taken off again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from d2lblocks.tape import changes

_ids = count()


class Hooks(dict):
    """The hooks of a block by key; `order` is all of them, in the order they came, and what is called.

    It is a tuple that is replaced when one comes or goes: a hook may take itself off while they are called.
    """

    order: tuple[Any, ...] = ()

    def __setitem__(self, key: Any, hook: Callable) -> None:
        super().__setitem__(key, hook)
        self._changed()

    def pop(self, key: Any, default: Any = None) -> Any:
        """Take a hook off; nothing happens if it is not there."""
        found = super().pop(key, default)
        self._changed()
        return found

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._changed()

    def clear(self) -> None:
        """Take all hooks off."""
        super().clear()
        self._changed()

    def _changed(self) -> None:
        self.order = tuple(self.values())
        changes[0] += 1


class HookHandle:
    """What `register_forward_hook` gives back; `detach()`, or the end of a `with`, removes the hook."""

    def __init__(self) -> None:
        self._hooks: Hooks | None = None
        self._id: int | None = None

    def attach(self, hooks_dict: Hooks, hook: Callable) -> HookHandle:
        """Put the hook into the dict; a handle holds one hook."""
        if self._hooks is not None:
            raise RuntimeError("The same handle cannot be attached twice.")
        self._hooks = hooks_dict
        self._id = next(i for i in _ids if i not in hooks_dict)  # a net from a file has hooks of another process
        hooks_dict[self._id] = hook
        return self

    def detach(self) -> None:
        """Remove the hook; once is enough, again does nothing."""
        if self._hooks is not None:
            self._hooks.pop(self._id, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.detach()
