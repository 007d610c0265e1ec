"""What is aimed at: the time of d2lblocks over that of another, or the part of what the machine can do that is reached."""

from __future__ import annotations

from typing import NamedTuple

from tests.bench.workloads import FAMILIES

REFERENCES = {"W7": "W7product", "W9": "W9copy"}
PRODUCTS = 5  # of one size, in a training step of W7: two forward, two for the weights, one for the hidden layer


class Target(NamedTuple):
    """A ratio to stay below, or a part to reach, for one mode of d2lblocks."""

    against: str  # "best" of the frameworks, one peer, or the reference
    bound: float
    modes: tuple[str, ...] = ("eager", "hybrid")

    def met(self, value: float) -> bool:
        """Return whether a measured value is good enough."""
        return value >= self.bound if self.against == "reference" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.against == 'reference' else '≤'} {self.bound}"


EAGER, HYBRID = ("eager",), ("hybrid",)
TARGETS = {
    "W1": [Target("best", 0.5, EAGER), Target("best", 0.25, HYBRID)],
    "W2": [Target("best", 0.8, EAGER), Target("best", 0.45, HYBRID)],
    "W3": [Target("best", 1.0)],
    "W4": [Target("best", 0.9)],
    "W5": [Target("best", 1.0, EAGER), Target("best", 0.3, HYBRID)],
    "W6": [Target("best", 0.7, EAGER)],
    "W7": [Target("reference", 0.9)],
    "W9": [Target("reference", 0.6, HYBRID)],
    "W10warm": [Target("torch_eager", 0.5)],
    "W10cold": [Target("torch_eager", 1.5)],
    "W11": [Target("numpy", 1.1, EAGER)],
}


def target(workload: str, mode: str) -> Target | None:
    """Return what is aimed at with a workload in a mode, if anything."""
    family = next((key for key, workloads in FAMILIES.items() if workload in workloads), "")
    return next((t for t in TARGETS.get(workload, TARGETS.get(family, [])) if mode in t.modes), None)
