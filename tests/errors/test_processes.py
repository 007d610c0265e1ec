"""Threads, processes and notebooks."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, rng
from d2lblocks.gluon import nn
from tests.errors.rows import covers, refused


def big_net():
    net = nn.HybridSequential()
    net.add(nn.Dense(64, activation="relu"), nn.Dense(8))
    net.initialize()
    x = np.random.normal(size=(256, 128))
    return net, x, net(x).asnumpy()


def printed_by(program, **options):
    """Run a program in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def trained(seed, hybrid, steps=12):
    """Train a net made from this seed, in whatever thread or process this is, and return its weights."""
    rng.seed(seed)
    net = nn.HybridSequential()
    net.add(nn.Dense(64, activation="relu"), nn.Dense(8))
    net.initialize()
    net.hybridize(hybrid)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(hybrid)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    x, y = np.random.normal(size=(96, 40)), np.random.randint(0, 8, size=(96,))
    for _ in range(steps):
        with autograd.record():
            out = loss(net(x), y)
        out.backward()
        trainer.step(96)
    return [p.data().asnumpy() for p in net.collect_params().values()]


def alike(some, others):
    return all(onp.array_equal(a, b) for a, b in zip(some, others, strict=True))


@covers("P1")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("hybrid", [False, True])
def test_a_forked_process_computes_the_same(hybrid):
    net, x, expected = big_net()
    wanted = trained(5, hybrid)

    def child(queue):
        with autograd.record():
            y = net(x)
        y.backward()
        queue.put((y.asnumpy(), float(net[0].weight.grad().sum()), alike(trained(5, hybrid), wanted)))

    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    process = fork.Process(target=child, args=(queue,))
    busy = threading.Thread(target=trained, args=(6, hybrid, 150))  # another thread is in a kernel meanwhile
    busy.start()
    process.start()
    y, gradient, same = queue.get(timeout=30)
    process.join(30)
    busy.join()
    assert process.exitcode == 0 and onp.array_equal(y, expected) and gradient != 0 and same
    assert not net[0].weight.grad().any()


@covers("P2")
@pytest.mark.parametrize("hybrid", [False, True])
def test_trainings_in_several_threads_are_those_of_one(hybrid, switching):
    alone, together = [trained(seed, hybrid) for seed in range(4)], {}

    def work(seed):
        together[seed] = trained(seed, hybrid)

    in_threads(work, range(4))
    assert all(alike(alone[seed], together[seed]) for seed in range(4))


@covers("P2", "P3", "G16")
@pytest.mark.parametrize("hybrid", [False, True])
def test_one_net_in_several_threads(hybrid, switching):
    net, x, _ = big_net()
    net.hybridize(hybrid)
    inputs = [x, x * 2, x[::-1].copy(), x + 1]
    results = []
    with autograd.record():
        y = net(x)
    y.backward()
    gradient, expected = net[0].weight.grad().asnumpy(), [net(x).asnumpy() for x in inputs]

    def work(k):
        for _ in range(20):
            with autograd.record():
                y = net(x)
            y.backward()
            results.append(onp.array_equal(net(inputs[k]).asnumpy(), expected[k]))

    in_threads(work, range(4))
    assert results == [True] * 80
    assert onp.array_equal(net[0].weight.grad().asnumpy(), gradient) and not autograd.is_recording()


@pytest.fixture
def switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(work, items):
    """Call work(item) in a thread for each, and raise what went wrong in one."""
    with ThreadPoolExecutor(len(items)) as threads:
        for one in [threads.submit(work, item) for item in items]:
            one.result()


