"""What a trainer remembers, in a file: whose state it is, and whether it fits.

A trainer numbers its parameters in the order of their names, and the names have numbers too, counted on by each layer that is
made: in one notebook dense9_weight comes behind dense10_weight, in another, whose net was the second, dense19_weight before
dense20_weight. So the names are written beside the numbers, and parameters are the same that stand at the same place when
the numbers in names are read as numbers.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.optimizer import Optimizer
from d2lblocks.optimizer.base import parts_of

# The name of the entry that tells it, in JSON: {"optimizer": "Adam", "parameters": ["dense0_weight", ...]}.
WHOSE = "whose"
_NUMBER = re.compile("([0-9]+)")
# Of a state: the number of its parameter, and which part of its memory, or t, how often it was moved.
_KEY = re.compile(r"(0|[1-9][0-9]{0,8})\.(t|0|[1-9][0-9]{0,8})")


def whose(params: list, optimizer: Optimizer) -> ndarray:
    """Return whose states these are, as an array of bytes."""
    told = {"optimizer": type(optimizer).__name__, "parameters": [p.name for p in params]}
    return wrap(onp.frombuffer(json.dumps(told).encode(), onp.uint8))


def taken(loaded: Any, params: list, optimizer: Optimizer, file: Any) -> dict[str, ndarray]:
    """Return the states, by the numbers of these parameters. A file without names, of an earlier version, is taken as it is.

    Raises ArgumentError, naming the file, for states of other parameters or another optimizer.
    """
    if loaded and not isinstance(loaded, dict):
        raise ArgumentError(f"File '{file}' has a list of arrays, no states, which have names.")
    found = dict(loaded)
    if WHOSE in found:
        try:
            told = json.loads(found.pop(WHOSE).asnumpy().tobytes())
            names, rule = [str(name) for name in told["parameters"]], told["optimizer"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ArgumentError(f"File '{file}': {WHOSE!r} does not tell whose states these are.") from None
        check_rule(rule, optimizer, file)
        found = _renumbered(found, names, params, file)
    check(found, params, optimizer, file)
    return found


def check_rule(rule: Any, optimizer: Optimizer, file: Any) -> None:
    """Raise ArgumentError, naming the file, unless this is the optimizer's rule: to others the same arrays mean others."""
    if rule != type(optimizer).__name__:
        raise ArgumentError(
            f"File '{file}' has what {rule} remembers; this trainer's optimizer is {type(optimizer).__name__}."
        )


def _renumbered(found: dict[str, ndarray], names: list[str], params: list, file: Any) -> dict[str, ndarray]:
    own = [p.name for p in params]
    theirs, ours = (sorted(range(len(known)), key=lambda i, known=known: _parted(known[i])) for known in (names, own))
    differing = [
        f"{'none' if i is None else names[i]} in the file, {'none' if k is None else own[k]} here"
        for i, k in itertools.zip_longest(theirs, ours)
        if i is None or k is None or _parted(names[i])[::2] != _parted(own[k])[::2]
    ]
    if differing:
        more = f"; and {len(differing) - 10} more" if len(differing) > 10 else ""
        raise ArgumentError(
            f"File '{file}' has the states of other parameters, {len(names)} where this trainer has {len(own)}: "
            f"{'; '.join(differing[:10])}{more}. Give the trainer the parameters of a net of the same structure."
        )
    number = {str(i): str(k) for i, k in zip(theirs, ours, strict=True)}
    keys = (key.partition(".") for key in found)
    return {f"{number.get(i, i)}{dot}{part}": x for (i, dot, part), x in zip(keys, found.values(), strict=True)}


def _parted(name: str) -> list:
    """Return texts and numbers of a name by turns, numbers by length and digits: ['dense', (2, '10'), '_weight']."""
    return [(len(part.lstrip("0")), part.lstrip("0")) if k % 2 else part for k, part in enumerate(_NUMBER.split(name))]


def check(arrays: Mapping[str, ndarray], params: list, optimizer: Optimizer, file: Any) -> None:
    """Raise ArgumentError, naming the file, unless this is what the optimizer remembers of these parameters."""
    found: dict[int, dict[str, ndarray]] = {}
    for name, x in arrays.items():
        key = _KEY.fullmatch(name)
        if key is None or int(key[1]) >= len(params):
            raise ArgumentError(
                f"File '{file}': {name!r} is no state of one of {len(params)} parameters, as save_states writes."
            )
        if key[2] == "t" and (x.shape != () or x.dtype.kind != "i" or x < 0):
            raise ArgumentError(
                f"File '{file}': {name!r} is no number of updates, but {x}, {x.dtype} of shape {x.shape}."
            )
        found.setdefault(int(key[1]), {})[key[2]] = x
    for i, state in found.items():
        p, told = params[i], [state[k] for k in sorted(state.keys() - {"t"}, key=int)]
        expected = parts_of(optimizer.create_state(i, _like(p, told)))
        if "t" not in state:
            raise ArgumentError(f"File '{file}' does not tell how often {p.name} was moved: '{i}.t' is missing.")
        if [(x.dtype, x.shape) for x in told] != [(x.dtype, x.shape) for x in expected]:
            raise ArgumentError(
                f"File '{file}': the state of {p.name} is {_described(told)}, but of this parameter of shape {p.shape} "
                f"{type(optimizer).__name__} remembers {_described(expected)}. Use the optimizer and the net of the file."
            )


def _like(p: Any, told: list[ndarray]) -> ndarray:
    """Return an array such as the parameter's; sizes that it does not know yet are those of the state."""
    sizes = told[0].shape if told else ()
    known = sizes if p.shape is None else p.shape
    there = [*sizes, *[1] * len(known)]
    return wrap(onp.zeros([m if n < 0 else n for n, m in zip(known, there, strict=False)], p.dtype))


def _described(parts: list) -> str:
    return " and ".join(f"{x.dtype} of shape {tuple(x.shape)}" for x in parts) or "nothing"
