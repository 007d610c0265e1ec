"""What `watch` adds to the shortest training steps, in a real kernel: python -m tests.bench.watching [rounds].

Nets that are watched and nets that are not take turns of 200 steps, so that a slow moment of the machine meets all of
them. As each rests while the others run, all of the monitor's times are stretched by their number.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import nbclient
import nbformat
from d2lblocks_widgets import watch
from d2lblocks_widgets.training_monitor import log
from IPython.display import display

from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn

WAYS = ("nobody", "trainer, loss", "net, loss", "trainer", "record")
EACH = 3  # nets of every way
TURN = 200  # steps
BEFORE = 60  # turns that are not measured: in the first 4,096 steps every loss is kept


def run(way: str, stretch: int) -> Callable[[], None]:
    """Return a training step of a small net that is watched in this way."""
    net, loss = nn.HybridSequential(), gluon.loss.L2Loss()
    net.add(nn.Dense(1))
    net.initialize()
    net.hybridize()
    loss.hybridize()
    x, y = np.random.normal(size=(10, 2)), np.random.normal(size=(10, 1))
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-4})
    what = {"trainer, loss": (trainer, loss), "net, loss": (net, loss), "trainer": (trainer,), "record": (net,)}.get(
        way
    )
    monitor = watch(*what, every=0.2 * stretch) if what else None
    display(monitor)

    heard = monitor.record if way == "record" else None

    def step() -> None:
        with autograd.record():
            out = loss(net(x), y)
        out.backward()
        trainer.step(10)
        if heard is not None:
            heard(loss=out)

    return step


def measure(rounds: int) -> None:
    """Print the mean time of a step of each way, and its ratio to that of nobody watching; called in a kernel."""
    ways = WAYS * EACH
    for name in ("SHARE", "PATIENCE", "LEAST"):
        vars(sys.modules[watch.__module__])[name] *= len(ways)
    log.BRISK *= 4 * len(ways)
    steps = [run(way, len(ways)) for way in ways]
    times: list[list[float]] = [[] for _ in ways]
    for k in range(BEFORE + rounds):
        for i in range(len(ways))[:: 1 if k % 2 else -1]:
            start = perf_counter()
            for _ in range(TURN):
                steps[i]()
            times[i].append((perf_counter() - start) / TURN * 1e6)
    means = {way: [statistics.mean(t[BEFORE:]) for t, of in zip(times, ways, strict=True) if of == way] for way in WAYS}
    alone = statistics.mean(means["nobody"])
    for way, found in means.items():
        ratios = sorted(x / alone for x in found)
        print(f"{way}: {statistics.mean(found):.2f} us a step, {statistics.mean(ratios):.3f} "
              f"({ratios[0]:.3f}-{ratios[-1]:.3f})")  # fmt: skip


def main() -> None:
    """Run `measure` in a kernel, where a push is a message."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    cell = nbformat.v4.new_code_cell(f"from tests.bench.watching import measure; measure({rounds})")
    nbclient.NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=900, kernel_name="python3").execute()
    print("".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout"), end="")


if __name__ == "__main__":
    main()
