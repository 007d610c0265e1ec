"""Time d2lblocks beside its peers: one process each, turns taken in chunks, the ratio formed within each round.

    python -m tests.bench --peer torch=/path/to/a/python/with/torch --workloads W1 W2 W10

A figure is the fastest chunk of a turn; printed are its median over the rounds, and median and spread of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Preset kernels halve NumPy's products on new processors, and unwritten byte code is compiled at every import.
HARMFUL = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
FRESH = "W10"  # a whole process, from its start to the first gradient


class Peer:
    """A process that holds the workloads of one framework and times them when told."""

    def __init__(self, name: str, python: str, threads: int):
        self.name, self.python = name, python
        self.env = {k: v for k, v in os.environ.items() if k not in HARMFUL}
        self.env.update(PYTHONPATH=str(ROOT), OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(
            [python, "-m", "tests.bench.worker", name],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: object) -> dict:
        """Send a question to the worker and wait for its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ({self.python}) ended; its message stands above.")
        return json.loads(line)

    def seconds(self, workload: str, budget: float) -> float:
        """Return the time of one call in seconds."""
        if workload != FRESH:
            return self.ask(time=workload, budget=budget)["seconds"]
        start = time.perf_counter()
        command = [self.python, "-m", "tests.bench.worker", self.name, "--first"]
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def agree(peers: list[Peer], workload: str) -> None:
    """Stop if the peers do not compute the same."""
    sums = {peer.name: peer.ask(check=workload)["value"] for peer in peers}
    first = next(iter(sums.values()))
    if any(abs(value - first) > 2e-3 * max(1.0, abs(first)) for value in sums.values()):
        raise SystemExit(f"{workload}: the peers do not compute the same: {sums}")


def measure(peers: list[Peer], workload: str, rounds: int, budget: float) -> dict[str, list[float]]:
    """Return the times of each peer, round by round."""
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in random.sample(peers, len(peers)):
            times[peer.name].append(peer.seconds(workload, budget))
    return times


def report(workload: str, times: dict[str, list[float]]) -> None:
    """Print a line per peer."""
    ours = times["d2lblocks"]
    for name, theirs in times.items():
        if name == "d2lblocks":
            print(f"{workload:5} {name:10} {statistics.median(ours) * 1e6:12.1f} us")
            continue
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        micro = statistics.median(theirs) * 1e6
        print(
            f"{workload:5} {name:10} {micro:12.1f} us   d2lblocks / {name}: {statistics.median(ratios):.2f} ({spread})"
        )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="torch=/venv/bin/python")
    parser.add_argument("--workloads", nargs="+", default=["W1", "W2", "W3", "W4b1", "W4b8", "W4b32", FRESH])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=0.05, help="seconds per turn")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    named = dict(pair.split("=", 1) for pair in options.peer)
    peers = [Peer(name, python, options.threads) for name, python in {"d2lblocks": sys.executable, **named}.items()]
    for workload in options.workloads:
        if workload != FRESH:
            agree(peers, workload)
        report(workload, measure(peers, workload, options.rounds, options.budget))


if __name__ == "__main__":
    main()
