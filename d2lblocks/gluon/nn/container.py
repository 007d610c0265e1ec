"""Blocks that hold other blocks, and functions turned into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from d2lblocks import np, npx
from d2lblocks.errors import ArgumentError, ArrayTypeError, AxisError, kind_of, warn
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.hybrid import F, HybridBlock
from d2lblocks.gluon.tracing import Programs


class _Chain(Block):
    """What the two Sequentials share: children by number, called one after the other."""

    is_layer = False  # a chain computes nothing itself: `summary` has no row for it

    def __init__(self, *blocks: Any, prefix: str | None = None, params: Any = None, **unknown: Any):
        if blocks and not isinstance(blocks[0], str):
            raise ArrayTypeError(
                f"{type(self).__name__}() takes no layers; make it empty and call net.add(layer, ...)."
            )
        super().__init__(blocks[0] if blocks else prefix, params, **unknown)

    def add(self, *blocks: Block) -> None:
        """Append blocks to the chain."""
        for block in blocks:
            if not isinstance(block, Block):
                raise ArrayTypeError(f"{type(self).__name__}.add takes blocks, got {_told(block)}")
        before = dict(self._children)
        try:
            for block in blocks:
                self.register_child(block)
        except BaseException:  # all or none
            self._children.clear()
            self._children.update(before)
            raise

    def _shown(self) -> dict[str, Block]:
        return self._children

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Block]:
        return iter(self._children.values())

    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            part = type(self)(prefix=self.prefix)
            with part.name_scope():
                part.add(*list(self._children.values())[key])
            return part
        try:
            return list(self._children.values())[key]
        except IndexError:
            raise AxisError(f"{type(self).__name__} has {len(self)} layers, there is no layer [{key}].") from None


def _told(thing: Any) -> str:
    if isinstance(thing, list | tuple):
        return f"a {type(thing).__name__}; write add(*layers)."
    if isinstance(thing, type) and issubclass(thing, Block):
        return f"the class {thing.__name__}; make a layer of it: {thing.__name__}(...)."
    if callable(thing) and hasattr(thing, "__name__") and not isinstance(thing, type):
        return f"the function {thing.__name__!r}; write nn.Lambda(function)."
    text = "an object" if type(thing).__repr__ is object.__repr__ else " ".join(repr(thing).split())
    return f"{text if len(text) < 60 else text[:57] + '...'} ({kind_of(thing)})."


class Sequential(_Chain):
    """A chain of blocks: the output of one is the input of the next."""

    def forward(self, x: Any) -> Any:
        """Call the blocks one after the other."""
        for block in self._children.values():
            x = block(x)
        return x

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        """Hybridize the children."""
        if self._children and all(isinstance(child, HybridBlock) for child in self._children.values()):
            warn(
                f"All children of this Sequential layer '{self.prefix}' are HybridBlocks. "
                "Consider using HybridSequential for the best performance."
            )
        whole = active and all(isinstance(child, HybridBlock | Sequential) for child in self._children.values())
        super().hybridize(active, **kwargs)
        inner = [child._programs is not None for child in self._children.values()]
        self.__dict__["_programs"] = Programs() if whole and all(inner) else None


class HybridSequential(_Chain, HybridBlock):
    """A chain of hybrid blocks."""

    def forward(self, x: Any, *args: Any) -> Any:
        """Call the blocks one after the other; what is given beside x goes to the first."""
        for block in self._children.values():
            if args:
                x, args = block(x, *args), ()
            else:
                x = block(x)
        return x


def _function(function: Any) -> tuple[Callable, str]:
    """Return the function and its name; text is looked up in np, then npx."""
    if isinstance(function, str):
        found = getattr(np, function, None) or getattr(npx, function, None)
        if found is None:
            raise ArgumentError(f"Function name {function} is not found in np or npx.")
        return found, function
    if not callable(function):
        raise ArrayTypeError(f"Lambda takes a function or the name of one, got {kind_of(function)}.")
    return function, getattr(function, "__name__", type(function).__name__)


class Lambda(Block):
    """A function of arrays as a block: Lambda(lambda x: ...) or Lambda('tanh')."""

    def __init__(self, function: Any, prefix: str | None = None):
        super().__init__(prefix=prefix)
        self._func, self._func_name = _function(function)

    def forward(self, *args: Any) -> Any:
        """Call the function."""
        return self._func(*args)

    def __repr__(self) -> str:
        return f"Lambda({self._func_name})"


class HybridLambda(HybridBlock):
    """A function of (F, arrays) as a block, or the name of an operation."""

    def __init__(self, function: Any, prefix: str | None = None):
        super().__init__(prefix=prefix)
        self._func, self._func_name = _function(function)
        self._takes_F = not isinstance(function, str)

    def forward(self, x: Any, *args: Any) -> Any:
        """Call the function."""
        return self._func(F, x, *args) if self._takes_F else self._func(x, *args)

    def __repr__(self) -> str:
        return f"HybridLambda({self._func_name})"


class Identity(HybridBlock):
    """y = x: a block for places where nothing is to be done."""

    def forward(self, x: Any, *args: Any) -> Any:
        """Return the input."""
        return x
