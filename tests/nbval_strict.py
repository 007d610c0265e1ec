"""Compare the chapters' outputs strictly, but decimal numbers nearly: BLAS kernels differ in the last bits.

A plugin over nbval 0.11 (`-p tests.nbval_strict`). Chapters run on machine code for no processor in particular, or their
last bits would be those of this one; tests run on what users run. Three things change: a trailing `;` is silent as in a
notebook, a display that is updated counts as it is in the end, and decimal numbers may differ by one part in a hundred
thousand. Whole numbers, words, HTML, warnings, errors, and the number of outputs must be the same. Of a widget the text and
the HTML are compared; the number of its model is new each time.
"""

import contextlib
import os
import re
import subprocess
import sys

from nbformat import NotebookNode
from nbval import kernel, plugin

for name, value in {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "COLUMNS": "80"}.items():
    os.environ.setdefault(name, value)
FOR_CHAPTERS = {"NUMBA_CPU_NAME": os.environ.get("NUMBA_CPU_NAME", "generic")}

NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+−]?\d))(?:[eE][-+−]?\d+)?(?!\w)")
PLACE = "\0"


def close(stored: str, new: str, rtol: float = 1e-5, atol: float = 1e-7) -> bool:
    """Return whether two printed numbers may come from one computation on two machines.

    `atol` is for rounding residues, such as the mean of centered numbers: float32 cannot tell them from 0.
    """
    a, b = float(stored.replace("−", "-")), float(new.replace("−", "-"))
    return abs(a - b) <= atol + rtol * abs(a)


def words(text: str) -> str:
    """Return the text without its decimal numbers, and without the spaces that align these numbers."""
    return " ".join(re.sub(rf"\s*{PLACE}\s*", PLACE, NUMBER.sub(PLACE, text)).split())


def same(stored: str, new: str) -> bool:
    """Return whether two outputs agree: words exactly, decimal numbers nearly."""
    numbers = zip(NUMBER.findall(stored), NUMBER.findall(new), strict=False)
    return words(stored) == words(new) and all(close(a, b) for a, b in numbers)


class Nearly(str):
    """Text that equals other text up to the last bits of its numbers."""

    def __eq__(self, other):
        return str.__eq__(self, other) or same(str(self), str(other))

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


_start = kernel.start_new_kernel


def _start_for_chapters(*args, **kwargs):
    return _start(*args, **{**kwargs, "env": os.environ | FOR_CHAPTERS})


def _execute_with_history(self, cell_input, allow_stdin=None):
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


_sanitize = plugin.IPyNbCell.sanitize


def _sanitized(self, text):
    text = _sanitize(self, text)
    return Nearly(text) if isinstance(text, str) else text


_message = plugin.IPyNbFile.get_kernel_message


def _message_and_updates(self, timeout=None):
    """Return the next message; one that updates a display is put into that display, as notebooks do it."""
    message = _message(self, timeout=timeout)
    content = message["content"]
    shown = self.__dict__.setdefault("shown", {})
    place = content.get("transient", {}).get("display_id")
    if message["msg_type"] == "display_data":
        content["data"] = NotebookNode(content["data"])  # nbval copies any other dictionary
        shown[place] = content["data"]
    elif message["msg_type"] == "update_display_data" and place in shown:
        shown[place].clear()
        shown[place].update(content["data"])
    return message


kernel.start_new_kernel = _start_for_chapters
kernel.RunningKernel.execute_cell_input = _execute_with_history
plugin.IPyNbCell.sanitize = _sanitized
plugin.IPyNbFile.get_kernel_message = _message_and_updates


def pytest_collection_finish(session):
    """Compile the kernels for chapters, and let matplotlib look for fonts: on a new machine it says so on stderr."""
    if any(isinstance(item, plugin.IPyNbCell) for item in session.items):
        subprocess.run([sys.executable, "-m", "d2lblocks", "warm", "--kernels"], env=os.environ | FOR_CHAPTERS,
                       stdout=subprocess.DEVNULL, check=False)  # fmt: skip
        with contextlib.suppress(ImportError):
            import matplotlib.font_manager  # noqa: F401
