"""Memory of big results is used again when nobody sees it any more, and never before."""

import threading
import weakref

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np
from d2lblocks.kernels import buffers
from d2lblocks.kernels._jit import enabled
from d2lblocks.kernels.buffers import Results

SIZE = 100_000


def place(a):
    return a.ctypes.data


def test_let_go_it_comes_again():
    results = Results((2, 3), "float32")
    a = results.next()
    assert a.shape == (2, 3) and a.dtype == onp.float32 and a.base is None
    where = place(a)
    del a
    assert [place(results.next()) for _ in range(3)] == [where] * 3


def test_two_come_in_turn_when_the_last_one_is_still_held():
    results, places, y = Results((SIZE,), "float32"), [], None
    for _ in range(6):
        y = results.next()
        places.append(place(y))
    assert len(set(places)) == 2 and places[::2] == places[:1] * 3 and y is not None


HOLDERS = {
    "itself": lambda a: a,
    "a view": lambda a: a[1:2],
    "a view of a view": lambda a: a.reshape(-1)[::2].view("int32"),
    "memoryview": memoryview,
    "weakref": weakref.ref,
    "dlpack": lambda a: a.__dlpack__(),
    "taken by dlpack": onp.from_dlpack,
    "ctypes": lambda a: a.ctypes,
    "iterator": lambda a: a.flat,
    "interface": lambda a: onp.asarray(type("Other", (), {"__array_interface__": a.__array_interface__, "kept": a})()),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_seen_it_never_comes(holder):
    results = Results((4, 5), "float32")
    first = results.next()
    where, held = place(first), HOLDERS[holder](first)
    del first
    assert where not in {place(results.next()) for _ in range(4)}
    del held
    assert len(results.arrays) <= 2


def test_no_more_than_two_are_kept_and_of_very_big_ones_one(monkeypatch):
    results = Results((100,), "float32")
    held = [results.next() for _ in range(10)]
    assert len(results.arrays) == 2 and len({place(a) for a in held}) == 10
    monkeypatch.setattr(buffers, "SPARE", 399)
    results = Results((100,), "float32")
    held = [results.next() for _ in range(10)]
    assert len(results.arrays) == 1 and len({place(a) for a in held}) == 10


class Twice(gluon.HybridBlock):
    def forward(self, x):
        return x * 2


@pytest.fixture
def block():
    if not enabled():
        pytest.skip("Kernels are not compiled")
    net = Twice()
    net.hybridize()
    net(np.ones(SIZE))
    return net


def test_a_block_returns_the_same_memory_again(block):
    x = np.ones(SIZE)
    assert len({place(block(x)._data) for _ in range(5)}) == 1


def test_results_that_are_held_stay_as_they_are(block):
    rng = onp.random.default_rng(0)
    kept = []
    for i in range(40):
        y = block(np.full(SIZE, i))
        take = [lambda y: y, lambda y: y[5:], lambda y: y.asnumpy()[::3], lambda y: y.reshape(10, -1), lambda y: y.T]
        if rng.random() < 0.5:
            kept.append((i, take[rng.integers(len(take))](y)))
    for i, y in kept:
        assert (onp.asarray(y) == 2 * i).all()


def test_what_the_tape_needs_stays(block):
    x = np.ones(SIZE)
    w = np.ones(SIZE)
    w.attach_grad()
    with autograd.record():
        y = w * block(x)
    for i in range(5):
        block(np.full(SIZE, i))
    y.backward()
    assert (w.grad == 2).all()


def test_recorded_results_stay(block):
    x = np.ones(SIZE)
    x.attach_grad()
    with autograd.record():
        first = block(x)
        y = first * first
        others = [block(x + i) for i in range(4)]
    y.backward()
    assert (x.grad == 8).all() and [float(z[0]) for z in others] == [2, 4, 6, 8]


def test_threads_have_their_own(block):
    wrong = []

    def work(i):
        for _ in range(50):
            y = block(np.full(SIZE, i))
            if not (onp.asarray(y) == 2 * i).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
