"""Ways to start: what the parameters of a net are filled with before the first step."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks import npx
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.np import random
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.registry import Named
from d2lblocks.rich import Rich


class InitDesc(str):
    """The name of a parameter as initializers see it, with attributes on the side."""

    attrs: dict
    global_init: Any

    def __new__(cls, name: str, attrs: dict | None = None, global_init: Any = None) -> InitDesc:
        """Make a name that carries `attrs` and the block-level initializer."""
        made = super().__new__(cls, name)
        made.attrs, made.global_init = attrs or {}, global_init
        return made


class Initializer(Named, Rich):
    """Fills arrays: subclass and write `_init_weight(name, arr)` with `arr[:] = ...`.

    Keyword arguments given to `super().__init__` describe the initializer: two of one class with equal
    arguments are equal.
    """

    kind = "initializer"

    def __init__(self, **kwargs: Any):
        self._kwargs = kwargs
        self._verbose = False
        self._print_func: Callable | None = None

    def set_verbosity(self, verbose: bool = False, print_func: Callable | None = None) -> Initializer:
        """Report each filled array by print_func(arr) if `verbose`; gives back the initializer."""
        self._verbose, self._print_func = verbose, print_func
        return self

    def dumps(self) -> str:
        """Return name and arguments as JSON: ["normal", {"sigma": 0.01}]."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self).get("_kwargs") == vars(other).get("_kwargs")

    def __hash__(self) -> int:
        return hash(type(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._written())  # in a notebook; repr() has the address, as in the original

    def _written(self) -> str:
        """Return the initializer as it is written: Normal(sigma=0.01)."""
        given = vars(self).get("_kwargs", {})  # a subclass may have left out super().__init__()
        short = {k: "…" if isinstance(v, list) and len(str(v)) > 20 else repr(v) for k, v in given.items()}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in short.items())})"

    def __call__(self, desc: str, arr: ndarray) -> None:
        """Fill `arr`, the parameter called `desc`."""
        self._init_weight(desc, arr)
        if vars(self).get("_verbose"):
            report = self._print_func or (lambda x: str(float(abs(x).mean())))
            print(f"Initialized {desc} as {type(self).__name__.lower()}: {report(arr)}")

    def _init_weight(self, name: str, arr: ndarray) -> None:
        raise NotImplementedError(
            f"{type(self).__name__} cannot fill parameter '{name}': it has no _init_weight(self, name, data); write one "
            "that fills data[:] = ..."
        )


_ALIASES = {"zeros": "zero", "ones": "one", "gaussian": "normal"}


def register(klass: type) -> type:
    """Make an initializer known by the lower-case name of its class; usable as a decorator."""
    if not (isinstance(klass, type) and issubclass(klass, Initializer)):
        raise ArrayTypeError(f"register takes a subclass of Initializer, got {klass!r}.")
    Initializer.registry[klass.__name__.lower()] = klass
    return klass


def alias(*aliases: str) -> Callable[[type], type]:
    """Return a decorator that makes an initializer known by further names."""

    def named(klass: type) -> type:
        for name in aliases:
            Initializer.registry[name.lower()] = klass
        return klass

    return named


def create(initializer: Any, **kwargs: Any) -> Any:
    """Return an initializer for a name such as 'xavier', or the initializer given."""
    if isinstance(initializer, str):
        if initializer.startswith("["):
            try:
                name, kwargs = json.loads(initializer)
            except ValueError:
                raise ArgumentError(
                    f'An initializer as JSON is ["name", {{"argument": value}}], got {initializer!r}.'
                ) from None
            return create(name, **kwargs)
        name = _ALIASES.get(initializer.lower(), initializer.lower())
        if name not in Initializer.registry:
            known = ", ".join(sorted({*Initializer.registry, "zeros", "ones"}))
            raise UnknownInitializer(
                f"{initializer} is not registered. Please register with initializer.register first; known names: {known}."
            )
        return Initializer.registry[name](**kwargs)
    if isinstance(initializer, type):
        cure = f"{initializer.__name__}()" if issubclass(initializer, Initializer) else "init.Normal()"
        raise ArrayTypeError(f"An initializer is needed, got the class {initializer.__name__}; write {cure}.")
    if callable(initializer):
        return initializer
    raise NotAnInitializer(
        f"initializer must be of string type or an Initializer such as init.Normal(), got {initializer!r}."
    )


