"""What a running notebook is told: a `record()` left open by one cell must not go on in the next."""

import sys

from d2lblocks.autograd import reset_open_record


def listen() -> None:
    """Look at the tape after every cell, if this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.events.register("post_run_cell", reset_open_record)


listen()
