"""Trainers, optimizers and losses, as MXNet 1.9.1 has them."""

import copy
import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks import optimizer as opt
from d2lblocks.errors import MXNetError
from d2lblocks.gluon import nn
from tests.gluon.test_surface_calls import ready

# ------------------------------------------------------------------------------------------------ 1.11 trainer


def trainer_of(layer, *settings):
    return gluon.Trainer(layer.collect_params(), *(settings or ("sgd",)))


TRAINERS = [
    (lambda d: gluon.Trainer(3, "sgd"), ValueError, "First argument must be a list or dict of Parameters, got int"),
    (lambda d: gluon.Trainer([3], "sgd"), ValueError,
     "First argument must be a list or dict of Parameters, got list of int"),
    (lambda d: trainer_of(d, "foo"), ValueError, "Cannot find optimizer foo"),
    (lambda d: gluon.Trainer([d.weight, d.bias, d.weight], "sgd"), ValueError,
     "Trainer: parameter 'd_weight' is in the list twice"),
    *((lambda d, rule=rule, given=given: trainer_of(d, rule, given), kind, text) for rule, given, kind, text in [
        ("sgd", {"momentum": "x"}, TypeError, "SGD: momentum is a number, got 'x' (str)"),
        ("adam", {"clip_gradient": "a"}, TypeError, "Adam: clip_gradient is a number, got 'a' (str)"),
        ("sgd", {"wd": "0.1"}, TypeError, "SGD: wd is a number, got '0.1' (str)"),
        ("adagrad", {"eps": None}, TypeError, "AdaGrad: eps is a number, got None"),
        ("adam", {"beta1": 1.0}, ValueError, "Adam: beta1 must be from 0 to 1, got 1.0"),
        ("rmsprop", {"gamma1": float("nan")}, ValueError, "RMSProp: gamma1 must be from 0 to 1, got nan"),
        ("sgd", {"wd": float("nan")}, ValueError, "SGD: wd must be no NaN, got nan"),
        ("sgd", {"begin_num_update": -1}, ValueError, "SGD: begin_num_update must be at least 0, got -1"),
        ("sgd", {"learning_rate": float("nan")}, ValueError, "The learning rate is NaN"),
    ]),
    (lambda d: trainer_of(d, opt.SGD(momentum="x")), TypeError, "SGD: momentum is a number"),
    (lambda d: trainer_of(d).set_learning_rate(float("nan")), ValueError, "The learning rate is NaN"),
    (lambda d: trainer_of(d, opt.SGD(), {"learning_rate": 1}), AssertionError,
     "optimizer_params must be None if optimizer is an instance of Optimizer instead of str"),
    (lambda d: trainer_of(d).step(1), UserWarning,
     "Gradient of Parameter `d_bias` on context cpu(0) has not been updated by backward since last `step`. This could mean "
     "a bug in your model that made it only use a subset of the Parameters (Blocks) for this iteration. If you are "
     "intentionally only using a subset, call step with ignore_stale_grad=True to suppress this warning and skip updating "
     "of Parameters with stale gradient"),
    (lambda d: setattr(trainer_of(d), "learning_rate", 3), AttributeError, "property 'learning_rate'"),
]  # fmt: skip


@pytest.mark.parametrize(("do", "error", "text"), TRAINERS)
def test_trainer_text(do, error, text):
    with pytest.raises(error) as problem:
        do(ready(nn.Dense(2, in_units=2, prefix="d_")))
    assert str(problem.value).startswith(text)


def test_trainer_takes_parameters_by_name():
    layer = ready(nn.Dense(2, in_units=2, prefix="d_"))
    params = layer.collect_params()
    for given in (params, dict(params.items()), list(params.values())):
        assert [p.name for p in gluon.Trainer(given, "sgd")._params] == ["d_bias", "d_weight"]
    trainer = trainer_of(layer)
    trainer.set_learning_rate(0.3)
    assert trainer.learning_rate == 0.3 == trainer.optimizer.lr
    assert trainer.step(1, ignore_stale_grad=True) is None and layer.bias.data().tolist() == [0, 0]


def test_decay_moves_biases_too():
    layer = ready(nn.Dense(1, in_units=1))
    layer.bias.set_data(np.ones(1))
    layer.weight.wd_mult = 0.5
    trainer = trainer_of(layer, "sgd", {"wd": 0.5, "learning_rate": 1.0})
    with autograd.record():
        y = (layer(np.zeros((1, 1))) * 0).sum()
    y.backward()
    trainer.step(1)
    assert layer.weight.data().tolist() == [[0.75]] and layer.bias.data().tolist() == [0.5]


