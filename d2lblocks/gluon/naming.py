"""Names of blocks and parameters: a scope is a prefix and a counter per kind; `with block.name_scope()` puts one on top."""

from __future__ import annotations

import threading
from typing import Any


class NameScope:
    """Gives the next name of a kind: dense0_, dense1_, ... Usable in `with`, nested and again."""

    __slots__ = ("prefix", "params", "_transparent", "_counts")

    def __init__(self, prefix: str, params: Any = None, transparent: bool = False):
        self.prefix = prefix
        self.params = params
        self._transparent = transparent  # prefix '' leaves the scope in force, so names stay unique
        self._counts: dict[str, int] = {}

    def new(self, kind: str) -> str:
        """Return the next prefix of this kind, without the scope's own."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return f"{kind}{number}_"

    def __enter__(self) -> NameScope:
        if not self._transparent:
            _scopes.stack.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        if not self._transparent:
            _scopes.stack.pop()


class _Scopes(threading.local):
    """The open scopes of one thread, the global one at the bottom. Counters are never reset."""

    def __init__(self) -> None:
        self.stack = [NameScope("")]


_scopes = _Scopes()


def current_scope() -> NameScope:
    """Return the innermost open scope of this thread."""
    return _scopes.stack[-1]
