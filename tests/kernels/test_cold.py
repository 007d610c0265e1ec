"""What a fresh process loads and compiles: nothing at import, kernels when first called, NumPy where there is no Numba."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import warnings, sys
from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn
net = nn.Sequential()
net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
net.initialize()
X, y = np.random.uniform(size=(2, 20)), np.array([1, 3])
loss, trainer = gluon.loss.SoftmaxCrossEntropyLoss(), gluon.Trainer(net.collect_params(), "adam")
for _ in range(3):
    with autograd.record():
        l = loss(net(X), y)
    l.backward()
    trainer.step(2)
print(f"{float(l.sum()):.4f}", "numba" in sys.modules)
"""
HIDDEN = "import sys; sys.modules['numba'] = None; import importlib.util as u; f = u.find_spec\n" \
         "u.find_spec = lambda name, *a: None if name == 'numba' else f(name, *a)\n"  # fmt: skip


def python(code, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    env |= {"PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def printed(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split()


@pytest.fixture(scope="module")
def figure():
    """The loss after three steps by NumPy alone."""
    return printed(python(TRAIN, NUMBA_DISABLE_JIT="1"))[0]


def test_nothing_is_loaded_or_compiled_at_import():
    assert printed(python("import sys, d2lblocks; print('numba' in sys.modules, 'matplotlib' in sys.modules)")) == [
        "False",
        "False",
    ]


def test_without_compilation(figure):
    assert printed(python(TRAIN, NUMBA_DISABLE_JIT="1")) == [figure, "False"]


def test_without_numba(figure):
    assert printed(python(HIDDEN + TRAIN))[0] == figure


@needs_numba
def test_two_processes_compile_into_one_empty_cache(figure, tmp_path):
    both = [python(TRAIN, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [printed(p) for p in both] == [[figure, "True"]] * 2
    assert list(tmp_path.rglob("*.nbc"))
    assert not list(tmp_path.rglob("tmp*"))
    assert printed(python(TRAIN, NUMBA_CACHE_DIR=str(tmp_path))) == [figure, "True"]


@needs_numba
def test_no_folder_for_the_cache(figure, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("in the way")
    code = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n" + TRAIN
    assert printed(python(code, NUMBA_CACHE_DIR=str(nowhere))) == [figure, "True"]
