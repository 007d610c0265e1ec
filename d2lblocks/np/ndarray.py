"""The array class: numbers in a NumPy array, a place on the tape, and every operator and method in a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as onp

from d2lblocks import autograd
from d2lblocks.context import Context, kept
from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, explain
from d2lblocks.kernels.buffers import zeros_like
from d2lblocks.np import diagonals as D
from d2lblocks.np import elementwise as E
from d2lblocks.np import moves as M
from d2lblocks.np import products as L
from d2lblocks.np import reduce as R
from d2lblocks.np.dtypes import as_dtype, cast, copied
from d2lblocks.np.indexing import explain_key, part_of, raw_key, raw_value
from d2lblocks.np.official import call, counterpart, on_copies
from d2lblocks.np.text import array_text, formatted
from d2lblocks.op import OPS, Op, adopt, plain, refuse_recorded
from d2lblocks.rich import Rich
from d2lblocks.tape import Leaf, Variable, state

_new = object.__new__


def wrap(raw: Any, ctx: Context | None = None, node: Any = None, out: int = 0) -> ndarray:
    """Make an array of a raw NumPy array, without copying and without asking; `node` is what made it."""
    x = _new(ndarray)
    x._data = raw if type(raw) is onp.ndarray else onp.asarray(raw)
    x._node, x._out = node, out
    x._written_at = None
    x._ctx = ctx
    return x


class ndarray(Variable, Rich):
    """A multi-dimensional array with NumPy's manners, float32 by default, that autograd can follow."""

    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]  # arrays compare number by number, so they cannot be keys

    def __init__(self, *args: Any, **kwargs: Any):
        raise TypeError("Arrays are made by np.array(...), np.zeros(...), np.arange(...), not by np.ndarray(...).")

    _wrap = staticmethod(wrap)

    # ---------------------------------------------------------------------------------------- facts

    shape = property(lambda self: self._data.shape, doc="Sizes of the axes, a tuple.")
    ndim = property(lambda self: self._data.ndim, doc="Number of axes.")
    size = property(lambda self: self._data.size, doc="Number of entries.")
    dtype = property(lambda self: self._data.dtype, doc="Type of the entries.")
    itemsize = property(lambda self: self._data.itemsize, doc="Bytes of one entry.")
    nbytes = property(lambda self: self._data.nbytes, doc="Bytes of all entries.")
    stype = property(lambda self: "default", doc="Storage: always 'default', dense.")
    T = property(lambda self: M.transpose(self), doc="The axes in reverse order; a copy.")

    @property
    def ctx(self) -> Context:
        """Where the array lives."""
        return self._ctx or Context.default_ctx

    context = ctx
    device = ctx

    # ---------------------------------------------------------------------------------------- autograd

    @property
    def grad(self) -> ndarray | None:
        """The gradient buffer, None before attach_grad(); backward() writes into it."""
        node: Any = self._node
        return node.show(wrap(node.grad, self._ctx)) if type(node) is Leaf else None  # type: ignore[return-value]

    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Make this array a leaf: gradients flow here. On an intermediate result this cuts the graph."""
        autograd.check_grad_req(grad_req)
        if self._data.dtype.kind != "f":
            raise ArrayTypeError(
                f"Only float arrays have gradients, this one is {self.dtype}; use x.astype('float32')."
            )
        self._node, self._out = Leaf(zeros_like(self._data), grad_req, self._watch()), 0

    def detach(self) -> ndarray:
        """Return the same numbers, off the tape."""
        alias = wrap(self._data, self._ctx)
        alias._written_at = self._watch()
        return alias

    def backward(self, out_grad: Any = None, retain_graph: bool = False, train_mode: bool = True) -> None:
        """Write d(sum of self)/dx into x.grad of every leaf x that self was computed from."""
        autograd.backward(self, None if out_grad is None else [out_grad], retain_graph, train_mode)

    # ---------------------------------------------------------------------------------------- out to Python

    def asnumpy(self) -> onp.ndarray:
        """Return a copy as an official NumPy array; this leaves the tape."""
        return self._numbers().copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> onp.ndarray:
        return self._numbers().astype(dtype or self.dtype)

    def item(self, *args: Any) -> Any:
        """Return one entry as a Python number."""
        return self._numbers().item(*args)

    def tolist(self) -> Any:
        """Return nested lists of Python numbers."""
        return self._numbers().tolist()

    def _single(self) -> Any:
        if self._data.size != 1:
            raise TypeError(f"only size-1 arrays can be converted to Python scalars, this one has shape {self.shape}")
        return self._numbers().item()

    def __float__(self) -> float:
        return float(self._single())

    def __int__(self) -> int:
        return int(self._single())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            many = f"an ndarray with multiple elements is ambiguous {self.shape}; ask x.any() or x.all()."
            none = "an empty array is ambiguous; ask x.size > 0."
            raise ArgumentError(f"The truth value of {many if self._data.size else none}")
        return bool(self._numbers().item())

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of unsized object")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[ndarray]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value)._data.any())

    def __repr__(self) -> str:
        return array_text(self._data)

    def __str__(self) -> str:
        return str(self._data)

    def __format__(self, spec: str) -> str:
        return formatted(self._data, spec)

    def __reduce__(self) -> tuple:
        return _rebuild, (self._data, self._node.req if type(self._node) is Leaf else None, self._ctx)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> ndarray:
        return _rebuild(self._data.copy("K"), self._node.req if type(self._node) is Leaf else None, self._ctx)

    # ---------------------------------------------------------------------------------------- entries

    def __getitem__(self, key: Any) -> ndarray:
        data, raw = self._data, raw_key(key)
        if state.recording and self._node is not None:
            return M.get(self, key=raw)
        try:
            found, is_window = part_of(data, raw)
        except (IndexError, ValueError, TypeError) as problem:
            raise explain_key(problem, data) from None
        part = wrap(found, self._ctx)
        if is_window:  # writing into it writes here, so they share the cell
            part._written_at = self._watch()
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse_recorded(self)
        data, raw = self._data, raw_key(key)
        if isinstance(value, Variable):
            if state.recording and value._node is not None:
                whole = raw is ... or (type(raw) is slice and raw == slice(None))
                if whole and value._data.shape == data.shape and value._data.dtype == data.dtype:
                    copied(value, out=self)  # an untracked array that is overwritten whole joins the graph
                    return
                raise MXNetError(
                    "in-place write refused inside autograd.record(): the value is in a computational graph, and "
                    "y[i] = value would lose its gradient. Write y = y + ... or use np.where / np.concatenate."
                )
            value = value._data
            value = value.reshape(()) if value.size == 1 else value  # fills any place, a single entry too
        try:
            data[raw] = raw_value(value)
        except (IndexError, ValueError, TypeError, OverflowError) as problem:
            raise explain_key(problem, data) from None
        self._written()

    # ---------------------------------------------------------------------------------------- operators

    def _update(self, op: Op, other: Any) -> ndarray:
        """self = op(self, other) in the same buffer: whoever holds the array sees the new numbers."""
        refuse_recorded(self)
        if state.recording and isinstance(other, Variable) and other._node is not None:
            before = wrap(self._data.copy())  # rules may read the numbers that are overwritten here
            z = op(before, other)  # an untracked sum joins the graph with what is added to it
            self._check_result(z._data, op.name)
            self._data[...] = z._data
            self._written()  # older nodes may hold this buffer
            self._node, self._out, self._written_at = z._node, z._out, z._written_at
            return self
        raw = other._data if isinstance(other, Variable) else plain(other, op.name)
        try:
            z = op.forward(self._data, raw)
        except (ValueError, TypeError, OverflowError) as problem:
            raise explain(problem, op.name, [self._data, raw]) from None
        self._check_result(z, op.name)
        self._data[...] = z
        self._written()
        return self

    def _check_result(self, z: Any, name: str) -> None:
        if z.shape != self._data.shape:
            raise ArgumentError(f"In-place {name}: the result has shape {z.shape}, the array has {self.shape}.")
        if self._data.dtype.kind in "iub" and z.dtype.kind == "f":
            raise ArrayTypeError(
                f"In-place {name}: the result is {z.dtype}, the array {self.dtype}; write x = x + y, a new array."
            )

    def __eq__(self, other: Any) -> Any:
        return wrap(onp.zeros(self.shape, bool)) if other is None else E.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return wrap(onp.ones(self.shape, bool)) if other is None else E.not_equal(self, other)

    __lt__ = lambda self, other: E.less(self, other)
    __le__ = lambda self, other: E.less_equal(self, other)
    __gt__ = lambda self, other: E.greater(self, other)
    __ge__ = lambda self, other: E.greater_equal(self, other)
    __add__ = lambda self, other: E.add(self, other)
    __radd__ = lambda self, other: E.add(other, self)
    __sub__ = lambda self, other: E.subtract(self, other)
    __rsub__ = lambda self, other: E.subtract(other, self)
    __mul__ = lambda self, other: E.multiply(self, other)
    __rmul__ = lambda self, other: E.multiply(other, self)
    __truediv__ = lambda self, other: E.divide(self, other)
    __rtruediv__ = lambda self, other: E.divide(other, self)
    __floordiv__ = lambda self, other: E.floor_divide(self, other)
    __rfloordiv__ = lambda self, other: E.floor_divide(other, self)
    __mod__ = lambda self, other: E.mod(self, other)
    __rmod__ = lambda self, other: E.mod(other, self)
    __pow__ = lambda self, other: E.power(self, other)
    __rpow__ = lambda self, other: E.power(other, self)
    __matmul__ = lambda self, other: L.matmul(self, other)
    __rmatmul__ = lambda self, other: L.matmul(other, self)
    __and__ = lambda self, other: E.bitwise_and(self, other)
    __or__ = lambda self, other: E.bitwise_or(self, other)
    __xor__ = lambda self, other: E.bitwise_xor(self, other)
    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __neg__ = lambda self: E.negative(self)
    __pos__ = lambda self: self
    __round__ = lambda self, n=0: E.round(self, decimals=n)
    __abs__ = lambda self: E.absolute(self)
    __invert__ = lambda self: E.invert(self)
    __iadd__ = lambda self, other: self._update(E.add, other)
    __isub__ = lambda self, other: self._update(E.subtract, other)
    __imul__ = lambda self, other: self._update(E.multiply, other)
    __itruediv__ = lambda self, other: self._update(E.divide, other)
    __imod__ = lambda self, other: self._update(E.mod, other)
    __ipow__ = lambda self, other: self._update(E.power, other)
    __ifloordiv__ = lambda self, other: self._update(E.floor_divide, other)
    __imatmul__ = lambda self, other: self._update(L.matmul, other)
    __iand__ = lambda self, other: self._update(E.bitwise_and, other)
    __ior__ = lambda self, other: self._update(E.bitwise_or, other)
    __ixor__ = lambda self, other: self._update(E.bitwise_xor, other)

    # ---------------------------------------------------------------------------------------- methods

    sum = lambda self, axis=None, dtype=None, out=None, keepdims=False: M.sum(
        self, axis=axis, dtype=dtype, keepdims=keepdims, out=out
    )
    mean = lambda self, axis=None, dtype=None, out=None, keepdims=False: R.mean(
        self, axis=axis, dtype=dtype, keepdims=keepdims, out=out
    )
    max = lambda self, axis=None, out=None, keepdims=False: R.max(self, axis=axis, keepdims=keepdims, out=out)
    min = lambda self, axis=None, out=None, keepdims=False: R.min(self, axis=axis, keepdims=keepdims, out=out)
    prod = lambda self, axis=None, dtype=None, out=None, keepdims=False: R.prod(
        self, axis=axis, dtype=dtype, keepdims=keepdims, out=out
    )
    all = lambda self, axis=None, out=None, keepdims=False: R.all(self, axis=axis, keepdims=keepdims, out=out)
    any = lambda self, axis=None, out=None, keepdims=False: R.any(self, axis=axis, keepdims=keepdims, out=out)
    argmax = lambda self, axis=None, out=None: R.argmax(self, axis=axis, out=out)
    argmin = lambda self, axis=None, out=None: R.argmin(self, axis=axis, out=out)
    argsort = lambda self, axis=-1, kind=None, order=None: R.argsort(self, axis=axis)
    cumsum = lambda self, axis=None, dtype=None, out=None: R.cumsum(self, axis=axis, dtype=dtype, out=out)
    var, std = R.var, R.std
    sort = lambda self, axis=-1, kind=None, order=None: self.__setitem__(..., wrap(onp.sort(self._data, axis)))
    nonzero = R.nonzero
    clip = lambda self, min=None, max=None, out=None: E.clip(self, a_min=min, a_max=max, out=out)
    round = lambda self, decimals=0, out=None, **kwargs: E.round(self, decimals=decimals, out=out, **kwargs)
    dot = lambda self, b, out=None: (
        L.dot(self, b, out) if type(b) is ndarray or not hasattr(type(b), "__rdot__") else b.__rdot__(self)
    )
    squeeze = lambda self, axis=None: M.squeeze(self, axis=axis)
    swapaxes = M.swapaxes
    diagonal, trace = D.diagonal, D.trace
    repeat = lambda self, repeats, axis=None: M.repeat(self, repeats=repeats, axis=axis)
    take = lambda self, indices, axis=None, mode="raise": M.take(self, indices, axis=axis, mode=mode)
    broadcast_to = lambda self, shape: M.broadcast_to(self, shape=shape)
    flatten = lambda self, order="C": M.reshape(self, newshape=(-1,), order=order)
    ravel = flatten

    def reshape(self, *shape: Any, order: str = "C", newshape: Any = None) -> ndarray:
        """Give the same numbers another shape: x.reshape(2, -1) or x.reshape((2, -1)); a copy."""
        if newshape is not None:
            shape = (newshape,)
        return M.reshape(self, newshape=shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> ndarray:
        """Permute the axes: x.transpose(1, 0) or x.transpose((1, 0)); without arguments reverse them."""
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return M.transpose(self, axes=axes or None)

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> ndarray:
        """Return the numbers in another dtype; a copy unless copy=False and nothing changes."""
        if order not in ("K", "C") or casting != "unsafe":
            raise ArgumentError(f"astype: only order='K' and casting='unsafe' exist, got {order!r} and {casting!r}.")
        kind = as_dtype(dtype)
        return self if not copy and kind == self.dtype else cast(self, dtype=kind)

    def copy(self, order: str = "C") -> ndarray:
        """Return a copy, on the tape if this array is."""
        if order != "C":
            raise NotImplementedError(f"order={order!r} is not implemented for copy; only 'C'.")
        return copied(self)

    def copyto(self, other: Any) -> ndarray:
        """Copy the numbers into another array, or to a context as a new array."""
        if isinstance(other, Context):
            there = self.copy()
            there._ctx = kept(other)
            return there
        other[...] = self
        return other

    def as_in_ctx(self, ctx: Context) -> ndarray:
        """Return this array if it lives there, else a copy that does."""
        return self if ctx == self.ctx else self.copyto(ctx)

    as_in_context = lambda self, context: self.as_in_ctx(context)
    to_device = as_in_ctx

    as_np_ndarray = as_nd_ndarray = lambda self: self  # there is one kind of array

    def wait_to_read(self) -> None:
        """Return at once: every operation has finished when its call returns."""

    # ---------------------------------------------------------------------------------------- beside official NumPy

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """onp.exp(x) is our exp(x); an official array beside ours is refused, as in our own functions."""
        ours = counterpart(ufunc)
        mixed = any(isinstance(x, onp.ndarray) for x in inputs)
        if method != "__call__" or (mixed and (ours is None or "out" in kwargs)):
            raise ArrayTypeError(
                f"numpy.{ufunc.__name__} does not take arrays of d2lblocks{' beside numpy.ndarrays' * mixed}; write "
                "x.asnumpy() or np.array(...)."
            )
        if ours is None:
            return on_copies(ufunc, inputs, kwargs)
        if "out" in kwargs:
            kwargs["out"] = kwargs["out"][0]
        return ours(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        """onp.sum(x) is our sum(x); functions we do not have run on copies and leave the tape."""
        return call(func, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        cure = f" Write np.{name}(x) or npx.{name}(x)." if name in OPS else ""
        raise AttributeError(f"d2lblocks.np.ndarray object has no attribute {name}.{cure}", name=name, obj=self)


def _rebuild(raw: onp.ndarray, grad_req: str | None, ctx: Context | None = None) -> ndarray:
    """Make an array again from what a pickle or a deep copy kept."""
    x = wrap(raw, ctx)
    if grad_req is not None:
        x.attach_grad(grad_req)
    return x


adopt(ndarray, wrap)