def test_states_in_files(tmp_path):
    layer = ready(nn.Dense(1, in_units=1))
    trainer = trainer_of(layer, "adam")
    with autograd.record():
        y = layer(np.ones((1, 1))).sum()
    y.backward()
    trainer.step(1)
    trainer.save_states(tmp_path / "s")
    other = trainer_of(layer, "adam")
    other.load_states(tmp_path / "s")
    assert other._updater.arrays().keys() == trainer._updater.arrays().keys() and other.optimizer.num_update == 1
    npx.save(tmp_path / "bad", {"weight": np.ones(1)})
    npx.save(tmp_path / "more", {"2.t": np.ones(1)})
    for name in ("bad", "more"):
        with pytest.raises(ValueError, match=name):
            other.load_states(tmp_path / name)


# ------------------------------------------------------------------------------------------------ optimizers


def moved(optimizer, grad=1.0, index=0, times=1):
    w = np.ones(1)
    state = optimizer.create_state(index, w)
    for _ in range(times):
        optimizer.update(index, w, np.array([grad]), state)
    return float(w[0])


DEFAULTS = {
    "sgd": {"lr": 0.01, "momentum": 0}, "nag": {"lr": 0.01, "momentum": 0}, "rmsprop": {"lr": 0.001, "gamma1": 0.9},
    "adam": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, "adagrad": {"lr": 0.01, "eps": 1e-7},
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    made = opt.Optimizer.create_optimizer(name)
    common = {"wd": 0, "rescale_grad": 1, "clip_gradient": None, "num_update": 0, "lr_mult": {}, "wd_mult": {}}
    assert {key: getattr(made, key) for key in DEFAULTS[name] | common} == DEFAULTS[name] | common


def test_names_decide_decay():
    o = opt.SGD(wd=0.5, learning_rate=1.0, param_idx2name={0: "a_weight", 1: "a_bias", 2: "a_gamma", 3: "a_beta"})
    assert o.wd_mult == {"a_bias": 0, "a_beta": 0} and [moved(o, 0.0, i) for i in range(5)] == [0.5, 1, 0.5, 1, 0.5]


def test_multipliers_by_index_and_name():
    o = opt.SGD(wd=0.5, learning_rate=1.0, param_idx2name={0: "a_weight", 1: "b_weight"})
    o.set_lr_mult({0: 2.0, "b_weight": 3.0})
    o.set_wd_mult({"a_weight": 4.0})
    assert [o._get_lr(i) for i in range(3)] == [2, 3, 1] and [o._get_wd(i) for i in range(3)] == [2, 0.5, 0.5]


def test_any_function_is_a_scheduler():
    o = opt.create("sgd", lr_scheduler=lambda n: 0.25 * n)
    assert moved(o, times=2) == 1 - 0.25 - 0.5 and o.learning_rate == 0.5
    with pytest.raises(MXNetError, match="lr_scheduler"):
        o.set_learning_rate(3)
    with pytest.raises(TypeError, match="lr_scheduler must be a function"):
        opt.SGD(lr_scheduler=0.1)

    class Halving:
        base_lr = 8.0

        def __call__(self, n):
            return self.base_lr / 2**n

    assert opt.SGD(learning_rate=1.0, lr_scheduler=Halving()).learning_rate == 1.0
    later = opt.SGD(lr_scheduler=Halving(), begin_num_update=1)
    assert later.learning_rate == 4.0 and moved(later) == 1 - 2 and later.num_update == 2


def test_updater_remembers():
    one = opt.get_updater(opt.Adam())
    w = np.ones(2)
    one(7, np.ones(2), w)
    two, v = opt.Updater(opt.Adam()), w.copy()
    two.set_states(one.get_states())
    one(7, np.ones(2), w), two(7, np.ones(2), v)
    assert w.tolist() == v.tolist() and list(two.states) == [7] and two.optimizer.num_update == 2
    with pytest.raises(ValueError, match="get_states"):
        two.set_states(b"no archive")


def test_own_optimizer(tmp_path):
    @opt.register
    class Lazy(opt.Optimizer):
        def create_state(self, index, weight):
            return np.zeros(weight.shape)

        def update(self, index, weight, grad, state):
            self._update_count(index)
            state[:] = state + grad
            weight[:] = weight - self._get_lr(index) * (state + self._get_wd(index) * weight)

    layer = ready(nn.Dense(1, in_units=1, use_bias=False))
    trainer = trainer_of(layer, "lazy", {"learning_rate": 0.5})
    for expected in (0.5, -0.5, -2.0):
        with autograd.record():
            y = layer(np.ones((1, 1))).sum()
        y.backward()
        trainer.step(1)
        assert float(layer.weight.data()) == expected
        trainer.save_states(tmp_path / "s")
        trainer.load_states(tmp_path / "s")


# ------------------------------------------------------------------------------------------------ losses


def test_losses_give_one_value_per_example():
    pred, L = np.ones((3, 4)), gluon.loss
    assert L.L2Loss()(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist() == [1.25]  # halves of squares
    assert L.L2Loss(weight=2.0)(np.array([[1.0, 2.0]]), np.zeros((1, 2)), np.array([[3.0]])).tolist() == [7.5]
    assert L.L1Loss()(np.ones((3, 1)), np.ones(3)).shape == (3,)  # the label takes the prediction's shape
    labels = [np.array([0, 1, 2], dtype=kind) for kind in ("int32", "int64", "float32", "float64")]
    values = [L.SoftmaxCELoss()(pred, label).tolist() for label in labels]
    assert values == [values[0]] * 4 and values[0] == pytest.approx([onp.log(4)] * 3)
    dense = L.SoftmaxCrossEntropyLoss(sparse_label=False)(pred, np.ones((3, 4)) / 4)
    assert dense.tolist() == pytest.approx([onp.log(4)] * 3) and L.SigmoidBCELoss()(pred, pred).shape == (3,)


def test_sample_weights_stand_beside_the_classes():
    out, label, weight = np.array([[0.0, 1, -2], [2, 3, -5]]), np.array([0, 2]), np.array([[1.0], [0.5]])
    loss = gluon.loss.SoftmaxCELoss(weight=3.0)
    assert loss(out, label, weight).tolist() == pytest.approx([4.047045, 12.470258], rel=1e-5)
    assert loss(out, label, weight.reshape(2)).tolist() == pytest.approx([4.047045, 12.470258], rel=1e-5)
    dense = gluon.loss.SoftmaxCELoss(sparse_label=False, weight=3.0)
    assert dense(out, npx.one_hot(label, 3), weight).tolist() == pytest.approx([4.047045, 12.470258], rel=1e-5)


BCE = [
    ({}, [1.377779, 17.391838], [3.7357562, 67.42423], [0.6888895, 34.783676]),
    ({"weight": 2.0}, [2.755558, 34.783676], [7.4715123, 134.84846], [1.377779, 69.56735]),
    ({"from_sigmoid": True}, [1.377779, 9.935512], [3.7357562, 37.598927], [0.6888895, 19.871023]),
]


@pytest.mark.parametrize(("settings", "plain", "positive", "weighed"), BCE)
def test_binary_cross_entropy(settings, plain, positive, weighed):
    out, label = np.array([[0.0, 1, -2], [2, 3, -50]]), np.array([[1.0, 0, 1], [0, 1, 1]])
    loss = gluon.loss.SigmoidBCELoss(**settings)
    x = npx.sigmoid(out) if settings.get("from_sigmoid") else out
    for more, expected in (
        ((), plain),
        ((None, np.array([2.0, 3, 4])), positive),
        ((np.array([[0.5], [2.0]]),), weighed),
    ):
        assert loss(x, label, *more).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_net_and_its_trainer_go_on_as_a_copy(rule, copied):
    net = nn.Dense(3, in_units=2)
    net.initialize()

    def step(net, trainer):
        with autograd.record():
            out = net(np.ones((4, 2)))
        out.backward()
        trainer.step(4)

    pair = net, gluon.Trainer(net.collect_params(), rule, {"learning_rate": 0.1})
    for _ in range(3):
        step(*pair)
    other = copied(pair)
    step(*other)
    assert not (net.weight.data() == other[0].weight.data()).any()
    step(*pair)
    assert (net.weight.data() == other[0].weight.data()).all() and (net.bias.data() == other[0].bias.data()).all()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("label", [-0.5, -1.0, 3.0, float("nan"), float("inf")])
def test_a_label_that_is_no_class_is_refused(label, hybrid):
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(hybrid)
    scores = np.zeros((2, 3))
    for _ in range(3):
        loss(scores, np.array([0.0, 2.9]))
    with pytest.raises(ValueError, match="out of range"):
        loss(scores, np.array([0.0, label]))
    with pytest.raises(ValueError, match=r"labels \(2, 1\) do not fit scores \(2, 3\); expected \(2,\)\."):
        npx.softmax_cross_entropy(scores, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="one number"):
        npx.softmax_cross_entropy(np.array(1.0), np.array(0))


@pytest.mark.parametrize(
    "size", [np.array(4.0), np.array(4, dtype="int32"), onp.float32(4), onp.int64(4), np.ones(4).sum()]
)
def test_the_batch_size_may_be_an_array_without_axes(size):
    """The book's translator divides by the number of words: trainer.step(lengths.sum())."""
    moved = []
    for n in (size, 4):
        net = nn.Dense(2, weight_initializer="ones")
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        with autograd.record():
            y = net(np.ones((1, 2))).sum()
        y.backward()
        trainer.step(n)
        moved.append(net.weight.data().asnumpy())
    assert (moved[0] == moved[1]).all() and moved[0][0, 0] == onp.float32(1) - onp.float32(0.1) * onp.float32(0.25)
