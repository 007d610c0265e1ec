"""The layers of the first chapters: Dense, Dropout, Flatten, Embedding, Activation."""

from __future__ import annotations

import math
import numbers
from typing import Any

from d2lblocks.errors import ArgumentError, ArrayTypeError, MXNetError, kind_of
from d2lblocks.gluon.hybrid import F, HybridBlock
from d2lblocks.gluon.located import InputError, Located
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray
from d2lblocks.npx.activation import check_activation
from d2lblocks.tape import changes, state


def check_size(value: Any, name: str, layer: str, smallest: int = 1) -> int:
    """Return a size given to a layer, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, (int, numbers.Integral)):
        raise ArrayTypeError(f"{layer}: {name} must be a whole number, got {value!r} ({kind_of(value)}).")
    if value < smallest:
        raise ArgumentError(f"{layer}: {name} must be at least {smallest}, got {value}.")
    return int(value)


class Activation(HybridBlock):
    """y = act(x), number by number: 'relu', 'sigmoid', 'softrelu', 'softsign' or 'tanh'."""

    def __init__(self, activation: str, **kwargs: Any):
        self.__dict__["_act_type"] = check_activation(activation)
        super().__init__(**kwargs)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.npx.activation(x, self._act_type)

    def __repr__(self) -> str:
        return f"Activation({self._act_type})"


class Dense(HybridBlock):
    """Fully connected layer: y = act(x Wᵀ + b).

    Shapes:
        x: (n, ...) if flatten, folded to (n, in_units), else (..., in_units);  y: (n, units) or (..., units)
        weight: (units, in_units), one row per output;  bias: (units,)
    """

    _fused = ("act",)
    _sizes = {"weight": ("units", "in_units"), "bias": ("units",)}

    def __init__(self, units: int, activation: str | None = None, use_bias: bool = True, flatten: bool = True,
                 dtype: Any = "float32", weight_initializer: Any = None, bias_initializer: Any = "zeros",
                 in_units: int = 0, **kwargs: Any):  # fmt: skip
        check_size(units, "units", "Dense")
        check_size(in_units, "in_units", "Dense", 0)
        if activation is not None:
            check_activation(activation)
        super().__init__(**kwargs)
        self._units, self._in_units, self._flatten = units, in_units, flatten
        with self.name_scope():
            self.weight = self.params.get(
                "weight", shape=(units, in_units), init=weight_initializer, dtype=dtype, allow_deferred_init=True
            )
            self.weight._order = "F"  # the product reads it column by column, see kernels/dense.py
            self.bias = self.act = None
            if use_bias:
                self.bias = self.params.get(
                    "bias", shape=(units,), init=bias_initializer, dtype=dtype, allow_deferred_init=True
                )
            if activation is not None:
                self.act = Activation(activation, prefix=activation + "_")

    def infer_shape(self, x: Any, *args: Any) -> None:
        """in_units is the number of features of x."""
        features = math.prod(x.shape[1:]) if self._flatten else x.shape[-1] if x.ndim else 0
        if not x.ndim or features < 1:
            raise InputError(
                self, f"the input has shape {x.shape}, with no features to learn from; expected (n, features)."
            )
        self._check_dtype(x, as_dtype(self.weight.dtype))
        self.weight.shape = (self.weight.shape[0], features)

    def _check_dtype(self, x: Any, kind: Any) -> None:
        if x.dtype != kind:
            raise InputError(
                self,
                f"the input has dtype {x.dtype}, the weights are {kind}. Write x.astype('{kind}')"
                + (f", or net.cast('{x.dtype}')." if x.dtype.kind == "f" else "."),
            )

    def forward(self, x: Any, *args: Any) -> Any:
        """Call `hybrid_forward` as every block does; the usual call in fewer steps, since nets are made of these layers."""
        seen, ctx, own = self._arrays_now
        usual = type(self) is Dense and seen == changes[0]  # a subclass may take other parameters
        if usual and type(x) is ndarray and x._ctx is ctx and not args and state.trace is None:
            return self.hybrid_forward(F, x, own["weight"], own.get("bias"))
        return super().forward(x, *args)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        act, fused = self.act, None
        if type(act) is Activation and not (act._forward_hooks or act._forward_pre_hooks):
            fused, act = act._act_type, None
        try:
            y = F.npx.fully_connected(x, weight, bias, flatten=self._flatten, act=fused)
        except (ArgumentError, TypeError) as problem:
            raise self._explained(x, problem) from None
        return y if act is None else act(y)

    def _explained(self, x: Any, problem: Exception) -> Exception:
        """Return the error that tells what the layer expects."""
        if isinstance(problem, Located):
            return problem
        expected = self.weight.shape[1]
        if x.ndim:
            self._check_dtype(x, self.weight.data().dtype)
        hint = " For a batch of one, write x.reshape(1, -1)." if x.ndim == 1 else ""
        return InputError(
            self,
            f"expects input of {expected} features (weight {self.weight.shape}), got an input of shape {x.shape}."
            f"{hint}",
        )

    def __repr__(self) -> str:
        shape = self.weight.shape
        return f"Dense({shape[1] if shape[1] else None} -> {shape[0]}, {self.act if self.act else 'linear'})"


class Dropout(HybridBlock):
    """In training, set each number to 0 with probability `rate` and scale the rest by 1 / (1 - rate)."""

    def __init__(self, rate: float, axes: Any = (), **kwargs: Any):
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
            raise ArrayTypeError(f"Dropout: rate must be a number, got {rate!r}.")
        if not 0 <= rate <= 1:
            raise ArgumentError(f"Dropout: rate must lie in [0, 1], got {rate}.")
        super().__init__(**kwargs)
        self._rate, self._axes = rate, axes

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.npx.dropout(x, p=self._rate, axes=self._axes)

    def __repr__(self) -> str:
        return f"Dropout(p = {self._rate}, axes={self._axes})"


class Flatten(HybridBlock):
    """Fold all axes but the first: (n, ...) -> (n, k)."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.npx.batch_flatten(x)

    def __repr__(self) -> str:
        return "Flatten"


class Embedding(HybridBlock):
    """A learned vector per index: (...) of integers -> (..., output_dim).

    Shapes:
        weight: (input_dim, output_dim)
    """

    _sizes = {"weight": ("input_dim", "output_dim")}

    def __init__(self, input_dim: int, output_dim: int, dtype: Any = "float32", weight_initializer: Any = None,
                 sparse_grad: bool = False, **kwargs: Any):  # fmt: skip
        check_size(input_dim, "input_dim", "Embedding")
        check_size(output_dim, "output_dim", "Embedding")
        super().__init__(**kwargs)
        self._input_dim, self._output_dim, self._dtype = input_dim, output_dim, dtype
        with self.name_scope():
            self.weight = self.params.get(
                "weight", shape=(input_dim, output_dim), init=weight_initializer, dtype=dtype, allow_deferred_init=True
            )

    def hybrid_forward(self, F: Any, x: Any, weight: Any) -> Any:
        try:
            return F.npx.embedding(x, weight)
        except MXNetError as problem:
            raise InputError(self, str(problem)) from None

    def __repr__(self) -> str:
        return f"Embedding({self._input_dim} -> {self._output_dim}, {self._dtype})"
