"""Bad input to nets, parameters and losses."""

import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np
from d2lblocks.errors import ArgumentError
from d2lblocks.gluon import nn
from tests.errors.rows import Own, check_table, covers, net_of, refused

X, NAN = np.ones((2, 3)), float("nan")
OFFICIAL = onp.ones((2, 3))


class Mlp(nn.Block):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = nn.Dense(4, in_units=3)
        self.inner = net_of(nn.Dense(2), ready=False)

    def forward(self, x):
        return self.inner(self.hidden(x))


def ready(net, hybridize=False):
    net.initialize()
    if hybridize:
        net.hybridize()
    return net


def dense(**kwargs):
    return nn.Dense(4, in_units=3, **kwargs)


# A net whose first layer expects 3 features, and the path of that layer.
NETS = [
    (lambda: net_of(dense()), "net[0] (Dense)"),
    (lambda: net_of(net_of(dense(), ready=False), nn.Dense(2)), "net[0][0] (Dense)"),
    (lambda: ready(Mlp()), "net.hidden (Dense)"),
    (lambda: net_of(nn.Flatten(), dense(activation="relu")), "(Dense)"),
    (lambda: ready(net_of(dense(), nn.Dense(2), ready=False, hybrid=True), hybridize=True), "net[0] (Dense)"),
    (lambda: ready(dense()), "net (Dense)"),
]
DEFERRED = (lambda: net_of(nn.Dense(4)), "net[0] (Dense)")
SMALL = (nn.BatchNorm, nn.LayerNorm, nn.Flatten, lambda: nn.Dropout(0.5), lambda: nn.Activation("relu"))


def calling(make, x, record=False):
    """Call a new net; all its parameters and statistics are as before if it fails."""

    def action():
        net = make()
        before = facts(net)
        try:
            if record:
                with autograd.record():
                    net(x)
            else:
                net(x)
        finally:
            assert facts(net) == before

    return action


def facts(net):
    return [
        (p.state, p.shape, p.data().tolist() if p.state == "ready" else None, p.grad_req)
        for p in net.collect_params().values()
    ]


def for_all(row, x, kind, *words, nets=(*NETS, DEFERRED)):
    return [(row, calling(make, x, record), kind, *words, path) for make, path in nets for record in (False, True)]


def setting(value, layer=dense, before="ready"):
    def action():
        net = layer()
        if before != "new":
            net.initialize()
        facts_before = facts(net)
        try:
            net.weight.set_data(value)
        finally:
            assert facts(net) == facts_before

    return action


NORM = [
    (lambda: net_of(nn.BatchNorm(in_channels=3)), "net[0] (BatchNorm)"),
    (lambda: net_of(nn.LayerNorm(in_channels=3)), "net[0] (LayerNorm)"),
]
WAITING_NORM = [
    (lambda: net_of(nn.BatchNorm()), "net[0] (BatchNorm)"),
    (lambda: net_of(nn.LayerNorm()), "net[0] (LayerNorm)"),
]
TYPES = [net for net in NETS if net[1] != "(Dense)"]
CE, L2 = gluon.loss.SoftmaxCrossEntropyLoss, gluon.loss.L2Loss
ALIKE = (L2, gluon.loss.L1Loss, gluon.loss.SigmoidBCELoss, lambda: CE(sparse_label=False))
SPARSE = [(lambda: CE(), X), (lambda: CE(from_logits=True), X), (lambda: CE(axis=0), np.ones((3, 2)))]

