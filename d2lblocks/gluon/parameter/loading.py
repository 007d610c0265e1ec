"""Fitting loaded arrays to parameters: everything is checked, and every difference told, before anything is assigned."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, MismatchError, listed, nearest, warn
from d2lblocks.gluon.parameter.single import Parameter, agree, contexts_of
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray
from d2lblocks.op import refuse_recorded

_MOST = 20  # differences that one message tells


def load_into(targets: dict[str, Parameter], arrays: dict[str, ndarray], source: str, ctx: Any, allow_missing: bool,
              ignore_extra: bool, cast_dtype: bool, dtype_source: str) -> None:  # fmt: skip
    """Put every array into the parameter of its name, or raise MismatchError naming all differences at once."""
    do_all(fitted(targets, arrays, source, ctx, allow_missing, ignore_extra, cast_dtype, dtype_source))


def do_all(steps: Sequence[Callable[[], Any]]) -> None:
    """Do all steps, though Ctrl-C come among them: half of what was loaded would be neither the old nor the new."""
    done = 0
    try:
        for done, step in enumerate(steps):  # noqa: B007 - it is asked for below
            step()
    except KeyboardInterrupt:
        for step in steps[done:]:
            step()
        raise


def fitted(targets: dict[str, Parameter], arrays: dict[str, ndarray], source: str, ctx: Any, allow_missing: bool,
           ignore_extra: bool, cast_dtype: bool, dtype_source: str) -> list[Callable[[], None]]:  # fmt: skip
    """Return the steps that put every array into its parameter, once all is looked at and all memory is there."""
    if cast_dtype and dtype_source not in ("current", "saved"):
        raise MismatchError(f"dtype_source must be 'current' or 'saved', got {dtype_source!r}.")
    plan = [(name, targets[name], x) for name, x in arrays.items() if name in targets]
    found = {id(p) for _, p, _ in plan}  # a tied parameter counts as found under each of its names
    missing = [name for name, p in targets.items() if id(p) not in found]
    extra = [name for name in arrays if name not in targets]
    problems = [] if allow_missing else _missing(missing, extra, arrays, source)
    problems += [] if ignore_extra else _extra(extra, missing, targets, source)
    problems += [text for entry in plan if (text := _misfit(*entry, source, cast_dtype))]
    if problems:
        more = [f"... and {len(problems) - _MOST} more."] if len(problems) > _MOST else []
        raise MismatchError("\n".join(problems[:_MOST] + more))
    _warn_of_ties(plan, source)
    last = {id(p): (p, x) for _, p, x in plan}
    for p, _ in last.values():
        if p._data is not None:
            refuse_recorded(p._data)
    saved = cast_dtype and dtype_source == "saved"
    return [_step(p, x, ctx, x.dtype if saved else p.dtype) for p, x in last.values()]


def _missing(names: list, others: list, arrays: dict, source: str) -> list[str]:
    """Return a sentence on the first name, with what the file has instead, and one on the others."""
    return [
        f"Parameter '{name}' is missing in {source}, which contains parameters: {listed(arrays)}. "
        f"{nearest(name, others)}Set allow_missing=True to ignore missing parameters."
        for name in names[:1]
    ] + _others("Missing too", names, others)


def _extra(names: list, others: list, targets: dict, source: str) -> list[str]:
    return [
        f"Parameter '{name}' loaded from {source} is not present in the net, which contains parameters: "
        f"{listed(targets)}. {nearest(name, others)}Set ignore_extra=True to ignore. Files written by "
        "net.save_parameters use structural names, which do not depend on name counters."
        for name in names[:1]
    ] + _others("Not present either", names, others)


def _others(what: str, names: list, there: list) -> list[str]:
    """Return a sentence on all names but the first, each with the most similar one that the other side has too much."""
    if len(names) < 2:
        return []
    close = {name: nearest(name, there).removeprefix("Did you mean ").strip() for name in names[1 : 1 + _MOST]}
    told = [f"'{name}'" + (f" ({other}" + ")" if other else "") for name, other in close.items()]
    return [f"{what}: {', '.join(told)}" + (f", ... ({len(names) - 1} in all)." if len(names) - 1 > _MOST else ".")]


def _misfit(name: str, p: Parameter, x: ndarray, source: str, cast_dtype: bool) -> str | None:
    """Return what does not fit, None if all does."""
    if p.shape is not None and not agree(p.shape, x.shape):
        return (
            f"Failed loading Parameter '{p.name}' ({name}) from {source}: saved params: shape incompatible expected "
            f"{p.shape} vs saved {x.shape}"
        )
    if not cast_dtype and as_dtype(p.dtype) != x.dtype:
        return (
            f"Failed loading Parameter '{p.name}' ({name}) from {source}: saved params: dtype incompatible expected "
            f"{as_dtype(p.dtype)} vs saved {x.dtype}. Set cast_dtype=True to cast the dtype of saved params."
        )
    return None


def _warn_of_ties(plan: list[tuple[str, Parameter, ndarray]], source: str) -> None:
    """Warn where one parameter has several names and the file other numbers under each; the last ones stay."""
    first: dict[int, tuple[str, ndarray]] = {}
    for name, p, x in plan:
        other, y = first.setdefault(id(p), (name, x))
        if not onp.array_equal(x._data, y._data, equal_nan=x.dtype.kind == "f"):
            warn(f"'{other}' and '{name}' are one parameter, but {source} has two sets of numbers; the last one stays.")


def _step(p: Parameter, x: ndarray, ctx: Any, dtype: Any) -> Callable[[], None]:
    """Return what puts x into a parameter; a waiting or new one becomes ready, one of another dtype gets new arrays."""
    if p._data is not None and p._data.dtype == as_dtype(dtype):
        return partial(p.set_data, x)
    known = p.list_ctx() if p._data is not None else p._pending[1] if p._pending and ctx is None else contexts_of(ctx)
    copies = p._made(x.astype(as_dtype(dtype)), known)

    def take() -> None:
        p.shape = x.shape
        p._live(copies, dtype)

    return take


def named(loaded: Any, filename: Any) -> dict[str, ndarray]:
    """Return the dict that was loaded, its names without what `export` puts before them.

    Raises:
        ArgumentError: a list or an empty file, which have no names.
    """
    if not isinstance(loaded, dict):
        raise ArgumentError(
            f"File '{filename}' holds {'a list of arrays without names' if loaded else 'nothing'}; a net finds its "
            "parameters by their names. Save it with net.save_parameters(file)."
        )
    found = {re.sub("^(arg|aux):", "", name): x for name, x in loaded.items()}
    if len(found) < len(loaded):
        raise ArgumentError(f"File '{filename}' has one name under both arg: and aux:, and a net has it once.")
    return found
