"""Layers that bring numbers to mean 0 and variance 1: BatchNorm over the batch, LayerNorm over the features."""

from __future__ import annotations

from typing import Any

from d2lblocks.gluon.hybrid import HybridBlock
from d2lblocks.gluon.located import InputError


class _Norm(HybridBlock):
    """gamma and beta, of one size, that the first batch tells."""

    _in_channels: int
    _axis: int
    _sizes = dict.fromkeys(("gamma", "beta", "running_mean", "running_var"), ("in_channels",))

    def _own(self, name: str, init: Any, learned: bool) -> Any:
        return self.params.get(
            name, shape=(self._in_channels,), init=init, allow_deferred_init=True, differentiable=learned,
        )  # fmt: skip

    def infer_shape(self, x: Any, *args: Any) -> None:
        """Every parameter has one number per channel."""
        n = self._channels(x)
        for p in self._reg_params.values():
            p.shape = (n,)

    def _channels(self, x: Any) -> int:
        """Return the number of channels of x, or say why it has none."""
        if not -x.ndim <= self._axis < x.ndim or not x.shape[self._axis]:
            raise InputError(self, f"expects channels on axis {self._axis}, got an input of shape {x.shape}.")
        if x.dtype.kind != "f":
            raise InputError(self, f"the input has dtype {x.dtype}, expected float32. Write x.astype('float32').")
        return x.shape[self._axis]

    def _check(self, x: Any, n: int) -> None:
        """Refuse an input before the running statistics are touched."""
        if self._channels(x) != n:
            raise InputError(self, f"expects {n} channels on axis {self._axis}, got an input of shape {x.shape}.")

    def _facts(self, facts: dict) -> str:
        channels = self.gamma.shape[0]
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in facts.items())}, in_channels={channels})"


class BatchNorm(_Norm):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel over the batch (Ioffe & Szegedy 2015).

    In training the batch's mean and variance are used, and moved into running ones that prediction uses.
    """

    def __init__(self, axis: int = 1, momentum: float = 0.9, epsilon: float = 1e-5, center: bool = True,
                 scale: bool = True, use_global_stats: bool = False, beta_initializer: Any = "zeros",
                 gamma_initializer: Any = "ones", running_mean_initializer: Any = "zeros",
                 running_variance_initializer: Any = "ones", in_channels: int = 0, **kwargs: Any):  # fmt: skip
        super().__init__(**kwargs)
        self._axis, self._in_channels = axis, in_channels
        self._settings = {"axis": axis, "eps": epsilon, "momentum": momentum, "fix_gamma": not scale,
                          "use_global_stats": use_global_stats}  # fmt: skip
        with self.name_scope():
            self.gamma = self._own("gamma", gamma_initializer, scale)
            self.beta = self._own("beta", beta_initializer, center)
            self.running_mean = self._own("running_mean", running_mean_initializer, False)
            self.running_var = self._own("running_var", running_variance_initializer, False)

    def hybrid_forward(self, F: Any, x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any) -> Any:
        self._check(x, gamma.size)
        return F.npx.batch_norm(x, gamma, beta, running_mean, running_var, **self._settings)

    def __repr__(self) -> str:
        return self._facts(self._settings)


class LayerNorm(_Norm):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, over one axis of every example (Ba et al. 2016)."""

    def __init__(self, axis: int = -1, epsilon: float = 1e-5, center: bool = True, scale: bool = True,
                 beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", in_channels: int = 0,
                 prefix: str | None = None, params: Any = None):  # fmt: skip
        super().__init__(prefix=prefix, params=params)
        self._axis, self._in_channels = axis, in_channels
        self._settings = {"eps": epsilon, "axis": axis, "center": center, "scale": scale}
        with self.name_scope():
            self.gamma = self._own("gamma", gamma_initializer, scale)
            self.beta = self._own("beta", beta_initializer, center)

    def hybrid_forward(self, F: Any, x: Any, gamma: Any, beta: Any) -> Any:
        self._check(x, gamma.size)
        return F.npx.layer_norm(x, gamma, beta, axis=self._axis, eps=self._settings["eps"])

    def __repr__(self) -> str:
        return self._facts(self._settings)
