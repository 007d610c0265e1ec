"""Every row of bad input has a test."""

import inspect

from tests.errors import (
    test_arrays,
    test_autograd,
    test_blocks,
    test_calling,
    test_copies,
    test_files,
    test_processes,
    test_trainer,
)
from tests.errors.rows import ROWS

MODULES = (test_arrays, test_autograd, test_blocks, test_calling, test_copies, test_files, test_processes, test_trainer)


def covered():
    """Return the rows named by the tables and by the tests themselves."""
    found = set()
    for module in MODULES:
        found |= {case[0] for case in getattr(module, "TABLE", ())}
        for name, test in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_"):
                found |= set(getattr(test, "rows", ()))
    return found


def test_every_row_has_a_test():
    assert covered() == set(ROWS)