TABLE = [
    *(c for x, word in (([[1.0, 2.0, 3.0]], "list"), ((1.0, 2.0), "tuple"), (1.5, "float"), (None, "None"),
                        ("a", "str"), ((X, X), "tuple"))
      for c in for_all("C1", x, TypeError, word, "np.array", nets=(*TYPES, DEFERRED))),
    *(("C1", calling(lambda m=m: net_of(m()), [1.0]), TypeError, "list", "np.array", "net[0]") for m in SMALL),
    *for_all("C2", OFFICIAL, TypeError, "numpy.ndarray", "np.array(x)", nets=(*TYPES, DEFERRED)),
    ("C3", lambda: net_of(nn.Dense(1))(), TypeError, "forward", "missing 1"),
    ("C3", lambda: ready(nn.Dense(1))(), TypeError, "forward", "missing 1"),
    ("C3", lambda: net_of(nn.Dense(1))(X, X), TypeError, "forward", "2"),
    ("C3", lambda: ready(nn.Dense(1))(X, X), TypeError, "forward"),
    ("C3", lambda: net_of(nn.Dense(1), hybrid=True)(X, X), TypeError, "forward"),
    ("C3", lambda: L2()(X), TypeError, "forward", "label"),
    *for_all("C4", np.ones((2, 5)), ValueError, "expects input of 3 features (weight (4, 3))", "(2, 5)", nets=NETS),
    *for_all("C4", np.ones((2, 3, 3)), ValueError, "expects input of 3 features", nets=NETS),
    *for_all("C4", np.ones((2, 5)), ValueError, "3 channels", "(2, 5)", nets=NORM),
    ("C4", calling(lambda: net_of(dense(flatten=False)), np.ones((2, 3, 5))), ValueError, "net[0] (Dense)",
     "3 features", "(2, 3, 5)"),
    ("C4", calling(lambda: net_of(nn.Embedding(3, 2)), np.array([1, 3])), ValueError, "net[0] (Embedding)",
     "index 3", "3 rows"),
    *for_all("C5", np.ones(3), ValueError, "x.reshape(1, -1)", "(3,)", nets=TYPES),
    *for_all("C5", np.ones(5), ValueError, "x.reshape(1, -1)", "(5,)", nets=TYPES),
    ("C5", calling(lambda: net_of(dense(flatten=False)), np.ones(5)), ValueError, "x.reshape(1, -1)"),
    ("C5", calling(lambda: net_of(nn.BatchNorm()), np.ones(3)), ValueError, "net[0] (BatchNorm)", "axis 1", "(3,)"),
    *for_all("C6", np.array(3.0), ValueError, "()", nets=(*TYPES, DEFERRED, *NORM, *WAITING_NORM)),
    *for_all("C6", np.ones((2, 0)), ValueError, nets=(*NETS, DEFERRED, *NORM, *WAITING_NORM)),
    ("C6", calling(lambda: net_of(dense(flatten=False)), np.array(3.0)), ValueError, "net[0] (Dense)", "()"),
    ("C6", calling(lambda: net_of(nn.Flatten()), np.array(3.0)), ValueError, "()"),
    *(c for kind in ("int32", "bool", "float64", "float16")
      for c in for_all("C8", np.ones((2, 3), dtype=kind), ValueError, kind, "float32", "astype('float32')",
                       nets=(*NETS, DEFERRED))),
    *(c for kind in ("int32", "bool")
      for c in for_all("C8", np.ones((2, 3), dtype=kind), ValueError, kind, "float32", "astype",
                       nets=(*NORM, *WAITING_NORM))),
    *(("C9", calling(make, X), RuntimeError, word, "initialize()") for make, word in (
        (lambda: net_of(dense(), ready=False), "_weight"), (lambda: net_of(nn.Dense(4), ready=False), "_weight"),
        (Mlp, "_weight"),
        (lambda: net_of(nn.Dense(2), ready=False, hybrid=True), "_weight"), (nn.BatchNorm, "_gamma"))),
    *(("C10", lambda f=f: f(dense().weight), RuntimeError, "_weight", "initialize()")
      for f in (lambda p: p.data(), lambda p: p.grad(), lambda p: p.list_data(), lambda p: p.list_grad())),
    *(("C10", lambda f=f: f(ready(nn.Dense(2)).weight), gluon.parameter.DeferredInitializationError, "_weight", "deferred",
       "first forward pass")
      for f in (lambda p: p.data(), lambda p: p.grad(), lambda p: p.list_data())),
    ("C10", lambda: gluon.Constant("c", [1]).grad(), RuntimeError, "c"),
    *(("C12", setting(v), ValueError, "(4, 3)", str(v.shape), "_weight")
      for v in (np.ones((2, 2)), np.ones(12), onp.ones((4, 4)), np.array(1.0))),
    *(("C12", setting(v), TypeError, word, "np.array(...)")
      for v, word in (([1], "list"), (None, "None"), (3.0, "float"), ("a", "str"))),
    ("C12", setting(np.ones((5, 3)), lambda: nn.Dense(4)), ValueError, "(4, -1)", "(5, 3)"),
    ("C12", setting(np.ones((4, 3)), before="new"), RuntimeError, "initialize()"),
    *(("C13", lambda loss=loss, s=s, y=y: loss()(s, np.array(y)), ValueError, "3 classes", word)
      for loss, s in SPARSE for y, word in (([1, 3], "3"), ([-1, 0], "-1"), ([NAN, 0], "nan"))),
    *(("C14", lambda loss=loss, s=s, y=y: loss()(s, np.ones(y)), ValueError, str(y), str(s.shape))
      for loss, s in SPARSE for y in ((3,), (2, 3, 1), (), (0,))),
    *(("C14", lambda loss=loss, y=y: loss()(X, np.ones(y)), ValueError, str(y), "(2, 3)")
      for loss in ALIKE for y in ((2, 4), (2,), (6,), (3, 2), (1, 3), ())),
    *(("C14", lambda loss=loss, y=y: loss()(X, y), TypeError, word, "np.array")
      for loss in (*ALIKE, CE) for y, word in (([0, 1], "list"), (onp.zeros(2), "numpy.ndarray"), (None, "None"))),
    ("C14", lambda: CE()(np.array(1.0), np.array(1.0)), ValueError, "()"),
    *(("C14", lambda kind=kind: CE()(X.astype(kind), np.zeros(2)), TypeError, kind, "astype('float32')")
      for kind in ("int32", "bool")),
    ("C13", lambda: CE()(np.ones((2, 0)), np.zeros(2)), ValueError, "Label 0", "no class at all"),
]  # fmt: skip


