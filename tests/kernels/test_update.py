"""Rules of optimizers on tables of addresses: the kernel against its NumPy equal, and one parameter against a hundred."""

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks.kernels import update

RULES = {update.sgd: (2, (0.1,)), update.momentum: (3, (0.1, 0.9)), update.adam: (4, (0.1, 0.9, 0.999, 1e-8))}


def drawn(rng, size, odd):
    x = rng.normal(size=size).astype("float32")
    if odd and size:
        x[rng.integers(size)] = rng.choice([onp.nan, onp.inf, -onp.inf, 0.0])
    return x


def moved(function, parameters, numbers):
    """Return what the rule makes of copies of the arrays."""
    parameters = [[a.copy() for a in arrays] for arrays in parameters]
    table = onp.array([update.addresses(arrays) for arrays in parameters])
    with onp.errstate(all="ignore"):
        function(table, onp.array(numbers), 10**6)  # so much work that the GIL is let go
    return [a for arrays in parameters for a in arrays]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 70), min_size=1, max_size=6),
    wd=st.sampled_from([0.0, 0.01]),
    clip=st.sampled_from([0.0, 0.5]),
    odd=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_rule_equals_numpy_to_the_last_bit(rule, sizes, wd, clip, odd, seed):
    rng = onp.random.default_rng(seed)
    count, own = RULES[rule]
    parameters = [[abs(drawn(rng, n, odd)) if k == 3 else drawn(rng, n, odd) for k in range(count)] for n in sizes]
    numbers = [(own[0] * (row + 1), *own[1:], 0.25, clip, wd * row) for row in range(len(sizes))]
    right = moved(rule.equal, parameters, numbers)
    for function in (rule.run, rule.loop):
        for a, b in zip(moved(function, parameters, numbers), right, strict=True):
            onp.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_update_of_any_layout(order, dtype):
    rng = onp.random.default_rng(0)
    w, g = (onp.asarray(rng.normal(size=(6, 8)), dtype, order) for _ in range(2))
    plain, stored = w.copy(), g.copy("C")
    update.step(update.sgd, (w, stored), 0.1, 1.0, 0.0, 0.0)
    onp.testing.assert_array_equal(w, plain - plain.dtype.type(0.1) * g)
    part = onp.zeros((6, 8), "float32")
    update.step(update.sgd, (part[:, 2:4], onp.ones((6, 2), "float32")), 1.0, 1.0, 0.0, 0.0)
    assert part.sum() == -12  # a window that is not in a row is written too
