"""Normalization: batch_norm and layer_norm."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.autograd import is_training
from d2lblocks.np.moves import _axes
from d2lblocks.np.ndarray import ndarray
from d2lblocks.op import composed, op


def _standardized(x, axes, eps):
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    scale = 1.0 / onp.sqrt((centred * centred).mean(axis=axes, keepdims=True) + x.dtype.type(eps))
    return centred * scale, scale


@op
def standardize(x, *, axes, eps):
    """(x - mean) / sqrt(variance + eps) over `axes`."""
    return _standardized(x, axes, eps)[0]


@standardize.vjp("x")
def _(g, z, x, axes, eps):
    # With s = 1/sqrt(var + eps): dx = s (g - mean(g) - z mean(g z)).
    centred = x - x.mean(axis=axes, keepdims=True)
    scale = ((centred * centred).mean(axis=axes, keepdims=True) + eps) ** -0.5
    return scale * (g - g.mean(axis=axes, keepdims=True) - z * (g * z).mean(axis=axes, keepdims=True))


@composed
def layer_norm(data: ndarray, gamma: ndarray, beta: ndarray, axis: int = -1, eps: float = 1e-5,
               output_mean_var: bool = False) -> Any:  # fmt: skip
    """Return gamma (x - mean) / sqrt(variance + eps) + beta, over one axis (Ba et al. 2016)."""
    axis = _axes(axis, data.ndim)[0]
    wide = tuple(n if i == axis else 1 for i, n in enumerate(data.shape))
    z = standardize(data, axes=(axis,), eps=eps) * gamma.reshape(wide) + beta.reshape(wide)
    if output_mean_var:
        return z, data.mean(axis=axis, keepdims=True), (data.var(axis=axis, keepdims=True) + eps) ** 0.5
    return z


@composed
def batch_norm(data: ndarray, gamma: ndarray, beta: ndarray, moving_mean: ndarray, moving_var: ndarray, eps: float = 1e-3,
               momentum: float = 0.9, fix_gamma: bool = True, use_global_stats: bool = False,
               output_mean_var: bool = False, axis: int = 1, **_: Any) -> Any:  # fmt: skip
    """Return gamma (x - mean) / sqrt(variance + eps) + beta, per channel (Ioffe & Szegedy 2015).

    In training, mean and variance are the batch's, and the moving ones are updated:
    moving = momentum * moving + (1 - momentum) * batch. In prediction the moving ones are used.
    `output_mean_var` adds the mean and 1 / sqrt(variance + eps) that were used.
    """
    axis = _axes(axis, data.ndim)[0]
    axes = tuple(i for i in range(data.ndim) if i != axis)
    wide = tuple(n if i == axis else 1 for i, n in enumerate(data.shape))
    if is_training() and not use_global_stats:
        z = standardize(data, axes=axes, eps=eps)
        mean, var = data._data.mean(axis=axes), data._data.var(axis=axes)
        for moving, now in ((moving_mean, mean), (moving_var, var)):
            moving._data *= momentum
            moving._data += (1 - momentum) * now
            moving._written()
    else:
        mean, var = moving_mean.detach(), moving_var.detach()
        z = (data - mean.reshape(wide)) * ((var + eps) ** -0.5).reshape(wide)
        mean, var = mean._data, var._data
    z = z + beta.reshape(wide) if fix_gamma else z * gamma.reshape(wide) + beta.reshape(wide)
    return (z, data._wrap(mean), data._wrap((var + eps) ** -0.5)) if output_mean_var else z
