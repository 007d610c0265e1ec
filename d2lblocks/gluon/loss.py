"""Losses: one number per example, the mean over all other axes."""

from __future__ import annotations

from typing import Any

from d2lblocks.errors import ArgumentError, kind_of
from d2lblocks.gluon.hybrid import HybridBlock
from d2lblocks.gluon.located import InputError, InputTypeError
from d2lblocks.np.ndarray import ndarray
from d2lblocks.npx.loss import check_labels


class Loss(HybridBlock):
    """Base: weight and batch axis."""

    def __init__(self, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self._weight, self._batch_axis = weight, batch_axis

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_axis={self._batch_axis}, w={self._weight})"

    def _finished(self, loss: Any, sample_weight: Any) -> Any:
        """Weigh, and take the mean over all axes but the batch's."""
        if sample_weight is not None:
            loss = loss * sample_weight
        if self._weight is not None:
            loss = loss * self._weight
        ndim = loss.ndim
        if ndim < 2:
            return loss
        if not -ndim <= self._batch_axis < ndim:
            raise ArgumentError(
                f"{type(self).__name__}: batch_axis={self._batch_axis} is no axis of a loss of shape {loss.shape}."
            )
        return loss.mean(axis=tuple([i for i in range(ndim) if i != self._batch_axis % ndim]))

    def _check_label(self, label: Any) -> None:
        if not isinstance(label, ndarray):
            raise InputTypeError(self, f"the label is a {kind_of(label)}, expected an array. Write np.array(label).")

    def _alike(self, label: Any, pred: Any) -> Any:
        """Return the label in the shape of the prediction."""
        self._check_label(label)
        if label.shape == pred.shape:
            return label
        if [n for n in label.shape if n != 1] != [n for n in pred.shape if n != 1]:
            raise ArgumentError(
                f"{type(self).__name__}: label of shape {label.shape} does not fit the prediction of shape {pred.shape}."
            )
        return label.reshape(pred.shape)


class L2Loss(Loss):
    """(label - pred)² / 2, mean over all but the batch axis."""

    def __init__(self, weight: float = 1.0, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        difference = self._alike(label, pred) - pred
        return self._finished(difference * difference, sample_weight) * 0.5


class L1Loss(Loss):
    """|label - pred|, mean over all but the batch axis."""

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        return self._finished(F.np.abs(self._alike(label, pred) - pred), sample_weight)


class SigmoidBinaryCrossEntropyLoss(Loss):
    """-label log(p) - (1 - label) log(1 - p), p = sigmoid(pred), computed from pred without overflow."""

    def __init__(self, from_sigmoid: bool = False, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._from_sigmoid = from_sigmoid

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None, pos_weight: Any = None) -> Any:
        label = self._alike(label, pred)
        positive = 1.0 if pos_weight is None else pos_weight
        if self._from_sigmoid:
            eps = 1e-12
            loss = -(F.np.log(pred + eps) * label * positive + F.np.log(1.0 - pred + eps) * (1.0 - label))
        else:
            # With s = log(1 + e^-|x|): -log sigmoid(x) = s + relu(-x), and that of 1 - sigmoid adds x.
            softened = F.npx.activation(-F.np.abs(pred), "softrelu") + F.npx.relu(-pred)
            loss = pred - pred * label + softened * (1.0 + (positive - 1.0) * label)
        return self._finished(loss, sample_weight)


class SoftmaxCrossEntropyLoss(Loss):
    """-log softmax(pred)[label]; with sparse_label False the label is a distribution: -sum(label log softmax(pred))."""

    def __init__(self, axis: int = -1, sparse_label: bool = True, from_logits: bool = False,
                 weight: float | None = None, batch_axis: int = 0, **kwargs: Any):  # fmt: skip
        super().__init__(weight, batch_axis, **kwargs)
        self._axis, self._sparse_label, self._from_logits = axis, sparse_label, from_logits

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        ndim = pred.ndim
        if not -ndim <= self._axis < ndim:
            raise InputError(self, f"expects scores with classes on axis {self._axis}, got shape {pred.shape}.")
        last = self._axis % ndim == ndim - 1
        if self._sparse_label:
            label = self._classes(label, pred)
        if isinstance(sample_weight, ndarray) and sample_weight.ndim == ndim:  # (n, 1) beside scores (n, k)
            sample_weight = sample_weight.squeeze(axis=self._axis)
        if self._sparse_label and last and not self._from_logits:
            return self._finished(F.npx.softmax_cross_entropy(pred, label), sample_weight)
        scores = pred if self._from_logits else F.npx.log_softmax(pred, axis=self._axis)
        if self._sparse_label:
            check_labels(label._data, pred.shape[self._axis])
            return self._finished(-F.npx.pick(scores, label, axis=self._axis), sample_weight)
        return self._finished(-(scores * self._alike(label, pred)).sum(axis=self._axis), sample_weight)

    def _classes(self, label: Any, pred: Any) -> Any:
        """Return the labels in the shape of the scores without the axis of the classes."""
        self._check_label(label)
        whole, given = pred.shape, label.shape
        axis = self._axis % len(whole)
        shape = whole[:axis] + whole[axis + 1 :]
        if given == shape:
            return label
        if given != (*whole[:axis], 1, *whole[axis + 1 :]):
            raise ArgumentError(
                f"{type(self).__name__}: labels of shape {given} do not fit scores of shape {whole}; expected "
                f"{shape}, class numbers."
            )
        return label.reshape(shape)


SigmoidBCELoss = SigmoidBinaryCrossEntropyLoss
SoftmaxCELoss = SoftmaxCrossEntropyLoss
