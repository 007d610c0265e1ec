"""The parameters of a block by name, with the ways to get, share, initialize, save and load them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from d2lblocks import initializer, io
from d2lblocks.errors import ArgumentError, ArrayTypeError, MismatchError, listed, nearest, warn
from d2lblocks.gluon.parameter.loading import load_into, named
from d2lblocks.gluon.parameter.single import Constant, Parameter, agree, known_sizes
from d2lblocks.np.creation import array
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray
from d2lblocks.rich import Rich


class ParameterDict(Rich):
    """An ordered dict of parameters under their full names; `shared` is asked before a new one is made."""

    def __init__(self, prefix: str = "", shared: ParameterDict | None = None):
        self._prefix = prefix
        self._params: dict[str, Parameter] = {}
        self._shared = shared

    def __repr__(self) -> str:
        lines = "\n".join(f"  {p}" for p in self.values())
        return f"{self._prefix + ' ' if self._prefix else ''}(\n{lines}\n)"

    def __getitem__(self, key: str) -> Parameter:
        try:
            return self._params[key]
        except KeyError:
            there = f"There are: {listed(self._params)}." if self._params else "There is none here."
            raise KeyError(f"{key!r}: no parameter has this name. {nearest(str(key), self._params)}{there}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __contains__(self, key: str) -> bool:
        return key in self._params

    def keys(self) -> KeysView[str]:
        """Return the full names."""
        return self._params.keys()

    def values(self) -> ValuesView[Parameter]:
        """Return the parameters."""
        return self._params.values()

    def items(self) -> ItemsView[str, Parameter]:
        """Return (full name, parameter) pairs."""
        return self._params.items()

    @property
    def prefix(self) -> str:
        """What stands before every short name."""
        return self._prefix

    # ---------------------------------------------------------------------------------------- getting

    def _find(self, name: str) -> Parameter | None:
        if name not in self._params and self._shared is not None:
            found = self._shared._find(name)
            if found is not None:
                self._params[name] = found
        return self._params.get(name)

    def get(self, name: str, **kwargs: Any) -> Parameter:
        """Return the parameter prefix + name; if there is none, make it with these attributes.

        Raises:
            AssertionError: it exists with other attributes.
        """
        name = self._prefix + name
        new, found = Parameter(name, **kwargs), self._find(name)
        if found is None:
            self._params[name] = new
            return new
        for key, wanted in kwargs.items():
            stored = getattr(found, key, None)
            if key in ("shape", "init"):
                if stored is None:
                    setattr(found, key, wanted)
                elif key == "shape" and wanted is not None:
                    self._match_shape(found, wanted)
            elif stored is not None and not _equal(key, stored, wanted):
                self._refuse(name, key, _shown(key, wanted), _shown(key, stored))
        return found

    def _match_shape(self, found: Parameter, wanted: Any) -> None:
        """Fill in the sizes that only one side knows."""
        wanted, stored = known_sizes(wanted), found.shape
        if not agree(wanted, stored):
            self._refuse(found.name, "shape", wanted, stored)
        merged = tuple(b if a == -1 else a for a, b in zip(wanted, stored, strict=True))
        if merged != stored:
            found.shape = merged

    def _refuse(self, name: str, key: str, wanted: Any, stored: Any) -> None:
        raise MismatchError(
            f"Cannot retrieve Parameter '{name}' because desired attribute does not match with stored for attribute "
            f"'{key}': desired '{wanted}' vs stored '{stored}'."
        )

    def get_constant(self, name: str, value: Any = None) -> Constant:
        """Return the constant prefix + name; with a value, make it if there is none."""
        name = self._prefix + name
        found = self._find(name)
        if found is None:
            if value is None:
                raise KeyError(
                    f"No constant named '{name}'. Please specify value if you want to create a new constant."
                )
            self._params[name] = found = Constant(name, value)
            return found
        if not isinstance(found, Constant):
            raise MismatchError(f"Parameter '{name}' already exists but it is not a constant.")
        given = value if isinstance(value, ndarray) or value is None else array(value)
        if given is not None and (given.shape != found.value.shape or not (given == found.value).all()):
            raise MismatchError(f"Constant '{name}' already exists but it's value doesn't match new value")
        return found

    def update(self, other: ParameterDict) -> None:
        """Take over the parameters of another dict; one name must mean one parameter."""
        for name, p in other._params.items():
            if self._params.get(name, p) is not p:
                raise MismatchError(
                    f"Two different Parameters have the same name '{name}'. Give every block a prefix of its own, or none."
                )
        self._params.update(other._params)

    def select(self, pattern: str) -> ParameterDict:
        """Return the parameters whose full name matches the regular expression from its start."""
        matches = matcher(pattern, "collect_params")
        chosen = ParameterDict(self._prefix)
        chosen._params = {name: p for name, p in self.items() if matches(name)}
        return chosen

    # ---------------------------------------------------------------------------------------- all at once

    def initialize(self, init: Any = None, ctx: Any = None, verbose: bool = False, force_reinit: bool = False) -> None:
        """Initialize every parameter that has no data yet, or all with `force_reinit`."""
        default = initializer.create(initializer.Uniform() if init is None else init)
        if verbose and hasattr(default, "set_verbosity"):
            default.set_verbosity(verbose=True)
        done = [] if force_reinit else [p.name for p in self.values() if p._data is not None]
        if done:
            more = f" (and {len(done) - 1} more)" if len(done) > 1 else ""
            warn(
                f"Parameter '{done[0]}'{more} is already initialized, ignoring. Set force_reinit=True to re-initialize."
            )
        before = [(p, p._data, p._copies, p._pending) for p in self.values()]
        try:
            for p in self.values():
                if p._data is None or force_reinit:
                    p.initialize(None, ctx, default, force_reinit)
        except BaseException:  # all or none
            for p, data, copies, pending in before:
                p._data, p._copies, p._pending = data, copies, pending
            raise

    def zero_grad(self) -> None:
        """Set all gradients to 0."""
        for p in self.values():
            p.zero_grad()

    def reset_ctx(self, ctx: Any) -> None:
        """Say that all parameters live elsewhere."""
        for p in self.values():
            p.reset_ctx(ctx)

    def list_ctx(self) -> list:
        """Return all contexts on which parameters live."""
        return list(dict.fromkeys(c for p in self.values() for c in p.list_ctx()))

    def setattr(self, name: str, value: Any) -> None:
        """Set an attribute, such as lr_mult or grad_req, of every parameter."""
        for p in self.values():
            setattr(p, name, value)

    # ---------------------------------------------------------------------------------------- files

    def save(self, filename: str | os.PathLike, strip_prefix: str = "", checksum: bool = True) -> None:
        """Save under full names, without `strip_prefix`."""
        arrays = {}
        for p in self.values():
            if not p.name.startswith(strip_prefix):
                raise ArgumentError(f"Prefix '{strip_prefix}' is to be stripped, but Parameter's name is '{p.name}'.")
            arrays[p.name[len(strip_prefix) :]] = p.list_data()[0]
        io.save(filename, arrays, checksum)

    def load(self, filename: str | os.PathLike, ctx: Any = None, allow_missing: bool = False, ignore_extra: bool = False,
             restore_prefix: str = "", cast_dtype: bool = False, dtype_source: str = "current") -> None:  # fmt: skip
        """Load what `save` wrote, by full names with `restore_prefix` put before each."""
        arrays = named(io.load(filename), filename)
        self.load_dict(arrays, ctx, allow_missing, ignore_extra, restore_prefix, filename, cast_dtype, dtype_source)

    def load_dict(self, param_dict: dict, ctx: Any = None, allow_missing: bool = False, ignore_extra: bool = False,
                  restore_prefix: str = "", filename: Any = None, cast_dtype: bool = False,
                  dtype_source: str = "current") -> None:  # fmt: skip
        """Take the numbers from a dict of arrays by full name."""
        if not isinstance(param_dict, dict):
            raise ArrayTypeError(f"load_dict takes a dict of arrays, got {type(param_dict).__name__}.")
        source = "dict" if filename is None else f"file '{filename}'"
        arrays = {restore_prefix + name: x for name, x in named(param_dict, source).items()}
        load_into(self._params, arrays, source, ctx, allow_missing, ignore_extra, cast_dtype, dtype_source)


def matcher(pattern: Any, who: str) -> Callable:
    """Return whether a full name matches a regular expression from its start, as a function of the name."""
    try:
        return re.compile(pattern).match
    except (re.error, TypeError) as problem:
        raise ArgumentError(f"{who}: {pattern!r} is no regular expression: {problem}.") from None


def _equal(key: str, stored: Any, wanted: Any) -> bool:
    return stored == wanted or str(_shown(key, stored)) == str(_shown(key, wanted))


def _shown(key: str, value: Any) -> Any:
    return as_dtype(value) if key == "dtype" else value
