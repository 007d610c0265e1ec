"""A recording as plain data: what every node computed, which gradient came to it, and what it handed on."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as onp

from d2lblocks.autograd import Function
from d2lblocks.errors import ArrayTypeError, NotRecordedError, kind_of
from d2lblocks.gluon.block import Block
from d2lblocks.graph import Program
from d2lblocks.np.ndarray import ndarray
from d2lblocks.op import Elementwise, Op
from d2lblocks.reprs.op import rules, written_forward
from d2lblocks.reprs.source import source
from d2lblocks.reprs.tape import DRAWN, Tape
from d2lblocks.reprs.values import Values
from d2lblocks.tape import Leaf, Node, reachable, walk, whose

KEPT = 64  # arrays up to this size travel number by number
BOXES = 60  # summary boxes of a long tape, at most
SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "floor_divide": "//", "mod": "%", "power": "**",
    "matmul": "@", "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
    "greater_equal": ">=",
}  # fmt: skip


def describe(loss: Any, net: Block | None = None, names: Mapping[str, Any] | None = None) -> dict:
    """Return {nodes, leaves, ops, groups, problem} of a recording; it stays as it was, and so do all gradients.

    nodes: oldest first, {op, name, formula, inputs, shapes, dtypes, block, values, grads, gives}; values and grads hold
        one summary per output, gives one per input: what this node adds to the gradient of it, or None.
    leaves: the arrays that nobody computed, {name, kind, shape, dtype, value, grad, req}; kind is "parameter", "variable" or
        "constant"; those without a gradient have grad None.
    ops: {title, told, arguments, forward, rules: [{of, source}]}, each once.
    groups: [{label, first, last}] of nodes, for a tape of more than 300; else [].
    problem: why the walk back stopped, and then gradients below that node are None; else "".

    Args:
        names: what to call arrays, {"W": W}; parameters of `net` are called by their accessor.
    """
    nodes = _recorded(loss)
    steps = Tape(loss, net).steps
    blocks = [step.block for step in steps]
    listed = _Listed(nodes, [step.inputs for step in steps], names or {})
    grads, gives, problem = _walked(loss, nodes)
    made = []
    for node, block in zip(nodes, blocks, strict=True):
        outs = _outputs(node)
        took = listed.inputs(node)
        made.append(
            {
                "op": listed.op(node.op), "name": listed.called.get(node, ""),
                "formula": formula(node.op, [t["text"] for t in took], node.settings), "inputs": took, "block": block,
                "shapes": [list(z.shape) for z in outs], "dtypes": [str(z.dtype) for z in outs],
                "values": [summary(z) for z in outs],
                "grads": [grads.get((node, k)) for k in range(node.count)],
                "gives": gives.get(node, [None] * len(took)),
            }
        )  # fmt: skip
    for (leaf, _), g in grads.items():
        if type(leaf) is Leaf:
            listed.leaves[listed.places[leaf]]["grad"] = g
    groups = grouped(blocks) if len(nodes) > DRAWN else []
    return {"nodes": made, "leaves": listed.leaves, "ops": listed.ops, "groups": groups, "problem": problem}


def _recorded(loss: Any) -> list[Node]:
    """Return the nodes under an array, oldest first; what has no recording is refused with the cure."""
    if not isinstance(loss, ndarray):
        raise ArrayTypeError(f"tape takes the array that ends the recording, such as a loss; got {kind_of(loss)}.")
    if loss._node is None or type(loss._node) is Leaf:
        what = "is on no tape" if loss._node is None else "is a variable itself: nothing was computed from it yet"
        raise NotRecordedError(
            f"tape: this array of shape {loss.shape} {what}. Compute the loss inside `with autograd.record():`, from "
            "arrays with attach_grad() or from the parameters of a net."
        )
    try:
        return reachable([loss])[::-1]
    except NotRecordedError as problem:
        if "freed" not in str(problem):
            raise
        raise NotRecordedError(
            "tape: backward() has walked this recording and freed its numbers. Show it before backward(), or call "
            "loss.backward(retain_graph=True), or record the loss again."
        ) from None


class _Listed:
    """Leaves and ops of a tape, each once, and what they are called."""

    def __init__(self, nodes: list[Node], inputs: list, names: Mapping[str, Any]):
        self.numbers = {node: k for k, node in enumerate(nodes, 1)}
        self.texts = dict(zip(nodes, inputs, strict=True))
        self.called: dict[Any, str] = {}
        for name, a in names.items():
            if isinstance(a, ndarray):
                key = id(a._data) if a._node is None else a._place()
                self.called.setdefault(key, name)
        self.leaves: list[dict] = []
        self.ops: list[dict] = []
        self.places: dict[Any, int] = {}  # of leaves, constants (by their memory) and ops
        self._counted = {"variable": 0, "constant": 0}
        self._taken: set[str] = set()

    def inputs(self, node: Node) -> list[dict]:
        """Return, per argument, {node, out} or {leaf} or {}, each with the text that stands in the formula."""
        found = []
        for i, (a, place) in enumerate(zip(node.args, node.parents, strict=True)):
            made_by, out = whose(place)
            if type(made_by) is Node:
                text = f"#{self.numbers[made_by]}" + (f"[{out}]" if made_by.count > 1 else "")
                found.append({"node": self.numbers[made_by], "out": out, "text": text})
            elif isinstance(a, onp.ndarray):
                k = self._leaf(a, made_by, self.texts[node][i])
                found.append({"leaf": k, "text": self.leaves[k]["name"]})
            else:
                found.append({"text": f"{a:g}" if isinstance(a, float) else str(a)})
        return found

    def _leaf(self, a: onp.ndarray, leaf: Leaf | None, text: str) -> int:
        key = leaf or id(a)
        if key in self.places:
            return self.places[key]
        kind = "constant" if leaf is None else "parameter" if text.startswith("net") else "variable"
        name = self.called.get(key) or (text if kind == "parameter" else "")
        if not name:
            self._counted[kind] += 1
            name = f"{kind} {self._counted[kind]}"
        while name in self._taken:
            name += "′"
        self._taken.add(name)
        self.leaves.append(
            {"name": name, "kind": kind, "shape": list(a.shape), "dtype": str(a.dtype), "value": summary(a),
             "grad": None, "req": leaf.req if leaf else None}
        )  # fmt: skip
        self.places[key] = len(self.leaves) - 1
        return self.places[key]

    def op(self, op: Any) -> int:
        """Return the number of an op; its source is read once."""
        key = op if isinstance(op, Op | Program) else type(op)
        if key not in self.places:
            self.ops.append(_written(op))
            self.places[key] = len(self.ops) - 1
        return self.places[key]


def _written(op: Any) -> dict:
    if isinstance(op, Op):
        forward, pairs = written_forward(op), rules(op)
        arguments, told = list(op.arrays), "" if isinstance(op, Elementwise) else _first_line(op)
        if isinstance(op, Elementwise) and pairs:  # its rules say x and y
            own = list(inspect.signature(pairs[0][1]).parameters)[2:]
            pairs = [(", ".join(own[arguments.index(a)] for a in of.split(", ")), rule) for of, rule in pairs]
            arguments = own
        elif op.variadic:
            arguments = []
        back = [{"of": of, "source": source(rule)} for of, rule in pairs]
        return {"title": op.title, "told": told, "arguments": arguments, "forward": source(forward), "rules": back}
    if isinstance(op, Program):
        back = [{"of": "all arguments", "source": "the same steps from last to first, each by its own rule"}]
        told = f"A forward that was noted once; these are its {len(op.steps)} steps."
        return {"title": op.title, "told": told, "arguments": [], "forward": str(op), "rules": back}
    kind = type(op)
    arguments = [p for p in inspect.signature(op.forward).parameters]
    back = [{"of": "all arguments", "source": source(kind.backward)}]
    told = _first_line(kind) if kind.__doc__ is not Function.__doc__ else ""
    return {
        "title": kind.__name__,
        "told": told,
        "arguments": arguments,
        "forward": source(kind.forward),
        "rules": back,
    }


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0].replace("`", "")


def formula(op: Any, inputs: list[str], settings: Mapping[str, Any]) -> str:
    """Return a call as people write it: `#2 + b`, `X[0, :]`, `sum(#4, axis=1)`."""
    name = op.name
    if name in SIGNS and len(inputs) == 2:
        return f"{inputs[0]} {SIGNS[name]} {inputs[1]}"
    if name == "negative":
        return f"-{inputs[0]}"
    if name == "transpose" and not settings.get("axes"):
        return f"{inputs[0]}.T"
    if name == "get":
        return f"{inputs[0]}[{_key(settings['key'])}]"
    shown = {k: v for k, v in settings.items() if isinstance(v, bool | int | float | str | tuple) and v is not False}
    given = [*(text for text in inputs if text != "None"), *(f"{k}={v}" for k, v in shown.items() if v != ())]
    return f"{op.title if isinstance(op, Op | Program) else type(op).__name__}({', '.join(given)})"


def _key(key: Any) -> str:
    if isinstance(key, tuple):
        return ", ".join(_key(k) for k in key)
    if isinstance(key, slice):
        text = ":".join("" if k is None else str(k) for k in (key.start, key.stop))
        return text if key.step is None else f"{text}:{key.step}"
    return "..." if key is Ellipsis else "[…]" if isinstance(key, onp.ndarray | list) else str(key)


def _outputs(node: Node) -> list[onp.ndarray]:
    """Return what the caller got of a node; an op's memory is left out."""
    outs = node.outs if type(node.outs) is tuple else (node.outs,)
    return [onp.asarray(z) for z in outs[: node.count]]


