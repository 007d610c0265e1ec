"""Ctrl-C at every place of a training step: weights are moved or not, and the next step is as ever."""

import sys
import warnings

import pytest

from d2lblocks import autograd, gluon, init, np, rng
from d2lblocks.checkpoint import Checkpointer
from d2lblocks.gluon import nn
from d2lblocks.kernels.program import walk
from tests.errors.rows import covers
from tests.errors.test_processes import alike


class Interrupted:
    """In the `with`, a KeyboardInterrupt comes at the place of number `at` where Python lets Ctrl-C in.

    These are the begin of a function, and the end of a call of a C function. What is raised in a `__del__` Python drops:
    pressing Ctrl-C again helps.
    """

    listen = staticmethod(sys.setprofile)

    def __init__(self, at):
        self.left, self.where = at, ""

    def __enter__(self):
        self.listen(self.event)
        return self

    def __exit__(self, *exc):
        self.listen(None)

    def passed(self, frame):
        self.left -= 1
        if self.left == 0:
            self.where = frame.f_code.co_qualname
            raise KeyboardInterrupt

    def event(self, frame, event, arg):
        here = frame.f_globals.get("__name__", "").startswith("d2lblocks") and frame.f_code.co_name != "__del__"
        if here and event in ("call", "c_return"):
            self.passed(frame)


class Stopped(Interrupted):
    """The same before line number `at` of those that run in the named functions: Ctrl-C comes at the turns of loops, too."""

    listen = staticmethod(sys.settrace)

    def __init__(self, at, *names):
        super().__init__(at)
        self.names = names

    def event(self, frame, event, arg):
        if frame.f_code.co_qualname not in self.names:
            return None
        if event == "line":
            self.passed(frame)
        return self.event


class Run:
    """A small training, and all that a step of it changes."""

    def __init__(self, rule, hybrid, **settings):
        rng.seed(1)
        self.net, self.loss = nn.HybridSequential(prefix="run_"), gluon.loss.L2Loss()
        with self.net.name_scope():  # trainers sort by name, and dense100 comes before dense99
            self.net.add(nn.Dense(5, activation="relu"), nn.Dense(2))
        self.net.initialize()
        for block in (self.net, self.loss):
            block.hybridize(hybrid)
        self.x, self.y = np.random.normal(size=(6, 4)), np.random.normal(size=(6, 2))
        self.trainer = gluon.Trainer(self.net.collect_params(), rule, {"learning_rate": 0.05, **settings})

    def step(self, calls=1, rate=0.05):
        self.trainer.set_learning_rate(rate)
        with autograd.record():
            out = sum(self.loss(self.net(self.x * k), self.y) for k in range(1, calls + 1))
        out.backward()
        self.trainer.step(6)

    def arrays(self):
        remembered = [part for name, part in self.trainer._updater.arrays().items() if not name.endswith(".t")]
        return [p.data() for p in self.trainer._params] + remembered

    def state(self):
        return [a.asnumpy() for a in self.arrays()]

    def back_to(self, state, count):
        for a, raw in zip(self.arrays(), state, strict=True):
            a._data[...] = raw
        self.trainer.optimizer.num_update = count
        self.trainer.optimizer._index_update_count.update(dict.fromkeys(range(4), count))


moved_together = pytest.mark.skipif(not walk.ready(), reason="without machine code each weight is moved by itself")


@covers("P5")
@moved_together
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("rule", [("sgd", {"momentum": 0.9}), ("adam", {})], ids=["sgd", "adam"])
def test_ctrl_c_anywhere_in_a_training_step(hybrid, rule):
    """All weights are moved or none, with all that the optimizer remembers, and the next step is as ever.

    Only at the very end of `with record()` can the scope stay open: then it ends with the cell.
    """
    run, states = Run(rule[0], hybrid, **rule[1]), []
    run.step()
    for _ in range(3):
        run.step()
        states.append(run.state())
    seen, at = set(), 0
    while True:
        at += 1
        run.back_to(states[0], 2)
        try:
            with Interrupted(at) as interrupted:
                run.step()
            break
        except KeyboardInterrupt:
            pass
        moved = next(k for k, state in enumerate(states[:2]) if alike(run.state(), state))
        seen.add(moved)
        assert not (autograd.state.pulling or autograd.state.trace)
        if interrupted.where == "_Mode.__exit__":
            with pytest.warns(UserWarning, match="still open"):
                autograd.reset_open_record()
        assert not autograd.is_recording() and not autograd.is_training(), interrupted.where
        assert run.trainer.optimizer.num_update - 2 in {moved, 1}  # Ctrl-C may come between the count and the weights
        run.back_to(run.state(), 2 + moved)
        run.step()
        assert alike(run.state(), states[moved + 1])
    assert seen == {0, 1} and at > 60


