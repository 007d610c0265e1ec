"""Chains as one compiled loop: the same numbers as tile by tile, to the last bit, wherever the numbers begin and end."""

import gc
import os

import hypothesis.strategies as some
import numpy as onp
import pytest
from hypothesis import HealthCheck, given, settings

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.kernels import chain, program, tiles
from d2lblocks.kernels._jit import enabled

pytestmark = pytest.mark.skipif(not enabled(), reason="Kernels are not compiled")
INPUTS, NUMBERS, FIRST = (
    (1, 2),
    {3: 0.5, 4: -1.75},
    5,
)  # places of inputs, of tiles full of a number, of what links make
ODD = onp.array([onp.nan, onp.inf, -onp.inf, 0.0, -0.0, 1e-45, -1e-40, 3e38, -90.0, 90.0, 1e-8, 8.99], "float32")


def inputs(n, seed=0):
    """Return two rows of n numbers of all sizes, some of them odd."""
    rng = onp.random.default_rng(seed)
    x = (rng.normal(size=(2, n)) * 10.0 ** rng.integers(-3, 3, size=(2, n))).astype("float32")
    odd = rng.integers(n, size=n // 4) if n else []
    x[:, odd] = rng.choice(ODD, size=(2, len(odd)))
    return x


def rows(n, links):
    """Return rows for links (kind, a, b, to, whether the result is kept)."""
    kept = {to for *_, to, keep in links if keep}
    made = []
    for kind, a, b, to, _ in links:
        flags = sum(bit for bit, place in ((1, a), (2, b), (4, to)) if place in INPUTS or place in kept)
        made.append([program.LINK, kind, flags, 0, 0, a, b, to, 0, 0, 0, 0])
    return [[program.CHAIN, n, len(links), *[0] * 9], *made]


def results(n, links, x, way, shift=0):
    """Run a chain one way; return what it keeps, each array beginning `shift` numbers behind a line of memory."""
    slots, made, room = onp.zeros(64, "int64"), {}, onp.zeros(tiles.TILE, "float32")
    slots[-1] = room.ctypes.data
    arrays = dict(zip(INPUTS, x.copy(), strict=True)) | {
        k: onp.full(tiles.TILE, v, "float32") for k, v in NUMBERS.items()
    }
    for _, _, _, to, keep in links:
        if keep and to not in arrays:
            longer = onp.zeros(n + 32 + shift, "float32")
            start = -(longer.ctypes.data // 4) % 16 + shift
            arrays[to] = longer[start : start + n]
        made[to] = arrays.setdefault(to, onp.zeros(tiles.TILE, "float32"))
    for place, a in arrays.items():
        slots[place] = a.ctypes.data
    way(rows(n, links), slots)
    return [made[to].copy() for _, _, _, to, keep in links if keep]


def by_tiles(rows, slots):
    assert program.walk.ready() and program.walk.fast(onp.array(rows, "int64"), slots, onp.zeros(1, "int64"), 0)


def by_loop(streams, rows, slots):
    loop = chain.Chain(rows, slots)
    loop.seen = chain.PAYS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "STREAMS", 1 if streams else chain.STREAMS)
        assert loop.run() and list(loop.codes) == [streams]


def one_by_one(rows, slots):
    chain.compiled(tuple(map(tuple, rows[1:])), False)(slots.ctypes.data, rows[0][1], rows[0][1])


def same(n, links, x, streams=False, shift=0):
    """Compare with whole tiles: what is left over there is done by other instructions, which may differ in the last bit."""
    whole = onp.concatenate([x, inputs(-n % tiles.TILE)], axis=1)
    by = one_by_one if "NUMBA_CPU_NAME" not in os.environ else by_tiles  # tiles were compiled as that tells
    right = [z[:n] for z in results(whole.shape[1], links, whole, by)]
    found = results(n, links, x, lambda rows, slots: by_loop(streams, rows, slots), shift)
    for a, b in zip(found, right, strict=True):
        onp.testing.assert_array_equal(a, b)
        onp.testing.assert_array_equal(onp.signbit(a[a == 0]), onp.signbit(b[a == 0]))
    return found


@pytest.fixture(params=["the one told", "this one"], autouse=True)
def processor(request, monkeypatch):
    """Let chains be compiled for the processor that the tests are told of, or for that of this machine."""
    if request.param == "this one":
        monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    for cached in (chain.processor, chain.compiled):
        cached.cache_clear()
    yield request.param
    for cached in (chain.processor, chain.compiled):
        cached.cache_clear()


@pytest.mark.parametrize("kind", sorted(chain.FORMULAS))
def test_every_kind_of_link(kind):
    a, b = INPUTS if kind < tiles.SAME else INPUTS[:1] * 2
    for n in (1, 16, 1003):
        same(n, [(kind, a, b, FIRST, True)], inputs(n))
        same(n, [(kind, a, b, a, True)], inputs(n))  # in place


@pytest.mark.parametrize(
    "kind", sorted(chain.FORMULAS.keys() - {tiles.TANH_BACK, tiles.SIGMOID_BACK})
)  # 1 - z² cancels
def test_every_processor_gives_nearly_the_same(kind):
    links = [(kind, 1, 1, FIRST, True)]
    (a,), (b,) = (results(1024, links, inputs(1024), way) for way in (by_tiles, lambda *args: by_loop(False, *args)))
    onp.testing.assert_allclose(a, b, rtol=4e-7, atol=1e-45)


def test_no_kind_is_missing():
    assert sorted(chain.FORMULAS) == list(range(tiles.ERF + 1))


def test_sums_of_links_are_those_of_numpy():
    x, y = inputs(5000)
    links = [(tiles.PRODUCT, 1, 3, 5, False), (tiles.SUM, 5, 2, 6, False), (tiles.QUOTIENT, 6, 1, 7, True)]
    with onp.errstate(all="ignore"):
        right = (x * onp.float32(0.5) + y) / x
    onp.testing.assert_array_equal(same(5000, links, onp.stack([x, y]))[0], right)


@pytest.mark.parametrize("shift", [0, 1, 4, 15])
@pytest.mark.parametrize("n", [1, 7, 15, 16, 33, 2000])
@pytest.mark.parametrize("two", [False, True])
def test_written_past_the_caches_wherever_the_arrays_begin(n, shift, two):
    same(n, [(tiles.PRODUCT, 1, 3, 5, two), (tiles.TANH, 5, 5, 6, True)], inputs(n), streams=True, shift=shift)


def test_arrays_that_begin_differently_are_written_as_ever(monkeypatch):
    monkeypatch.setattr(chain, "STREAMS", 1)
    monkeypatch.setattr(chain, "PAYS", 1)
    links, x, y = [(tiles.SUM, 1, 1, 5, True), (tiles.RELU, 5, 5, 6, True)], inputs(999)[0], onp.zeros(2000, "float32")
    slots = onp.array([0, x.ctypes.data, 0, 0, 0, y.ctypes.data, y[1000:].ctypes.data + 4], "int64")
    loop = chain.Chain(rows(999, links), slots)
    assert loop.run() and list(loop.codes) == [False]
    with onp.errstate(over="ignore"):
        onp.testing.assert_array_equal(y[:999], x + x)
        onp.testing.assert_array_equal(y[1001:], onp.maximum(x + x, 0))


@some.composite
def chains(draw):
    """Draw links that use inputs, numbers and what links before have made."""
    made, links = [*INPUTS, *NUMBERS], []
    count = draw(some.integers(1, 12))
    for i in range(count):
        kind, a, b = draw(some.sampled_from(sorted(chain.FORMULAS))), *[draw(some.sampled_from(made)) for _ in range(2)]
        b = b if kind < tiles.SAME else a
        links.append((kind, a, b, FIRST + i, i == count - 1 or draw(some.booleans())))
        made.append(FIRST + i)
    return links


@given(chains(), some.integers(1, 1500), some.integers(0, 99))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chain(links, n, seed):
    same(n, links, inputs(n, seed))


def test_it_is_compiled_when_that_pays_and_once():
    links = [(tiles.SUM, 1, 4, 5, False), (tiles.ABSOLUTE, 5, 5, 6, True)]
    n, x = chain.PAYS // 4, onp.ones((2, chain.PAYS // 4), "float32")
    known, calls = chain.compiled.cache_info(), []

    def way(rows, slots):
        loops = [chain.Chain(rows, slots) for _ in range(2)]
        calls.extend([loop.run() for loop in loops for _ in range(5)])

    (found,) = results(n, links, x, way)
    assert calls == [False, False, False, True, True] * 2
    assert chain.compiled.cache_info().misses == known.misses + 1
    assert (found == 0.75).all()


def test_a_language_that_llvm_does_not_read(monkeypatch):
    monkeypatch.setattr(chain.Code, "text", lambda self: "nonsense")
    chain.compiled.cache_clear()
    refused = []

    def way(rows, slots):
        loop = chain.Chain(rows, slots)
        loop.seen = chain.PAYS
        refused.extend([loop.run(), loop.run()])
        by_tiles(rows, slots)

    results(100, [(tiles.RELU, 1, 1, 5, True)], inputs(100), way)
    assert refused == [False, False]


class Gelu(gluon.HybridBlock):
    def forward(self, x):
        return x * 0.5 * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3)))


