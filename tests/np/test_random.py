"""Gradients through random draws: noise is fixed, the parameters move."""

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx

LOC, SCALE = [0.5, -1.0], [2.0, 0.75]


def tracked(values):
    x = np.array(values)
    x.attach_grad()
    return x


LOCATED = ["uniform", "normal", "logistic", "gumbel"]


@pytest.mark.parametrize("name", LOCATED)
def test_location_and_scale(name):
    a, b = tracked(LOC), tracked(SCALE)
    draw = getattr(np.random, name)
    npx.random.seed(3)
    plain = draw(np.array(LOC), np.array(SCALE), size=(3, 2))
    npx.random.seed(3)
    with autograd.record():
        z = draw(a, b, size=(3, 2))
    z.backward()
    onp.testing.assert_array_equal(z.asnumpy(), plain.asnumpy())  # recording changes no draw
    width = np.array(SCALE) - np.array(LOC) if name == "uniform" else np.array(SCALE)
    noise = ((plain - np.array(LOC)) / width).sum(axis=0).asnumpy()
    slope = 3 - noise if name == "uniform" else onp.full(2, 3.0)
    onp.testing.assert_allclose(a.grad.asnumpy(), slope, rtol=1e-5)
    onp.testing.assert_allclose(b.grad.asnumpy(), noise, rtol=1e-5)


SLOPES = {  # dz/dparameter, from z alone
    "exponential": lambda z, a: z / a,
    "rayleigh": lambda z, a: z / a,
    "weibull": lambda z, a: -z * onp.log(z) / a,
    "pareto": lambda z, a: -(z + 1) * onp.log(z + 1) / a,
    "power": lambda z, a: -z * onp.log(z) / a,
}


@pytest.mark.parametrize("name", SLOPES)
def test_one_parameter(name):
    a = tracked(SCALE)
    npx.random.seed(3)
    plain = getattr(np.random, name)(np.array(SCALE), size=(3, 2)).asnumpy()
    npx.random.seed(3)
    with autograd.record():
        z = getattr(np.random, name)(a, size=(3, 2))
    z.backward()
    onp.testing.assert_allclose(z.asnumpy(), plain, rtol=1e-6)
    expected = SLOPES[name](plain.astype("float64"), onp.array(SCALE)).sum(axis=0)
    onp.testing.assert_allclose(a.grad.asnumpy(), expected, rtol=1e-4)


def test_lognormal_normal_n_choice_and_full():
    a, b = tracked(LOC), tracked(SCALE)
    with autograd.record():
        z = np.random.lognormal(a, b, size=(3, 2))
    z.backward()
    onp.testing.assert_allclose(a.grad.asnumpy(), z.asnumpy().sum(axis=0), rtol=1e-5)
    with autograd.record():
        npx.random.normal_n(a, b, batch_shape=4).backward()
    assert a.grad.tolist() == [4, 4]
    with autograd.record():
        z = np.random.choice(a, size=5)
    z.backward()
    assert a.grad.tolist() == [float((z == v).sum()) for v in LOC]
    with autograd.record():
        (np.full((3, 2), a) * np.array([1.0, 10.0]) + np.full_like(b, a[0])).sum().backward()
    assert a.grad.tolist() == [3 + 6, 30]


@pytest.mark.parametrize("name", ["gamma", "beta", "chisquare"])
def test_draws_without_derivative_say_so(name):
    a = tracked(SCALE)
    draw = getattr(np.random, name)
    arguments = [a, a] if name == "beta" else [a]
    with autograd.record():
        with pytest.raises(RuntimeError, match=f"{name} has no derivative.*detach"):
            draw(*arguments)
        assert draw(*[x.detach() for x in arguments]).shape == (2,)
