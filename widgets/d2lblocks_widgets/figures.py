"""Figures for print, drawn by matplotlib; the only file that imports it."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as onp
from matplotlib.figure import Figure

from d2lblocks.errors import ArgumentError
from d2lblocks_widgets._bins import counts
from d2lblocks_widgets._theory import law_text
from d2lblocks_widgets.initializer_bench.measure import (
    ACTIVATIONS,
    check_shape,
    drawn,
    named,
    outcome,
    through,
    variance,
)

COLORS = ("#0b62c4", "#b34700", "#0a6b4f", "#7a2ea0", "#a8123e", "#5c5300")
STYLES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1)))
MARKS = "os^Dv*"


class Print(Figure):
    """A figure that shows itself as the result of a cell, and says in words what it shows."""

    words = ""

    def __repr__(self) -> str:
        return self.words

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()


def _density(law: dict, x: onp.ndarray) -> onp.ndarray:
    if law["law"] == "uniform":
        return onp.where(onp.abs(x) <= law["bound"], 1 / (2 * law["bound"]), 0.0)
    return onp.exp(-((x / law["sigma"]) ** 2) / 2) / (law["sigma"] * math.sqrt(2 * math.pi))


def plot_initializers(*initializers: Any, shape: Any = (256, 256), seed: int = 0, bins: int = 48) -> Print:
    """Return a figure of what initializers draw, one row each over one axis, with the density theory expects."""
    rows = [(name, drawn(one, check_shape(shape), seed)) for name, one in named(initializers)]
    good = [facts for _, facts in rows if facts.get("n")]
    reach = max((max(abs(f["lo"]), abs(f["hi"])) for f in good), default=1.0) or 1.0
    figure = Print(figsize=(5.5, 0.5 + 1.1 * len(rows)), layout="constrained")
    told = []
    for axis, (name, facts), color in zip(figure.subplots(len(rows), sharex=True), rows, COLORS, strict=False):
        axis.set_ylabel("density", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if "error" in facts or not facts["n"]:
            axis.set_title(f"{name}: {facts.get('error', 'no finite numbers')[:80]}", fontsize=8, loc="left")
            told.append(f"{name} drew nothing")
            continue
        law = facts["theory"]
        _row(axis, facts, law, reach, bins, color)
        axis.set_title(f"{name}   std {facts['std']:.3g}   theory: {law_text(law)}", fontsize=9, loc="left")
        told.append(f"{name} std {facts['std']:.3g}, from {facts['min']:.3g} to {facts['max']:.3g}")
    figure.align_ylabels()
    figure.words = f"Histograms of weights of shape {tuple(check_shape(shape))}: {'; '.join(told)}"
    return figure


def _row(axis: Any, facts: dict, law: dict | None, reach: float, bins: int, color: str) -> None:
    if facts["hi"] == facts["lo"]:
        axis.axvline(facts["lo"], color=color, linewidth=3)
        axis.set_yticks([])
        return
    fine = counts(facts)
    centres = facts["lo"] + (facts["hi"] - facts["lo"]) / len(fine) * (onp.arange(len(fine)) + 0.5)
    axis.hist(centres, bins, range=(facts["lo"], facts["hi"]), density=True, weights=fine, histtype="stepfilled",
              facecolor=color + "44", edgecolor=color)  # fmt: skip
    axis.set_xlim(-1.05 * reach, 1.05 * reach)
    if law is not None and law["law"] != "point":
        x = onp.linspace(-reach, reach, 801)
        axis.plot(x, _density(law, x), "k--", linewidth=1.2)


def plot_activations(*initializers: Any, activation: str = "tanh", depth: int = 10, width: int = 128,
                     seed: int = 0) -> Print:  # fmt: skip
    """Return a figure of the variance of a deep net's activations by layer, one line per initializer."""
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}.")
    figure = Print(figsize=(5.5, 3.2), layout="constrained")
    axis = figure.subplots()
    words = []
    for i, (name, one) in enumerate(named(initializers)):
        found = [variance(facts) for facts in through(one, activation, seed, depth, width)]
        seen = [v if v else float("nan") for v in found]
        axis.plot(
            range(len(seen)), seen, color=COLORS[i], linestyle=STYLES[i], marker=MARKS[i], markersize=4, label=name
        )
        words.append(f"{name} {outcome(found)}")
    axis.set(yscale="log", xlabel="layer", ylabel=f"variance of the activations ({activation})")
    axis.grid(color="#dddddd")
    axis.legend(fontsize=8)
    figure.words = f"Variance of the activations after {depth} layers of {width} units: {', '.join(words)}"
    return figure