@check_table(TABLE)
def test_refused(case):
    refused(*case[1:])


@covers("C4")
def test_a_shared_layer_is_named_by_all_its_places():
    shared = nn.Dense(3, in_units=3)
    refused(lambda: net_of(shared, nn.Dense(5), shared)(X), ValueError, "net[0 or 2] (Dense)", "(2, 5)")


@covers("C4")
def test_a_batch_that_does_not_fit_teaches_a_waiting_net_nothing():
    net = net_of(nn.Dense(4))
    for wrong in (X.astype("float64"), np.ones((2, 0)), np.array(1.0), None):
        with pytest.raises((ValueError, TypeError)):
            net(wrong)
        assert net[0].weight.state == "waiting" and net[0].weight.shape == (4, -1) and not net[0]._resolutions
    assert net(X).shape == (2, 4)


@covers("C7")
@pytest.mark.parametrize("make", [lambda: net_of(dense()), DEFERRED[0], lambda: net_of(dense(activation="relu"), nn.Dense(4)),
                                  lambda: net_of(nn.Flatten(), nn.Dropout(0.5), dense()), lambda: ready(Mlp())])  # fmt: skip
def test_empty_batch(make):
    net = make()
    with autograd.record():
        y = net(np.ones((0, 3)))
    y.backward()
    assert y.shape == (0, list(net.collect_params().values())[-1].shape[0])
    assert not any(p.grad().any() for p in net.collect_params().values())
    assert CE()(np.ones((0, 3)), np.ones((0,))).shape == L2()(np.ones((0, 3)), np.ones((0, 3))).shape == (0,)


@covers("C11")
def test_gradient_before_backward_is_zero():
    net = net_of(dense())
    assert net[0].weight.grad().tolist() == [[0.0] * 3] * 4


@covers("C12")
def test_set_data_of_the_transpose_tells_the_cure():
    refused(lambda: ready(dense()).weight.set_data(np.ones((3, 4))), ValueError, "the first is that of", "Write x.T")


@covers("C4")
def test_an_error_in_an_own_block_tells_the_place():
    net = net_of(nn.Dense(3), net_of(nn.Dense(4), Own(), ready=False))
    problem = refused(lambda: net(X), ValueError, "matmul", "(2, 4)", "(3, 2)")
    assert type(problem) is ArgumentError and problem.__notes__ == ["This happened in net[1][1] (Own)"]


@covers("C4")
def test_a_foreign_error_keeps_class_text_and_notes():
    class Odd(nn.Block):
        def forward(self, x):
            problem = KeyError("mine")
            problem.add_note("a note")
            raise problem

    with pytest.raises(KeyError) as caught:
        net_of(nn.Dense(3), Odd())(X)
    assert type(caught.value) is KeyError and caught.value.args == ("mine",)
    assert caught.value.__notes__ == ["a note", "This happened in net[1] (Odd)"]


class Odd(nn.Block):
    def forward(self, x):
        raise KeyError("mine")


@covers("C4")
@pytest.mark.parametrize("layer", [nn.Dense(1, in_units=7), Own(), Odd()])
def test_an_error_goes_to_another_process(layer):
    with pytest.raises(Exception, match=r"net\[1\]|matmul|mine") as caught:
        net_of(nn.Lambda(lambda x: x), layer)(X[:, :2])  # a net that no pickle takes
    problem = caught.value
    twin = pickle.loads(pickle.dumps(problem))
    assert type(twin) is type(problem) and str(twin) == str(problem)
    assert getattr(twin, "__notes__", None) == getattr(problem, "__notes__", None)


@covers("C12")
def test_set_data_takes_an_official_array():
    layer = ready(dense())
    layer.weight.set_data(onp.full((4, 3), 2.0))
    assert layer.weight.data().tolist() == [[2.0] * 3] * 4 and layer.weight.data().dtype == "float32"


@covers("C14")
def test_labels_may_have_further_axes_of_length_1():
    assert L2()(np.ones((2, 1)), np.ones(2)).tolist() == [0, 0] == L2()(np.ones(2), np.ones((2, 1))).tolist()
    assert CE()(X, np.array([[0], [2]])).shape == (2,)


@covers("C15")
def test_nan_goes_through():
    for make, _ in NETS:
        assert np.isnan(make()(X * NAN)).all()
