"""A recorded program: the operations of one forward, noted once, then run again and again on buffers made in advance.

A `Program` is what was noted: values by number, and steps that make values out of values. A `Plan` (plan.py) is one set
of buffers to run it on. A step whose op knows how becomes rows of a table of numbers, which one compiled loop walks
(`kernels.program`); between two stretches of rows, the other steps call their op's forward and rules as on every
other day. On the tape a program is one big op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from d2lblocks.kernels.buffers import unseen
from d2lblocks.plan import Plan
from d2lblocks.tape import Ends, Node, Recorded, Variable, whose


class Value:
    """What is known of a value: shape, dtype, and the array, if it is a parameter or a constant."""

    def __init__(self, raw: Any, held: Variable | None = None):
        self.shape, self.dtype, self.size = raw.shape, raw.dtype, raw.size
        self.held = held  # read where it lies, so that training goes on
        self.wanted = held is not None and held._node is not None  # does anybody want its gradient?


class Plain:
    """An argument that is no array: a number or None."""

    def __init__(self, value: Any):
        self.value = value


class Step:
    """One call of an op: its arguments are numbers of values, or Plain; so are its results."""

    def __init__(self, op: Any, args: list, settings: dict, outs: list[int]):
        self.op, self.args, self.settings, self.outs = op, args, settings, outs
        self.wanted = False


class Held:
    """A plan, and who needs its numbers holds this: a recorded call till the tape lets go of it."""

    __slots__ = ("part", "plan")

    def __init__(self, plan: Plan):
        self.plan = plan
        self.part: Held | None = None  # the one that a walk back by way of some outputs took

    def __iter__(self) -> Iterator[Any]:
        """Yield the raw arguments of the call: inputs, then leaves."""
        return iter(self.plan.arguments())


class Program(Recorded):
    """Steps from inputs to outputs, for inputs of one shape and dtype each; itself an op of the tape."""

    discrete = memory = False
    single = True  # the forward returned one array
    kind: Any = tuple  # or several in a list or tuple

    def __init__(self, title: str, values: list[Value], inputs: list[int], steps: list[Step], outputs: list[int],
                 recording: bool, owners: Sequence = ()):  # fmt: skip
        self.name = self.title = title
        self.values, self.inputs, self.steps, self.outputs = values, inputs, steps, outputs
        self.recording = recording
        for step in steps:
            step.wanted = recording and any(values[a].wanted for a in step.args if type(a) is int)
            for k in step.outs:
                values[k].wanted = step.wanted and not step.op.discrete
        self.leaves = [k for k, v in enumerate(values) if recording and v.held is not None and v.wanted]
        held: list[Any] = [values[k].held for k in self.leaves]
        self.places = [x._node for x in held]
        self.ends = Ends() if any(values[k].wanted for k in inputs) else Ends([None] * len(inputs) + self.places)
        arrays: list[Any] = [v.held for v in values if v.held is not None]
        self.cells = [x._watch() for x in arrays if x._node is None]  # of constants, which the way back may read again
        self.facts = [(x, x._data, x._node) for x in arrays]
        self.owners = owners  # parameters, and the arrays that they had
        self.wanted = [values[k].wanted for k in outputs]  # which outputs a variable leads to
        self.on_tape = any(self.wanted)
        self.plans: list[Held] = []
        self.parts: dict[tuple, Program] = {}  # the same with fewer outputs, by which of them

    def still(self) -> bool:
        """Return whether its parameters and constants are the arrays that they were, with the same gradients."""
        same = all(x._data is raw and x._node is node for x, raw, node in self.facts)
        return same and all(any(x is y for y in p._copies) for p, x in self.owners)

    def __str__(self) -> str:
        """Return the steps as lines: v3 = fully_connected(v0, v1, v2, act='relu')."""
        lines = []
        for step in self.steps:
            given = [f"v{a}" if type(a) is int else repr(a.value) for a in step.args]
            given += [f"{key}={value!r}" for key, value in step.settings.items() if value is not None]
            lines.append(f"{', '.join(f'v{k}' for k in step.outs)} = {step.op.title}({', '.join(given)})")
        return "\n".join([*lines, f"return {', '.join(f'v{k}' for k in self.outputs)}"])

    def run(self, arguments: tuple, wrap: Callable) -> tuple:
        """Return the outputs for these arrays; under record() they leave one node on the tape."""
        held = self._idle()
        found = held.plan.forward([x._data for x in arguments])
        if not self.on_tape:
            return tuple([wrap(z) for z in found])
        parents = self.ends or [x._place() for x in arguments] + self.places
        watched = [*self.cells, *[x._written_at or x._watch() for x in arguments if x._node is None]]
        outs: Any = found[0] if len(found) == 1 else tuple(found)
        node = Node(self, held, {}, parents, outs, len(found), watched)
        wanted = self.wanted
        return tuple([wrap(z, None, node, k) if wanted[k] else wrap(z) for k, z in enumerate(found)])

    def _idle(self) -> Held:
        """Return a plan whose numbers nobody needs any more."""
        held = unseen(self.plans)
        if held is None:
            held = Held(Plan(self))
            self.plans.append(held)
        return held

    def pullback(self, node: Node, g: Any, grads: dict | None, lift: Callable | None) -> list:
        """Return the gradients of the inputs and of the leaves: the table runs backward."""
        gs = [g] if node.count == 1 else g
        if lift is not None:
            return self._lifted(node, gs, lift)
        given = tuple([k for k, g in zip(self.outputs, gs, strict=True) if g is not None])
        if len(given) == len(gs):
            return node.args.plan.backward(gs, grads)
        return self._in_part(node, given, [g for g in gs if g is not None], grads)

    def _in_part(self, node: Node, given: tuple, gs: list, grads: dict | None) -> list:
        """Return the gradients by way of some outputs only: zeros from the others would make NaN of infinite slopes."""
        part = self.parts.get(given)
        if part is None:
            part = Program(self.title, self.values, self.inputs, self.steps, list(given), True)
            self.parts[given] = part
        node.args.part = None
        node.args.part = held = part._idle()  # till the tape lets go: the walk may read its gradients of inputs later
        plan = held.plan
        plan.drawn = self._drawn(node)
        try:
            plan.forward(list(node.args)[: len(self.inputs)])
        finally:
            plan.drawn = {}
        return plan.backward(gs, grads)

    def _drawn(self, node: Node) -> dict[int, Any]:
        """Return, by step, results with what their rules remember: dropout must not be drawn again."""
        kept = node.args.plan.kept
        return {i: kept[i] for i, step in enumerate(self.steps) if step.op.memory and kept.get(i) is not None}

    def settle(self, node: Node, g: Any) -> bool:
        """Write the gradients straight into the leaves; return False, with nothing done, where that cannot be."""
        gs = [g] if node.count == 1 else g
        return bool(self.ends) and all(g is not None for g in gs) and node.args.plan.settle(gs)

    def _lifted(self, node: Node, gs: list, lift: Callable) -> list:
        """Compute the gradients by operations on the tape, step by step: then they can be differentiated again."""
        drawn = self._drawn(node)
        found: list[Any] = [v.held for v in self.values]
        for k, raw, place in zip(self.inputs + self.leaves, node.args, node.parents, strict=True):
            found[k] = lift(raw, *whose(place))
        made: list[Any] = []
        for i, step in enumerate(self.steps):
            args = tuple([found[a] if type(a) is int else a.value for a in step.args])
            z = step.op.again(args, step.settings, drawn[i]) if i in drawn else step.op.apply(args, step.settings)
            for k, part in zip(step.outs, z if type(z) is tuple else (z,), strict=True):
                found[k] = part
            made.append(found[step.outs[0]]._node)
        gradients: dict[int, Any] = dict(zip(self.outputs, gs, strict=True))
        for step, inner in zip(reversed(self.steps), reversed(made), strict=True):
            g = [gradients.get(k) for k in step.outs]
            if inner is None or all(part is None for part in g):
                continue
            parts = step.op.pullback(inner, g[0] if len(g) == 1 else g, None, lift)
            for a, part in zip(step.args, parts, strict=True):
                if type(a) is int and part is not None:
                    gradients[a] = part if gradients.get(a) is None else gradients[a] + part
        return [gradients.get(k) for k in self.inputs + self.leaves]
