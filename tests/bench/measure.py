"""Measuring in rounds: in each, every peer has its turn, in random order; ratios are formed within a round."""

from __future__ import annotations

import random
import statistics
from typing import NamedTuple

from tests.bench.peers import Peer
from tests.bench.targets import REFERENCES

SLOW, FEW = 1.0, 3  # when a round takes longer than so many seconds a turn, a few rounds are enough


class Ratio(NamedTuple):
    """A ratio's median, least and greatest over the rounds."""

    median: float
    low: float
    high: float


class Times(NamedTuple):
    """Seconds of one call, round by round: {peer: [...]}."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]

    def ratio(self, name: str, other: str) -> Ratio:
        """Return the ratio of two peers' times."""
        ratios = [a / b for a, b in zip(self.wall[name], self.wall[other], strict=True)]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def median(self, name: str) -> float:
        """Return a peer's median time."""
        return statistics.median(self.wall[name])

    def best(self, among: list[str]) -> str | None:
        """Return the fastest of some peers."""
        return min((name for name in among if name in self.wall), key=self.median, default=None)


def agree(peers: list[Peer], workload: str) -> list[Peer]:
    """Return the peers that have the workload; stop if they do not compute the same."""
    answers = {peer.name: peer.ask("check", workload) for peer in peers}
    values = {name: answer["values"] for name, answer in answers.items() if "values" in answer}
    first = next(iter(values.values()), [])
    for found in values.values():
        if any(not abs(a - b) <= 2e-3 * max(1.0, abs(b)) for a, b in zip(found, first, strict=True)):
            raise SystemExit(f"{workload}: the peers do not compute the same: {values}")
    return [peer for peer in peers if peer.name in values]


def turn(peer: Peer, workload: str, budget: float) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    fresh = workload.startswith("W10")
    answer = peer.first(workload == "W10cold") if fresh else peer.ask("time", workload, budget)
    return answer["wall"], answer["cpu"]


def measure(peers: list[Peer], reference: Peer, workload: str, rounds: int, budget: float) -> Times:
    """Return the times of each peer that has the workload, and of what it is measured by."""
    if workload == "W10warm":
        for peer in peers:
            peer.warm()
    turns = [(peer.name, peer, workload) for peer in (peers if "W10" in workload else agree(peers, workload))]
    if workload in REFERENCES:
        turns.append(("reference", reference, REFERENCES[workload]))
    times = Times({name: [] for name, *_ in turns}, {name: [] for name, *_ in turns})
    for done in range(1, rounds + 1):
        for name, peer, asked in random.sample(turns, len(turns)):
            wall, cpu = turn(peer, asked, budget)
            times.wall[name].append(wall)
            times.cpu[name].append(cpu)
        if done >= FEW and max(map(max, times.wall.values())) > SLOW:
            break
    return times
