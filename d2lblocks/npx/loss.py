"""Softmax cross-entropy as one op: the loss and its gradient come out of one pass over the scores."""

from __future__ import annotations

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.kernels import cross_entropy as kernel
from d2lblocks.np.ndarray import ndarray
from d2lblocks.npx.activation import softmax_of
from d2lblocks.op import composed, op_with_memory


@op_with_memory
def cross_entropy_of(scores, labels):
    """log(sum(exp(s))) - s[label] over the last axis, and softmax(s) for the rule."""
    check_labels(labels, scores.shape[-1])
    rows = scores.reshape(-1, scores.shape[-1])
    loss, p = kernel.forward(rows, labels.astype(onp.int64).reshape(-1))
    return loss.reshape(labels.shape), p


cross_entropy_of.title = "softmax_cross_entropy"


@cross_entropy_of.vjp("scores")
def _(g, z, scores, labels):
    raw = onp.asarray(getattr(labels, "_data", labels)).astype(onp.int64)
    if type(scores) is onp.ndarray:
        return kernel.backward(g.reshape(-1), raw.reshape(-1), z[1]).reshape(scores.shape)
    # dl/ds = g (softmax(s) - onehot(label)). On the tape softmax is computed again, so that it can be differentiated.
    target = (onp.arange(scores.shape[-1]) == raw[..., None]).astype(scores.dtype)
    return (softmax_of(scores, axis=-1) - target) * g.reshape((*g.shape, 1))


def check_labels(raw: onp.ndarray, k: int) -> None:
    """Raise if a label is no class number below k."""
    if raw.size and not (raw.min() >= 0 and raw.max() < k):
        bad = raw[~((raw >= 0) & (raw < k))].reshape(-1)[0]
        raise ArgumentError(f"Label {bad:g} is out of range: there are {k} classes, numbered from 0 to {k - 1}.")


@composed
def softmax_cross_entropy(logits: ndarray, labels: ndarray) -> ndarray:
    """Return -log softmax(logits)[label], per sample: (..., k), (...) -> (...); labels are class numbers."""
    if labels.shape != logits.shape[:-1]:
        raise ArgumentError(f"softmax_cross_entropy: labels {labels.shape} do not fit scores {logits.shape}.")
    return cross_entropy_of(logits, labels)
