"""Interactive views of nets, parameters and initializers, and figures of them for print."""

from importlib import import_module as _import_module
from typing import Any as _Any

from d2lblocks_widgets.explorer import explore as explore
from d2lblocks_widgets.initializer_bench import compare_initializers as compare_initializers
from d2lblocks_widgets.tape_player import tape as tape
from d2lblocks_widgets.training_monitor import watch as watch

_FIGURES = ("plot_initializers", "plot_activations")


def __getattr__(name: str) -> _Any:
    """Import the figures, and with them matplotlib, when one is first asked for."""
    if name in _FIGURES:
        return getattr(_import_module("d2lblocks_widgets.figures"), name)
    raise AttributeError(f"module 'd2lblocks_widgets' has no attribute {name!r}")
