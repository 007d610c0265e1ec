"""What the book's code relies on without naming it: blocks that hold anything, images in files, learning rates, devices."""

import gzip
import random
import struct

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn
from d2lblocks.gluon.data import vision
from d2lblocks.gluon.data.vision import transforms

DEVICES = [npx.cpu(1), npx.cpu(2)]


class Model(nn.Block):
    """A block as the book's classes are: arrays, a child and plain settings side by side."""

    def __init__(self):
        super().__init__()
        self.lr, self.board, self.net = 0.1, {"points": []}, nn.Dense(2)
        self.W, self.b = np.ones((3, 2)), np.zeros(2)

    def forward(self, X):
        return self.net(np.dot(X, self.W) + self.b)


def every_state():
    fresh, waiting, ready, hooked = Model(), Model(), Model(), Model()
    for block in (waiting, ready, hooked):
        block.initialize()
    hooked.register_forward_hook(lambda *_: None)
    for block in (ready, hooked):
        block(np.ones((1, 3)))
    return [fresh, waiting, ready, hooked]


@pytest.mark.parametrize("state", range(4))
def test_every_attribute_of_a_block_can_be_read_and_only_its_own_arrays_are_arrays(state):
    block = every_state()[state]
    found = {name: getattr(block, name) for name in dir(block)}
    assert [name for name, value in found.items() if isinstance(value, np.ndarray)] == ["W", "b"]
    assert [name for name, value in found.items() if isinstance(value, nn.Block)] == ["net"]


@pytest.mark.parametrize("layer", [nn.Dense(2, in_units=2), nn.Dropout(0.5), nn.BatchNorm(in_channels=2), nn.Sequential(),
                                   nn.Embedding(3, 2), nn.LayerNorm(in_channels=2), gluon.loss.L2Loss()])  # fmt: skip
def test_no_attribute_of_a_layer_is_an_array_or_fails(layer):
    layer.initialize()
    assert not any(isinstance(getattr(layer, name), np.ndarray) for name in dir(layer))


def write_images(folder, part, n, suffix=".gz"):
    """Write n random pictures in the format of Fashion-MNIST; gives back images and labels."""
    draw = random.Random(n)
    images, labels = draw.randbytes(n * 784), bytes(draw.randrange(10) for _ in range(n))
    pack = gzip.compress if suffix else bytes
    (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(struct.pack(">4I", 2051, n, 28, 28) + images))
    (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(struct.pack(">2I", 2049, n) + labels))
    return onp.frombuffer(images, "u1").reshape(n, 28, 28, 1), list(labels)


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_pictures_from_files(tmp_path, suffix):
    images, labels = write_images(tmp_path, "train", 5, suffix)
    write_images(tmp_path, "t10k", 3, suffix)
    data = vision.FashionMNIST(root=tmp_path, train=True)
    assert len(data) == 5 and len(vision.FashionMNIST(root=str(tmp_path), train=False)) == 3
    image, label = data[4]
    assert isinstance(image, np.ndarray) and image.dtype == "uint8" and (image.asnumpy() == images[4]).all()
    assert isinstance(label, np.ndarray) and label.dtype == "int32" and label.shape == () and int(label) == labels[4]
    X, y = data[1:4]
    assert isinstance(X, np.ndarray) and X.shape == (3, 28, 28, 1)
    assert isinstance(y, np.ndarray) and y.tolist() == labels[1:4] and y.dtype == "int32"
    assert [int(v) for v in y] == labels[1:4]


def test_pictures_in_batches(tmp_path):
    images, labels = write_images(tmp_path, "train", 5)
    steps = transforms.Compose([transforms.Resize((32, 20)), transforms.ToTensor()])
    data = vision.FashionMNIST(tmp_path).transform_first(steps)
    assert len(data) == 5 and data[0][0].shape == (1, 20, 32) and data[0][0].dtype == "float32"
    batches = list(gluon.data.DataLoader(data, 2, shuffle=False, num_workers=4))
    assert [(X.shape, X.dtype, y.shape, y.dtype) for X, y in batches][::2] == [
        ((2, 1, 20, 32), "float32", (2,), "int32"),
        ((1, 1, 20, 32), "float32", (1,), "int32"),
    ]
    assert [int(v) for _, y in batches for v in y] == labels
    plain = vision.FashionMNIST(tmp_path).transform_first(transforms.ToTensor())
    X, _ = next(iter(gluon.data.DataLoader(plain, 5, num_workers=4)))
    assert onp.allclose(X.asnumpy(), onp.moveaxis(images, -1, 1) / 255)


# A picture of 2 (4 i + j)² at [i, j], made (6, 5) by the original.
RESIZED = [[0, 1, 3, 7, 13, 18], [13, 17, 23, 31, 42, 50], [32, 41, 54, 68, 85, 98], [90, 103, 122, 143, 166, 184],
           [128, 145, 168, 194, 221, 242]]  # fmt: skip