class Long(gluon.HybridBlock):
    """Rows before and after a chain, a chain with two results, and one of another length."""

    def __init__(self):
        super().__init__()
        self.dense = gluon.nn.Dense(300, in_units=3)

    def forward(self, x, b):
        y = npx.sigmoid(self.dense(x)) * 2
        z = np.exp(-np.abs(y)) + y
        return npx.relu(z - 1), y, np.tanh(b) + 1


@pytest.mark.parametrize("recording", [False, True])
def test_blocks_give_the_same_hybridized(monkeypatch, recording):
    monkeypatch.setattr(chain, "PAYS", 1)
    x, b = np.random.normal(size=(400, 3)), np.random.normal(size=(7, 20000))
    block = Long()
    block.initialize()
    for net, args in ((Gelu(), (b,)), (block, (x, b))):

        def out(net=net, args=args):
            with autograd.record(train_mode=False) if recording else autograd.pause():
                z = net(*args)
            return [z] if isinstance(z, np.ndarray) else z

        right, known = out(), chain.compiled.cache_info().misses
        net.hybridize()
        for _ in range(3):
            for a, c in zip(out(), right, strict=True):
                onp.testing.assert_allclose(a.asnumpy(), c.asnumpy(), rtol=2e-6, atol=1e-6)
        assert chain.compiled.cache_info().misses > known
        gc.collect()


