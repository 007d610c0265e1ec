"""A net in a notebook: a tree of `<details>` with a table of parameters under every block that has some."""

from __future__ import annotations

from html import escape

from d2lblocks.gluon.block import Block
from d2lblocks.reprs.facts import BlockFacts, Snapshot, describe
from d2lblocks.reprs.parameter import ROWS
from d2lblocks.reprs.style import UNKNOWN, table
from d2lblocks.rich import html

OPEN_ROWS = 20  # as many rows are unfolded at first


@html.register(Block)
def _(net: Block) -> str:
    return snapshot_html(Snapshot.of(net))


@html.register(Snapshot)
def snapshot_html(facts: Snapshot) -> str:
    """Return the tree with its totals."""
    left = [ROWS]
    tree = _branch(facts.root, _size(facts.root) <= OPEN_ROWS, left, True)
    rest = _size(facts.root) - ROWS
    more = f"<p>… {rest:,} more rows</p>" if rest > 0 else ""
    totals = f"{describe(facts.unique)} parameters"
    if facts.unknown:
        totals += f", and {facts.unknown} arrays of unknown size {UNKNOWN}"
    if facts.shared:
        totals += f"; {describe(facts.shared)} more uses are shared ⇄"
    return f"<div>{tree}{more}<p><small>{totals}</small></p></div>"


def _size(block: BlockFacts) -> int:
    return 1 + len(block.parameters) + sum(_size(child) for child in block.children)


def _branch(block: BlockFacts, is_open: bool, left: list[int], root: bool = False) -> str:
    """Return one block as HTML while the budget of rows lasts."""
    if left[0] <= 0:
        return ""
    left[0] -= 1 + len(block.parameters)
    key = "" if root else f"<code>({escape(block.key)})</code> "
    sizes = escape(block.text.removeprefix(block.kind).replace("(-1 ->", "(? ->"))
    title = f"{key}<b>{escape(block.kind)}</b> <small>{sizes}</small>"
    inside = table(list(block.parameters)) if block.parameters else ""
    inside += "".join(_branch(child, is_open, left) for child in block.children)
    if not inside:
        return f'<div style="margin-left: 1.2em">{title}</div>'
    opened = " open" if root or is_open else ""
    return f'<details{opened} style="margin-left: 1.2em"><summary>{title}</summary>{inside}</details>'
