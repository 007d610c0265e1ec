"""Ways of writing a block that programs use: methods instead of F, storage kinds, dtypes taken from a file."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx, optimizer
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.gluon import nn


class Chain(nn.HybridBlock):
    """relu(x W) V, by the method `dot` instead of F.np.dot."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.w = self.params.get("w", shape=(0, 5), allow_deferred_init=True)
            self.v = self.params.get("v", shape=(5, 0), allow_deferred_init=True)

    def hybrid_forward(self, F, x, w, v):
        return F.npx.relu(x.dot(w)).dot(v)


def test_the_method_dot_tells_sizes_and_keeps_the_gradient():
    net = Chain()
    net.v.shape = (5, 2)
    net.initialize()
    x = np.ones((3, 4))
    with autograd.record():
        y = net(x)
    y.backward()
    assert y.shape == (3, 2) and net.w.shape == (4, 5)
    first = net.w.grad().copy(), net.v.grad().copy()
    with autograd.record():
        net(x).backward()
    for before, after in zip(first, (net.w.grad(), net.v.grad()), strict=True):
        assert (before == after).all()
    assert first[1].asnumpy().any()


def test_the_method_dot_of_a_waiting_parameter():
    class Behind(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.w = self.params.get("w", shape=(2, 0), allow_deferred_init=True)

        def hybrid_forward(self, F, x, w):
            return w.dot(x)

    net = Behind()
    net.initialize()
    assert net(np.ones((4, 3))).shape == (2, 3) and net.w.shape == (2, 4)


class Sum(nn.HybridBlock):
    """The sum of what is not None."""

    def hybrid_forward(self, F, a, b=None):
        return sum(x for part in (a, b) if part is not None for x in (part if isinstance(part, list) else [part]))


def test_the_first_input_of_an_own_block_may_be_none_or_a_list_beside_an_array():
    x = np.arange(3)
    for hybridized in (False, True):
        net = Sum()
        net.hybridize(hybridized)
        for _ in range(2):
            assert net(None, x).tolist() == net(x, None).tolist() == net(x).tolist() == [0, 1, 2]
            assert net([x, x], [x]).tolist() == net([None, x][1:], [x, x]).tolist() == [0, 3, 6]
        with pytest.raises(TypeError, match="the input is None"):
            net(None, None)
    layer = nn.Dense(2, in_units=3)
    layer.initialize()
    with pytest.raises(TypeError, match="the input is None"):
        layer(None)


@pytest.mark.parametrize("what", ["stype", "grad_stype"])
def test_unknown_storage_is_refused(what):
    with pytest.raises(AssertionError, match=f"^{what} for Parameter 'w' must be one of .* but got 'dense'"):
        gluon.Parameter("w", shape=(2,), **{what: "dense"})
    gluon.Parameter("w", shape=(2,), **{what: "row_sparse"})


def test_a_dtype_taken_from_a_file_equals_its_name_and_its_class(tmp_path):
    net = nn.Dense(2, in_units=2)
    net.initialize()
    net.cast("float16")
    net.save_parameters(tmp_path / "net.params")
    net.cast("float32")
    net.load_parameters(tmp_path / "net.params", cast_dtype=True, dtype_source="saved")
    assert net.weight.dtype == onp.float16 and net.weight.dtype == "float16"
    assert "dtype=float16" in repr(net.weight)


def test_setting_a_scheduled_learning_rate_is_a_user_warning_raised():
    rule = optimizer.SGD(lr_scheduler=lambda step: 0.1)
    with pytest.raises(UserWarning, match="lr_scheduler"):
        rule.set_learning_rate(0.5)
    with pytest.raises(ValueError):
        rule.set_learning_rate(0.5)


def test_sizes_said_twice_must_agree():
    x, w = np.ones((1, 3)), np.ones((2, 3))
    assert npx.fully_connected(x, w, num_hidden=2, no_bias=True).shape == (1, 2)
    with pytest.raises(ArgumentError, match=r"num_hidden is 7, but the weight of shape \(2, 3\) has 2"):
        npx.fully_connected(x, w, num_hidden=7, no_bias=True)
    assert npx.embedding(np.array([1]), w, input_dim=2, output_dim=3).shape == (1, 3)
    for said in ({"input_dim": 9}, {"output_dim": 5}):
        with pytest.raises(ArgumentError, match=f"{next(iter(said))} is {next(iter(said.values()))}"):
            npx.embedding(np.array([1]), w, **said)
    with pytest.raises(ArgumentError, match="batch_axis=5 is no axis"):
        gluon.loss.L2Loss(batch_axis=5)(np.ones((3, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("examples", [["a", "b"], [{"x": 1}, {"x": 2}], [[1, 2], [3, 4, 5]], [None, None]])
def test_a_batch_of_what_is_no_number_is_refused(examples):
    with pytest.raises(ArrayTypeError, match="Give a batchify_fn"):
        list(gluon.data.DataLoader(gluon.data.SimpleDataset(examples), 2))


def test_transforms_say_what_they_take():
    transforms = gluon.data.vision.transforms
    with pytest.raises(ArrayTypeError, match=r"write np\.array\(x\)"):
        transforms.ToTensor()(onp.ones((2, 2, 3), dtype="uint8"))
    with pytest.raises(ArgumentError, match=r"got shape \(2, 2\); ToTensor makes such"):
        transforms.Normalize(0.1, 0.2)(np.ones((2, 2)))
    for transform in (transforms.ToTensor(), transforms.Normalize(), transforms.Resize(3), transforms.Cast()):
        for wrong in (onp.ones((2, 2, 3)), "a", None):
            with pytest.raises(ArrayTypeError, match=f"^{type(transform).__name__} takes an array of d2lblocks"):
                transform(wrong)
    with pytest.raises(ArgumentError, match=r"Resize takes \(h, w, c\)"):
        transforms.Resize(3)(np.ones((2, 2)))
    for wrong in (None, "abc"):
        with pytest.raises(ArrayTypeError, match="Compose takes a list of transforms"):
            transforms.Compose(wrong)


def test_transforms_are_blocks():
    transforms = gluon.data.vision.transforms
    steps = transforms.Compose([transforms.Resize(4), lambda x: 255 - x, transforms.ToTensor()])
    assert [type(step).__name__ for step in steps] == ["Resize", "Lambda", "ToTensor"] and not list(
        steps.collect_params()
    )
    assert repr(steps).startswith("Compose(\n  (0): Resize(") and transforms.Compose([])(3) == 3
    net = nn.Sequential()
    net.add(steps, nn.Flatten())
    assert net(np.full((2, 8, 8, 1), 255, dtype="uint8")).tolist() == [[0.0] * 16] * 2


def test_resize_as_the_original():
    """Values of MXNet 1.9.1."""
    resize, row = gluon.data.vision.transforms.Resize, np.array([[[0], [10], [20], [30]]], dtype="uint8")
    assert resize((2, 1), interpolation=0)(row).reshape(-1).tolist() == [0, 20]
    assert resize([2, 1])(row).reshape(-1).tolist() == [5, 25]
    assert resize(5, keep_ratio=True)(np.zeros((9, 12, 3), dtype="uint8")).shape == (5, 6, 3)
    assert resize(5, keep_ratio=True)(np.zeros((12, 9, 3), dtype="uint8")).shape == (6, 5, 3)
    for wrong in (0, -1, (2, 3, 4), "a", 2.5, None):
        with pytest.raises(ArgumentError, match=r"Resize takes a size > 0 or \(width, height\)"):
            resize(wrong)
    with pytest.raises(ArgumentError, match="interpolation is 0"):
        resize(2, interpolation=2)