def test_places_that_one_chain_needs_alone():
    none = [0] * 5
    first = [[program.CHAIN, 9, 2, *[0] * 9], [program.LINK, 0, 7, 0, 0, 1, 2, 3, *none[:4]]]
    first += [[program.LINK, 0, 7, 0, 0, 3, 1, 4, *none[:4]], [program.TOTAL, 9, 1, 0, 0, 4, 5, *none]]
    second = [[program.CHAIN, 9, 1, *[0] * 9], [program.LINK, 0, 7, 0, 0, 1, 6, 6, *none[:4]]]
    assert program.within_chains([first, second]) == {2: [first[1]], 3: [first[1], first[2]], 6: [second[1]]}


class Middle(gluon.HybridBlock):
    """A call of Python between chains looks at what they make; one value is for nobody."""

    def forward(self, x):
        y = np.tanh(x * 2) + x
        np.exp(y) + 1  # noqa: B018
        z = np.cumsum(y, axis=0) * y
        return z * 0.5 - x


@pytest.mark.parametrize("block", [Gelu, Middle])
@pytest.mark.parametrize("long", [False, True])
def test_gradients_that_lie_in_tiles(monkeypatch, block, long):
    monkeypatch.setattr(chain, "PAYS", 1)
    raw, found = onp.random.default_rng(0).normal(size=(7, 10000 if long else 3)).astype("float32"), []
    for net in (block(), block()):
        if found:
            net.hybridize()
        x = np.array(raw)
        x.attach_grad()
        for _ in range(3):
            with autograd.record():
                y = net(x)
            y.backward(retain_graph=True)
            first = x.grad.copy()
            y.backward()
            assert (x.grad == first).all()
        found.append((y.asnumpy(), x.grad.asnumpy()))
    for a, b in zip(*found, strict=True):
        onp.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_a_recorded_chain_keeps_what_its_way_back_needs():
    net = Gelu()
    net.hybridize()
    x = np.ones((300, 300))
    x.attach_grad()
    with autograd.record():
        y = net(x)
    plan = y._node.args.plan
    kept = [k for k, raw in enumerate(plan.raw) if raw.size == x.size and k not in plan.program.inputs]
    assert len(kept) == 4  # x / 2, tanh(...), 1 + tanh(...) and the result
    assert sum(g is not None for g in plan.grad) == 2  # of input and output
