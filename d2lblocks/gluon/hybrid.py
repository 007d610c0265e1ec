"""Blocks written against F: `hybrid_forward(F, x, **parameters)`, with shapes inferred from the first input."""

from __future__ import annotations

from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

from d2lblocks import np, npx
from d2lblocks.context import Context
from d2lblocks.errors import ArgumentError, ArrayTypeError, DeferredInitializationError, kind_of
from d2lblocks.gluon.block import Block, Resolution
from d2lblocks.gluon.located import InputTypeError
from d2lblocks.gluon.parameter import Parameter
from d2lblocks.gluon.ready import of_init
from d2lblocks.gluon.tracing import Programs
from d2lblocks.gluon.waiting import LOOKING_F, Waiting
from d2lblocks.gluon.watch import note_next_call
from d2lblocks.np.ndarray import ndarray
from d2lblocks.tape import changes, state

F = SimpleNamespace(np=np, npx=npx)  # what hybrid_forward gets: the two namespaces of operations
_order = count()  # of resolutions


class HybridBlock(Block):
    """A block whose `hybrid_forward` is given its own parameters as arrays, so it never asks for data()."""

    _arrays_now: tuple[int, Any, dict] = of_init  # by the names of its parameters, with the count of changes and where

    def __init__(self, prefix: str | None = None, params: Any = None, **unknown: Any):
        super().__init__(prefix, params, **unknown)
        self.__dict__.update(_active=False, _arrays_now=(-1, None, {}))

    def __getstate__(self) -> dict:
        """Return the attributes for a copy or pickle, which finds its arrays anew."""
        return {**super().__getstate__(), "_arrays_now": (-1, None, {})}

    def register_child(self, block: Block, name: str | None = None) -> None:
        """Make a hybrid block a child."""
        if not isinstance(block, HybridBlock):
            raise NotHybrid(
                f"Children of HybridBlock must also be HybridBlock, but {_name(block)} is none. If you are using Sequential, "
                "please try HybridSequential instead; a plain Block can stand in nn.Sequential."
            )
        super().register_child(block, name)

    def hybridize(self, active: bool = True, backend: Any = None, clear: bool = True, static_alloc: bool = False,
                  static_shape: bool = False, **kwargs: Any) -> None:  # fmt: skip
        """Run the forward from now on as a program that is noted in the first call; `active=False` ends it.

        There is one program per kind of inputs (shapes, dtypes, training or not). Its buffers are made in advance
        (static_alloc, static_shape), whether asked for or not. See d2lblocks/graph.py.

        Arrays that the forward takes from elsewhere are read anew in each call. Where it writes into one, keeps one
        (self.weights = ...) or chooses by its numbers (x[self.order]), it runs as it is written. What plain Python does in it,
        such as print or self.n += 1, happens while it is noted, and not afterwards; a name or an entry of a list then stands
        for what it stood for. A new array as an attribute of a block is seen.
        """
        self.__dict__.update(_active=active, _programs=Programs() if active else None)
        super().hybridize(active, static_alloc=static_alloc, static_shape=static_shape)

    def infer_shape(self, *args: Any) -> None:
        """Set the shapes of waiting parameters from the inputs; override in layers that defer."""
        waiting = [p.name for p in self._reg_params.values() if p._pending is not None]
        raise DeferredInitializationError(
            f"{type(self).__name__} cannot infer the shape of {', '.join(waiting)}: write infer_shape(self, x), which sets "
            "self.weight.shape = ..., or give all sizes."
        )

    def infer_type(self, *args: Any) -> None:
        """Give the parameters the dtype of the first input."""
        for p in self._reg_params.values():
            p.cast(str(args[0].dtype))

    def forward(self, x: Any, *args: Any) -> Any:
        """Check the input, and call `hybrid_forward` with the parameters' arrays."""
        ctx = x._ctx if type(x) is ndarray else self._array_in(x, *args)._ctx
        seen, where, own = self._arrays_now
        if seen != changes[0] or where is not ctx:
            own = {}
            for name, p in self._reg_params.items():
                data = p._data
                if data is None or data._ctx is not ctx:
                    return self._first_forward(ctx or Context.default_ctx, x, *args)
                own[name] = data
            self.__dict__["_arrays_now"] = changes[0], ctx, own
        if state.trace is not None:
            own = {name: state.trace.hold(x, owner=self._reg_params[name]) for name, x in own.items()}
        return self.hybrid_forward(F, x, *args, **own)

    def hybrid_forward(self, F: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the output by F.np and F.npx; override."""
        raise NotImplementedError(
            f"{type(self).__name__} has neither forward(self, x) nor hybrid_forward(self, F, x); write one of them."
        )

    def _first_forward(self, where: Context, x: Any, *args: Any) -> Any:
        """Call `hybrid_forward` when parameters wait for sizes, or live elsewhere than on the default context."""
        shape, known = self._array_in(x, *args).shape, len(self._resolutions)
        before = {name: (p.shape, p._pending) for name, p in self._reg_params.items() if p._pending is not None}
        if before:
            note_next_call(self)
        try:
            return self._with_sizes(where, shape, x, *args)
        except BaseException:  # an input that does not fit, or Ctrl-C: the next batch tells the shapes
            del self._resolutions[known:]
            for name, (old, pending) in before.items():
                self._reg_params[name].wait_again(old, pending)
            raise

    def _with_sizes(self, where: Context, shape: tuple, x: Any, *args: Any) -> Any:
        waiting = {name: p for name, p in self._reg_params.items() if p._pending is not None}
        finish = {name: partial(self._finish, p, p.shape, shape) for name, p in waiting.items()}
        if waiting and type(self).infer_shape is not HybridBlock.infer_shape:
            self.infer_shape(x, *args)
            for name in waiting:
                finish[name]()
            waiting = {}
        own = {}
        for name, p in self._reg_params.items():
            own[name] = p.data(where) if p._pending is None else Waiting(p, where, finish[name])
        return self.hybrid_forward(LOOKING_F if waiting else F, x, *args, **own)

    def _finish(self, p: Parameter, before: tuple | None, input_shape: tuple) -> None:
        """Fill a parameter whose shape has become known, and remember what told it."""
        p.finish()
        for dim, n in enumerate(p.shape or ()):
            was = -1 if before is None else before[dim]
            if was != n:
                self._resolutions.append(Resolution(self.name, p.name, dim, was, n, input_shape, next(_order)))

    def _array_in(self, x: Any, *args: Any) -> ndarray:
        """Return x, or the first array in a list or beside a None. The package's own layers work on one array."""
        if isinstance(x, ndarray):
            return x
        own_work = not str(type(self).hybrid_forward.__module__).startswith("d2lblocks.")
        if own_work and isinstance(x, list | tuple) and x:
            return self._array_in(*x)
        if own_work and x is None and args:
            return self._array_in(*args)
        if x is None:
            raise InputTypeError(self, "the input is None; did a forward before this layer end without `return`? "
                                       "Expected an array made by np.array(...).")  # fmt: skip
        raise InputTypeError(
            self,
            f"the input is a {kind_of(x)}, expected an array of d2lblocks. Write np.array(x).",
        )

    def export(self, path: str, epoch: int = 0, remove_amp_cast: bool = True) -> None:
        """Refuse: a net is code here. `save_parameters` keeps its numbers."""
        raise RuntimeError(
            "Please first call block.hybridize() and then run forward with this block at least once before calling "
            f"export. d2lblocks writes no symbol files; save the numbers of {self.name} by save_parameters({path!r})."
        )


def _name(block: Any) -> str:
    return f"{block.name} ({type(block).__name__})" if isinstance(block, Block) else kind_of(block)


class NotHybrid(ArgumentError, ArrayTypeError):
    """A plain block where only hybrid ones may stand."""
