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


READY = "from d2lblocks.kernels import _jit, _cache; assert _jit.ready()\n"
FEW = "from d2lblocks.kernels import _jit, update; _jit.KERNELS[:] = [update.sgd]\n"  # not all take their time


@pytest.fixture(scope="module")
def warm(tmp_path_factory, figure):
    """A folder with the kernels of two processes that began to compile at once, and what these printed."""
    folder = tmp_path_factory.mktemp("cache")
    both = [python(READY + TRAIN, D2LBLOCKS_CACHE_DIR=str(folder)) for _ in range(2)]
    return folder, sorted(printed(p) for p in both)


@needs_numba
def test_two_processes_compile_into_one_empty_cache(figure, warm):
    folder, both = warm
    assert both == [[figure, "False"], [figure, "True"]]  # one waited for the other
    (file,) = folder.glob("*.bin")
    assert {p.name for p in folder.iterdir()} == {file.name, f"{file.name}.lock"}


@needs_numba
def test_a_warm_process_never_loads_numba(figure, warm):
    code = TRAIN + "from d2lblocks.kernels import _jit; print(all(k.fast != k._first for k in _jit.KERNELS))"
    assert printed(python(code, D2LBLOCKS_CACHE_DIR=str(warm[0]))) == [figure, "False", "True"]


@needs_numba
def test_a_first_session_is_not_held_up_and_takes_the_kernels_when_they_are_there(figure, tmp_path):
    until = """
import time
from d2lblocks.kernels import _jit
early, end = [k.name for k in _jit.KERNELS if k.ready()], time.monotonic() + 100
while not _jit.KERNELS[0].ready() and time.monotonic() < end:
    time.sleep(0.05)
print(early, all(k.ready() for k in _jit.KERNELS), _jit.library.builder.wait())
"""
    out = printed(python(TRAIN + until, D2LBLOCKS_CACHE_DIR=str(tmp_path)))
    assert out == [figure, "False", "[]", "True", "0"]


@needs_numba
@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-1], lambda b: b[:99] + bytes(1) + b[100:], lambda b: b"", lambda b: b"x" + b]
)
def test_a_damaged_file_is_never_loaded(warm, tmp_path, spoil):
    (file,) = warm[0].glob("*.bin")
    for content, found in ((file.read_bytes(), "True"), (spoil(file.read_bytes()), "False")):
        (tmp_path / file.name).write_bytes(content)
        code = "from d2lblocks.kernels import _cache; print(_cache.find() is not None)"
        assert printed(python(code, D2LBLOCKS_CACHE_DIR=str(tmp_path))) == [found]


@needs_numba
@pytest.mark.skipif(os.name == "nt", reason="Windows keeps its owners elsewhere")
def test_a_file_that_strangers_can_write_is_never_loaded(warm, tmp_path):
    (file,) = warm[0].glob("*.bin")
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    copy.chmod(0o666)
    code = "from d2lblocks.kernels import _cache; print(_cache.find())"
    assert printed(python(code, D2LBLOCKS_CACHE_DIR=str(tmp_path))) == ["None"]


@needs_numba
def test_no_folder_for_the_cache(figure, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("in the way")
    until = FEW + "print(_jit.library.builder, _jit.ready(), _jit.KERNELS[0].ready())"
    out = printed(python(TRAIN + until, D2LBLOCKS_CACHE_DIR=str(nowhere)))
    assert out == [figure, "False", "None", "True", "True"]


@needs_numba
def test_what_cannot_be_compiled_is_written_down(figure, tmp_path):
    spoil = "from d2lblocks.kernels import _jit, _build; _build.built = lambda: b'spam'\n"
    end = "print(_jit.ready(), 'JSONDecodeError' in _jit.reason(), _jit.KERNELS[0].ready())"
    code = spoil + end
    assert printed(python(code, D2LBLOCKS_CACHE_DIR=str(tmp_path))) == ["False", "True", "False"]
    until = "from d2lblocks.kernels import _jit; print(_jit.library.builder)"
    out = printed(python(TRAIN + until, D2LBLOCKS_CACHE_DIR=str(tmp_path)))
    assert out == [figure, "False", "None"]  # nobody tries again
    assert printed(python(FEW + "print(_jit.ready(), _jit.reason() == '')", D2LBLOCKS_CACHE_DIR=str(tmp_path))) == [
        "True",
        "True",
    ]


SAFE = """
import os, signal, sys, threading
import numpy as onp
from d2lblocks.kernels import _jit, dense
w, g, results = onp.zeros((500, 400), "float32"), onp.ones(400, "float32"), []
before = sys.getrefcount(w)
def work():
    mine = w.copy()
    results.append(all([dense.finish.fast(mine, g, False) for _ in range(200)]) and (mine == 200).all())
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print(results == [True] * 4, sys.getrefcount(w) == before)
if hasattr(os, "fork"):
    if not (child := os.fork()):
        results.clear(), work()
        os._exit(not results[0])
    print(os.waitpid(child, 0)[1])
try:
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    while True:
        dense.finish.fast(w, g, False)
except KeyboardInterrupt:
    print(w[0, 0] > 0 and (w == w[0, 0]).all())
"""


@needs_numba
def test_threads_and_forks_and_ctrl_c(warm):
    out = printed(python(SAFE, D2LBLOCKS_CACHE_DIR=str(warm[0])))
    assert out == ["True", "True", *(["0"] if hasattr(os, "fork") else []), "True"]