class Failing(gluon.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return np.ones(2) if i != 7 else {}["key"]


@covers("P4")
def test_a_failing_dataset_names_the_example():
    loader = iter(gluon.data.DataLoader(Failing(), batch_size=4))
    assert next(loader).shape == (4, 2)
    with pytest.raises(KeyError, match="key") as caught:
        next(loader)
    assert "example 7" in caught.value.__notes__[0]


@covers("P4")
def test_workers_are_this_process():
    seen = []

    class Seen(gluon.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, i):
            seen.append((os.getpid(), threading.get_ident()))
            return np.full((2,), i)

    one, four = (gluon.data.DataLoader(Seen(), batch_size=4, num_workers=n) for n in (0, 4))
    assert [x.tolist() for x in one] == [x.tolist() for x in four]
    assert set(seen) == {(os.getpid(), threading.get_ident())} and len(seen) == 20


@covers("P4")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_examples_of_a_failing_batch_are_named(num_workers):
    dataset = gluon.data.SimpleDataset([np.ones(2 + (i == 6)) for i in range(20)])
    loader = iter(gluon.data.DataLoader(dataset, batch_size=4, num_workers=num_workers))
    next(loader)
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)") as caught:
        next(loader)
    assert "examples 4, 5, 6, 7 of" in caught.value.__notes__[0]
    large = gluon.data.DataLoader(gluon.data.SimpleDataset([1] * 5000), 5000, batchify_fn=lambda data: data[0] / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        next(iter(large))
    assert len(caught.value.__notes__[0]) < 100


@covers("P4")
@pytest.mark.parametrize(
    "parts", [[np.ones(2), np.ones(3)], [onp.ones(2), onp.ones(3)], [(np.ones(2), 0), (np.ones(3), 1)]]
)
def test_ragged_examples(parts):
    dataset = gluon.data.SimpleDataset(parts)
    refused(lambda: list(gluon.data.DataLoader(dataset, batch_size=2)), ValueError, "(2,)", "(3,)", "batchify_fn")


CTRL_C = """
    import os, signal, threading, time
    from d2lblocks import autograd, gluon, np
    from d2lblocks.gluon import nn
    net = nn.Sequential()
    net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
    net.initialize()
    trainer, loss = gluon.Trainer(net.collect_params(), "adam"), gluon.loss.L2Loss()
    x, y = np.ones((256, 200)), np.zeros((256, 10))
    def step():
        with autograd.record():
            l = loss(net(x), y).mean()
        l.backward()
        trainer.step(1)
        return float(l)
    step()
    sent = []
    def press():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    for delay in (0.05, 0.11, 0.23):
        threading.Timer(delay, press).start()
        try:
            while True:
                step()
        except KeyboardInterrupt:
            late = time.monotonic() - sent[-1]
        assert late < 1, late
        assert not autograd.is_recording() and not autograd.is_training() and not autograd.state.pulling
        before = step()
        assert step() < 1 and before < 1
        assert all(np.isfinite(p.data()).all() for p in net.collect_params().values())
    print("fine")
"""


@covers("P5", "G13")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a process alone")
def test_ctrl_c_in_a_training_loop():
    assert printed_by(CTRL_C).strip() == "fine"


NOTEBOOK = """
    import os, signal, threading, warnings
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.run_cell("from d2lblocks import autograd, np")
    asked = "print(autograd.is_recording(), autograd.is_training())"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shell.run_cell("autograd.record().__enter__();")
        shell.run_cell(asked)
        shell.run_cell("with autograd.record(): 1/0")
        shell.run_cell(asked)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        done = shell.run_cell("with autograd.record():\\n    while True: np.ones(3) + 1")
        print("stopped by", type(done.error_in_exec).__name__)
        shell.run_cell(asked)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        done = shell.run_cell("autograd.record().__enter__()\\nwhile True: np.ones(3) + 1")
        print("stopped by", type(done.error_in_exec).__name__)
        shell.run_cell(asked)
    print([str(w.message) for w in caught])
"""


@covers("G14", "P5")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a process alone")
def test_a_cell_that_leaves_record_open(tmp_path):
    pytest.importorskip("IPython")
    printed = printed_by(NOTEBOOK, env={**os.environ, "IPYTHONDIR": str(tmp_path)}).splitlines()
    printed = [line for line in printed if line.startswith(("False", "True", "stopped", "['"))]
    stopped = "stopped by KeyboardInterrupt"
    assert printed[:6] == ["False False", "False False", stopped, "False False", stopped, "False False"]
    assert printed[6].count("still open") == 2
