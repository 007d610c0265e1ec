"""Checkpoints: a training goes on bit by bit as if it had never stopped."""

import functools
import os
import random
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx, optimizer
from d2lblocks.checkpoint import Checkpointer
from d2lblocks.errors import DeferredInitializationError, MismatchError
from d2lblocks.gluon import nn
from d2lblocks.np.ndarray import wrap

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
    """One step that draws from all streams: new examples, dropout, and orders by official NumPy's generator and Python's."""
    order = list(onp.random.permutation(8))
    random.shuffle(order)
    x = np.random.normal(size=(8, 5))[np.array(order, dtype="int64")] + np.random.randint(0, 2)
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
    random.seed(99)
    if initialized:
        net, trainer = made(rule)
    else:
        net = Net()
        trainer = gluon.Trainer(net.collect_params(), rule, {"learning_rate": 0.05})
    assert checkpoints.restore_latest(net, trainer) == 3 and trainer.learning_rate == 0.02
    assert [step(net, trainer) for _ in range(4)] == expected
    assert {n: p.data().asnumpy().tobytes() for n, p in net._collect_params_with_prefix().items()} == numbers


def twelve(before):
    """A net of 12 layers that sort by number, by name and by structure in three ways: dense10_ comes before dense2_."""
    net = nn.Sequential(prefix="")
    net.add(*[nn.Dense(5, in_units=5, activation="tanh", prefix=f"dense{before + i}_") for i in range(12)])
    net.initialize()
    return net, gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("before", [0, 3, 90, 996])
@pytest.mark.parametrize("way", ["checkpoint", "states"])
def test_memory_finds_its_parameter_whatever_the_counters_say(tmp_path, way, before, frozen):
    """A net that is the second one in its notebook takes over from one that was the first, or the other way round."""
    (net, trainer), (again, of_again) = twelve(0), twelve(before)
    if frozen:
        for one in (net, again):
            one[1].weight.grad_req = one[10].weight.grad_req = "null"
    for _ in range(3):
        step(net, trainer)
    checkpoints = Checkpointer(tmp_path)
    checkpoints.save(3, net, trainer)
    trainer.save_states(tmp_path / "states")
    expected = [step(net, trainer) for _ in range(3)]
    if way == "checkpoint":
        assert checkpoints.restore_latest(again, of_again) == 3
    else:
        assert checkpoints.restore_latest(again) == 3
        of_again.load_states(tmp_path / "states")
    assert [step(again, of_again) for _ in range(3)] == expected
    for a, b in zip(net, again, strict=True):
        assert a.weight.data().asnumpy().tobytes() == b.weight.data().asnumpy().tobytes()


def test_states_of_another_net_or_optimizer_are_refused_with_all_that_differs(tmp_path):
    net, trainer = twelve(0)
    step(net, trainer)
    trainer.save_states(tmp_path / "s")
    Checkpointer(tmp_path).save(1, net, trainer)
    other = nn.Sequential(prefix="")
    other.add(*[nn.Dense(5, in_units=5, prefix=f"{'out' if i == 11 else 'dense'}{i}_") for i in range(12)])
    fewer, layers = net[:11].collect_params(), net.collect_params()
    for params, rule, words in ((other.collect_params(), "adam", "dense11_bias in the file, out11_bias here"),
                                (fewer, "adam", "24 where this trainer has 22: dense11_bias in the file, none here"),
                                (layers, "rmsprop", "what Adam remembers.*RMSProp"),
                                (layers, "sgd", "what Adam remembers.*SGD")):  # fmt: skip
        wrong = gluon.Trainer(params, rule)
        with pytest.raises(ValueError, match=f"(?s)'{tmp_path / 's'}'.*{words}"):
            wrong.load_states(tmp_path / "s")
        assert not wrong._updater.states
    for rule in ("rmsprop", "sgd"):
        with pytest.raises(ValueError, match=r"step-00000001\.params.*what Adam remembers"):
            Checkpointer(tmp_path).restore_latest(net, gluon.Trainer(layers, rule))


def test_files_of_states_without_names_go_by_number_if_they_fit(tmp_path):
    net, trainer = twelve(0)
    step(net, trainer)
    npx.save(tmp_path / "old", trainer._updater.arrays())
    fresh = gluon.Trainer(net.collect_params(), "adam")
    fresh.load_states(tmp_path / "old")
    assert fresh._updater.arrays().keys() == trainer._updater.arrays().keys()
    for rule in ("rmsprop", "sgd"):  # they remember less
        with pytest.raises(ValueError, match=r"old'.*float32 of shape \(5,\) and float32 of shape \(5,\).*remembers"):
            gluon.Trainer(net.collect_params(), rule).load_states(tmp_path / "old")
    npx.save(tmp_path / "list", [np.ones(2)])
    npx.save(tmp_path / "told", {"whose": np.array([1, 2], dtype="uint8")})
    for name, words in (("list", "list of arrays"), ("told", "does not tell whose")):
        with pytest.raises(ValueError, match=f"{name}'.*{words}"):
            fresh.load_states(tmp_path / name)
    assert fresh._updater.states


