"""Compare the chapters' outputs strictly, but decimal numbers by tolerance: BLAS kernels differ in the last bits.

A plugin over nbval 0.11 (`-p tests.nbval_strict`). It changes three things: a trailing `;` is silent as in a
notebook, numbers are compared with a tolerance, and addresses and temporary file names are masked.
"""

import os
import re

from nbval import kernel, plugin

for name, value in {
    "NUMBA_CPU_NAME": "generic",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "COLUMNS": "80",
}.items():
    os.environ.setdefault(name, value)

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d))(?:[eE][-+]?\d+)?(?![\w])")
MASKS = {r"0x[0-9a-fA-F]{6,}": "0xADDR", r"/\S*ipykernel_\d+/\d+\.py": "<cell>"}


def last_place(text: str) -> float:
    """Return the value of one unit in the last printed place."""
    mantissa, _, exponent = text.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def close(a: str, b: str, rtol: float = 1e-5, atol: float = 1e-6) -> bool:
    """Return whether two printed numbers may come from one computation on two machines."""
    x, y = float(a), float(b)
    unit = min(1.01 * max(last_place(a), last_place(b)), 1e-3 * max(1.0, abs(x)))
    return abs(x - y) <= max(atol, rtol * abs(x), unit)


def same(stored: str, new: str) -> bool:
    """Return whether two outputs agree: words exactly, decimal numbers nearly, white space not at all."""
    skeletons = ["".join(NUMBER.sub("#", text).split()) for text in (stored, new)]
    pairs = [NUMBER.findall(text) for text in (stored, new)]
    if skeletons[0] != skeletons[1] or len(pairs[0]) != len(pairs[1]):
        return False
    return all(close(a, b) for a, b in zip(*pairs, strict=True))


class Nearly(str):
    """Text that equals other text up to the last bits of its numbers."""

    def __eq__(self, other):
        return str.__eq__(self, other) or same(str(self), str(other))

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


def _execute_with_history(self, cell_input, allow_stdin=None):
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


_sanitize = plugin.IPyNbCell.sanitize


def _sanitized(self, text):
    text = _sanitize(self, text)
    if not isinstance(text, str):
        return text
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text)
    return Nearly(text)


kernel.RunningKernel.execute_cell_input = _execute_with_history
plugin.IPyNbCell.sanitize = _sanitized