def _walked(loss: ndarray, nodes: list[Node]) -> tuple[dict, dict, str]:
    """Return ({(node or leaf, output): summary of its gradient}, {node: [summary per input]}, what went wrong).

    Everything on the way is looked at, and nothing is deposited or freed.
    """
    grads: dict = {}
    gives: dict = {}

    reached: list[Node] = []

    def pull(node: Node, g: Any, *how: Any) -> list:
        reached.append(node)
        came = [g] if node.count == 1 else g
        grads.update({(node, k): summary(part) for k, part in enumerate(came) if part is not None})
        pulled = node.pull(g, *how)
        gives[node] = [
            None if part is None or place is None else summary(part)
            for part, place in zip(pulled, node.parents, strict=True)
        ]
        return pulled

    try:
        found, _ = walk([loss], [onp.ones(loss.shape, loss.dtype)], None, pull=pull)
    except Exception as problem:  # a rule of the user's own, or none: what was computed forward is shown all the same
        return grads, gives, f"The walk back stopped at #{nodes.index(reached[-1]) + 1}: {problem}"
    grads.update({whose(place): summary(g) for place, g in found.items()})
    return grads, gives, ""


def summary(raw: Any) -> dict:
    """Return {shape, n, numbers} of a small array, of a large one {shape, n, mean, std, min, max, nonfinite, bins}."""
    raw = onp.asarray(raw)
    told: dict = {"shape": list(raw.shape), "n": int(raw.size)}
    if raw.size <= KEPT:
        return told | {"numbers": [_number(x) for x in raw.ravel().tolist()]}
    of = Values.of(raw)
    facts = {key: _number(getattr(of, key)) for key in ("mean", "std", "min", "max")}
    return told | facts | {"nonfinite": of.nonfinite, "bins": list(of.bins)}


