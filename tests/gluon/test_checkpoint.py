"""Checkpoints: a training goes on bit by bit as if it had never stopped."""

import os
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.checkpoint import Checkpointer
from d2lblocks.errors import DeferredInitializationError, MismatchError
from d2lblocks.gluon import nn

posix = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")


class Net(nn.Block):
    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.Dense(16, activation="relu"), nn.BatchNorm(), nn.Dense(2)

    def forward(self, x):
        return self.out(npx.dropout(self.norm(self.hidden(x)), p=0.5))


def made(rule="adam"):
    net = Net()
    net.initialize()
    net(np.ones((2, 5)))
    return net, gluon.Trainer(net.collect_params(), rule, {"learning_rate": 0.05})


def step(net, trainer):
    """One step that draws from all streams: new examples, dropout, and an order by official NumPy's generator."""
    x = np.random.normal(size=(8, 5))[np.array(onp.random.permutation(8), dtype="int64")] + np.random.randint(0, 2)
    with autograd.record():
        loss = (net(x) ** 2).mean()
    loss.backward()
    trainer.step(1)
    return float(loss)


@pytest.mark.parametrize("rule", ["sgd", "adam", "adagrad", "rmsprop"])
@pytest.mark.parametrize("initialized", [True, False])
def test_goes_on_as_if_it_had_never_stopped(tmp_path, rule, initialized):
    checkpoints = Checkpointer(tmp_path / "run")
    net, trainer = made(rule)
    for _ in range(3):
        step(net, trainer)
    trainer.set_learning_rate(0.02)
    checkpoints.save(3, net, trainer)
    expected = [step(net, trainer) for _ in range(4)]
    numbers = {name: p.data().asnumpy().tobytes() for name, p in net._collect_params_with_prefix().items()}
    npx.random.seed(99)
    onp.random.seed(99)
    if initialized:
        net, trainer = made(rule)
    else:
        net = Net()
        trainer = gluon.Trainer(net.collect_params(), rule, {"learning_rate": 0.05})
    assert checkpoints.restore_latest(net, trainer) == 3 and trainer.learning_rate == 0.02
    assert [step(net, trainer) for _ in range(4)] == expected
    assert {n: p.data().asnumpy().tobytes() for n, p in net._collect_params_with_prefix().items()} == numbers


def test_memory_finds_its_parameter_whatever_the_counters_say(tmp_path):
    """Trainers number parameters by name, where dense10_ comes before dense9_; checkpoints go by structure."""

    def made(first):
        net = nn.Sequential()
        net.add(nn.Dense(5, in_units=5, prefix=f"dense{first}_"), nn.Dense(5, in_units=5, prefix=f"dense{first + 1}_"))
        net.initialize()
        return net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9})

    (net, trainer), (again, of_again) = made(8), made(9)
    for _ in range(3):
        step(net, trainer)
    Checkpointer(tmp_path).save(3, net, trainer)
    expected = [step(net, trainer) for _ in range(3)]
    assert Checkpointer(tmp_path).restore_latest(again, of_again) == 3
    assert [step(again, of_again) for _ in range(3)] == expected


def test_keeps_the_newest(tmp_path):
    net, trainer = made()
    checkpoints = Checkpointer(tmp_path, keep=2)
    (tmp_path / "notes.txt").write_text("mine")
    for i in (1, 2, 10, 9):
        checkpoints.save(i, net, trainer)
    assert checkpoints.steps() == [2, 9, 10] and (tmp_path / "notes.txt").exists()  # 9 after 10: nothing newer goes
    checkpoints.save(11, net, trainer)
    assert checkpoints.steps() == [10, 11]
    everything = Checkpointer(tmp_path, keep=None)
    for i in range(20, 30):
        everything.save(i, net)
    assert len(everything.steps()) == 12


