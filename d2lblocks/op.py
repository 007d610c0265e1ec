"""The one door: every array operation is an `Op`, its derivative rules stand beside it, and all ops are in `OPS`."""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, AxisError, MXNetError, NotRecordedError
from d2lblocks.tape import Node, Variable, state

OPS: dict[str, Op] = {}

# 1/0 is inf and log(-1) is nan, as on every accelerator; only warnings raised by this package's own lines are silenced.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"d2lblocks\.")

_UFUNC_DEFAULTS = {"where": True, "subok": True, "dtype": None, "casting": "same_kind", "order": "K"}


class Op:
    """A function of arrays that leaves a node on the tape.

    Called with arrays (and numbers) it unwraps them, runs `forward` on raw NumPy arrays and wraps the result. Called
    with raw arrays while rules run, it returns raw arrays: so one rule serves first and higher derivatives.
    """

    wrap: Callable[[onp.ndarray], Any]  # set by the array class, which lives one floor up
    memory = False  # forward returns (result, what the rules need besides)
    discrete = False  # results are counts, positions or truths: nothing to differentiate

    def __init__(self, forward: Callable, name: str | None = None):
        self.forward = forward
        self.name = name or forward.__name__
        self.__name__ = self.name
        self.__doc__ = forward.__doc__
        self.rules: dict[int, Callable] = {}
        self.joint: Callable | None = None
        self._read_signature(forward)
        OPS[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def _read_signature(self, forward: Callable) -> None:
        """Parameters before the `*` are arrays, those behind it are settings; *arrays takes any number."""
        parameters = inspect.signature(forward).parameters.values()
        self.arrays = {p.name: p.default for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
        self.settings = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
        self.variadic = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        self.arity = -1 if self.variadic else len(self.arrays)
        self.known = frozenset(self.settings)
        self.defaults = {p.name: p.default for p in parameters}
        if self.variadic:
            self.__signature__ = inspect.signature(forward)
        else:
            self.arrange(*self.arrays, *self.settings, "out")

    def arrange(self, *order: str) -> None:
        """Fix the order of positional arguments; by itself it is arrays, settings, out."""
        self.order = order
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shown = [inspect.Parameter(name, kind, default=self.defaults.get(name)) for name in order]
        self.__signature__ = inspect.Signature(shown)

    def vjp(self, *names: str) -> Callable:
        """Register the rule `rule(g, z, *args, **settings)` for the gradient of the named arguments."""

        def register(rule: Callable) -> Callable:
            for name in names:
                self.rules[list(self.arrays).index(name)] = rule
            return rule

        return register

    def vjps(self, rule: Callable) -> Callable:
        """Register one rule for all arguments: `rule(g, z, wanted, *args, **settings)` gives a gradient for each."""
        self.joint = rule
        return rule

    # ------------------------------------------------------------------------------------------ calling

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if len(args) != self.arity or (settings and not self.known.issuperset(settings)):
            args, settings, out = self._bind(args, settings)
            if out is not None:
                return self._store(out, self(*args, **settings))
        raw, ours = [], False
        for a in args:
            if isinstance(a, Variable):
                raw.append(a._data)
                ours = True
            else:
                raw.append(plain(a, self.name))
        try:
            z = self.forward(*raw, **settings)
        except (ValueError, TypeError, IndexError, OverflowError) as problem:
            raise explain(problem, self.name, raw) from None
        if not ours:
            return z.item() if isinstance(z, onp.generic) and not state.pulling else z  # of numbers, a number
        shown = z[0] if self.memory else z
        if state.recording and not self.discrete:
            parents = [(a._node, a._out) if isinstance(a, Variable) and a._node is not None else None for a in args]
            if any(parents):
                return self._recorded(args, raw, settings, parents, z, shown)
        if type(shown) is tuple:
            return tuple([self.wrap(part) for part in shown])
        return self.wrap(shown)

    def _recorded(self, args: Any, raw: list, settings: dict, parents: list, z: Any, shown: Any) -> Any:
        """Wrap the result and leave the node that made it."""
        watched = []
        for a in args:
            if isinstance(a, Variable):
                cell = a._watch()
                watched.append((cell, cell[0]))
        cell = [0]
        watched.append((cell, 0))
        node = Node(self, raw, settings, parents, z, watched)
        made = []
        for k, part in enumerate(shown if type(shown) is tuple else (shown,)):
            y = self.wrap(part)
            y._node, y._out, y._version = node, k, cell
            made.append(y)
        return tuple(made) if type(shown) is tuple else made[0]

    def _store(self, out: Any, result: Any) -> Any:
        """Write the result into the array given as `out`, which takes the result's place on the tape."""
        if not isinstance(out, Variable):
            raise ArrayTypeError(f"{self.name}: out must be an array, got {type(out).__name__}.")
        z = result._data if isinstance(result, Variable) else onp.asarray(result)
        refuse_recorded(out)
        if out._data.shape != z.shape or out._data.dtype != z.dtype:
            raise ArgumentError(
                f"{self.name}: out has shape {out._data.shape} and dtype {out._data.dtype}, "
                f"the result has shape {z.shape} and dtype {z.dtype}."
            )
        out._data[...] = z
        out._written()
        if isinstance(result, Variable) and result._node is not None:
            out._node, out._out, out._version = result._node, result._out, result._version
        return out

    def _bind(self, args: tuple, given: dict) -> tuple[tuple, dict, Any]:
        """Sort a call into (arrays, settings, out): an array given by keyword moves to its place on the tape."""
        if self.variadic:
            given = dict(given)
            return args, given, given.pop("out", None)
        if len(args) > len(self.order):
            raise TypeError(f"{self.name}() takes at most {len(self.order)} arguments, got {len(args)}.")
        bound = dict(zip(self.order, args, strict=False))
        for key, value in given.items():
            if key in bound:
                raise TypeError(f"{self.name}() got two values for {key!r}.")
            if key not in self.order:
                self._check_keyword(key, value)
                continue
            bound[key] = value
        out = bound.pop("out", None)
        arrays = []
        for name, default in self.arrays.items():
            value = bound.pop(name, default)
            if value is inspect.Parameter.empty:
                raise TypeError(f"{self.name}() misses its argument {name!r}.")
            arrays.append(value)
        return tuple(arrays), bound, out

    def _check_keyword(self, key: str, value: Any) -> None:
        if key not in _UFUNC_DEFAULTS:
            raise TypeError(f"{key} is an invalid keyword to function '{self.name}'")
        if not _is_known(key, value):
            raise TypeError(f"{key}={value} not understood for operator {self.name}")
        if value != _UFUNC_DEFAULTS[key]:
            raise NotImplementedError(f"{key}={value} is not implemented yet for operator {self.name}")

    # ------------------------------------------------------------------------------------------ derivatives

    def pullback(self, node: Node, incoming: dict, lift: Callable | None) -> list:
        """Return the gradient of each argument of `node` that somebody wants, None for the others."""
        args, z = node.args, node.outs
        if lift is not None:
            args = [_lifted(a, p, lift) for a, p in zip(args, node.parents, strict=True)]
            if self.memory:  # the memory is a constant of the recording, the shown result is on the tape
                z = (lift(z[0], node, 0), *[lift(onp.asarray(part), None, 0) for part in z[1:]])
            elif type(z) is tuple:
                z = tuple(lift(part, node, k) for k, part in enumerate(z))
            else:
                z = lift(onp.asarray(z), node, 0)
        if type(z) is tuple and not self.memory:
            g: Any = [incoming.get(k) for k in range(len(z))]
            g = [part * 0 if given is None else given for given, part in zip(g, z, strict=True)]
        else:
            g = incoming[0]
        if self.joint is not None:
            wanted = [parent is not None for parent in node.parents]
            return self.joint(g, z, wanted, *args, **node.settings)
        return [
            None if parent is None else self._rule(i)(g, z, *args, **node.settings)
            for i, parent in enumerate(node.parents)
        ]

    def _rule(self, i: int) -> Callable:
        try:
            return self.rules[i]
        except KeyError:
            name = list(self.arrays)[i] if i < len(self.arrays) else f"argument {i}"
            raise NotRecordedError(
                f"{self.name} has no derivative with respect to {name!r}. Take .detach() of that argument, "
                "or compute it outside autograd.record()."
            ) from None


class Elementwise(Op):
    """A NumPy ufunc with a derivative per argument; sums over broadcast axes are taken care of here, once."""

    def __init__(self, forward: Callable, rules: tuple, name: str, arrays: tuple[str, ...]):
        self._names = arrays
        super().__init__(forward, name)
        for i, rule in enumerate(rules):
            self.rules[i] = self._fitted(rule, i)

    def _read_signature(self, forward: Callable) -> None:
        self.arrays = dict.fromkeys(self._names, inspect.Parameter.empty)
        self.settings = []
        self.variadic = False
        self.arity = len(self._names)
        self.known = frozenset()
        self.defaults = self.arrays
        self.arrange(*self._names, "out")

    @staticmethod
    def _fitted(rule: Callable, i: int) -> Callable:
        return lambda g, z, *args: fit(rule(g, z, *args), args[i].shape)


def elementwise(forward: Callable, *rules: Callable, name: str | None = None, argument: str = "x") -> Elementwise:
    """Make an op of a function that acts number by number, and of its derivative rules, one per argument."""
    names = (argument,) if len(rules) == 1 else ("x1", "x2")
    return Elementwise(forward, rules, name or forward.__name__, names)


def op(forward: Callable) -> Op:
    """Make an op of a function of raw arrays; its rules follow with `@name.vjp("x")`."""
    return Op(forward)


def op_with_memory(forward: Callable) -> Op:
    """Make an op whose forward returns (result, memory...): callers see the result, rules see all as z."""
    made = Op(forward)
    made.memory = True
    return made


def discrete(forward: Callable) -> Op:
    """Make an op without derivative, because its results are positions, counts or truths."""
    made = Op(forward)
    made.discrete = True
    return made


def fit(dx: Any, shape: tuple) -> Any:
    """Sum dx over the axes along which an argument of this shape was broadcast."""
    if dx.shape == shape:
        return dx
    extra = dx.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and dx.shape[i + extra] != 1)
    return dx.sum(axis=axes).reshape(shape) if axes else dx


def _is_known(key: str, value: Any) -> bool:
    """Return whether NumPy's ufuncs know this value of the keyword, though we may not."""
    if key == "casting":
        return value in ("no", "equiv", "safe", "same_kind", "unsafe")
    if key != "dtype":
        return True
    try:
        onp.dtype(value)
    except TypeError:
        return False
    return True


def _lifted(a: Any, parent: tuple | None, lift: Callable) -> Any:
    if type(a) is not onp.ndarray:
        return a
    return lift(a, None, 0) if parent is None else lift(a, *parent)


def plain(a: Any, name: str) -> Any:
    """Return an argument that is no array of ours, if it may stand there: a number, None, or raw while rules run."""
    kind = type(a)
    if kind is float or kind is int or kind is bool or a is None:
        return a
    if isinstance(a, onp.generic | numbers.Number) and not isinstance(a, complex):
        return a.item() if isinstance(a, onp.generic) and not state.pulling else a
    if isinstance(a, onp.ndarray):
        if state.pulling:
            return a
        raise ArrayTypeError(
            f"{name}: a numpy.ndarray {a.shape} cannot take part, type {kind} not supported. Wrap it with np.array(...), "
            "where np is d2lblocks.np."
        )
    raise ArrayTypeError(
        f"{name}: unsupported operand of type {kind.__name__}; expected an ndarray or a number, type {kind} not "
        "supported. Lists become arrays by np.array(...)."
    )


def explain(problem: Exception, name: str, raw: list) -> Exception:
    """Return the error for the user: what the operation was given, and what NumPy says about it."""
    shapes = ", ".join(f"{a.shape} {a.dtype}" for a in raw if isinstance(a, onp.ndarray))
    text = str(problem).rstrip(". \n")
    if isinstance(problem, MXNetError):
        return problem
    if isinstance(problem, IndexError):  # NumPy's AxisError is one
        return AxisError(f"{name}: {text}. Given: {shapes}.")
    if isinstance(problem, TypeError):
        return ArrayTypeError(f"{name}: {text}. Given: {shapes}.")
    return ArgumentError(f"{name}: {text}. Given: {shapes}.")


def refuse_recorded(x: Variable) -> None:
    """Raise if x is in a graph being recorded: writing into it would falsify gradients."""
    if state.recording and x._node is not None:
        raise NotRecordedError(
            "in-place write refused inside autograd.record(): Assigning to NDArrays that are already in a computational "
            "graph will cause undefined behavior when evaluating gradients. Please call backward first to clear the "
            "graph or do this out side of a record section. Write y = y + ... (a new array) instead of +=, *=, "
            "y[idx] = x or out=x."
        )