class UnknownInitializer(AssertionError, ArgumentError):
    """A name that no initializer has."""


class NotAnInitializer(AssertionError, ArrayTypeError):
    """Something that cannot fill a parameter."""


class Zero(Initializer):
    """Fill with 0."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: ndarray) -> None:
        arr[...] = 0


class One(Initializer):
    """Fill with 1."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: ndarray) -> None:
        arr[...] = 1


class Constant(Initializer):
    """Fill with one number, or with an array of the parameter's shape."""

    def __init__(self, value: Any = 0.0):
        super().__init__(value=value.tolist() if isinstance(value, ndarray) else value)
        self.value = value

    def _init_weight(self, name: str, arr: ndarray) -> None:
        arr[...] = self.value


class Uniform(Initializer):
    """Draw from U(-scale, scale)."""

    def __init__(self, scale: float = 0.07):
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, name: str, arr: ndarray) -> None:
        arr[...] = random.uniform(-self.scale, self.scale, arr.shape)


class Normal(Initializer):
    """Draw from N(0, sigma²)."""

    def __init__(self, sigma: float = 0.01):
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, name: str, arr: ndarray) -> None:
        arr[...] = random.normal(0, self.sigma, arr.shape)


class Orthogonal(Initializer):
    """Fill with scale times a matrix of orthonormal rows or columns (Saxe et al. 2013)."""

    def __init__(self, scale: float = 1.414, rand_type: str = "uniform"):
        super().__init__(scale=scale, rand_type=rand_type)
        self.scale, self.rand_type = scale, rand_type

    def _init_weight(self, name: str, arr: ndarray) -> None:
        shape = (arr.shape[0], int(onp.prod(arr.shape[1:])))
        if self.rand_type == "uniform":
            drawn = npx.random.legacy_uniform(-1, 1, shape)
        elif self.rand_type == "normal":
            drawn = npx.random.legacy_normal(0, 1, shape)
        else:
            raise ArgumentError(f"Orthogonal: rand_type must be 'uniform' or 'normal', got {self.rand_type!r}.")
        u, _, v = onp.linalg.svd(drawn._data, full_matrices=False)
        arr[...] = self.scale * (u if u.shape == shape else v).reshape(arr.shape)


class Xavier(Initializer):
    """Draw with variance magnitude / (3 f) for a uniform, magnitude / f for a gaussian (Glorot & Bengio 2010).

    f is fan-in, fan-out or their mean: `factor_type` "in", "out" or "avg". For a weight of shape (out, in, ...) the
    fans are out and in times the product of the further sizes.
    """

    def __init__(self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3):
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        if rnd_type not in ("uniform", "gaussian"):
            raise ArgumentError(f"Xavier: rnd_type must be 'uniform' or 'gaussian', got {rnd_type!r}.")
        if factor_type not in ("in", "out", "avg"):
            raise ArgumentError(f"Xavier: factor_type must be 'in', 'out' or 'avg', got {factor_type!r}.")
        self.rnd_type, self.factor_type, self.magnitude = rnd_type, factor_type, float(magnitude)

    def bound(self, name: str, shape: tuple) -> float:
        """sqrt(magnitude / f), the half-width of the uniform or the deviation of the gaussian."""
        if len(shape) < 2:
            raise ArgumentError(
                f"Xavier initializer cannot be applied to vector {name}. It requires at least 2D. Got shape {shape}."
            )
        field = math.prod(shape[2:])
        fans = {"in": shape[1] * field, "out": shape[0] * field}
        fans["avg"] = (fans["in"] + fans["out"]) / 2
        return math.sqrt(self.magnitude / fans[self.factor_type])

    def _init_weight(self, name: str, arr: ndarray) -> None:
        b = self.bound(name, arr.shape)
        arr[...] = random.uniform(-b, b, arr.shape) if self.rnd_type == "uniform" else random.normal(0, b, arr.shape)


