"""Steps of a program that no row of its table can do: they call their op's forward and rules, as on every other day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.tape import Due, Node, changes

ELSEWHERE: Any = (None, 0)  # stands for a place where no leaf's own buffer is


def forward(plan: Any, i: int, step: Any) -> Callable:
    """Return a function that computes the values of step i by its op's forward."""
    plan.kept[i] = None
    for k in step.outs:
        plan.make(k)
    plan.called.update(step.outs)
    forward, memory, values = step.op.forward, step.op.memory, plan.program.values

    def call() -> None:
        z = plan.drawn.get(i)
        if z is None:
            z = forward(*[plan.array(a) if type(a) is int else a.value for a in step.args], **step.settings)
        plan.kept[i] = z
        shown = z[0] if memory else z
        for k, part in zip(step.outs, shown if type(shown) is tuple else (shown,), strict=True):
            plan.take(k, onp.asarray(part, values[k].dtype))

    return call


def backward(plan: Any, i: int, step: Any, table: Any) -> Callable:
    """Return a function that computes the gradients of step i by its op's rules."""
    values = plan.program.values
    wanted = [n for n, a in enumerate(step.args) if type(a) is int and values[a].wanted]
    first = {}
    for n in wanted:
        home = plan.home[step.args[n]]
        first[n] = home not in table.begun
        table.begun.add(home)
        plan.gradient(home)
    places = dict(zip(plan.program.leaves, plan.program.places, strict=True))
    parents: list = [None] * len(step.args)
    for n in wanted:  # a rule may write into a leaf's own buffer, see tape.buffers
        parents[n] = (first[n] and places.get(step.args[n])) or ELSEWHERE
    sole = {n for n in wanted if parents[n] is not ELSEWHERE and table.uses(step.args[n]) == 1}

    def call() -> None:
        args = [plan.array(a) if type(a) is int else a.value for a in step.args]
        outs = plan.kept.get(i)
        if outs is None:
            outs = plan.array(step.outs[0]) if len(step.outs) == 1 else tuple(plan.array(k) for k in step.outs)
        node = Node(step.op, args, step.settings, parents, outs, len(step.outs), ())
        g = [plan.gradient(k) for k in step.outs]
        parts = step.op.pullback(node, g[0] if len(g) == 1 else g, {} if plan.bound == changes[0] else None, None)
        for n in wanted:
            if n in sole:
                plan.lates.pop(parents[n], None)
                if isinstance(parts[n], Due):
                    plan.lates[parents[n]] = parts[n]
                    continue
            _put(plan.gradient(step.args[n]), parts[n], first[n])

    return call


def _put(buffer: onp.ndarray, part: Any, first: bool) -> None:
    """Write a part of a gradient into its buffer, or add it to what is there."""
    if isinstance(part, Due):
        part.write(buffer)
    elif first and part is not buffer:
        buffer[...] = 0 if part is None else part
    elif not first and part is not None:
        buffer += part