def test_bytes_are_resized_to_the_bit_like_in_the_original():
    picture = np.array(onp.arange(12).reshape(3, 4, 1) ** 2 * 2, dtype="uint8")
    resized = transforms.Resize((6, 5))(picture)
    assert resized.shape == (5, 6, 1) and resized.dtype == "uint8" and resized.squeeze(-1).tolist() == RESIZED
    assert transforms.Resize((4, 3))(picture).tolist() == picture.tolist()
    assert transforms.Resize((9, 2))(np.full((1, 1, 3), 255, dtype="uint8")).tolist() == [[[255] * 3] * 9] * 2


def one_step(net, trainer, **settings):
    before = {name: p.data().copy() for name, p in net.collect_params().items()}
    with autograd.record():
        loss = net(np.ones((4, 3))).sum()
    loss.backward()
    trainer.step(4, **settings)
    return {name: (p.data() - before[name]).asnumpy() for name, p in net.collect_params().items()}


def linear():
    net = nn.Sequential()
    net.add(nn.Dense(2, in_units=3), nn.Dense(1, in_units=2))
    net.initialize(init.One())
    return net


def test_lr_mult_of_chosen_parameters():
    net = linear()
    plain = one_step(net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5}))
    net = linear()
    net.collect_params(".*bias").setattr("lr_mult", 10)
    net[0].collect_params(".*weight").setattr("lr_mult", 0)
    moved = one_step(net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5}))
    factors = [0, 10, 1, 10]
    for factor, old, new in zip(factors, plain.values(), moved.values(), strict=True):
        assert onp.allclose(new, factor * old) and old.any()


def test_learning_rate_changes_between_steps():
    net = linear()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    assert trainer.learning_rate == 0.5
    trainer.set_learning_rate(0.0)
    assert trainer.learning_rate == 0.0 and not any(d.any() for d in one_step(net, trainer).values())
    trainer.set_learning_rate(0.25)
    assert [d.item() for d in one_step(net, trainer).values() if d.size == 1] == [-0.25]


def test_grad_req_null_after_the_fact():
    net = linear()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    one_step(net, trainer)
    net[0].collect_params().setattr("grad_req", "null")
    moved = list(one_step(net, trainer).values())
    assert [bool(d.any()) for d in moved] == [False, False, True, True]
    with pytest.raises(RuntimeError, match="grad_req='null'"):
        net[0].weight.grad()


def test_stale_gradients_are_skipped_on_request():
    net, unused = linear(), nn.Dense(1, in_units=1)
    unused.initialize()
    params = {**net.collect_params(), **unused.collect_params()}
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 0.5})
    with pytest.raises(UserWarning, match="ignore_stale_grad=True"):
        one_step(net, trainer)
    before = unused.weight.data().copy()
    assert all(d.any() for d in one_step(net, trainer, ignore_stale_grad=True).values())
    assert (unused.weight.data() == before).all()


def test_pretend_devices_train_one_net():
    single, net = linear(), linear()
    net.initialize(init.One(), ctx=DEVICES, force_reinit=True)
    X, y = np.arange(12).reshape(4, 3) / 12, np.array([0, 1, 0, 2])
    loss = gluon.loss.L2Loss()
    for block, devices in ((single, [npx.cpu()]), (net, DEVICES)):
        trainer = gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.1})
        for _ in range(3):
            shards = zip(*(gluon.utils.split_and_load(a, devices) for a in (X, y)), strict=True)
            with autograd.record():
                losses = [loss(block(a), b) for a, b in shards]
            for part in losses:
                part.backward()
            trainer.step(4)
        assert [part.ctx for part in losses] == devices
    for one, two in zip(single.collect_params().values(), net.collect_params().values(), strict=True):
        a, b = (x.asnumpy() for x in two.list_data())
        assert (a == b).all() and onp.allclose(a, one.data().asnumpy())


def test_gradients_are_added_up_by_hand_over_devices():
    parts = [np.ones((1, 2), ctx=device) * (i + 1) for i, device in enumerate(DEVICES)]
    parts[0][:] += parts[1].copyto(parts[0].ctx)
    parts[0].copyto(parts[1])
    assert [p.tolist() for p in parts] == [[[3, 3]], [[3, 3]]] and [p.ctx for p in parts] == DEVICES


def test_a_step_leaves_each_device_its_own_gradient():
    w = gluon.Parameter("w", shape=(1,), init=init.One())
    w.initialize(ctx=DEVICES)
    w.grad_req = "add"
    trainer = gluon.Trainer([w], "sgd", {"learning_rate": 1.0})
    for step in (1, 2):
        with autograd.record():
            losses = [x.sum() * (i + 1) for i, x in enumerate(w.list_data())]
        for part in losses:
            part.backward()
        trainer.step(1)
        assert [g.tolist() for g in w.list_grad()] == [[step], [2 * step]]
    assert [x.tolist() for x in w.list_data()] == [[1 - 3 - 6]] * 2
