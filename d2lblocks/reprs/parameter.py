"""Parameters in a notebook: tables of shape, dtype, count, bytes and state."""

from html import escape

from d2lblocks.gluon.parameter import Parameter, ParameterDict
from d2lblocks.reprs.facts import parameter_facts
from d2lblocks.reprs.style import table
from d2lblocks.rich import html

ROWS = 400  # a page holds no more; the rest is counted


@html.register(Parameter)
def _(p: Parameter) -> str:
    return table([parameter_facts(p)])


@html.register(ParameterDict)
def _(params: ParameterDict) -> str:
    facts = [parameter_facts(p) for p in params.values()]
    rest = f"<p>… {len(facts) - ROWS:,} more</p>" if len(facts) > ROWS else ""
    return table(facts[:ROWS], f"{escape(params.prefix)} {len(facts):,} parameters".strip()) + rest
