"""The figures of the chapter "Deep Learning Computation", from a fresh process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("book.py")
EXPECTED = {
    "sequential": [0.06240272, -0.03268594, 0.02582652, 0.02254181, -0.03728798, -0.04253786, 0.00540613, -0.01364184,
                   -0.09915452, -0.02272737],
    "weight": [0.06700657, -0.00369488, 0.0418822],
    "mlp": [-0.03989593, -0.10414708, 0.06799038],
    "mysequential": [-0.0764568, -0.01130233, 0.04952145],
    "fancy": [5.2637568],
    "chimera": [0.9772054],
}  # fmt: skip


@pytest.fixture(scope="module")
def figures():
    env = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    run = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True, env=env)
    rows = [line.split(":") for line in run.stdout.splitlines()]
    return {name: [float(v) for v in values.split()] for name, values in rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_figure(figures, name):
    assert figures[name] == pytest.approx(EXPECTED[name], rel=1e-5)
