"""An operation in a notebook: f beside its derivative rules, as source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from html import escape

from d2lblocks.op import Elementwise, Op
from d2lblocks.reprs.source import source
from d2lblocks.reprs.style import LEFT, SOURCE, code
from d2lblocks.rich import html


def rules(op: Op) -> list[tuple[str, Callable]]:
    """Return (the arguments it answers for, the rule) for every derivative rule of an op."""
    if op.joint is not None:
        return [("all arguments", op.joint)]
    names, found = list(op.arrays), {}
    for i, rule in sorted(op.rules.items()):
        written = inspect.getclosurevars(rule).nonlocals["rule"] if isinstance(op, Elementwise) else rule
        found.setdefault(written, []).append(names[i] if i < len(names) else f"argument {i}")
    return [(", ".join(args), rule) for rule, args in found.items()]


def written_forward(op: Op) -> Callable:
    """Return what an op computes as it was written, without what was put around it."""
    if isinstance(op, Elementwise) and hasattr(op.forward, "__closure__"):
        return inspect.getclosurevars(op.forward).nonlocals.get("ufunc") or op.forward
    return op.forward


@html.register(Op)
def _(op: Op) -> str:
    told = (op.__doc__ or "").strip().split("\n")[0] if not isinstance(op, Elementwise) else "number by number"
    backward = "".join(
        f"<small>∂/∂{escape(args)}</small>{SOURCE}{escape(source(rule))}</pre>" for args, rule in rules(op)
    )
    if not backward:
        backward = "none: its results are counts, positions or truths" if op.discrete else "none"
    cell = f'<td{LEFT[:-1]};vertical-align:top">'
    return (
        f'<table style="margin:0"><caption{LEFT}>{code(op.name)} {escape(told)}</caption>'
        f'<thead><tr><th scope="col"{LEFT}>f</th><th scope="col"{LEFT}>f′: g comes in, z went out</th></tr></thead>'
        f"<tbody><tr>{cell}{SOURCE}{escape(source(written_forward(op)))}</pre></td>{cell}{backward}</td></tr></tbody></table>"
    )
