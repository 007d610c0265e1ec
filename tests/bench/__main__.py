"""Time d2lblocks beside its peers: a process each on the same core, turns taken, the ratio formed within each round.

    python -m tests.bench.setup                                  # once: the peers' environments
    python -m tests.bench --peers numpy,torch,jax,mxnet --workloads W1..W11 --out NAME

A time is the fastest chunk of a turn; shown are medians over the rounds, of ratios the spread too. A peer is a
framework (torch: all its modes) or a mode (torch_eager); --peer NAME=PYTHON names the Python of a framework.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from tests.bench.machine import described
from tests.bench.measure import Times, measure
from tests.bench.peers import Peer, interpreter, names
from tests.bench.picture import picture
from tests.bench.report import cpu_table, lines, memory_table, table
from tests.bench.workloads import BATCHES, DEPTHS, expand

RESULTS = Path(__file__).parent / "results"
IN_PICTURE = ("d2lblocks_eager", "d2lblocks_hybrid", "torch_eager", "jax", "mxnet_hybrid", "numpy")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", default=[], help="numpy,torch,jax,mxnet")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="torch=/venv/bin/python")
    parser.add_argument("--workloads", nargs="+", default=["W1..W11"], help="W1, W4b8, W1..W7")
    parser.add_argument("--rounds", type=int, default=9, help="where a turn takes more than a second, three")
    parser.add_argument("--budget", type=float, default=0.05, help="seconds per turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="the peak of W3 and W5, too")
    parser.add_argument("--growth", action="store_true", help="growth with layers and batch, too")
    parser.add_argument("--out", metavar="NAME", help="write NAME.md and NAME.svg to tests/bench/results")
    options = parser.parse_args()
    options.workloads = expand(options.workloads)
    return options


def growth(peers: list[Peer], reference: Peer, rounds: int, budget: float) -> dict[str, Times]:
    """Return the times of training steps of deeper nets and bigger batches."""
    shown = [peer for peer in peers if peer.name in IN_PICTURE]
    results = {}
    for workload in [*(f"W5n{n}" for n in DEPTHS), *(f"W4b{n}" for n in BATCHES)]:
        results[workload] = measure(shown, reference, workload, rounds, budget)
        print("\n".join(lines(workload, results[workload])), flush=True)
    return results


def drawn(grown: dict[str, Times]) -> str:
    """Return the picture of growth."""
    panels = []
    for caption, axis, start in (
        ("n x Dense(32), batch 16", "layers", "W5n"),
        ("784-256-10, batch n", "batch", "W4b"),
    ):
        curves: dict[str, list] = {}
        for workload, times in grown.items():
            if workload.startswith(start):
                for name in times.wall:
                    curves.setdefault(name, []).append((int(workload[3:]), times.median(name)))
        panels.append((caption, axis, curves))
    return picture(panels)


def page(title: str, machine: list[str], sections: dict[str, list[str]]) -> str:
    """Return the page of results."""
    text = [f"# Timings: {title}", "", f"Measured on {date.today().isoformat()}.", "", *(f"- {m}" for m in machine), ""]
    for head, body in sections.items():
        text += [f"## {head}", "", *body, ""]
    return "\n".join(text)


def main() -> None:
    """Measure, print, and write what is asked for."""
    options = arguments()
    pythons = dict(pair.split("=", 1) for pair in options.peer)
    wanted = ["d2lblocks", *names([*options.peers, *([] if options.peers else pythons)])]
    peers = []
    for name in names(wanted):
        framework = name.partition("_")[0]
        pythons.setdefault(framework, interpreter(framework))
        peers.append(Peer(name, pythons[framework], options.threads))
    reference = Peer("numpy", interpreter("numpy"), options.threads)
    results, sections, shown = {}, {}, [peer.name for peer in peers]
    for workload in options.workloads:
        results[workload] = measure(peers, reference, workload, options.rounds, options.budget)
        print("\n".join(lines(workload, results[workload])), flush=True)
    sections["Times"] = table(results, shown)
    sections["CPU time over wall time"] = cpu_table(results, shown)
    if options.memory:
        peaks = {w: {p.name: p.once("memory", w)["peak"] for p in peers} for w in ("W3", "W5")}
        sections["Rise of memory at its peak, building a net and five steps"] = memory_table(peaks)
    if options.growth:
        grown = growth(peers, reference, options.rounds, options.budget)
        sections["Growth"] = table(grown, [peer.name for peer in peers if peer.name in IN_PICTURE])
    machine = described(pythons, options.threads)
    print(text := page(options.out or "d2lblocks beside its peers", machine, sections))
    if options.out:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{options.out}.md").write_text(text)
        if options.growth:
            (RESULTS / f"{options.out}.svg").write_text(drawn(grown))
    for peer in [*peers, reference]:
        peer.close()


if __name__ == "__main__":
    main()