def test_damaged_files_are_skipped_with_a_warning(tmp_path):
    net, trainer = made()
    checkpoints = Checkpointer(tmp_path)
    for i in (1, 2, 3):
        net.out.bias.set_data(np.full((2,), i))
        checkpoints.save(i, net, trainer)
    data = bytearray((tmp_path / "step-00000003.params").read_bytes())
    data[-40] ^= 1
    (tmp_path / "step-00000003.params").write_bytes(data)
    (tmp_path / "step-00000002.params").write_bytes(data[:100])
    npx.save(tmp_path / "step-00000007.params", {"x": np.ones(2)})
    with pytest.warns(UserWarning) as caught:
        assert checkpoints.restore_latest(net, trainer) == 1
    for name, w in zip(("7.params: this is no", "3.params: ", "2.params: 15 arrays"), caught, strict=True):
        assert name in str(w.message) and w.filename == __file__
    assert net.out.bias.data().tolist() == [1, 1]


def test_nothing_to_restore(tmp_path):
    net, trainer = made()
    before = net.out.weight.data().tolist()
    assert Checkpointer(tmp_path / "none").restore_latest(net, trainer) is None
    assert not (tmp_path / "none").exists() and net.out.weight.data().tolist() == before


def test_another_net_is_refused_whole(tmp_path):
    checkpoints = Checkpointer(tmp_path)
    net, trainer = made()
    step(net, trainer)
    file = checkpoints.save(1, net, trainer)
    other = nn.Dense(2, in_units=5)
    other.initialize()
    of_other = gluon.Trainer(other.collect_params(), "adam")
    before = other.weight.data().tolist()
    for call in (lambda: checkpoints.restore_latest(other), lambda: checkpoints.restore_latest(other, of_other),
                 lambda: checkpoints.restore_latest(net, of_other)):  # fmt: skip
        with pytest.raises(ValueError, match=r"step-00000001\.params"):
            call()
    assert other.weight.data().tolist() == before and not of_other._updater.states
    checkpoints.save(2, net, rng=False)
    for call in (lambda: checkpoints.restore_latest(net), lambda: checkpoints.restore_latest(net, trainer, rng=False)):
        with pytest.raises(ValueError, match="saved without"):
            call()
    assert checkpoints.restore_latest(net, rng=False) == 2 and file.endswith("step-00000001.params")
    with pytest.raises(MismatchError):
        checkpoints.restore_latest(other, rng=False)


@pytest.mark.parametrize("call", [
    lambda f: Checkpointer(f, keep=0), lambda f: Checkpointer(f, keep=2.5), lambda f: Checkpointer(f, keep=True),
    lambda f: Checkpointer(f).save(-1, nn.Dense(1)), lambda f: Checkpointer(f).save("1", nn.Dense(1)),
])  # fmt: skip
def test_wrong_arguments(tmp_path, call):
    with pytest.raises(ValueError, match="whole number"):
        call(tmp_path / "f")
    with pytest.raises(TypeError, match="folder"):
        Checkpointer(3)
    net = nn.Dense(2)
    net.initialize()
    with pytest.raises(DeferredInitializationError):
        Checkpointer(tmp_path / "f").save(1, net)
    assert not list(tmp_path.iterdir())


TRAINING = """
    import os, signal, sys
    from tests.gluon.test_checkpoint import Checkpointer, made, onp, step
    onp.random.seed(0)
    net, trainer = made()
    checkpoints = Checkpointer(sys.argv[1])
    done = checkpoints.restore_latest(net, trainer) or 0
    for i in range(done + 1, 13):
        loss = step(net, trainer)
        checkpoints.save(i, net, trainer)
        if i == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    print(repr(loss))
"""


@posix
def test_resumes_after_kills_with_the_same_loss(tmp_path):
    def run(folder, kill_at):
        program = [sys.executable, "-c", textwrap.dedent(TRAINING), tmp_path / folder, str(kill_at)]
        return subprocess.run(program, capture_output=True, text=True, timeout=100)

    whole = run("whole", -1)
    for at in (3, 4, 9):
        assert run("killed", at).returncode == -signal.SIGKILL
    resumed = run("killed", -1)
    assert resumed.returncode == 0, resumed.stderr
    assert float(whole.stdout) == float(resumed.stdout)


def test_no_warning_without_reason(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net, trainer = made()
        Checkpointer(tmp_path).save(1, net, trainer)
        assert Checkpointer(tmp_path).restore_latest(net, trainer) == 1
