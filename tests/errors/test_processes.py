"""Threads, processes, notebooks and Ctrl-C."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn
from tests.errors.rows import covers, net_of, refused


def big_net():
    net = net_of(nn.Dense(64, activation="relu"), nn.Dense(8))
    x = np.random.normal(size=(256, 128))
    return net, x, net(x).asnumpy()


def run(program, **options):
    """Run a program in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@covers("P1")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_computes_the_same():
    net, x, expected = big_net()

    def child(queue):
        with autograd.record():
            y = net(x)
        y.backward()
        queue.put((y.asnumpy(), float(net[0].weight.grad().sum())))

    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    process = fork.Process(target=child, args=(queue,))
    process.start()
    y, gradient = queue.get(timeout=30)
    process.join(30)
    assert process.exitcode == 0 and onp.array_equal(y, expected) and gradient != 0
    assert not net[0].weight.grad().any()


@covers("P2", "P3", "G16")
def test_one_net_in_several_threads():
    net, x, expected = big_net()
    results, problems = [], []
    with autograd.record():
        y = net(x)
    y.backward()
    gradient = net[0].weight.grad().asnumpy()

    def work():
        try:
            for _ in range(20):
                with autograd.record():
                    y = net(x)
                y.backward()
                results.append(onp.array_equal(y.asnumpy(), expected))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems and results == [True] * 80
    assert onp.array_equal(net[0].weight.grad().asnumpy(), gradient) and not autograd.is_recording()


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
    assert run(CTRL_C).strip() == "fine"


NOTEBOOK = """
    import warnings
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.run_cell("from d2lblocks import autograd, np")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shell.run_cell("autograd.record().__enter__();")
        shell.run_cell("print(autograd.is_recording(), autograd.is_training())")
        shell.run_cell("with autograd.record(): 1/0")
        shell.run_cell("print(autograd.is_recording())")
    print([str(w.message) for w in caught])
"""


@covers("G14")
def test_a_cell_that_leaves_record_open(tmp_path):
    pytest.importorskip("IPython")
    printed = run(NOTEBOOK, env={**os.environ, "IPYTHONDIR": str(tmp_path)}).splitlines()
    printed = [line for line in printed if line.startswith(("False", "True", "["))]
    assert printed[0] == "False False" and printed[1] == "False"
    assert printed[2].count("still open") == 1
