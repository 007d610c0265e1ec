"""What a hybridized forward takes from outside: arrays that are neither inputs nor parameters, and what it does to them."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon.tracing import AS_WRITTEN, DataDependent
from d2lblocks.kernels import program as kernel

needs_programs = pytest.mark.skipif(not kernel.walk.ready(), reason="programs need machine code")


class Outside(gluon.HybridBlock):
    def __init__(self, what):
        super().__init__()
        self._what = what
        self.table = np.array([1.0, 2.0, 3.0])
        self.w = self.params.get("w", shape=(3,), init="ones")

    def hybrid_forward(self, F, x, w):
        return self._what(self, F, x) + w * 0.5


READ = {
    "exp": lambda net, F, x: x * F.np.exp(net.table),
    "sum": lambda net, F, x: x * net.table.sum(),
    "times two": lambda net, F, x: x + net.table * 2,
    "reshaped": lambda net, F, x: x + net.table.reshape(1, 3),
    "transposed": lambda net, F, x: x + net.table.T,
    "a part": lambda net, F, x: x + net.table[1:2],
    "in two": lambda net, F, x: x + np.stack([net.table, net.table * 2]).sum(axis=0),
    "dense": lambda net, F, x: x + F.npx.fully_connected(net.table.reshape(1, 3), np.ones((3, 3)), np.ones((3,))),
    "list_data": lambda net, F, x: x * np.exp(net.w.list_data()[0]),
    "grad": lambda net, F, x: x + net.w.grad(),
    "asnumpy": lambda net, F, x: x + np.array(net.table.asnumpy()),
    "a number": lambda net, F, x: x * float(net.table.sum()),
    "a choice": lambda net, F, x: x if net.table.sum() > 10 else -x,
}  # fmt: skip


@pytest.mark.parametrize("what", READ.values(), ids=READ)
def test_what_was_there_before_is_read_anew(what):
    net, twin, x = Outside(what), Outside(what), np.arange(6).reshape(2, 3)
    for one in (net, twin):
        one.initialize()
    twin.hybridize()
    for k in range(5):
        found = []
        for one in (net, twin):
            one.table[:] = np.array([1.0, 2, 3]) * (k + 1)
            one.w.set_data(np.ones(3) * k)
            with autograd.record():
                loss = one(x).sum()
            loss.backward()
            found.append((one(x).asnumpy(), one.w.grad().asnumpy()))
        for a, b in zip(*found, strict=True):
            assert onp.allclose(a, b, rtol=1e-6), k


def counted(net, F, x):
    net.table += 1
    return x * net.table


def swapped(net, F, x):
    net.table[:] = net.table[::-1] + 1
    return x * net.table


def shuffled(net, F, x):
    np.random.shuffle(net.table)
    return x * net.table


def out_given(net, F, x):
    np.exp(net.table * 0, out=net.table)
    return x + net.table


def later(net, F, x):
    net.table += 1
    net.table[:] = net.table * 0.5 + x.mean(axis=0)
    return x - net.table


@pytest.mark.parametrize("what", [counted, swapped, shuffled, out_given, later])
def test_what_is_written_is_written_at_every_call_and_once(what):
    net, twin = Outside(what), Outside(what)
    found = []
    for one in (net, twin):
        one.initialize()
        one.hybridize(one is twin)
        npx.random.seed(3)
        found.append([one(np.ones((2, 3)) * k).asnumpy() for k in range(6)] + [one.table.asnumpy()])
    assert onp.array_equal(onp.vstack(found[0]), onp.vstack(found[1]))


@needs_programs
def test_arrays_from_outside_do_not_cost_the_program():
    net = Outside(lambda net, F, x: x * F.np.exp(net.table) + F.np.arange(3))
    net.initialize()
    net.hybridize()
    for _ in range(3):
        net(np.ones((2, 3)))
    assert AS_WRITTEN not in net._programs.known.values() and net._programs.known


@needs_programs
def test_a_choice_by_the_numbers_of_the_input_is_still_an_error():
    net = Outside(lambda net, F, x: x if (x * net.table).sum() > 0 else -x)
    net.initialize()
    net.hybridize()
    net(np.ones((2, 3)))
    with pytest.raises(DataDependent, match="asks for the"):
        net(np.ones((2, 3)))


@needs_programs
def test_a_buffer_of_another_dtype_is_used_again():
    net = Outside(lambda net, F, x: F.np.stack([x, x * 2]).sum(axis=0).astype("float64").mean().astype("float32"))
    net.initialize()
    net.hybridize()
    for _ in range(3):
        assert net(np.ones((2, 3))).tolist() == [3.5] * 3
    assert AS_WRITTEN not in net._programs.known.values()
