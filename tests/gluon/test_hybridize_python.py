"""What plain Python does in a hybridized forward: it keeps, counts, catches, draws, and is the same as when not hybridized."""

import random

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np
from d2lblocks.gluon import nn
from d2lblocks.gluon.tracing import AS_WRITTEN, Programs
from tests.gluon.twins import needs_programs


class Net(gluon.HybridBlock):
    """A layer, something to keep things in, and a forward that is given."""

    def __init__(self, forward):
        super().__init__()
        self.layer, self.child = nn.Dense(1, in_units=1, use_bias=False), nn.Activation("relu")
        self.state, self.count, self.log, self.book = None, 0, [], {}
        self.__dict__["_given"] = forward

    def forward(self, x):
        return self._given(self, x)


def tried(net, h, doing, otherwise):
    """What a forward does that catches whatever comes."""
    try:
        return doing()
    except Exception:
        return otherwise


def in_place(net, x):
    h = net.layer(x)

    def doing():
        h[0] = 0
        return h

    return tried(net, h, doing, h * 5)


def kept(net, x, name="state", make=lambda h: (h,), get=lambda kept: kept[0]):
    before = getattr(net, name)
    h = net.layer(x) + (get(before) if before else 0)
    setattr(net, name, make(h))
    return h * 1


def logged(net, x):
    h = net.layer(x) + len(net.log)
    net.log.append(h)
    return h + net.log[0].detach()


def written_down(net, x):
    net.count += 1
    net.book["last"] = net.layer(x) * net.count
    return net.book["last"] + 0


def drawn(net, x):
    return net.layer(x) * (1 if random.random() < 0.5 else -1) + float(onp.random.uniform())


FORWARDS = {
    "tuple": kept,
    "list": lambda net, x: kept(net, x, make=lambda h: [h]),
    "dict": lambda net, x: kept(net, x, make=lambda h: {"h": h}, get=lambda kept: kept["h"]),
    "nested": lambda net, x: kept(net, x, make=lambda h: ([h],), get=lambda kept: kept[0][0]),
    "log": logged,
    "book": written_down,
    "in place": in_place,
    "float": lambda net, x: net.layer(x) * tried(net, x, lambda: float(x.sum()), 1),
    "asked": lambda net, x: net.layer(x) * (2 if tried(net, x, lambda: bool(x.sum() > 2), False) else 1),
    "attribute": lambda net, x: net.layer(x) * (3 if tried(net, x, lambda: setattr(net, "state", x), 1) is None else 2),
    "drawn": drawn,
}  # fmt: skip


def run(forward, hybrid):
    random.seed(3)
    onp.random.seed(3)
    net = Net(forward)
    net.initialize("ones")
    net.hybridize(hybrid)
    found = []
    for k in range(5):
        x = np.array([[k + 1.0]])
        with autograd.record():
            y = net(x)
        y.backward()
        found += [y.item(), net.layer.weight.grad().item(), net.count, len(net.log), net(x).item()]
    return found


@pytest.mark.parametrize("forward", FORWARDS.values(), ids=FORWARDS)
def test_it_is_as_if_it_were_not_hybridized(forward):
    assert run(forward, True) == run(forward, False)


@pytest.mark.filterwarnings("ignore:.*unregistered container")
@pytest.mark.parametrize("hidden", ["list", "global"])
def test_parameters_of_blocks_that_are_no_children(hidden):
    outside = nn.Dense(1, in_units=1, use_bias=False)
    outside.initialize("ones")
    x = np.ones((1, 1))
    outside(x)

    def forward(net, x):
        return net.layer((net.log[0] if hidden == "list" else outside)(x))

    net = Net(forward)
    net.log.append(outside)
    net.initialize("ones")
    net.hybridize()
    net(x), net(x)
    outside.initialize(init.Constant(5), force_reinit=True)
    assert net(x).item() == 5
    outside.weight.set_data(np.array([[2.0]]))
    assert net(x).item() == 2
    outside.cast("float64")
    assert net.layer.weight.dtype != outside.weight.dtype  # and the other way round it is told in words
    with pytest.raises(ValueError, match="dtype"):
        net(x)


def test_a_child_that_is_taken_away():
    net = Net(lambda net, x: net.layer(x) if net.child is None else net.child(net.layer(x)))
    net.initialize("ones")
    net.hybridize()
    x = np.array([[-2.0]])
    assert [net(x).item() for _ in range(3)] == [0, 0, 0]
    net.child = None
    assert net(x).item() == -2


class Attention(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        self.weights = F.npx.softmax(x)
        return self.weights * x


@needs_programs
def test_attention_is_not_noted_again_at_each_call(monkeypatch):
    traces, real = [], Programs._trace
    monkeypatch.setattr(Programs, "_trace", lambda *args: (traces.append(args), real(*args))[1])
    net = Attention()
    net.hybridize()
    for _ in range(8):
        net(np.ones((2, 3)))
    assert len(traces) <= 2


@needs_programs
def test_children_that_are_called_one_by_one():
    """The book's encoder: for block in self.blocks. The Sequential itself is never called."""

    class Encoder(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.blocks = nn.HybridSequential()
            self.blocks.add(nn.Dense(3, in_units=3), nn.Dense(3, in_units=3))
            self.unused = nn.Dense(1, in_units=1)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    net = Encoder()
    net.initialize()
    net.hybridize()
    x = np.ones((2, 3))
    eager = net(x).asnumpy()
    for _ in range(3):
        assert onp.allclose(net(x).asnumpy(), eager)
    assert AS_WRITTEN not in net._programs.known.values() and net._programs.known
    assert net.blocks._last_call is None
    net.blocks(x)
    assert net.blocks._last_call.output == (2, 3)  # it is noted when it is called as a whole


def test_a_child_that_is_called_for_the_first_time_later_is_noted_then():
    net = Net(lambda net, x: net.layer(x) if x.shape[0] == 1 else net.child(net.layer(x)))
    net.initialize("ones")
    net.hybridize()
    for n in (1, 1, 2, 2, 2):
        assert net(-np.ones((n, 1))).tolist() == [[-1.0 if n == 1 else 0.0]] * n
    assert net.child._last_call.output == (2, 1)