def test_parts_of_a_state_come_in_their_order_from_every_form(tmp_path):
    """A rule of one's own may remember many parts, of any dtype and shape; .safetensors puts them in an order of its own."""

    @optimizer.register
    class Many(optimizer.Optimizer):
        def create_state(self, index, weight):
            return tuple(np.full((k + 1,), k, dtype="int32" if k % 2 else "float64") for k in range(12))

        def update(self, index, weight, grad, state):
            self._update_count(index)
            for k, part in enumerate(state):
                part[:] = part + k

    for suffix in ("params", "npz", "safetensors"):
        layer = nn.Dense(1, in_units=1)
        layer.initialize()
        trainer, again = (gluon.Trainer(layer.collect_params(), "many") for _ in range(2))
        first = functools.partial(lambda layer, x: layer(x[:, :1]), layer)
        step(first, trainer)
        trainer.save_states(tmp_path / f"s.{suffix}")
        again.load_states(tmp_path / f"s.{suffix}")
        for _ in range(2):
            step(first, again)
        for parts in again._updater.states.values():
            assert [(x.shape, float(x[0])) for x in parts] == [((k + 1,), 4.0 * k) for k in range(12)]


def test_random_orders_of_python_and_numpy_go_on_too(tmp_path):
    """Loops of the book shuffle with random.shuffle; others with numpy.random."""
    net, trainer = made()
    random.gauss(0, 1)  # Python keeps the second of two numbers
    checkpoints = Checkpointer(tmp_path)
    checkpoints.save(1, net, trainer)

    def drawn():
        order = list(range(50))
        random.shuffle(order)
        return order, random.gauss(0, 1), onp.random.permutation(50).tolist(), onp.random.randn(3).tolist()

    expected = [drawn() for _ in range(3)]
    checkpoints.restore_latest(net, trainer)
    assert [drawn() for _ in range(3)] == expected
    checkpoints.restore_latest(net, trainer, rng=False)
    assert drawn() != expected[0]


@pytest.mark.parametrize(("entry", "lie"), [
    ("rng.python.key", None), ("rng.python.key", onp.zeros(3, "int32")), ("rng.numpy.key", onp.zeros(3, "int32")),
    ("rng.numpy.position", onp.array([10**6, 0])), ("rng.engines", onp.array([[-1, 10**6, 0]])), ("rng.engines", onp.ones(3)),
    ("rng.keys", onp.zeros((1, 5), "int32")), ("rng.base", onp.zeros(2)), ("lr", onp.zeros(2)),
])  # fmt: skip
def test_streams_that_lie(tmp_path, entry, lie):
    net, trainer = made()
    file = Checkpointer(tmp_path).save(1, net, trainer)
    arrays = npx.load(file)
    arrays.pop(entry)
    npx.save(file, arrays if lie is None else {**arrays, entry: wrap(lie)})
    net.out.bias.set_data(np.full((2,), 7))
    with pytest.raises(ValueError, match=r"step-00000001\.params"):
        Checkpointer(tmp_path).restore_latest(net, trainer)
    assert net.out.bias.data().tolist() == [7, 7]


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


def test_other_things_in_the_folder(tmp_path):
    """Only names that save writes are checkpoints: not those of other digits or too few."""
    net, trainer = made()
    for name in (
        "step-5.params",
        "step-000000012.params",
        "step-٠٠٠٠٠٠٠٩.params",
        "step-00000003.params.bak",
        "step-00000002",
    ):
        (tmp_path / name).write_bytes(b"mine")
    checkpoints = Checkpointer(tmp_path, keep=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoints.steps() == [] and checkpoints.restore_latest(net, trainer) is None
    for step_ in (1, 123_456_789_012):
        checkpoints.save(step_, net, trainer)
    assert checkpoints.steps() == [123_456_789_012] and len(list(tmp_path.iterdir())) == 6


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
    for name, w in zip(("7.params: this is no", "3.params: ", "2.params: 18 arrays"), caught, strict=True):
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
    from tests.gluon.test_checkpoint import Checkpointer, made, onp, random, step
    onp.random.seed(0)
    random.seed(0)
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


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["float64", "float16"])
def test_a_net_that_is_cast_goes_on_with_what_the_optimizer_remembers(tmp_path, rule, kind):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), rule, {"momentum": 0.9} if rule == "sgd" else None)

    def step(dtype):
        with autograd.record():
            y = net(np.ones((4, 3), dtype=dtype))
        y.backward()
        trainer.step(4)

    step("float32")
    before = net.weight.data().asnumpy()
    net.cast(kind)
    step(kind)
    assert {x.dtype.name for name, x in trainer._updater.arrays().items() if not name.endswith(".t")} == {kind}
    way = before - net.weight.data().asnumpy()
    assert (way > 0.0009 if rule == "adam" else way > 0.015).all()  # it remembers the way it came
    trainer.save_states(tmp_path / "states")
    trainer.load_states(tmp_path / "states")
    step(kind)
