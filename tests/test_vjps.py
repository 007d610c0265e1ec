"""Every op in the table against central differences: first and second derivatives."""

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx
from d2lblocks.errors import NotRecordedError
from d2lblocks.op import OPS
from tests.cases import CASES, CHOICES, WITHOUT_RULE

STEP = 1e-5
# Their first derivative is a constant (or 0): a second walk finds no path, and all second differences must be 0.
LINEAR = set(
    "add subtract negative absolute degrees radians sign floor ceil trunc rint fix relu copied copysign maximum minimum "
    "mod where clip round finite_of cast sum mean max min cumsum sort broadcast_to reshape squeeze expand_dims "
    "transpose flip roll get scatter take repeat tril triu join pad einsum_of dropped picked rows_of smooth_l1".split()
)
ALL = [(name, i) for name in CASES for i in range(len(CASES[name]))]


def call(name, raws, settings):
    """Run the op on fresh arrays, with the same random mask each time."""
    npx.random.seed(3)
    return OPS[name](*raws, **settings)


def variables(name, raws):
    """Return arrays of the raw values; those that may move are leaves."""
    arrays = [np.array(onp.asarray(raw)) for raw in raws]
    moving = [x for i, x in enumerate(arrays) if i not in CHOICES.get(name, ())]
    for x in moving:
        x.attach_grad()
    return arrays, moving


def weights(shape):
    """Fixed coefficients that make a number of a result: every entry counts differently."""
    return onp.cos(onp.arange(int(onp.prod(shape)), dtype="float64") * 1.3 + 0.5).reshape(shape)


def weighted(z):
    """Return the weighted sum of the op's result, or of all its results."""
    parts = z if isinstance(z, tuple) else (z,)
    return sum((part * np.array(weights(part.shape))).sum() for part in parts)


def value(name, raws, settings):
    """Return the weighted sum of the op's result as a float."""
    return float(weighted(call(name, [np.array(onp.asarray(r)) for r in raws], settings)))


def gradients(name, raws, settings):
    """Return the derivative of `value` by backward()."""
    arrays, moving = variables(name, raws)
    with autograd.record():
        weighted(call(name, arrays, settings)).backward()
    return [x.grad.asnumpy() for x in moving]


def differences(function, raws, moving):
    """Return central differences of a float-valued function in every entry of the moving arguments."""
    found = []
    for i in moving:
        grad = onp.zeros(onp.shape(raws[i]))
        for place in onp.ndindex(grad.shape):
            values = []
            for sign in (1, -1):
                moved = [onp.array(r, copy=True) for r in raws]
                moved[i][place] += sign * STEP
                values.append(function(moved))
            grad[place] = (values[0] - values[1]) / (2 * STEP)
        found.append(grad)
    return found


def moving_places(name, raws):
    return [i for i in range(len(raws)) if i not in CHOICES.get(name, ())]


@pytest.mark.parametrize(("name", "i"), ALL)
def test_first_derivative(name, i):
    raws, settings = CASES[name][i]
    expected = differences(lambda r: value(name, r, settings), raws, moving_places(name, raws))
    for found, right in zip(gradients(name, raws, settings), expected, strict=True):
        onp.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "i"), ALL)
def test_second_derivative(name, i):
    raws, settings = CASES[name][i]

    def slope(moved):
        return sum(float((g * weights(g.shape)).sum()) for g in gradients(name, moved, settings))

    expected = differences(slope, raws, moving_places(name, raws))
    arrays, moving = variables(name, raws)
    with autograd.record():
        y = weighted(call(name, arrays, settings))
        firsts = autograd.grad(y, moving, create_graph=True)
        total = sum((g * np.array(weights(g.shape))).sum() for g in firsts)
    try:
        total.backward()
    except NotRecordedError:  # a linear op: its gradient does not depend on its arguments, so zeros are right
        assert name in LINEAR
    for x, right in zip(moving, expected, strict=True):
        onp.testing.assert_allclose(x.grad.asnumpy(), right, rtol=1e-5, atol=1e-7)


def test_every_op_has_a_case():
    differentiable = {name for name, op in OPS.items() if not op.discrete}
    assert differentiable - WITHOUT_RULE == set(CASES)


@pytest.mark.parametrize("name", sorted(WITHOUT_RULE))
def test_missing_rule_names_the_op(name):
    x = np.array(onp.eye(2) * 2)
    x.attach_grad()
    with autograd.record():
        z = OPS[name](x)
    z = z[0] if isinstance(z, tuple) else z
    with pytest.raises(NotRecordedError, match=f"{name} has no derivative"):
        z.backward()
