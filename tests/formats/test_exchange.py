"""Exchange with PyTorch: its net becomes ours and ours its, with equal outputs. The files were recorded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.formats.source import opened
from d2lblocks.gluon import nn
from tests.formats.test_nets import MLP

pytest.importorskip("safetensors")
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


def test_a_list_has_no_names_and_the_package_may_be_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"f\.safetensors.*give a dict"):
        npx.save(tmp_path / "f.safetensors", [np.ones(1)])
    with pytest.raises(ValueError, match="__metadata__"):
        npx.save(tmp_path / "f.safetensors", {"__metadata__": np.ones(1)})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        npx.save(tmp_path / "f.safetensors", {"x": np.ones(1)})
    assert len(npx.load(FOLDER / "own_net.safetensors")) == 6  # reading needs no package
    assert not list(tmp_path.iterdir())


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
