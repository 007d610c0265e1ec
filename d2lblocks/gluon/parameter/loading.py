"""Fitting loaded arrays to parameters: everything is checked, and every difference told, before anything is assigned."""

from __future__ import annotations

import difflib
from typing import Any

from d2lblocks.errors import ArgumentError, MismatchError
from d2lblocks.gluon.parameter.single import Parameter, contexts_of
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray

Plan = list[tuple[Parameter, ndarray]]


def check_all(targets: dict[str, list[Parameter]], arrays: dict[str, ndarray], source: str, allow_missing: bool,
              ignore_extra: bool, cast_dtype: bool, dtype_source: str) -> Plan:  # fmt: skip
    """Return which array goes into which parameter, or raise MismatchError naming all differences at once.

    `targets` maps a name to the parameter behind it, listed so that tied parameters count as found under one name.
    """
    if cast_dtype and dtype_source not in ("current", "saved"):
        raise MismatchError(f"dtype_source must be 'current' or 'saved', got {dtype_source!r}.")
    found = {id(p) for name in arrays if name in targets for p in targets[name]}
    problems = []
    if not allow_missing:
        missing = [name for name, ps in targets.items() if not any(id(p) in found for p in ps)]
        problems += [_missing(name, arrays, source) for name in missing]
    if not ignore_extra:
        problems += [_extra(name, targets, source) for name in arrays if name not in targets]
    plan = []
    for name, x in arrays.items():
        for p in targets.get(name, ()):
            problem = _misfit(name, p, x, source, cast_dtype)
            problems += [problem] if problem else []
            plan.append((p, x))
    if problems:
        raise MismatchError("\n".join(problems))
    return plan


def _missing(name: str, arrays: dict, source: str) -> str:
    return (
        f"Parameter '{name}' is missing in {source}, which contains parameters: {_listed(arrays)}. "
        f"{_nearest(name, arrays)}Set allow_missing=True to ignore missing parameters."
    )


def _extra(name: str, targets: dict, source: str) -> str:
    return (
        f"Parameter '{name}' loaded from {source} is not present in the net, which contains parameters: "
        f"{_listed(targets)}. {_nearest(name, targets)}Set ignore_extra=True to ignore. Files written by "
        "net.save_parameters use structural names, which do not depend on name counters."
    )


def _misfit(name: str, p: Parameter, x: ndarray, source: str, cast_dtype: bool) -> str | None:
    """Return what does not fit, None if all does."""
    shape = p.shape if p.shape is not None else (-1,) * x.ndim
    if len(shape) != x.ndim or any(a not in (-1, b) for a, b in zip(shape, x.shape, strict=True)):
        return (
            f"Failed loading Parameter '{p.name}' ({name}) from {source}: saved params: shape incompatible expected "
            f"{shape} vs saved {x.shape}"
        )
    if not cast_dtype and as_dtype(p.dtype) != x.dtype:
        return (
            f"Failed loading Parameter '{p.name}' ({name}) from {source}: saved params: dtype incompatible expected "
            f"{as_dtype(p.dtype)} vs saved {x.dtype}. Set cast_dtype=True to cast the dtype of saved params."
        )
    return None


def _listed(names: Any) -> str:
    names = [f"'{n}'" for n in names]
    return ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")


def _nearest(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, list(names), 1)
    return f"Did you mean '{close[0]}'? " if close else ""


def assign(plan: Plan, ctx: Any, dtype_source: str) -> None:
    """Put the arrays into their parameters; waiting and new ones become ready."""
    contexts = contexts_of(ctx)
    for p, x in plan:
        if dtype_source == "saved":
            p.dtype = x.dtype
        p.shape = x.shape
        if p._data is None:
            p._become(x.astype(as_dtype(p.dtype)), contexts)
        else:
            p.set_data(x)


def named(loaded: Any, filename: Any) -> dict[str, ndarray]:
    """Return the dict that was loaded; ArgumentError for a list or an empty file, which have no names."""
    if not isinstance(loaded, dict):
        raise ArgumentError(
            f"File '{filename}' holds {'a list of arrays without names' if loaded else 'nothing'}; a net finds its "
            "parameters by their names. Save it with net.save_parameters(file)."
        )
    return loaded