def _number(x: Any) -> Any:
    """Return a number with six digits; JSON has no infinity, so that is a word."""
    if x is None or isinstance(x, int):
        return x
    return float(f"{x:.6g}") if onp.isfinite(x) else str(x)


# ------------------------------------------------------------------------------------------------ a long tape


def grouped(blocks: Iterable[str], most: int = BOXES) -> list[dict]:
    """Return [{label, first, last}]: runs of nodes of one block, deep blocks taken together until there are few."""
    paths = list(blocks)
    cuts = [_cut(path) for path in paths]
    for depth in range(max(map(len, cuts), default=0), 1, -1):
        runs = _runs(["".join(cut[:depth]) for cut in cuts])
        if 1 < len(runs) <= most:
            return runs
    runs = _runs(["".join(cut[:2]) for cut in cuts])
    while len(runs) > most:  # neighbours two by two, so a box holds about as much as another
        runs = [_joined(runs[k : k + 2]) for k in range(0, len(runs), 2)]
    if len(runs) == 1:  # no blocks that could be told apart: equal stretches
        size = -(-len(paths) // most)
        firsts = range(1, len(paths) + 1, size)
        return [{"label": runs[0]["label"], "first": f, "last": min(f + size - 1, len(paths))} for f in firsts]
    return runs


def _cut(path: str) -> list[str]:
    """Return the steps of an accessor: net[0].body[1] is net, [0], .body, [1]."""
    return path.replace("[", "\0[").replace(".", "\0.").split("\0") if path else []


def _runs(labels: list[str]) -> list[dict]:
    runs: list[dict] = []
    for number, label in enumerate(labels, 1):
        if runs and runs[-1]["label"] == label:
            runs[-1]["last"] = number
        else:
            runs.append({"label": label, "first": number, "last": number})
    return runs


def _joined(runs: list[dict]) -> dict:
    names = [run["label"] for run in runs if run["label"]]
    first, last = (names[0].split(" … ")[0], names[-1].split(" … ")[-1]) if names else ("", "")
    label = first if first == last else f"{first} … {last}"
    return {"label": label, "first": runs[0]["first"], "last": runs[-1]["last"]}
