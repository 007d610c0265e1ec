"""Exchange with PyTorch: its net becomes ours and ours its, with equal outputs. The files were recorded."""

import json
import os
import subprocess
from pathlib import Path

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.formats.source import opened
from d2lblocks.gluon import nn
from tests.formats.test_nets import MLP

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "exchange"


def own():
    """The net of the chapter, and what is exchanged: its parameters, an input and its output."""
    npx.random.seed(7)
    net = MLP()
    net.initialize()
    x = np.random.uniform(size=(2, 20))
    y = net(x)
    return {**net.saved_arrays(), "x": x, "y": y}


def test_net_of_torch_computes_the_same_here():
    state = npx.load(FOLDER / "torch_net.safetensors")
    net = MLP()
    net.load_parameters(FOLDER / "torch_net.safetensors", ignore_extra=True)
    assert onp.abs(net(state["x"]).asnumpy() - state["y"].asnumpy()).max() < 1e-6


def test_net_of_ours_computed_the_same_there(tmp_path):
    """own_net.safetensors was read by `with_torch read`, which found a largest difference of 3e-8; the net is still that."""
    state = npx.load(FOLDER / "own_net.safetensors")
    found = own()
    assert state.keys() == found.keys()
    for name, x in found.items():
        onp.testing.assert_allclose(x.asnumpy(), state[name].asnumpy(), rtol=0, atol=1e-7)
    npx.save(tmp_path / "again.safetensors", state)
    for file in (tmp_path / "again.safetensors", FOLDER / "own_net.safetensors"):
        with opened(file) as source:
            text = source.f.read(2000)
        assert b'"format":"pt"' in text and b'"producer":"d2lblocks ' in text and b'"d2lblocks.crc32":"' in text


@pytest.mark.slow
@pytest.mark.skipif(
    "TORCH_PYTHON" not in os.environ, reason="TORCH_PYTHON names no Python with PyTorch and safetensors"
)
def test_both_ways_with_torch_itself(tmp_path):
    program = [os.environ["TORCH_PYTHON"], FOLDER / "with_torch.py"]
    npx.save(tmp_path / "own.safetensors", own())
    done = subprocess.run([*program, "read", tmp_path / "own.safetensors"], capture_output=True, text=True)
    assert done.returncode == 0 and "difference" in done.stdout, done.stderr
    subprocess.run([*program, "write", tmp_path], check=True)
    net, state = MLP(), npx.load(tmp_path / "torch_net.safetensors")
    net.load_parameters(tmp_path / "torch_net.safetensors", ignore_extra=True)
    assert onp.abs(net(state["x"]).asnumpy() - state["y"].asnumpy()).max() < 1e-6


def test_a_list_has_no_names(tmp_path):
    with pytest.raises(ValueError, match=r"f\.safetensors.*give a dict"):
        npx.save(tmp_path / "f.safetensors", [np.ones(1)])
    with pytest.raises(ValueError, match="__metadata__"):
        npx.save(tmp_path / "f.safetensors", {"__metadata__": np.ones(1)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("checksum", [True, False])
def test_the_same_bytes_as_the_package(tmp_path, checksum):
    """All dtypes, names and shapes; in the package, the order of the metadata is chance, so that they are compared apart."""
    package, file = pytest.importorskip("safetensors.numpy"), tmp_path / "f.safetensors"
    names = ["z", "a", "重み", 'quo"te', "new\nline", "\x01\x7f", "\u2028", "\U0001f600", "", "a/b\\c"]
    kinds = ["f2", "u1", "f4", "f8", "i4", "i1", "i8", "?", "f4", "f4"]
    shapes = [(3,), (5,), (2, 3), (), (0, 2), (7,), (1, 1), (3,), (2,), (4,)]
    raws = {name: onp.ones(shape, kind) for name, kind, shape in zip(names, kinds, shapes, strict=True)}
    npx.save(file, {name: np.array(raw, dtype=raw.dtype) for name, raw in raws.items()}, checksum)
    for name, raw in package.load_file(file).items():
        assert raw.dtype == raws[name].dtype and raw.shape == raws[name].shape and raw.tolist() == raws[name].tolist()
    ours, theirs = parted(file.read_bytes()), parted(package.save(raws, {"format": "pt"}))
    told = ours[0].pop("__metadata__")
    assert told.keys() == {"format", "producer", "d2lblocks.crc32"} and told["format"] == "pt"
    assert theirs[0].pop("__metadata__") == {"format": "pt"}
    assert list(ours[0].items()) == list(theirs[0].items()) and ours[1] == theirs[1]
    assert ours[2].partition(b"}")[2] == theirs[2].partition(b"}")[2]


def parted(data):
    """Return the table, the numbers, and the text of the table without the blanks behind it."""
    end = 8 + int.from_bytes(data[:8], "little")
    assert end % 8 == 0 and not data[8:end].endswith(b" " * 8)
    return json.loads(data[8:end]), data[end:], data[8:end].rstrip()


def test_trained_nets_go_both_ways_in_every_form(tmp_path):
    for suffix in ("params", "npz", "safetensors"):
        net = nn.Sequential()
        net.add(nn.Dense(3, in_units=2), nn.BatchNorm(in_channels=3))
        net.initialize()
        net.save_parameters(tmp_path / f"f.{suffix}")
        other = nn.Sequential()
        other.add(nn.Dense(3), nn.BatchNorm())
        other.load_parameters(tmp_path / f"f.{suffix}")
        assert (other(np.ones((4, 2))) == net(np.ones((4, 2)))).all()
