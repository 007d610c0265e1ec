"""The block: a layer, a group of layers or a whole net, always with the same face: inputs in, outputs out, parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from d2lblocks import io
from d2lblocks.errors import (
    ArgumentError,
    ArrayTypeError,
    DeferredInitializationError,
    MismatchError,
    kind_of,
    listed,
    warn,
)
from d2lblocks.gluon.hooks import HookHandle, Hooks
from d2lblocks.gluon.located import passed
from d2lblocks.gluon.naming import NameScope, current_scope
from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.gluon.parameter.loading import load_into, named
from d2lblocks.gluon.ready import initialized, of_init
from d2lblocks.gluon.summary import summary_text
from d2lblocks.gluon.tracing import AS_WRITTEN
from d2lblocks.gluon.watch import Call, note_first_calls, tell
from d2lblocks.np.ndarray import ndarray
from d2lblocks.rich import Rich
from d2lblocks.tape import rebound


class Resolution(NamedTuple):
    """One size that became known: which parameter, which axis, and the input that told it."""

    block: str
    parameter: str
    dim: int
    before: int
    after: int
    input_shape: tuple
    order: int = 0  # counts resolutions everywhere: they happen in forward order, which a tree of blocks does not tell


_RESERVED = frozenset(
    "name prefix params name_scope collect_params initialize forward hybrid_forward infer_shape apply cast hybridize summary "
    "register_child register_forward_hook register_forward_pre_hook save_parameters load_parameters add "
    "_prefix _params _scope _children _reg_params".split()
)


class Block(Rich):
    """Base of all layers and nets: assign blocks and parameters to attributes, write `forward`."""

    _children: dict[str, Block] = of_init
    _reg_params: dict[str, Parameter] = of_init
    _prefix: str = of_init
    _params: ParameterDict = of_init
    _scope: NameScope = of_init
    _fused: tuple = ()  # names of children whose work this block does itself where it can
    _sizes: dict[str, tuple] = {}  # what the sizes of its parameters are called: {"weight": ("units", "in_units")}
    _resolutions: list[Resolution] = of_init
    _programs: Any  # after hybridize(): what runs in place of forward
    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks
    _containers: tuple = ()  # names of attributes that were given a list, tuple, set or dict
    _placed = False  # whether it was made a child of some block
    _last_call: Call | None = None  # shapes of the first call since initialize(), or of the last one while watched
    _calls: tuple[Call, ...] = ()  # of the last few of these
    _to_note = 0  # so many calls to come

    if TYPE_CHECKING:  # attributes are what is assigned: a checker of types cannot know them all

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, prefix: str | None = None, params: ParameterDict | None = None, **unknown: Any):
        if unknown:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {next(iter(unknown))!r}")
        if prefix is not None and not isinstance(prefix, str):
            raise ArrayTypeError(f"{type(self).__name__}: prefix must be text such as 'mlp_', got {kind_of(prefix)}.")
        if params is not None and not isinstance(params, ParameterDict):
            cure = " Write params=block.params." if isinstance(params, Block) else ""
            raise ArrayTypeError(f"params must be a ParameterDict, got {type(params).__name__}.{cure}")
        outer = current_scope()
        own = outer.new(type(self).__name__.lower()) if prefix is None else prefix
        if params is not None:
            made = ParameterDict(params.prefix, params)
        elif outer.params is not None:  # parameters that the parent shares are found under the names it got them by
            made = ParameterDict(outer.params.prefix + own, outer.params._shared)
        else:
            made = ParameterDict(own)
        self.__dict__.update(
            _prefix=outer.prefix + own,
            _params=made,
            _scope=NameScope(outer.prefix + own, made, transparent=prefix == ""),
            _children={},
            _reg_params={},
            _forward_hooks=Hooks(),
            _forward_pre_hooks=Hooks(),
            _resolutions=[],
            _programs=None,
        )

    def __repr__(self) -> str:
        return _tree_text(self)

    def _shown(self) -> dict[str, Block]:
        """Return the blocks that stand in the repr."""
        return {k: v for k, v in initialized(self).items() if isinstance(v, Block)}

    def __getstate__(self) -> dict:
        """Return the attributes, before them all blocks inside, innermost first: a copy or pickle never goes deep."""
        return {"_inside": _walk(self)[:0:-1], **self.__dict__}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        del self.__dict__["_inside"]

    # ---------------------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) not in _PLAIN or name in self.__dict__ or name in _RESERVED:
            old = self.__dict__.get(name)
            self._before_setting(name, value, old)
            if isinstance(value, ndarray) or isinstance(old, ndarray):
                rebound(old, value)
        object.__setattr__(self, name, value)

    def _before_setting(self, name: str, value: Any, old: Any) -> None:
        """Register a block or parameter that becomes an attribute; refuse what may not take the place of another."""
        is_block, is_parameter = isinstance(value, Block), isinstance(value, Parameter)
        if is_block or is_parameter:
            initialized(self)
        if name in _RESERVED and (is_block or is_parameter or not callable(value)):
            raise AttributeError(f"The name {name!r} is reserved by Block; call the attribute of {type(self).__name__} "
                                 "something else.")  # fmt: skip
        if isinstance(old, Parameter) and not is_parameter:
            raise ArrayTypeError(
                f"{type(self).__name__}.{name} is the Parameter {old.name} and stays one, got {kind_of(value)}. "
                f"Write {name}.set_data(...) to change its numbers."
            )
        if isinstance(old, Parameter) and is_parameter and old is not value:
            raise MismatchError(
                f"Overriding Parameter attribute {name} is not allowed. If you want to share parameters between "
                "blocks, please set 'params' at Block construction instead."
            )
        if isinstance(old, Block) and not is_block and value is not None:
            raise ArrayTypeError(
                f"Changing attribute type for {name} from {type(old).__name__} to {kind_of(value)} is not allowed: a child is "
                f"replaced by another block, or removed by `del net.{name}`."
            )
        if isinstance(old, Block) and value is None:
            self._children.pop(name, None)
            tell(self, "structure")
        if isinstance(value, Block):
            self.register_child(value, name)
        elif isinstance(value, Parameter):
            self._reg_params[name] = value
            tell(self, "structure")
        elif isinstance(value, _CONTAINERS) and name not in self._containers:
            self.__dict__["_containers"] = (*self._containers, name)

    def __delattr__(self, name: str) -> None:
        initialized(self)
        self._children.pop(name, None)
        self._reg_params.pop(name, None)
        object.__delattr__(self, name)
        tell(self, "structure")

    def register_child(self, block: Block, name: str | None = None) -> None:
        """Make `block` a child: its parameters belong to this block. The name defaults to its number."""
        if not isinstance(block, Block):
            raise ArrayTypeError(f"A child must be a Block, got {block!r} ({kind_of(block)}).")
        # What no block holds yet cannot stand inside another: then there is no need to look for it.
        if block is self or (self._placed and any(inner is self for inner in _walk(block))):
            raise ArgumentError(
                f"{type(self).__name__} {self.name} contains itself through {block.name}; a net is a tree."
            )
        self._children[str(len(self._children)) if name is None else name] = block
        block.__dict__["_placed"] = True
        tell(self, "structure")

    # ---------------------------------------------------------------------------------------- names and parameters

    @property
    def prefix(self) -> str:
        """What stands before the names of this block's parameters: dense0_."""
        return self._prefix

    @property
    def name(self) -> str:
        """The prefix without its last underscore: dense0."""
        return self.prefix[:-1] if self.prefix.endswith("_") else self.prefix

    @property
    def params(self) -> ParameterDict:
        """The block's own parameters, without those of its children."""
        return self._params

    def name_scope(self) -> NameScope:
        """Return a scope for `with`, in which children are named after this block: mlp0_dense0_."""
        return self._scope

    def collect_params(self, select: str | None = None) -> ParameterDict:
        """Return all parameters of the tree; with `select`, those whose full name it matches from the start."""
        found = ParameterDict(self.params.prefix)
        for block in _walk(self):
            if block._containers:
                block._check_containers()
            found.update(block._params)
        return found if select is None else found.select(select)

    def _check_containers(self) -> None:
        """Warn of blocks in lists and dicts that are no children."""
        children = {id(child) for child in self._children.values()}
        for name in self._containers:
            if any(id(inner) not in children for inner in _held(self.__dict__.get(name))):
                warn(
                    f'"{type(self).__name__}.{name}" is an unregistered container with Blocks. Note that Blocks '
                    "inside the list, tuple or dict will not be registered automatically. Make sure to register "
                    "them using register_child() or switching to nn.Sequential/nn.HybridSequential instead."
                )

    def _collect_params_with_prefix(self, prefix: str = "") -> dict[str, Parameter]:
        """Return parameters by structural name: hidden.weight, 0.bias."""
        prefix = prefix + "." if prefix else ""
        found = {prefix + key: p for key, p in self._reg_params.items()}
        for key, child in self._children.items():
            found.update(child._collect_params_with_prefix(prefix + key))
        return found

    def initialize(self, init: Any = None, ctx: Any = None, verbose: bool = False, force_reinit: bool = False) -> None:
        """Fill all parameters by `init` (default: Uniform(0.07)); those of unknown shape wait for the first batch."""
        note_first_calls(self)
        self.collect_params().initialize(init, ctx, verbose, force_reinit)

    def apply(self, fn: Callable[[Block], Any]) -> Block:
        """Call fn on every block of the tree, children first; gives back the block."""
        for child in self._children.values():
            child.apply(fn)
        fn(self)
        return self

    def cast(self, dtype: Any) -> None:
        """Change the dtype of all parameters."""
        for child in self._children.values():
            child.cast(dtype)
        for p in self.params.values():
            p.cast(dtype)

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        """Pass the wish on to the children; a plain block has nothing to hybridize."""
        for child in self._children.values():
            child.hybridize(active, **kwargs)

    # ---------------------------------------------------------------------------------------- calling

    def __call__(self, *args: Any) -> Any:
        try:
            pre_hooks, hooks = self._forward_pre_hooks, self._forward_hooks
        except AttributeError:
            initialized(self)
            raise
        if pre_hooks:
            for hook in pre_hooks.order:
                hook(self, args)
        try:
            programs = self._programs
            if programs is None or (out := programs(self, args)) is AS_WRITTEN:
                out = self.forward(args[0]) if len(args) == 1 else self.forward(*args)  # one is called faster than *one
        except Exception as problem:
            passed(problem, self)
            raise
        if out is None and getattr(self, "is_layer", True):
            warn(f"{type(self).__name__}.forward returned None; end it with `return ...`.")
        if hooks:
            for hook in hooks.order:
                hook(self, args, out)
        return out

    def forward(self, *args: Any) -> Any:
        """Compute the outputs; override."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, x); write one that returns the output.")

    def register_forward_pre_hook(self, hook: Callable) -> HookHandle:
        """Call hook(block, inputs) before every forward; the handle's detach() ends it."""
        return HookHandle().attach(initialized(self)["_forward_pre_hooks"], hook)

    def register_forward_hook(self, hook: Callable) -> HookHandle:
        """Call hook(block, inputs, output) after every forward; the handle's detach() ends it."""
        return HookHandle().attach(initialized(self)["_forward_hooks"], hook)

    def summary(self, *inputs: ndarray) -> None:
        """Run the inputs through the net and print a table of layers, output shapes and parameter counts."""
        print(summary_text(self, inputs))

    # ---------------------------------------------------------------------------------------- files

    def save_parameters(self, filename: str | os.PathLike, deduplicate: bool = False, checksum: bool = True) -> None:
        """Save names and numbers, not the architecture. Names follow the structure: hidden.weight, 0.bias.

        The suffix chooses the form, .params, .safetensors or .npz; `checksum` lets loading find any damage.
        """
        io.save(filename, self.saved_arrays(deduplicate), checksum)

    def saved_arrays(self, deduplicate: bool = False) -> dict[str, ndarray]:
        """Return what `save_parameters` saves: the arrays of all parameters by structural name."""
        found = self._collect_params_with_prefix()
        saved = {id(p) for p in found.values()}
        lost = [p.name for p in self.collect_params().values() if id(p) not in saved]
        if lost:
            warn(
                f"{', '.join(lost)} is trained but not saved: assign it to an attribute, self.w = self.params.get('w')."
            )
        if deduplicate:  # one entry per parameter, at the place of its first name, under the last of its names
            last = {id(p): name for name, p in found.items()}
            first = {id(p): p for p in found.values()}
            found = {last[key]: p for key, p in first.items()}
        try:
            return {name: p.list_data()[0] for name, p in found.items()}
        except DeferredInitializationError as problem:
            if self._last_call is None:
                raise
            waiting = listed(name for name, p in found.items() if p.state == "waiting")
            raise DeferredInitializationError(
                f"{problem} forward has run, but never reached the block of {waiting}: call it there, or give its sizes."
            ) from None

    def load_parameters(self, filename: str | os.PathLike, ctx: Any = None, allow_missing: bool = False,
                        ignore_extra: bool = False, cast_dtype: bool = False,
                        dtype_source: str = "current") -> None:  # fmt: skip
        """Load what `save_parameters` wrote, into a net of the same structure, initialized or not.

        Raises:
            ValueError: names, shapes or dtypes differ (all differences in one message), or the file is damaged.
        """
        mine, loaded = self._collect_params_with_prefix(), io.load(filename)
        if not loaded and not mine:
            return
        arrays = named(loaded, filename)
        if not any("." in name or name in mine for name in arrays):  # full names, then, whole or without the prefix
            params = self.collect_params()
            for before in ("", self.prefix):
                if any(before + name in params for name in arrays):
                    params.load_dict(
                        arrays, ctx, allow_missing, ignore_extra, before, filename, cast_dtype, dtype_source
                    )
                    return
        source = f"file '{filename}'"
        load_into(mine, arrays, source, ctx, allow_missing, ignore_extra, cast_dtype, dtype_source)

    def save(self, prefix: str) -> None:
        """Save the parameters as `prefix`-model.params. The architecture is the code that made the net."""
        self.save_parameters(f"{prefix}-model.params")

    def load(self, prefix: str) -> None:
        """Load what `save` wrote, into a net made by the same code."""
        self.load_parameters(f"{prefix}-model.params")


