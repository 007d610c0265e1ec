"""A parameter: an array that a net learns. New, then waiting for its shape, then ready."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks import autograd, initializer
from d2lblocks.context import Context, current_context, require_cpu
from d2lblocks.errors import (
    ArgumentError,
    ArrayTypeError,
    DeferredInitializationError,
    MismatchError,
    MXNetError,
    kind_of,
    warn,
)
from d2lblocks.gluon.watch import tell
from d2lblocks.kernels.buffers import empty, placed
from d2lblocks.np.creation import array
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.rich import Rich
from d2lblocks.tape import changes, state

_NEW = (
    "Parameter '{}' has not been initialized. Note that you should initialize parameters and create Trainer with "
    "Block.collect_params() instead of Block.params because the later does not include Parameters of nested child "
    "Blocks. Call net.initialize() first; after adding layers, call net.initialize() again."
)
_WAITING = (
    "Parameter '{}' has not been initialized yet because initialization was deferred. Actual initialization happens "
    "during the first forward pass. Please pass one batch of data through the network before accessing Parameters. "
    "You can also avoid deferred initialization by specifying in_units, num_features, etc., for network layers."
)


class Parameter(Rich):
    """A named array with a gradient, made when its shape is known.

    Args:
        shape: sizes; 0 or -1 marks one that the first batch will tell.
        init: its own initializer, stronger than the one given to `net.initialize`.
        grad_req: 'write' (each backward overwrites the gradient), 'add' (adds up) or 'null' (no gradient).
    """

    def __init__(self, name: str, grad_req: str = "write", shape: Any = None, dtype: Any = onp.float32,
                 lr_mult: float = 1.0, wd_mult: float = 1.0, init: Any = None, allow_deferred_init: bool = False,
                 differentiable: bool = True, stype: str = "default", grad_stype: str = "default"):  # fmt: skip
        self.name = name
        self.lr_mult, self.wd_mult = lr_mult, wd_mult
        self.init = init
        self._differentiable = differentiable
        self._allow_deferred_init = allow_deferred_init
        self._declared = known_sizes(shape)
        self._shape: Any = self._declared
        as_dtype(dtype)  # an unknown dtype is refused here, not at the first batch
        for what, kind in (("stype", stype), ("grad_stype", grad_stype)):
            if kind not in ("default", "row_sparse", "csr"):
                raise MismatchError(
                    f"{what} for Parameter '{name}' must be one of 'default', 'row_sparse', or 'csr', but got {kind!r}"
                )
        self._dtype = dtype
        self._data: ndarray | None = None  # the copy on the first context
        self._copies: list[ndarray] = []  # one per context
        self._pending: tuple | None = None  # (initializer, contexts) of a waiting parameter
        self._chosen: Any = None  # the initializer that filled it first, None if its numbers were given
        self._order: Any = "C"  # how the numbers lie in memory: "F" puts the columns of a matrix side by side
        self._grad_req = "null"
        self.grad_req = grad_req

    def __repr__(self) -> str:
        return f"Parameter {self.name} (shape={self.shape}, dtype={self.dtype})"

    # ---------------------------------------------------------------------------------------- facts

    @property
    def state(self) -> str:
        """'new' before initialize(), 'waiting' while its shape is unknown, then 'ready'."""
        if self._data is not None:
            return "ready"
        return "new" if self._pending is None else "waiting"

    @property
    def shape(self) -> Any:
        """A tuple of the sizes of the axes, -1 where unknown; None where nothing is known."""
        return self._shape

    @shape.setter
    def shape(self, new: Any) -> None:
        new = known_sizes(new)
        if self._shape is not None:
            fits = new is not None and len(new) == len(self._shape)
            if not fits or any(old not in (-1, n) for old, n in zip(self._shape, new or (), strict=True)):
                unknown = " (-1: not known yet)" if -1 in self._shape else ""
                transposed = new is not None and new[::-1] == self._shape
                cure = "Write x.T." if transposed else "Give numbers of the first, or make a layer of other sizes."
                raise MismatchError(
                    f"Expected shape {self._shape}{unknown} is incompatible with given shape {new}: the first is that of "
                    f"Parameter '{self.name}', the second is new. {cure}"
                )
        self._shape = new

    @property
    def dtype(self) -> Any:
        """The dtype as it was given."""
        return self._dtype

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        self.cast(dtype)

    @property
    def grad_req(self) -> str:
        """How gradients are kept: 'write', 'add' or 'null'."""
        return self._grad_req

    @grad_req.setter
    def grad_req(self, req: str) -> None:
        if req not in autograd.GRAD_REQS:
            raise MismatchError(f"grad_req must be one of 'write', 'add', or 'null', but got {req!r}")
        req = req if self._differentiable else "null"
        if req != self._grad_req:
            self._check_learns(req, self._data)
            self._grad_req = req
            self._attach(self._copies)

    def _known(self) -> bool:
        return self._shape is not None and all(n >= 0 for n in self._shape)

    # ---------------------------------------------------------------------------------------- becoming ready

    def initialize(
        self, init: Any = None, ctx: Any = None, default_init: Any = None, force_reinit: bool = False
    ) -> None:
        """Fill the parameter now, or when the first batch tells its shape.

        Raises:
            ValueError: the shape is unknown and may not wait.
        """
        if self._data is not None and not force_reinit:
            warn(f"Parameter '{self.name}' is already initialized, ignoring. Set force_reinit=True to re-initialize.")
            return
        try:
            chosen = initializer.create(init or self.init or default_init or initializer.Uniform())
        except (ArgumentError, ArrayTypeError) as problem:
            raise type(problem)(f"Parameter '{self.name}': {problem}") from None
        contexts = contexts_of(ctx)
        if not self._known() and not self._allow_deferred_init:
            raise ArgumentError(
                f"Cannot initialize Parameter '{self.name}' because it has invalid shape: {self.shape}. Give every size."
            )
        if self._known():
            self._become(self._filled(chosen), contexts)
        else:
            self._data, self._copies, self._pending = None, [], (chosen, contexts)
            tell(self, "state")

    def finish(self) -> None:
        """Fill a waiting parameter whose shape has become known."""
        if self._pending is None:
            return
        chosen, contexts = self._pending
        if not self._known():
            raise DeferredInitializationError(
                f"Cannot initialize Parameter '{self.name}' because it has invalid shape: {self.shape}. "
                "Please specify in_units, in_channels, etc for `Block`s, or write infer_shape(self, x)."
            )
        self._become(self._filled(chosen), contexts)

    def wait_again(self, shape: tuple | None, pending: tuple | None) -> None:
        """Go back to waiting, with less known of the shape."""
        self._shape, self._data, self._copies, self._pending = shape, None, [], pending
        tell(self, "state")

    def _filled(self, chosen: Any) -> ndarray:
        """Return a new array of the parameter's shape, filled by the initializer, which must write into it."""
        fresh = wrap(empty(self._shape, as_dtype(self._dtype), self._order, clear=True))
        untouched = fresh._watch()[0]
        with autograd.pause(train_mode=autograd.is_training()):
            try:
                chosen(initializer.InitDesc(self.name), fresh)
            except (ArgumentError, ArrayTypeError) as problem:
                if self.name in str(problem):
                    raise
                kind = ArrayTypeError if isinstance(problem, TypeError) else ArgumentError
                raise kind(f"Parameter '{self.name}' of shape {self._shape}: {problem}") from None
            except Exception as problem:  # the initializer's own error goes on, with the name of the parameter
                problem.add_note(f"while filling parameter '{self.name}' of shape {self._shape}")
                raise
        if fresh._watch()[0] == untouched and fresh.size:
            warn(
                f"{type(chosen).__name__} did not write into the array of parameter '{self.name}', which stays 0. "
                "Write data[:] = ..., not data = ..."
            )
        self._chosen = chosen
        return fresh

    def _become(self, data: ndarray, contexts: list[Context], dtype: Any = None) -> None:
        """Live on these contexts, on each with a copy of `data` and a gradient of its own."""
        self._live(self._made(data, contexts), self._dtype if dtype is None else dtype)

    def _made(self, data: ndarray, contexts: list[Context]) -> list[ndarray]:
        """Return the copies by which the parameter could live on these contexts, gradients included."""
        self._check_learns(self._grad_req, data)
        data = data.detach()
        copies = [data if ctx == data.ctx else data.copyto(ctx) for ctx in contexts]
        for x in copies:
            x._data = placed(x._data, self._order)
        self._attach(copies)
        return copies

    def _live(self, copies: list[ndarray], dtype: Any) -> None:
        """Take these copies. No call stands among the assignments: Ctrl-C comes before all of them or after."""
        changes[0] += 1
        first = copies[0]
        self._copies, self._data, self._pending, self._dtype = copies, first, None, dtype
        tell(self, "data")

    def _check_learns(self, req: str, data: ndarray | None) -> None:
        if req != "null" and data is not None and data.dtype.kind != "f":
            raise ArrayTypeError(
                f"Parameter '{self.name}' is {data.dtype}, and only float arrays have gradients: give grad_req='null' as well, "
                "or a float dtype."
            )

    def _attach(self, copies: list[ndarray]) -> None:
        changes[0] += 1
        for x in copies:
            if self._grad_req == "null":
                x._node = None
            else:
                x.attach_grad(self._grad_req)

    # ---------------------------------------------------------------------------------------- reading and writing

    def _ready(self, ctx: Context | None = None) -> ndarray:
        """Return the copy on a context (None: the only one, or that of the current context), or say why there is none."""
        if self._data is None:
            if self._pending is not None:
                raise DeferredInitializationError(_WAITING.format(self.name))
            raise MXNetError(_NEW.format(self.name))
        if ctx is None and len(self._copies) == 1:
            return self._data
        ctx = ctx or current_context()
        for x in self._copies:
            if x.ctx == ctx:
                return x
        raise MXNetError(
            f"Parameter '{self.name}' was not initialized on context {ctx}. It was only initialized on {self.list_ctx()}."
        )

    def data(self, ctx: Context | None = None) -> ndarray:
        """Return the array itself, the same object every time: writing into it changes the net."""
        data = self._data
        if state.trace is not None:
            return state.trace.hold(self._ready(ctx), owner=self)
        return data if data is not None and ctx is None and len(self._copies) == 1 else self._ready(ctx)

    def list_data(self) -> list[ndarray]:
        """Return the array of every context."""
        if self._data is None:
            self._ready()
        return [x if state.trace is None else state.trace.hold(x, owner=self) for x in self._copies]

    def grad(self, ctx: Context | None = None) -> ndarray:
        """Return the gradient; zeros before any backward()."""
        return self._grad(self._ready(ctx))

    def _grad(self, data: ndarray) -> ndarray:
        if state.trace is not None:
            state.trace.refuse()
        if data.grad is None:
            raise MXNetError(f"Cannot get gradient array for Parameter '{self.name}' because grad_req='null'")
        return data.grad

    def list_grad(self) -> list[ndarray]:
        """Return the gradient of every context."""
        return [self._grad(x) for x in self.list_data()]

    def list_ctx(self) -> list[Context]:
        """Return where the parameter lives, or will live."""
        if self._pending is not None:
            return self._pending[1]
        if self._data is None:
            raise MXNetError(f"Parameter '{self.name}' has not been initialized")
        return [x.ctx for x in self._copies]

    def zero_grad(self) -> None:
        """Set the gradient to 0, if there is one."""
        if self._data is not None and self._grad_req != "null":
            for g in self.list_grad():
                g[...] = 0

    def set_data(self, data: Any) -> None:
        """Copy new numbers in, cast to the parameter's dtype; a waiting parameter takes its shape from them."""
        if isinstance(data, onp.ndarray):
            data = array(data)
        if not isinstance(data, ndarray):
            raise ArrayTypeError(f"Parameter '{self.name}': set_data takes an array, got {kind_of(data)}; "
                                 "write np.array(...).")  # fmt: skip
        self.shape = data.shape
        if self._data is not None:
            for x in self._copies:
                x[...] = data
            tell(self, "data")
            return
        if self._pending is None:
            raise MXNetError(_NEW.format(self.name))
        self._become(data.astype(as_dtype(self._dtype)), self._pending[1])

    def cast(self, dtype: Any) -> None:
        """Change the dtype, of the data too if there is any."""
        kind = as_dtype(dtype)
        if self._data is not None:
            self._become(self._data.detach().astype(kind), self.list_ctx(), dtype)
        else:
            self._dtype = dtype

    def reset_ctx(self, ctx: Any) -> None:
        """Move the parameter: on each context a copy of its numbers, with a gradient of zeros."""
        contexts = contexts_of(ctx)
        if self._data is not None:
            self._become(self._data, contexts)
        elif self._pending is not None:
            self._pending = (self._pending[0], contexts)
        else:
            raise ArgumentError(
                f"Cannot reset context for Parameter '{self.name}' because it has not been initialized."
            )


