"""What a hybridized forward takes from outside: arrays that are neither inputs nor parameters, and what it does to them."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon.tracing import AS_WRITTEN, DataDependent
from tests.gluon.twins import needs_programs


class Outside(gluon.HybridBlock):
    def __init__(self, what):
        super().__init__()
        self._what = what
        self.table, self.order = np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2], dtype="int32")
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
    "an order": lambda net, F, x: x[:, net.order],
    "an order of rows": lambda net, F, x: x.T[net.order].T,
    "a mask that is there": lambda net, F, x: x[:, net.order.astype("bool")].sum(),
    "an index": lambda net, F, x: x[:, net.table % 3],
    "a mask": lambda net, F, x: x[:, net.table > 3].sum(),
    "an end": lambda net, F, x: x[:, : net.table[0]].sum(),
    "a list of indices": lambda net, F, x: x[:, [net.table[0] % 3, 1]].sum(),
    "gather": lambda net, F, x: F.npx.gather_nd(x, np.stack([net.table % 2, net.table % 3])),
    "lengths": lambda net, F, x: F.npx.softmax(x, net.table[:2] % 4, use_length=True),
    "sequences": lambda net, F, x: F.npx.sequence_mask(x, net.table % 3, True),
    "largest": lambda net, F, x: x * F.npx.topk(net.table * np.array([1, -1, 0.1]), k=3),
    "quantile": lambda net, F, x: x * np.quantile(x, net.table / 30).sum(),
    "histogram": lambda net, F, x: x * np.histogram(net.table, bins=3, range=(0, 9))[0],
    "unravelled": lambda net, F, x: x * np.unravel_index(net.table, (4, 4))[1],
    "copied": lambda net, F, x: x + np.array(net.table) + np.array([net.table[0], net.table[1]]).sum(),
    "full": lambda net, F, x: x + np.full((3,), net.table[0].item()) + np.full_like(x, net.table[1]),
    "bincount": lambda net, F, x: x * np.bincount(net.table[:1], net.table[:1], minlength=16).sum(),
    "median": lambda net, F, x: x + np.median(net.table),
    "interp": lambda net, F, x: x + np.interp(1.5, np.arange(3), net.table),
    "deleted": lambda net, F, x: x * np.delete(x, net.table[0].astype("int32") % 3, axis=1).sum(),
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
            one.table[:], one.order[:] = np.array([1.0, 2, 3]) * (k + 1), (np.arange(3) + k) % 3
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


class Keeps(gluon.HybridBlock):
    """Attention as the book writes it: the weights are kept to be looked at."""

    def __init__(self, keep):
        super().__init__()
        self._keep, self.seen, self.total = keep, [], np.zeros((2,))

    def hybrid_forward(self, F, x):
        weights = F.npx.softmax(x)
        if self._keep == "attribute":
            self.weights = weights
        elif self._keep == "sum":
            self.total = self.total + weights
        else:
            self.seen.append(weights)
        return weights * x


@pytest.mark.parametrize("keep", ["attribute", "sum"])
def test_what_a_forward_keeps_is_an_array(keep):
    net, twin, x = Keeps(keep), Keeps(keep), np.array([1.0, 2.0])
    for one in (net, twin):
        one.initialize()
    twin.hybridize()
    for k in range(4):
        assert net(x * k).tolist() == twin(x * k).tolist()
        assert net.total.tolist() == twin.total.tolist()
        if keep == "attribute":
            assert net.weights.tolist() == twin.weights.tolist() and (twin.weights + 1).shape == (2,)
    assert (np.ones(2) * 2).tolist() == [2, 2]


@needs_programs
def test_a_stand_in_that_was_kept_elsewhere_says_so():
    elsewhere = []

    class Net(gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            elsewhere.append(x * 2)
            return elsewhere[-1] + 1

    net = Net()
    net.hybridize()
    for k in range(3):
        assert net(np.ones(2) * k).tolist() == [2 * k + 1] * 2
    stand_in = next(x for x in elsewhere if type(x).__name__ == "Traced")
    for use in (
        lambda: stand_in + 1,
        lambda: repr(stand_in),
        lambda: np.exp(stand_in),
        stand_in.asnumpy,
        stand_in.item,
    ):
        with pytest.raises(RuntimeError, match=r"has ended.*hybridize\(False\)"):
            use()
    assert (np.ones(2) * 2).tolist() == [2, 2]  # nothing is being noted any more


class Reverse(autograd.Function):
    def forward(self, x):
        return x

    def backward(self, g):
        return -g


def test_a_function_that_gives_back_its_input_keeps_its_rule():
    class Net(gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return Reverse()(x * 2) * 1

    net, x = Net(), np.ones(2)
    net.hybridize()
    x.attach_grad()
    for _ in range(3):
        with autograd.record():
            y = net(x)
        y.backward()
        assert x.grad.tolist() == [-2, -2]


@pytest.mark.parametrize("hybrid", [False, True])
def test_backward_of_what_no_variable_leads_to(hybrid):
    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    net.hybridize(hybrid)
    x = np.ones((2, 3))
    for _ in range(3):
        net(x)
    net.collect_params().setattr("grad_req", "null")
    for _ in range(3):
        with autograd.record():
            loss = (net(x) ** 2).sum()
        with pytest.raises(RuntimeError, match="no recorded path"):
            loss.backward()


@needs_programs
def test_picking_from_a_vector_is_a_step_of_a_program():
    class Net(gluon.HybridBlock):
        def hybrid_forward(self, F, x, i):
            return F.npx.pick(x, i) * 2

    net = Net()
    net.hybridize()
    for k in range(3):
        assert net(np.arange(3) + k, np.array([1])).tolist() == [2 * (1 + k)]
    assert AS_WRITTEN not in net._programs.known.values() and net._programs.known
