"""The initializer bench: what initializers draw, side by side with theory, and what ten layers make of it."""

from __future__ import annotations

from html import escape
from typing import Any

import traitlets as t

from d2lblocks.errors import ArgumentError
from d2lblocks.reprs.style import number
from d2lblocks_widgets._picture import histogram_img
from d2lblocks_widgets._theory import fans, law_text
from d2lblocks_widgets._widget import Widget
from d2lblocks_widgets.initializer_bench.measure import (
    ACTIVATIONS,
    check_shape,
    drawn,
    named,
    outcome,
    through,
    variance,
)

BINS = 8, 128  # at least and at most


class CompareInitializers(Widget):
    """Two to six initializers on one axis; change shape, seed and activation here or in the notebook."""

    shape = t.List(t.Int()).tag(sync=True)
    seed = t.Int().tag(sync=True)
    activation = t.Enum(list(ACTIVATIONS)).tag(sync=True)
    layer = t.Int(1).tag(sync=True)  # the layer whose activations are shown, 0 is the input
    bins = t.Int(48).tag(sync=True)
    log_scale = t.Bool(False).tag(sync=True)
    activations = t.List(list(ACTIVATIONS)).tag(sync=True)
    results = t.Dict().tag(sync=True)  # {asked: {shape, seed, activation}, fans, rows: [{name, drawn, layers}]}

    def __init__(self, initializers: Any, shape: Any, seed: int, activation: str, depth: int, width: int):
        self._named = named(initializers)
        self._depth, self._width = depth, width
        super().__init__(shape=list(check_shape(shape)), seed=seed, activation=activation)
        self._measure()
        self.observe(self._measure, ["shape", "seed", "activation"])

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self._named)
        return f"compare_initializers({names}; shape={tuple(self.shape)}, seed={self.seed}, {self.activation})"

    @t.validate("shape")
    def _check_shape(self, proposal: Any) -> list:
        return list(check_shape(proposal["value"]))

    @t.validate("seed")
    def _check_seed(self, proposal: Any) -> int:
        if proposal["value"] < 0:
            raise ArgumentError(f"compare_initializers: seed must be 0 or more, got {proposal['value']}.")
        return proposal["value"]

    @t.validate("bins")
    def _check_bins(self, proposal: Any) -> int:
        return min(max(proposal["value"], BINS[0]), BINS[1])

    @t.validate("layer")
    def _check_layer(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), self._depth)

    def _measure(self, _: Any = None) -> None:
        shape, rows = tuple(self.shape), []
        for name, one in self._named:
            layers = through(one, self.activation, self.seed, self._depth, self._width)
            rows.append({"name": name, "drawn": drawn(one, shape, self.seed), "layers": layers})
        asked = {"shape": list(shape), "seed": self.seed, "activation": self.activation}
        net = {"depth": self._depth, "width": self._width}
        self.results = {"asked": asked, "fans": fans(shape), "net": net, "rows": rows}

    @property
    def statistics(self) -> dict[str, dict]:
        """{name: {mean, std, min, max, theory_std}} of what was drawn; {name: {error}} for what could not draw."""
        keys = ("mean", "std", "min", "max")
        found = {}
        for row in self.results["rows"]:
            facts, law = row["drawn"], row["drawn"].get("theory")
            told = {k: facts[k] for k in keys} if "error" not in facts else {"error": facts["error"]}
            found[row["name"]] = told | ({"theory_std": law["std"]} if law else {})
        return found

    @property
    def variances(self) -> dict[str, list[float | None]]:
        """{name: variance of the activations after 0, 1, ... layers}; None where numbers were not finite."""
        return {row["name"]: [variance(facts) for facts in row["layers"]] for row in self.results["rows"]}

    def fallback(self) -> str:
        rows = self.results["rows"]
        good = [row["drawn"] for row in rows if row["drawn"].get("n")]
        lo, hi = min((d["lo"] for d in good), default=0.0), max((d["hi"] for d in good), default=1.0)
        depth = self._depth
        heads = ("initializer", f"values from {number(lo)} to {number(hi)}", "mean", "std", "min … max", "theory",
                 f"variance after {depth} {self.activation} layers")  # fmt: skip
        head = "".join(f'<th scope="col">{h}</th>' for h in heads)
        body = "".join(self._fallback_row(row, lo, hi) for row in rows)
        both = fans(tuple(self.shape))
        told = f", fan-in {both[0]}, fan-out {both[1]}" if both else ""
        title = f"Weights of shape {tuple(self.shape)}{told}, seed {self.seed}"
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _fallback_row(self, row: dict, lo: float, hi: float) -> str:
        facts, name = row["drawn"], f'<th scope="row"><code>{escape(row["name"])}</code></th>'
        if "error" in facts:
            return f'<tr>{name}<td colspan="6">{escape(facts["error"])}</td></tr>'
        if not facts["n"]:
            return f'<tr>{name}<td colspan="6">no finite numbers</td></tr>'
        spread = f"{number(facts['min'])}\u00a0…\u00a0{number(facts['max'])}"
        words = f"Histogram of {row['name']}: {spread}, mean {number(facts['mean'])}, std {number(facts['std'])}"
        end = outcome([variance(facts) for facts in row["layers"][-1:]])
        cells = (histogram_img(facts, lo, hi, words), number(facts["mean"]), number(facts["std"]), spread,
                 law_text(facts["theory"]), end)  # fmt: skip
        return f"<tr>{name}{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def compare_initializers(*initializers: Any, shape: Any = (256, 256), seed: int = 0, activation: str = "tanh",
                         depth: int = 10, width: int = 128) -> CompareInitializers:  # fmt: skip
    """Show what initializers draw, with the density theory expects, and the activations of a deep net under each.

    No random stream of the notebook moves. In the notebook, `.shape`, `.seed`, `.activation` and `.layer` can be set.

    Args:
        initializers: two to six names ('xavier') or initializers (init.Normal(1)); without any, a well-known four.
        shape: of the weight drawn, (out, in) or more.
        activation: 'identity', 'tanh', 'relu' or 'sigmoid', between the layers of the deep net.
        depth, width: layers of the deep net, and units of each.
    """
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}.")
    for name, value in {"depth": depth, "width": width}.items():
        if not isinstance(value, int) or not 1 <= value <= 1024:
            raise ArgumentError(f"compare_initializers: {name} must be a whole number from 1 to 1024, got {value!r}.")
    chosen = initializers or ("uniform", "normal", "xavier", "msraprelu")
    return CompareInitializers(chosen, shape, seed, activation, depth, width)