_PLAIN = frozenset((int, float, bool, str, type(None)))  # what is assigned most often, and needs no look
_CONTAINERS = (dict, list, tuple, set)


def _held(value: Any) -> list[Block]:
    """Return the blocks in a list, tuple, set or dict, and in those inside it."""
    if not isinstance(value, _CONTAINERS):
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [inner for part in parts for inner in ([part] if isinstance(part, Block) else _held(part))]


def _walk(block: Block) -> list[Block]:
    """Return the blocks of a tree, parents before children, each once."""
    found: dict[int, Block] = {}
    stack = [block]
    while stack:
        top = stack.pop()
        inside = top._children
        if id(top) not in found:
            found[id(top)] = top
            if inside:
                stack.extend(reversed(inside.values()))
    return list(found.values())


def _tree_text(block: Block) -> str:
    """Return `Kind(`, a line `  (name): repr` for each block inside, `)`; by a loop, since a net may be deep."""
    lines: list[str] = []
    todo: list[tuple[str, str, Any]] = [("", "", block)]  # (indentation, name, a block or a last line)
    while todo:
        indent, name, top = todo.pop()
        if type(top).__repr__ is not Block.__repr__:
            text = top if isinstance(top, str) else repr(top)
            lines.append(indent + name + text.replace("\n", "\n" + indent))
            continue
        lines.append(f"{indent}{name}{type(top).__name__}(")
        inside = [(indent + "  ", f"({key}): ", child) for key, child in top._shown().items()]
        todo += [(indent, "", ")"), *(inside[::-1] or [(indent, "", "")])]
    return "\n".join(lines)