class Constant(Parameter):
    """A parameter that is never learned: its value is given, its gradient is never asked for."""

    def __init__(self, name: str, value: Any):
        value = value if isinstance(value, ndarray) else array(value)
        self.value = value.detach().copy()
        filling = initializer.Constant(self.value)
        super().__init__(name, "null", value.shape, value.dtype, init=filling, differentiable=False)

    def __repr__(self) -> str:
        return f"Constant {self.name} (shape={self.shape}, dtype={self.dtype})"

    @property
    def grad_req(self) -> str:
        """Always 'null'."""
        return "null"

    @grad_req.setter
    def grad_req(self, req: str) -> None:
        if req != "null":
            warn(
                f'Constant parameter "{self.name}" does not support grad_req other than "null", '
                f'and new value "{req}" is ignored.'
            )


def contexts_of(ctx: Any) -> list[Context]:
    """Return a context, several, or None (the current one) as a list in which each stands once."""
    return list(dict.fromkeys(require_cpu(c) for c in (ctx if isinstance(ctx, list | tuple) else [ctx])))


def agree(known: tuple, sizes: tuple) -> bool:
    """Return whether two shapes may be one: -1, a size not known yet, agrees with every size."""
    return len(known) == len(sizes) and all(a == b or -1 in (a, b) for a, b in zip(known, sizes, strict=True))


def known_sizes(shape: Any) -> Any:
    """Return the shape as a tuple in which unknown sizes are -1."""
    if shape is None:
        return None
    sizes = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    known = []
    for n in sizes:
        if type(n) is not int:
            if n is not None and (isinstance(n, bool) or not isinstance(n, numbers.Integral)):
                raise ArrayTypeError(f"A shape is made of whole numbers, got {shape!r}.")
            n = int(n or -1)
        known.append(n if n > 0 else -1)
    return tuple(known)
