"""Whole views, compared letter by letter with the files in golden/. After a wanted change write them anew, and read them:

python -m tests.reprs.test_golden
"""

from pathlib import Path

import pytest

from d2lblocks import autograd, init, np, npx
from d2lblocks.gluon import nn
from d2lblocks.op import OPS
from d2lblocks.reprs import Snapshot, Tape
from tests.reprs.nets import Branching, deep, mlp, tied

FOLDER = Path(__file__).parent / "golden"


def _waiting():
    net = mlp()
    net.initialize("xavier")
    return net


def _branching():
    net = Branching(prefix="b_")
    npx.random.seed(0)
    net.initialize(init.One())
    net(np.ones((1, 2)))
    return net


def _diff():
    net = _waiting()
    before = Snapshot.of(net)
    net(np.ones((2, 20)))
    net.add(nn.Dense(2, prefix="late_"))
    return before.diff(Snapshot.of(net))


def _tape():
    x = np.arange(6).reshape(2, 3)
    x.attach_grad()
    with autograd.record():
        return Tape(np.tanh(x[0] * 2).dot(x[1]))


CASES = {
    "mlp_constructed": mlp,
    "mlp_waiting": _waiting,
    "mlp_ready": lambda: mlp(called=True),
    "tied": tied,
    "branching": _branching,
    "deep": lambda: deep(12, 2),
    "parameters": lambda: mlp(called=True).collect_params(),
    "parameter": lambda: mlp()[0].weight,
    "snapshot": lambda: Snapshot.of(mlp(called=True)),
    "diff": _diff,
    "tape": _tape,
    "array": lambda: np.arange(-60, 60).reshape(10, 12),
    "initializer": lambda: init.Normal(0.1),
    "op_tanh": lambda: OPS["tanh"],
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    assert CASES[name]()._repr_html_() + "\n" == (FOLDER / f"{name}.html").read_text("utf-8")


def test_golden_text():
    seen = f"{Snapshot.of(_branching())}\n\n{_diff()}\n\n{_tape()}\n"
    assert seen == (FOLDER / "texts.txt").read_text("utf-8")


def test_no_golden_file_is_left_over():
    assert {p.stem for p in FOLDER.iterdir()} == {*CASES, "texts"}


if __name__ == "__main__":
    for case, make in CASES.items():
        (FOLDER / f"{case}.html").write_text(make()._repr_html_() + "\n", "utf-8")
    (FOLDER / "texts.txt").write_text(f"{Snapshot.of(_branching())}\n\n{_diff()}\n\n{_tape()}\n", "utf-8")
