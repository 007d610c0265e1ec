"""Errors that know where in a net they happened: every block they pass on the way up adds its name to the path."""

from __future__ import annotations

from typing import Any

from d2lblocks.errors import ArgumentError, ArrayTypeError


class Located(Exception):
    """Mixin: the message begins with the path of the block, such as `net[0] (Dense)`."""

    def __init__(self, block: Any, text: str):
        super().__init__(text)
        self.text = text
        self.trail = [block]  # from the block outward

    def __str__(self) -> str:
        blocks = self.trail[::-1]
        path = "net"
        for outer, inner in zip(blocks, blocks[1:], strict=False):
            keys = [k for k, child in outer._children.items() if child is inner] or [type(inner).__name__]
            key = " or ".join(keys)  # a shared block stands at several places
            path += f"[{key}]" if keys[0].isdigit() else f".{key}"
        return f"{path} ({type(self.trail[0]).__name__}): {self.text}"


class InputError(Located, ArgumentError):
    """An input whose shape or dtype does not fit the layer it reached."""


class InputTypeError(Located, ArrayTypeError):
    """An input that is no array."""
