"""What the explorer makes of the numbers of an array."""

import numpy as onp
import pytest
from d2lblocks_widgets.explorer.numbers import CELLS, cells, layers_of


def test_a_large_array_is_sampled_and_says_so():
    facts = layers_of(onp.arange(3 << 20, dtype="f4"))
    assert facts["every"] == 3 and facts["size"] == 3 << 20 and facts["n"] == 1 << 20


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "step"),
    [((), 1, 1, [1, 1]), ((5,), 1, 5, [1, 1]), ((256, 20), 128, 20, [2, 1]), ((8, 3, 5, 5), 8, 75, [1, 1]),
     ((1, 10_000), 1, 3334, [1, 3]), ((1000, 1000), 63, 63, [16, 16])],
)  # fmt: skip
def test_cells_of_a_heat_map(shape, rows, columns, step):
    raw = onp.random.default_rng(0).normal(size=shape).astype("f4")
    made = cells(raw)
    assert (made["rows"], made["columns"], made["step"]) == (rows, columns, step)
    assert rows * columns <= CELLS
    got = onp.frombuffer(made["cells"], "<f4").reshape(rows, columns) * made["scale"]
    whole = raw.reshape(raw.shape[0], -1) if raw.ndim > 1 else raw.reshape(1, -1)
    onp.testing.assert_allclose(got, whole[:: step[0], :: step[1]], rtol=1e-6)


def test_cells_that_are_not_finite():
    made = cells(onp.array([onp.nan, onp.inf, -2.0, 1e300]))
    assert made["scale"] == 1e300
    assert onp.isfinite(onp.frombuffer(made["cells"], "<f4")).tolist() == [False, False, True, True]
    assert cells(onp.zeros(3))["scale"] == 0 and cells(onp.zeros((0, 3))) is None
