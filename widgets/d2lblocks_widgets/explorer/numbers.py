"""The numbers of parameters as pictures need them: bins of values, gradient and previous values, cells of a heat map."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as onp

from d2lblocks.gluon.parameter import Parameter
from d2lblocks.reprs.values import EXACT
from d2lblocks.tape import Leaf
from d2lblocks_widgets._bins import bins
from d2lblocks_widgets._theory import law_text, theory

CELLS = 4096


def layers_of(raw: onp.ndarray) -> dict:
    """Return the bins of an array; of a large one one number in `every` is counted."""
    found = bins(raw)
    size = int(raw.size) - found["nonfinite"]
    return found | {"every": -(-size // EXACT) or 1, "size": size}


def cells(raw: onp.ndarray) -> dict | None:
    """Return {rows, columns, step, shape, scale, cells} of an array as a matrix (first axis down); None without numbers.

    Where there are more than 4,096 numbers, every step[0]-th row and step[1]-th column is taken: each cell is a number
    of the array, divided by `scale`, never a mean, which would make noise look like nothing.
    """
    if not raw.size:
        return None
    grid = raw.reshape(raw.shape[0], -1) if raw.ndim > 1 else raw.reshape(1, -1)
    step = [1, 1]
    while -(-grid.shape[0] // step[0]) * -(-grid.shape[1] // step[1]) > CELLS:
        step[0 if grid.shape[0] / step[0] >= grid.shape[1] / step[1] else 1] += 1
    part = grid[:: step[0], :: step[1]].astype("f8")
    finite = onp.isfinite(part)
    scale = float(onp.abs(part[finite]).max()) if finite.any() else 0.0
    return {
        "rows": part.shape[0], "columns": part.shape[1], "step": step, "scale": scale, "shape": list(raw.shape),
        "cells": (part / (scale or 1.0)).astype("<f4").tobytes(),
    }  # fmt: skip


class Numbers:
    """The histograms of parameters, counted anew only where something was written since."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Parameter, dict] = WeakKeyDictionary()
        self.round = 0  # so many cells have ended

    def layers(self, p: Parameter, cell_ended: bool = True) -> dict:
        """Return {values, gradient, previous, theory, law} of a parameter, as far as there are such.

        `previous` are the values before the last cell that changed them.
        """
        if p._data is None:
            self._known.pop(p, None)
            return {}
        known = self._known.setdefault(p, {"cell": None, "at": 0, "mark": None, "before": None, "round": 0})
        cell = p._data._watch()  # in which the last write is noted; a new array has a new one
        leaf = p._data._node if isinstance(p._data._node, Leaf) else None
        moved = known["cell"] is not cell or known["at"] != cell[0]
        if moved:
            known["values"] = layers_of(p._data._data)
        known |= {"cell": cell, "at": cell[0]}
        if leaf is None or not leaf.come():
            known.pop("gradient", None)
        else:
            mark = leaf.fresh, leaf.told and leaf.told[0]  # which changes where somebody writes into it
            if moved or leaf.fresh or known["mark"] != mark or "gradient" not in known:
                known["gradient"] = layers_of(leaf.grad)
            known["mark"] = mark
        if cell_ended:
            if known["before"] not in (None, known["values"]):
                if known["round"] < self.round - 1:  # not looked at after every cell: which one changed it is unknown
                    known.pop("previous", None)
                else:
                    known["previous"] = known["before"]
            known |= {"before": known["values"], "round": self.round}
        law = theory(p._chosen, p.shape) if p.shape else None
        found = {name: known[name] for name in ("values", "gradient", "previous") if name in known}
        return found | ({"theory": law, "law": law_text(law)} if law else {})

    @staticmethod
    def cells(p: Parameter) -> dict | None:
        """Return the cells of a parameter's heat map; None if it has no numbers."""
        return None if p._data is None else cells(p._data._data)