class MSRAPrelu(Xavier):
    """Xavier for rectifiers of the given slope: a gaussian of magnitude 2 / (1 + slope²) (He et al. 2015)."""

    def __init__(self, factor_type: str = "avg", slope: float = 0.25):
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope**2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}


class Bilinear(Initializer):
    """Fill with the weights of bilinear upsampling: (channels, 1, h, w)."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: ndarray) -> None:
        if arr.ndim != 4:
            raise ArgumentError(f"Bilinear fills weights of four axes, {name} has shape {arr.shape}.")
        height, width = arr.shape[2:]
        f = math.ceil(width / 2)
        c = (2 * f - 1 - f % 2) / (2 * f)
        rows, columns = (1 - onp.abs(onp.arange(n) / f - c) for n in (height, width))
        arr[...] = onp.broadcast_to(rows[:, None] * columns, arr.shape)


class LSTMBias(Initializer):
    """Fill an LSTM's bias with 0, its forget gate (the second quarter) with `forget_bias`."""

    def __init__(self, forget_bias: float = 1.0):
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, name: str, arr: ndarray) -> None:
        quarter = arr.shape[0] // 4
        arr[...] = 0
        arr[quarter : 2 * quarter] = self.forget_bias


class Load:
    """Fill from a dict (or file) of arrays by name, and what is missing there from `default_init`."""

    def __init__(self, param: Any, default_init: Any = None, verbose: bool = False):
        loaded = npx.load(param) if not isinstance(param, dict) else param
        if not isinstance(loaded, dict):
            raise ArgumentError(f"File '{param}' holds a list without names; init.Load finds arrays by name.")
        self.param = {re.sub("^(arg|aux):", "", name): value for name, value in loaded.items()}
        self.default_init, self.verbose = default_init, verbose

    def __call__(self, name: str, arr: ndarray) -> None:
        """Fill `arr` from the array of this name."""
        if name in self.param:
            value = self.param[name]
            if value.shape != arr.shape:
                raise ArgumentError(f"Parameter {name} has shape {arr.shape}, the loaded array has {value.shape}.")
            arr[...] = value
        elif self.default_init is not None:
            self.default_init(name, arr)
        else:
            raise ArgumentError(
                f"Cannot Initialize {name}. Not found in loaded param and no default Initializer is given."
            )
        if self.verbose:
            print(f"Initialized {name} by {'loading' if name in self.param else 'default'}")


class Mixed:
    """Choose the initializer by the first regular expression that matches the parameter's name."""

    def __init__(self, patterns: list[str], initializers: list):
        if len(patterns) != len(initializers):
            raise ArgumentError(f"Mixed: {len(patterns)} patterns, {len(initializers)} initializers.")
        self.map = [(re.compile(p), create(i)) for p, i in zip(patterns, initializers, strict=True)]

    def __call__(self, name: str, arr: ndarray) -> None:
        """Fill `arr` by the initializer whose pattern matches."""
        for pattern, initializer in self.map:
            if pattern.match(name):
                initializer(name, arr)
                return
        raise ArgumentError(
            f"Parameter name {name} did not match any pattern of Mixed. Consider adding a '.*' pattern at the end."
        )


def fill(initializer: Any, name: str, shape: tuple, dtype: Any) -> ndarray:
    """Return a new array filled by the initializer; its own name is in every error."""
    arr = wrap(onp.zeros(shape, dtype))
    initializer(InitDesc(name), arr)
    return arr
