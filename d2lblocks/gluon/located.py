"""Where in a net an error happened: every block that it passes on the way up adds its name to the path."""

from __future__ import annotations

from typing import Any

from d2lblocks.errors import ArgumentError, ArrayTypeError

_IN = "This happened in "  # so begins the note


class _Trail(list):
    """The blocks an error passed, from the innermost outward. They stay at home when it is sent to another process."""

    def __reduce__(self) -> tuple:
        return _Trail, ()


class Located(Exception):
    """Mixin: the message begins with the path of the block, such as `net[0] (Dense)`."""

    def __init__(self, block: Any, text: str):
        super().__init__(text)
        self.text = text
        self._trail = _Trail([block])

    def __str__(self) -> str:
        return f"{_path(self._trail)}: {self.text}" if self._trail else self.text

    def __reduce__(self) -> tuple:
        return _from_afar, (type(self), str(self))


def _from_afar(kind: type[Located], text: str) -> Located:
    """Return an error of another process, whose text has the path already."""
    problem = kind(None, text)
    problem._trail.clear()
    return problem


def passed(problem: Exception, block: Any) -> None:
    """Note on an error that leaves `block` where in the net it happened; its class and its text stay."""
    trail = problem.__dict__.setdefault("_trail", _Trail())
    if trail and trail[-1] is block:
        return
    trail.append(block)
    if not isinstance(problem, Located):
        notes = [note for note in getattr(problem, "__notes__", ()) if not note.startswith(_IN)]
        problem.__notes__ = [*notes, _IN + _path(trail)]


def _path(trail: list) -> str:
    """Return net[0].hidden (Dense) for the blocks from the innermost outward."""
    blocks, steps = trail[::-1], []
    for outer, inner in zip(blocks, blocks[1:], strict=False):
        keys = [k for k, child in outer._children.items() if child is inner] or [type(inner).__name__]
        key = " or ".join(keys)  # a shared block stands at several places
        steps.append(f"[{key}]" if keys[0].isdigit() else f".{key}")
    if len(steps) > 20:
        steps[10:-10] = [" ... "]
    return f"net{''.join(steps)} ({type(trail[0]).__name__})"


class InputError(Located, ArgumentError):
    """An input whose shape or dtype does not fit the layer it reached."""


class InputTypeError(Located, ArrayTypeError):
    """An input that is no array."""