@covers("P5")
@moved_together
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_ctrl_c_leaves_nothing_half_done_for_the_next_step(hybrid, first):
    """In a step that calls the net twice, with another rate than before or with a new trainer; the next one calls it once."""

    def new():
        run = Run("sgd", hybrid)
        run.net(run.x)
        run.net.collect_params().initialize(init.One(), force_reinit=True)
        for _ in range(0 if first else 2):
            run.step(1, 0.5)
        return run

    def after(*calls):
        run = new()
        for n in calls:
            run.step(n)
        return run.state()

    unmoved, moved, expected = after(), after(2), {False: after(1), True: after(2, 1)}
    for at in range(1, 10_000):
        run = new()
        try:
            with Stopped(at, "Together.move", "Plan._bind", "Trainer._move", "Updater.move_all"):
                run.step(2)
            break
        except KeyboardInterrupt:
            pass
        assert alike(run.state(), unmoved) or alike(run.state(), moved)
        was_moved = alike(run.state(), moved)
        run.step(1)
        assert alike(run.state(), expected[was_moved]), at
    assert at > 20


def told(net, trainer=None):
    """Return all that a load changes: None for a parameter without numbers."""
    params = [None if p._data is None else p.data().tolist() for p in net.collect_params().values()]
    if trainer is None:
        return params
    return [params, {name: x.tolist() for name, x in trainer._updater.arrays().items()}, trainer.learning_rate]


def everywhere(make, load, step, stride=1):
    """Load with a Ctrl-C at every place, or at one of some; gives back which of old and new was there then.

    It is one of the two, whole, and usable.
    """
    seen = []
    for at in range(1, 5000, stride):
        net, trainer = make()
        before = told(net, trainer)
        spot = Interrupted(at)
        try:
            with spot:
                load(net, trainer)
        except KeyboardInterrupt:
            pass
        after = told(net, trainer)
        seen.append("old" if after == before else "new")
        if spot.left > 0:
            loaded = after
            break
        if after != before:
            seen[-1] = after
        if at % 7 == 0:  # it goes on from there
            with warnings.catch_warnings(action="ignore"):  # that it is initialized
                net.initialize()
            step(net, trainer)
    assert spot.left > 0 and all(now in ("old", loaded) for now in seen[:-1]), [spot.where]
    return {"new" if now == loaded else now for now in seen}


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # a generator that is given up drops what comes
@pytest.mark.parametrize("ready", [False, True], ids=["new", "live"])
@pytest.mark.parametrize("cast", [False, True])
def test_ctrl_c_while_parameters_are_loaded(tmp_path, ready, cast):
    def make():
        net = nn.HybridSequential()
        net.add(nn.Dense(3, in_units=2), nn.BatchNorm(in_channels=3), nn.Dense(1, in_units=3))
        if ready:
            net.initialize(init.Constant(5))
        return net, None

    def step(net, _):
        with autograd.record():
            y = net(np.ones((2, 2), dtype=net[0].weight.dtype))
        y.backward()
        gluon.Trainer(net.collect_params(), "sgd").step(1)

    saved, _ = make()
    saved.initialize(init.Constant(7), force_reinit=True)
    saved.cast("float16" if cast else "float32")
    saved.save_parameters(tmp_path / "f")
    found = everywhere(
        make, lambda net, _: net.load_parameters(tmp_path / "f", cast_dtype=cast, dtype_source="saved"), step
    )
    assert found == {"old", "new"}


@pytest.mark.parametrize("what", ["states", "checkpoint"])
def test_ctrl_c_while_a_training_is_taken_up(tmp_path, what):
    def make():
        net = nn.Sequential()
        net.add(nn.Dense(3, in_units=2), nn.Dense(1, in_units=3))
        net.initialize(init.Constant(0.5))
        return net, gluon.Trainer(net.collect_params(), "adam")

    def step(net, trainer):
        with autograd.record():
            y = net(np.ones((2, 2)))
        y.backward()
        trainer.step(2)

    keeper = Checkpointer(tmp_path / "c")
    net, trainer = make()
    for _ in range(3):
        step(net, trainer)
    trainer.set_learning_rate(0.5)
    trainer.save_states(tmp_path / "s")
    keeper.save(3, net, trainer)
    load = {
        "states": lambda net, trainer: trainer.load_states(tmp_path / "s"),
        "checkpoint": lambda net, trainer: keeper.restore_latest(net, trainer),
    }[what]
    assert everywhere(make, load, step, 3) == {"old", "new"}
