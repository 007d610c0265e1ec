"""An initializer in a notebook: what it does in a line, and the source that does it. Nothing is drawn from it."""

from __future__ import annotations

from html import escape

from d2lblocks.initializer import Initializer
from d2lblocks.reprs.facts import init_text
from d2lblocks.reprs.source import source
from d2lblocks.reprs.style import SOURCE, code, fold
from d2lblocks.rich import html


@html.register(Initializer)
def _(init: Initializer) -> str:
    told = (type(init).__doc__ or "").strip().split("\n")[0]
    body = f"{SOURCE}{escape(source(type(init)._init_weight))}</pre>"
    return fold(f"{code(init_text(init))} {escape(told)}", body)
