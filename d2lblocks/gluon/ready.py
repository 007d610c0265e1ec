"""A block whose super().__init__() never ran: whatever is done with it first says so."""

from __future__ import annotations

from typing import Any

from d2lblocks.errors import MXNetError


class BlockNotReady(AttributeError, MXNetError):
    """A block used before its super().__init__() ran."""


def initialized(block: Any) -> dict:
    """Return the block's attributes, or say that super().__init__() was forgotten."""
    if "_children" not in block.__dict__:
        raise BlockNotReady(
            f"{type(block).__name__}.__init__ did not call super().__init__() first. Make `super().__init__(**kwargs)` its "
            "first line, with parentheses."
        )
    return block.__dict__


class _OfInit:
    """Stands in the class for what Block.__init__ sets: it is only found where that has not been set.

    A __getattr__ would do the same, and make every other attribute of every block slower to read.
    """

    def __get__(self, block: Any, kind: Any) -> Any:
        if block is not None:
            initialized(block)
        return self


of_init: Any = _OfInit()
