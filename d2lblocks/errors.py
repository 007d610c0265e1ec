"""The exception classes: Python's own first, and Gluon's `MXNetError` beside them, so old `except` clauses keep working."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_HOME = str(Path(__file__).parent)


class MXNetError(RuntimeError):
    """Any error of the framework; the name that Gluon programs catch."""


class ArgumentError(ValueError, MXNetError):
    """A value, shape or dtype that does not fit."""


class ArrayTypeError(TypeError, MXNetError):
    """An object of the wrong type, such as an official NumPy array where one of ours belongs."""


class AxisError(IndexError, ArgumentError):
    """An axis or index that the array does not have."""


class MismatchError(AssertionError, ArgumentError):
    """Names, shapes or attributes that differ between two sides: a file and a net, a parameter and a request."""


class FormatError(ArgumentError):
    """A file that is damaged or is no file of ours."""


class NotRecordedError(MXNetError):
    """A gradient was asked for where no recorded path leads to a variable."""


class DeferredInitializationError(MXNetError):
    """A parameter was read while it still waits for its shape."""


def kind_of(thing: Any) -> str:
    """Return the name of the type of `thing` as messages write it: list, numpy.ndarray, ndarray."""
    kind = type(thing)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def spaced(text: str) -> str:
    """Return a message of NumPy with its shapes written as Python writes tuples: (2, 3) for (2,3)."""
    return re.sub(r"\((\d+(?:,(?:\d+|newaxis))*,?)\)", lambda m: str(tuple(_sizes(m[1]))), text)


def _sizes(listed: str) -> list[int]:
    return [-1 if n == "newaxis" else int(n) for n in listed.split(",") if n]


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names in quotes, as many as one can read: 'a', 'b', ... (57 in all)."""
    names = [f"'{name}'" for name in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question for the most similar name, '' if none is similar."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f"Did you mean '{close[0]}'? " if close else ""


def warn(text: str) -> None:
    """Warn at the line outside this package that led here, however deep the call is nested."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


# What NumPy says in words of its own machinery, and the same in plain ones.
_PLAIN = (
    (
        "core dimension",
        "the last size of the first array and the last but one of the second (of a vector, the only one) differ",
    ),
    ("enough dimensions", "a 0-d array cannot take part, write a * b for a number"),
    ("did not contain a loop|not supported for the input types", "not defined for these types"),
    ("which has no identity", "an empty array has no largest and no smallest entry"),
    ("remapped shapes", "operands could not be broadcast together"),
    ("axis must match exactly", "the arrays may differ in size only along the axis of joining"),
    ("too large to convert|out of bounds for u?int", "the number is too large for the dtype"),
)


def plainly(text: str) -> str:
    """Return a message of NumPy in plain words, with shapes as tuples."""
    text = spaced(text).rstrip(". \n")
    return next((plain for words, plain in _PLAIN if re.search(words, text)), text)


def explain(problem: Exception, name: str, given: Any, settings: Any = ()) -> Exception:
    """Return the error for the user: what the operation was given, and what NumPy says about it."""
    if isinstance(problem, MXNetError):
        return problem
    if isinstance(problem, AttributeError):
        return ArrayTypeError(
            f"{name} takes arrays, got {kind_of(problem.obj)}. Lists and numbers become arrays by np.array(...)."
        )
    facts = [f"{a.shape} {a.dtype}" for a in given if hasattr(a, "dtype")]
    facts += [f"{key}={value!r}" for key, value in dict(settings).items() if value is not None and key != "key"]
    text = f"{name}: {plainly(str(problem))}. Given: {', '.join(facts) or 'no array'}."
    if "array is too big" in text:
        return MemoryError(f"{name}: the result is too big to be allocated. Given: {', '.join(facts)}.")
    if isinstance(problem, IndexError):  # NumPy's AxisError is one
        return AxisError(text)
    return ArrayTypeError(text) if isinstance(problem, TypeError) else ArgumentError(text)
