"""Softmax cross-entropy as one op: the loss and its gradient come out of one pass over the scores."""

from __future__ import annotations

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.kernels import cross_entropy as kernel
from d2lblocks.np.ndarray import ndarray
from d2lblocks.npx.activation import softmax_of
from d2lblocks.op import op_with_memory
from d2lblocks.tape import Node


@op_with_memory
def cross_entropy_of(scores, labels):
    """log(sum(exp(s))) - s[label] over the last axis; softmax(s) and the labels as integers for the rule."""
    if not scores.ndim:
        raise ArgumentError("softmax_cross_entropy: the scores are one number, of shape (); expected (..., classes).")
    *leading, k = scores.shape
    if labels.shape != tuple(leading):
        raise ArgumentError(
            f"softmax_cross_entropy: labels {labels.shape} do not fit scores {scores.shape}; expected {scores.shape[:-1]}."
        )
    if labels.dtype.kind == "f":  # cut off, -0.5 would be class 0, and NaN too on some processors
        with onp.errstate(invalid="ignore"):  # infinity becomes a number that is no class
            whole = onp.where(labels >= 0, labels, -1).astype(onp.int64).reshape(-1)
    else:
        whole = labels.astype(onp.int64).reshape(-1)
    try:
        loss, p = kernel.forward(scores if len(leading) == 1 else scores.reshape(-1, k), whole)
    except (IndexError, TypeError):
        if scores.dtype.kind != "f":
            raise ArrayTypeError(
                f"softmax_cross_entropy: the scores are {scores.dtype}, expected floats; use scores.astype('float32')."
            ) from None
        check_labels(labels, k)
        raise
    return loss if len(leading) == 1 else loss.reshape(labels.shape), p, whole


cross_entropy_of.title = "softmax_cross_entropy"


@cross_entropy_of.vjp("scores")
def _(g, z, scores, labels):
    # dl/ds = g (softmax(s) - onehot(label)). On the tape softmax is computed again, so that it can be differentiated.
    raw = onp.asarray(getattr(labels, "_data", labels)).astype(onp.int64)
    target = (onp.arange(scores.shape[-1]) == raw[..., None]).astype(scores.dtype)
    return (softmax_of(scores, axis=-1) - target) * g.reshape((*g.shape, 1))


def _by_kernel(node: Node, g: onp.ndarray, grads: dict | None) -> list:
    """The same on raw numbers, by one kernel and from what the forward has computed."""
    scores, (_, p, whole) = node.args[0], node.outs
    if scores.ndim == 2:
        return [kernel.backward(g, whole, p), None]
    return [kernel.backward(g.reshape(-1), whole, p).reshape(scores.shape), None]


cross_entropy_of.quick = _by_kernel


def check_labels(raw: onp.ndarray, k: int) -> None:
    """Raise if a label is no class number below k."""
    if raw.size and not (raw.min() >= 0 and raw.max() < k):
        bad = raw[~((raw >= 0) & (raw < k))].reshape(-1)[0]
        classes = f"there are {k} classes, numbered from 0 to {k - 1}" if k else "the scores are for no class at all"
        raise ArgumentError(f"Label {bad:g} is out of range: {classes}.")


def softmax_cross_entropy(logits: ndarray, labels: ndarray) -> ndarray:
    """Return -log softmax(logits)[label], per sample: (..., k), (...) -> (...); labels are class numbers."""
    return cross_entropy_of.apply((logits, labels), {})
