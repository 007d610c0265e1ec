"""Datasets, samplers, batches and images."""

import gzip
import struct

import numpy as onp
import pytest

from d2lblocks import gluon, np, npx
from d2lblocks.gluon.data import ArrayDataset, BatchSampler, DataLoader, SequentialSampler, SimpleDataset, vision


def test_batches():
    x, y = np.arange(10).reshape(5, 2), np.arange(5)
    batches = list(DataLoader(ArrayDataset(x, y), 2))
    assert [a.shape for a, _ in batches] == [(2, 2), (2, 2), (1, 2)]
    assert batches[1][1].tolist() == [2, 3]
    assert len(DataLoader(ArrayDataset(x, y), 2, last_batch="discard")) == 2


def test_shuffle_keeps_every_example_once():
    seen = [v for batch in DataLoader(np.arange(20), 3, shuffle=True, num_workers=4) for v in batch.tolist()]
    assert sorted(seen) == list(range(20))


def test_dtypes_of_batches():
    assert next(iter(DataLoader([1, 2], 2))).dtype == "int64"
    assert next(iter(DataLoader([1.5, 2], 2))).dtype == "float64"
    assert next(iter(DataLoader(np.arange(2), 2))).dtype == "float32"


def test_rollover():
    sampler = BatchSampler(SequentialSampler(5), 2, "rollover")
    assert list(sampler) == [[0, 1], [2, 3]]
    assert list(sampler) == [[4, 0], [1, 2], [3, 4]]


def test_refused():
    with pytest.raises(ValueError, match="batch_size must be specified"):
        DataLoader([1, 2])
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        list(DataLoader([np.ones(2), np.ones(3)], 2))
    with pytest.raises(ZeroDivisionError) as problem:
        list(DataLoader(SimpleDataset([0]).transform(lambda v: 1 / v), 1))
    assert "example 0" in problem.value.__notes__[0]


def test_splitting():
    parts = gluon.utils.split_and_load(np.arange(7), [npx.cpu(0), npx.cpu(1)], even_split=False)
    assert [p.shape for p in parts] == [(4,), (3,)] and parts[1].ctx == npx.cpu(1)
    with pytest.raises(ValueError, match=r"\(7,\)"):
        gluon.utils.split_data(np.arange(7), 2)


def test_clipping():
    arrays = [np.array([3.0]), np.array([4.0])]
    assert gluon.utils.clip_global_norm(arrays, 1.0) == pytest.approx(5.0)
    assert float(arrays[0]) == pytest.approx(0.6) and float(arrays[1]) == pytest.approx(0.8)


def test_fashion_mnist(tmp_path):
    images = onp.arange(2 * 28 * 28, dtype="u1").reshape(2, 28, 28)
    for name, raw in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", onp.array([7, 3], "u1"))):
        head = struct.pack(f">I{raw.ndim}I", 0x800 + raw.ndim, *raw.shape)
        (tmp_path / f"train-{name}.gz").write_bytes(gzip.compress(head + raw.tobytes()))
    data = vision.FashionMNIST(tmp_path)
    image, label = data[1]
    assert image.shape == (28, 28, 1) and image.dtype == "uint8" and label == 3
    steps = vision.transforms.Compose([vision.transforms.Resize(14), vision.transforms.ToTensor()])
    batch, labels = next(iter(DataLoader(data.transform_first(steps), 2)))
    assert batch.shape == (2, 1, 14, 14) and labels.tolist() == [7, 3]
    with pytest.raises(FileNotFoundError, match="put t10k"):
        vision.FashionMNIST(tmp_path, train=False)


def test_resize_keeps_a_ramp():
    ramp = np.arange(8).reshape(1, 8, 1)
    assert vision.transforms.Resize((4, 1))(ramp).reshape(-1).tolist() == [0.5, 2.5, 4.5, 6.5]


def test_filter_sampler():
    sampler = gluon.data.FilterSampler(lambda x: x > 1, gluon.data.SimpleDataset([1, 2, 3]))
    assert list(sampler) == [1, 2] and len(sampler) == 2


@pytest.mark.parametrize(("call", "kind", "words"), [
    (lambda x: gluon.utils.split_data(x, 2, batch_axis=5), ValueError, "batch_axis 5 is none of the 2 axes"),
    (lambda x: gluon.utils.split_data(x, 2.5), ValueError, "a whole number from 1 on, got 2.5"),
    (lambda x: gluon.utils.split_data(x, 0), ValueError, "a whole number from 1 on, got 0"),
    (lambda x: gluon.utils.split_and_load(x, npx.cpu()), TypeError, "a list of contexts, got Context"),
    (lambda x: gluon.utils.clip_global_norm(x, 1), TypeError, "a list of arrays, got ndarray"),
    (lambda x: gluon.utils.clip_global_norm([x], "a"), TypeError, "max_norm is a number, got 'a'"),
])  # fmt: skip
def test_helpers_say_what_they_take(call, kind, words):
    with pytest.raises(kind, match=words):
        call(np.ones((4, 2)))


@pytest.mark.parametrize("make", [
    *(lambda n=n: gluon.data.SequentialSampler(n) for n in ("a", -1, 2.5, True, None)),
    *(lambda n=n: gluon.data.RandomSampler(n) for n in ("a", -1, [3])),
    *(lambda n=n: gluon.data.BatchSampler([1, 2], n) for n in ("a", 0, -1, 2.5, None)),
])  # fmt: skip
def test_a_sampler_takes_whole_numbers(make):
    with pytest.raises(ValueError, match=r"whole number, got"):
        make()
