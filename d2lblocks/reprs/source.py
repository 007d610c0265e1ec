"""The lines of source behind a function, for views that show how something is computed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def source(function: Any) -> str:
    """Return the source of a function without its docstring; of a lambda, its body; the name of one without source."""
    function = getattr(function, "py_func", function)  # of a compiled kernel, the Python it is compiled from
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (TypeError, OSError):
        module = getattr(function, "__module__", None) or type(function).__module__
        return f"{module}.{getattr(function, '__name__', type(function).__name__)}"
    if getattr(function, "__name__", "") == "<lambda>":
        return _body(function)
    try:
        node = ast.parse(text).body[0]
    except SyntaxError:
        return text
    lines = text.rstrip().split("\n")
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None and len(node.body) > 1:
        said = node.body[0]
        del lines[said.lineno - 1 : said.end_lineno]
    return "\n".join(lines)


def _body(function: Callable) -> str:
    """Return a lambda as it is written: its instructions know where in the file they come from."""
    lines, _ = inspect.findsource(function)
    known: Any = [p for p in function.__code__.co_positions() if None not in p]
    places = [(start, end) for (a, b, c, d) in known if (start := (a, c)) < (end := (b, d))]
    (first, start), (last, end) = min(p[0] for p in places), max(p[1] for p in places)
    found = [text.encode() for text in lines[first - 1 : last]]
    found[-1] = found[-1][:end]
    found[0] = found[0][start:]
    arguments = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
    return f"lambda {arguments}: " + " ".join(part.decode().strip() for part in found)
