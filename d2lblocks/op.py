"""The one door: every array operation is an `Op`, its derivative rules stand beside it, and all ops are in `OPS`."""

from __future__ import annotations

import functools
import numbers
import warnings
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, ParamSpec, TypeVar

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, NotRecordedError, explain, kind_of
from d2lblocks.rich import Rich
from d2lblocks.tape import Node, Recorded, Variable, buffers, state, whose

P = ParamSpec("P")
T = TypeVar("T")

OPS: dict[str, Op] = {}

Array: type[Variable]  # the array class and the way to make one, which live one floor up
wrap: Callable[..., Any]


def adopt(array_class: type[Variable], make: Callable[..., Any]) -> None:
    """Let ops take and return arrays of this class."""
    global Array, wrap
    Array, wrap = array_class, make


# 1/0 is inf and log(-1) is nan, as on every accelerator; only warnings raised by this package's own lines are silenced.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"d2lblocks\.")

_UFUNC_DEFAULTS = {"where": True, "subok": True, "dtype": None, "casting": "same_kind", "order": "K"}


class Op(Recorded, Rich):
    """A function of arrays that leaves a node on the tape.

    Called with arrays (and numbers) it unwraps them, runs `forward` on raw NumPy arrays and wraps the result. Called
    with raw arrays while rules run, it returns raw arrays: so one rule serves first and higher derivatives.
    """

    stand_in: Any = None  # what arrays are while a forward is traced
    quick: Callable[[Node, Any, dict | None], list] | None = None  # all rules in one, for raw numbers: see `pullback`
    row: Any = None  # how a step of this op becomes rows of a program, see npx/rows.py
    row_back: Any = None  # and the step back

    def __init__(self, forward: Callable, name: str | None = None):
        self.forward = forward
        self.memory = False  # forward returns (result, what the rules need besides)
        self.discrete = False  # results are counts, positions or truths: nothing to differentiate
        self.name = self.title = name or forward.__name__  # `title` is the public name, for messages
        self.__name__ = self.name
        self.__doc__ = forward.__doc__
        self.rules: dict[int, Callable] = {}
        self.joint: Callable | None = None
        self._read_signature(forward)
        OPS[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple:
        return _named, (self.name,)  # a pickle keeps the name, and a copy is the op itself

    def _read_signature(self, forward: Callable) -> None:
        """Parameters before the `*` are arrays, those behind it are settings; *arrays takes any number."""
        parameters = signature(forward).parameters.values()
        self.arrays = {p.name: p.default for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
        self.settings = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
        self.variadic = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        self.arity = -1 if self.variadic else len(self.arrays)
        self.known = frozenset(self.settings)
        self.optional = None in self.arrays.values()
        self.defaults = {p.name: p.default for p in parameters}
        self.__signature__ = signature(forward)
        if not self.variadic:
            self.arrange(*self.arrays, *self.settings, "out")

    def arrange(self, *order: str) -> None:
        """Fix the order of positional arguments; by itself it is arrays, settings, out."""
        self.order = order
        shown = [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD, default=self.defaults.get(n)) for n in order]
        self.__signature__ = Signature(shown)

    def vjp(self, *names: str) -> Callable:
        """Register the rule `rule(g, z, *args, **settings)` for the gradient of the named arguments."""

        def register(rule: Callable) -> Callable:
            for name in names:
                self.rules[list(self.arrays).index(name)] = rule
            return rule

        return register

    def vjps(self, rule: Callable) -> Callable:
        """Register one rule for all arguments: `rule(g, z, wanted, *args, **settings)` gives a gradient for each.

        wanted has None for an argument whose gradient nobody wants, else True, or a buffer that the rule may write the
        gradient into and return: a leaf's own, which saves a copy.
        """
        self.joint = rule
        return rule

    # ------------------------------------------------------------------------------------------ calling

    def __call__(self, *args: Any, **settings: Any) -> Any:
        out = settings.pop("out", None) if settings else None
        if len(args) != self.arity or (settings and not self.known.issuperset(settings)):
            args, settings, out = self._bind(args, settings, out)
        return self.apply(args, settings) if out is None else self._store(out, self.apply(args, settings))

    def apply(self, args: tuple, settings: dict) -> Any:
        """Call with the arrays in their places and the settings by name: the way in for callers who know both."""
        raw, first, tracked = [], None, False
        for a in args:
            if type(a) is Array:
                raw.append(a._data)
                if first is None:
                    first = a
                if a._node is not None:
                    tracked = True
            elif type(a) is self.stand_in:
                return a._trace.call(self, args, settings)
            else:
                raw.append(a if a is None and self.optional else plain(a, self.title))
        if state.trace is not None and first is not None:
            return state.trace.call(
                self, args, settings
            )  # of arrays that were there before: they may be others next time
        try:
            z = self.forward(*raw, **settings) if settings else self.forward(*raw)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as problem:
            raise explain(problem, self.title, raw, settings) from None
        if first is None:
            return z.item() if isinstance(z, onp.generic) and not state.pulling else z  # of numbers, a number
        shown = z[0] if self.memory else z
        ctx = first._ctx
        if tracked and state.recording and not self.discrete:
            return self._recorded(args, raw, settings, z, shown, ctx)
        return wrap(shown, ctx) if type(shown) is not tuple else tuple([wrap(part, ctx) for part in shown])

    def again(self, args: tuple, settings: dict, z: Any) -> Any:
        """Return the result of a call that was made before, with its memory, as that of a call with these arrays."""
        return self._recorded(args, [getattr(a, "_data", a) for a in args], settings, z, z[0], None)

    def _recorded(self, args: Any, raw: list, settings: dict, z: Any, shown: Any, ctx: Any) -> Any:
        """Wrap the result and leave the node that made it."""
        parents, watched = [], ()
        for a in args:
            if type(a) is not Array:
                parents.append(None)
            elif a._node is not None:
                parents.append((a._node, a._out) if a._out else a._node)
            else:
                parents.append(None)
                watched += (a._written_at or a._watch(),)
        if type(shown) is not tuple:
            return wrap(shown, ctx, Node(self, raw, settings, parents, z, 1, watched))
        node = Node(self, raw, settings, parents, z, len(shown), watched)
        return tuple([wrap(part, ctx, node, k) for k, part in enumerate(shown)])

    def _store(self, out: Any, result: Any) -> Any:
        """Write the result into the array given as `out`, which takes the result's place on the tape."""
        if not isinstance(out, Variable):
            raise ArrayTypeError(f"{self.title}: out must be an array made by np.array(...), got {kind_of(out)}.")
        z = result._data if isinstance(result, Variable) else onp.asarray(result)
        refuse_recorded(out)
        if out._data.shape != z.shape or out._data.dtype != z.dtype:
            raise (ArgumentError if out._data.dtype == z.dtype else ArrayTypeError)(
                f"{self.title}: out has shape {out._data.shape} and dtype {out._data.dtype}, "
                f"the result has shape {z.shape} and dtype {z.dtype}."
            )
        out._data[...] = z
        out._written()
        if isinstance(result, Variable) and result._node is not None:  # recorded: from now on `out` is that result
            out._node, out._out, out._written_at = result._node, result._out, result._written_at
        return out

    def _bind(self, args: tuple, given: dict, out: Any) -> tuple[tuple, dict, Any]:
        """Sort a call into (arrays, settings, out): an array given by keyword moves to its place on the tape."""
        if self.variadic:
            return args, given, out
        if len(args) > len(self.order):
            raise TypeError(f"{self.title}() takes at most {len(self.order)} arguments, got {len(args)}.")
        bound = dict(zip(self.order, args, strict=False))
        for key, value in given.items():
            if key in bound:
                raise TypeError(f"{self.title}() got two values for {key!r}.")
            if key not in self.order:
                self._check_keyword(key, value)
                continue
            bound[key] = value
        out = bound.pop("out", out)
        arrays = []
        for name, default in self.arrays.items():
            value = bound.pop(name, default)
            if value is Parameter.empty:
                raise TypeError(f"{self.title}() misses its argument {name!r}.")
            arrays.append(value)
        return tuple(arrays), bound, out

    def _check_keyword(self, key: str, value: Any) -> None:
        if key not in _UFUNC_DEFAULTS:
            raise TypeError(f"{key} is an invalid keyword to function '{self.title}'")
        names = {"casting": "no equiv safe same_kind unsafe".split(), "dtype": onp.sctypeDict}.get(key)
        if names and isinstance(value, str) and value not in names:
            raise TypeError(f"{key}={value} not understood for operator {self.title}")
        if value != _UFUNC_DEFAULTS[key]:
            raise NotImplementedError(f"{key}={value} is not implemented yet for operator {self.title}")

    # ------------------------------------------------------------------------------------------ derivatives

    def pullback(self, node: Node, g: Any, grads: dict | None, lift: Callable | None) -> list:
        """Return the gradient of each argument of `node` that somebody wants, None for the others.

        g is the gradient of the output, or a list of them (None where none came in) if there are several; for grads see
        `tape.buffers`.
        """
        if lift is None and self.quick is not None:
            return self.quick(node, g, grads)
        args, z = node.args, node.outs
        if lift is not None:
            args = [_lifted(a, p, lift) for a, p in zip(args, node.parents, strict=True)]
            z = self._lifted_result(node, lift)
        if type(z) is tuple and not self.memory:
            g = [part * 0 if given is None else given for given, part in zip(g, z, strict=True)]
        if self.joint is not None:
            return self.joint(g, z, buffers(node.parents, grads), *args, **node.settings)
        return [
            None if parent is None else self._rule(i)(g, z, *args, **node.settings)
            for i, parent in enumerate(node.parents)
        ]

    def _lifted_result(self, node: Node, lift: Callable) -> Any:
        """Return the node's outputs as arrays on the tape; an op's memory is a constant of the recording."""
        z = node.outs
        if self.memory:
            return (lift(z[0], node, 0), *[lift(onp.asarray(part), None, 0) for part in z[1:]])
        if type(z) is tuple:
            return tuple(lift(part, node, k) for k, part in enumerate(z))
        return lift(onp.asarray(z), node, 0)

    def _rule(self, i: int) -> Callable:
        try:
            return self.rules[i]
        except KeyError:
            name = list(self.arrays)[i] if i < len(self.arrays) else f"argument {i}"
            raise NotRecordedError(
                f"{self.title} has no derivative with respect to {name!r}. Take .detach() of that argument, "
                "or compute it outside autograd.record()."
            ) from None


def _named(name: str) -> Op:
    return OPS[name]


class Elementwise(Op):
    """A NumPy ufunc with a derivative per argument; sums over broadcast axes are taken care of here, once."""

    def __init__(self, forward: Callable, rules: tuple, name: str, arrays: tuple[str, ...]):
        self._names = arrays
        super().__init__(forward, name)
        for i, rule in enumerate(rules):
            self.rules[i] = self._fitted(rule, i)

    def _read_signature(self, forward: Callable) -> None:
        self.arrays = dict.fromkeys(self._names, Parameter.empty)
        self.settings, self.variadic = [], False
        self.arity = len(self._names)
        self.known, self.optional, self.defaults = frozenset(), False, self.arrays
        self.arrange(*self._names, "out")

    @staticmethod
    def _fitted(rule: Callable, i: int) -> Callable:
        return lambda g, z, *args: fit(rule(g, z, *args), args[i].shape)


def elementwise(forward: Callable, *rules: Callable, name: str | None = None, of: str = "x") -> Elementwise:
    """Make an op of a function that acts number by number, and of its derivative rules, one per argument."""
    names = (of,) if len(rules) == 1 else ("x1", "x2")
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


def _lifted(a: Any, parent: Any, lift: Callable) -> Any:
    if type(a) is not onp.ndarray:
        return a
    return lift(a, *whose(parent))


def plain(a: Any, name: str) -> Any:
    """Return an argument that is no array of ours, if it may stand there: a number, or a raw array while rules run."""
    kind = type(a)
    if kind is float or kind is int or kind is bool:
        return a
    if isinstance(a, onp.generic | numbers.Number) and not isinstance(a, complex):
        return a.item() if isinstance(a, onp.generic) and not state.pulling else a
    if isinstance(a, Variable):  # a stand-in, such as that of a parameter of unknown size, says why it has no numbers
        return a._data
    if isinstance(a, onp.ndarray):
        if state.pulling:
            return a
        raise ArrayTypeError(
            f"{name}: a numpy.ndarray of shape {a.shape} is not supported here. Wrap it with np.array(...), where np is "
            "d2lblocks.np."
        )
    raise ArrayTypeError(
        f"{name}: {kind_of(a)} is not supported here, expected an ndarray or a number. "
        + ("Did a function end without `return`?" if a is None else "Lists of numbers become arrays by np.array(...).")
    )


def composed(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function made of ops speak like an op where its own lines fail: `np.split` of a list, an axis too far."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError) as problem:
            if isinstance(problem, MXNetError) or (isinstance(problem, AttributeError) and _ours(problem.obj)):
                raise
            parts = [p for a in args for p in (a if isinstance(a, list | tuple) and _any_array(a) else [a])]
            raise explain(problem, function.__name__, parts, kwargs) from None

    return call


def _any_array(parts: Any) -> bool:
    return any(isinstance(part, Variable | onp.ndarray) for part in parts)


def _ours(thing: Any) -> bool:
    return isinstance(thing, Variable) or getattr(type(thing), "__module__", "").startswith("d2lblocks")


def refuse_recorded(x: Variable) -> None:
    """Raise if x is in a graph being recorded: writing into it would falsify gradients."""
    if state.trace is not None:
        state.trace.refuse()  # a program writes nowhere
    if state.recording and x._node is not None:
        raise NotRecordedError(
            "in-place write refused inside autograd.record(): this array is in the computational graph, and overwriting it "
            "would falsify gradients. Write y = y + ... (a new array) instead of +=, *=, y[idx] = x or out=x, or write "
            "outside record() after backward()."
        )
