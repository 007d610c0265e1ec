"""The benchmark runs, its names mean what they say, and it does not measure peers that compute something else."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.bench.measure import Times, agree
from tests.bench.peers import ROOT, interpreter, names
from tests.bench.picture import picture
from tests.bench.report import told, verdict
from tests.bench.workloads import How, expand, how, title


def test_runs():
    workloads = "W1 W2 W4b1 W5n3 W6n10params W10cold".split()
    command = [sys.executable, "-m", "tests.bench", "--peers", "numpy", "--workloads", *workloads]
    run = subprocess.run([*command, "--rounds", "1", "--budget", "0.001"], cwd=ROOT, capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = [line.split(" | ") for line in run.stdout.splitlines() if line.startswith("| W")]
    assert [row[0][2:] for row in rows] == workloads * 2  # times, and CPU time
    assert [row[4] == "–" for row in rows[:6]] == [w == "W6n10params" for w in workloads]  # NumPy has no trees


def test_workloads():
    assert expand(["W1..W3", "W4b8"]) == ["W1", "W2", "W3", "W4b8"]
    assert expand(["W6,W10"]) == ["W6build", "W6params", "W6repr", "W10warm", "W10cold"]
    assert len(expand(["W1..W11"])) == 27
    assert how("saveplainnosync") == How("save", checksum=False, sync=False, safetensors=False)
    assert how("loadsafetensors") == How("load", checksum=False, sync=True, safetensors=True)
    with pytest.raises(SystemExit, match="no workload 'W8'"):
        expand(["W8"])


def test_titles():
    assert title("W4b8") == "training step, 784-256-10, batch 8"
    assert title("W5n10") == "training step, 10 x Dense(32), batch 16"
    assert title("W6n10000repr") == "10,000-layer tree: repr"


def test_peers(tmp_path):
    assert names(["numpy,torch", "torch_eager"]) == ["torch_eager", "torch_compile", "numpy"]
    with pytest.raises(SystemExit, match="tests.bench.setup"):
        interpreter("torch", tmp_path)


class Answering:
    def __init__(self, name, answer):
        self.name, self.answer = name, answer

    def ask(self, what, workload):
        return self.answer


def test_peers_must_agree():
    ours, alike, without = (
        Answering("a", {"values": [1.0]}),
        Answering("b", {"values": [1.001]}),
        Answering("c", {"missing": True}),
    )
    assert agree([ours, alike, without], "W1") == [ours, alike]
    for wrong in (1.01, float("nan")):
        with pytest.raises(SystemExit, match="do not compute the same"):
            agree([ours, Answering("d", {"values": [wrong]})], "W1")


def test_ratios_are_formed_within_rounds():
    wall = {
        "d2lblocks_eager": [1.0, 2.0, 30.0],
        "torch_eager": [2.0, 4.0, 10.0],
        "jax": [3.0, 9.0, 4.5],
        "numpy": [0.1] * 3,
    }
    times = Times(wall, wall)
    assert times.ratio("d2lblocks_eager", "torch_eager") == (0.5, 0.5, 3.0)
    assert verdict("W1", "eager", times) == "0.50 (0.50–3.00) x torch eager, ≤ 0.5: met"
    assert verdict("W2", "hybrid", times) == "–"
    of_copy = Times({"d2lblocks_hybrid": [4.0], "reference": [2.0]}, wall)
    assert verdict("W9", "hybrid", of_copy) == "0.50 (0.50–0.50) of copy, ≥ 0.6: **missed**"


def test_times_in_three_digits():
    assert [told(t) for t in (1.234, 0.01234, 123.4e-6, 0.12e-6)] == ["1.23 s", "12.3 ms", "123 µs", "0.12 µs"]


def test_picture_is_svg():
    lines = {"d2lblocks_eager": [(1, 1e-5), (4096, 1e-2)], "jax": [(1, 2e-5), (4096, 2e-2)]}
    root = ElementTree.fromstring(picture([("one", "batch", lines), ("other", "layers", lines)]))
    assert len(root.findall(".//{*}polyline")) == 4
