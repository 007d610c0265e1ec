"""Values, shapes, dtypes and gradients of np and npx against those recorded from the original."""

import json
from pathlib import Path

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx

RECORDED = json.loads((Path(__file__).parent.parent / "reference" / "arrays.json").read_text())
TOLERANCE = {"float16": 2e-3, "float32": 3e-6, "float64": 1e-7}


def with_gradients(function, *arrays):
    """Return [function(*arrays), gradient of its sum with respect to each array]."""
    arrays = [x.copy() for x in arrays]
    for x in arrays:
        x.attach_grad()
    with autograd.record():
        y = function(*arrays)
    y.backward()
    return [y, *[x.grad for x in arrays]]


def inputs():
    made = RECORDED["inputs"].items()
    return {name: np.array(onp.array(values, dtype).reshape(shape)) for name, (dtype, shape, values) in made}


def check(found, expected):
    if "value" in expected:
        assert repr(found) == expected["value"]
    elif "parts" in expected:
        assert len(found) == len(expected["parts"])
        for part, right in zip(found, expected["parts"], strict=True):
            check(part, right)
    else:
        dtype, shape, values = expected
        assert (str(found.dtype), list(found.shape)) == (dtype, shape)
        tolerance = TOLERANCE.get(dtype, 0)
        onp.testing.assert_allclose(found.asnumpy().reshape(-1), values, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("expression", RECORDED["results"])
def test_equals_the_original(expression):
    known = inputs() | {"np": np, "npx": npx, "onp": onp, "G": with_gradients}
    check(eval(expression, known), RECORDED["results"][expression])
