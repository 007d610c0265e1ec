"""Parameters in a notebook: shape, dtype, count, bytes, state and values, one parameter a row."""

from __future__ import annotations

from html import escape

from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.reprs.facts import ParameterFacts, parameter_facts
from d2lblocks.reprs.style import GAP, code, fold, head, line, shape_html, spark, table, tie_html
from d2lblocks.reprs.text import ROWS, bytes_text, count_text
from d2lblocks.reprs.values import Values
from d2lblocks.rich import html

HEAD = head("parameter", "shape", "dtype", "count", "bytes", "values", "state")


def parameter_line(p: ParameterFacts, name: str | None = None, times: int = 1) -> str:
    """Return one parameter as a row; of several alike, as one row for all."""
    state = p.state + (f", {p.grad_req} grad" if p.grad_req != "write" and p.kind != "Constant" else "")
    state += ", constant" if p.kind == "Constant" else ""
    values = f"×{times}" if times > 1 else spark(p.values)
    if p.state in ("deferred", "not reached") and times == 1:
        values = f"<i>{escape(p.init)}</i>"  # what will fill it
    return line(
        code(p.accessor if name is None else name) + tie_html(p.tie), shape_html(p.shape, p.declared), escape(p.dtype),
        count_text(p.count), bytes_text(p.bytes).replace(" ", GAP), values,
        state.replace(" ", GAP).replace(f",{GAP}", ", "),
    )  # fmt: skip


def _facts(p: Parameter) -> ParameterFacts:
    return parameter_facts(p, values=None if p._data is None else Values.of(p._data._data))


@html.register(Parameter)
def _(p: Parameter) -> str:
    return table(HEAD, [parameter_line(_facts(p))])


@html.register(ParameterDict)
def _(params: ParameterDict) -> str:
    shown = [_facts(p) for p in list(params.values())[:ROWS]]
    more = f"<p>… {len(params.keys()) - ROWS:,} more</p>" if len(params.keys()) > ROWS else ""
    n = len(params.keys())
    title = f"{code(params.prefix) + ' ' if params.prefix else ''}{n:,} parameter{'s' * (n != 1)}"
    return fold(title, (table(HEAD, map(parameter_line, shown)) if shown else "") + more, True)
