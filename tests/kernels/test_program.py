"""Every kind of row, by machine code and by the plain Python of the same loop, on the same numbers."""

import numpy as onp
import pytest

from d2lblocks.kernels import program
from d2lblocks.kernels._jit import enabled

SIZES = [(1, 1, 1), (2, 20, 256), (3, 7, 5), (16, 32, 32), (9, 40, 17)]


def cases(n, k, m, rng):
    """Yield (code, kind, arrays in the order of the places, positions of those that are written)."""
    real = lambda *shape: rng.normal(size=shape).astype("float32")  # noqa: E731
    for kind in (0, 1):
        yield program.DENSE, kind, [real(n, k), real(k, m), real(m), real(n, m)], [3]
    yield program.DENSE, 0, [real(n, k), real(k, m), None, real(n, m)], [3]
    for kind in (0, *program.BACK.values()):
        arrays = [real(n, m), real(n, m), real(n, k), real(k, m), real(n, k), real(k, m), real(m)]
        yield program.DENSE_BACK, kind, arrays, [4, 5, 6]
        yield program.DENSE_BACK, kind, [*arrays[:4], None, real(k, m), None], [5]
    for kind, dtype in enumerate(program.LABELS):
        labels = rng.integers(k, size=n).astype(dtype)
        yield program.LOSS, kind, [real(n, k), labels, real(n), real(n, k)], [2, 3]
        yield program.LOSS_BACK, kind, [real(n), labels, abs(real(n, k)), real(n, k)], [3]
    yield program.TURN, 0, [real(n, k), real(k, n)], [1]
    for mean in (0, 1):
        yield program.TOTAL, mean, [real(n, k), real(n)], [1]
        yield program.SPREAD, mean, [real(n), real(n, k)], [1]


def done(run, code, sizes, kind, arrays, written, work=0):
    """Run one row on copies; return what it has written."""
    n, k, m = sizes
    arrays = [None if a is None else a.copy() for a in arrays]
    room = onp.zeros(n * m + k * m, "float32")
    slots = onp.array([0, *[0 if a is None else a.ctypes.data for a in arrays], room.ctypes.data], "int64")
    places = [*range(1, len(arrays) + 1)] + [0] * (7 - len(arrays))
    status = onp.zeros(1, "int64")
    run(onp.array([[code, n, k, m, kind, *places]], "int64"), slots, status, work)
    assert not status[0]
    return [arrays[i] for i in written]


@pytest.mark.skipif(not enabled(), reason="without compilation there is only the loop")
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("odd", [False, True])
def test_rows(sizes, odd):
    rng = onp.random.default_rng(sum(sizes))
    seen = set()
    for code, kind, arrays, written in cases(*sizes, rng):
        if odd:
            for a in arrays:
                if a is not None and a.dtype.kind == "f" and code not in (program.LOSS, program.LOSS_BACK):
                    a.reshape(-1)[rng.integers(a.size)] = onp.nan
        with onp.errstate(all="ignore"):
            right = done(program.walk.loop, code, sizes, kind, arrays, written)
        for a, b in zip(done(program.walk.run, code, sizes, kind, arrays, written, 10**6), right, strict=True):
            onp.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6 * max(sizes))
        seen.add(code)
    assert seen == set(range(program.CHAIN))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_wrong_label_ends_the_walk(label):
    for run in (program.walk.loop, program.walk.run):
        scores, labels, out, p = (
            onp.ones((2, 3), "f4"),
            onp.array([0, label]),
            onp.zeros(2, "f4"),
            onp.zeros((2, 3), "f4"),
        )
        slots = onp.array([0, *[a.ctypes.data for a in (scores, labels, out, p)]], "int64")
        status = onp.zeros(1, "int64")
        run(onp.array([[program.LOSS, 2, 3, 0, 2, 1, 2, 3, 4, 0, 0, 0]], "int64"), slots, status, 0)
        assert status[0] == 1
