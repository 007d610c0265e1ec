"""The random stream against values recorded from MXNet 1.9.1, bit for bit."""

import json
import threading
import zlib
from pathlib import Path

import numpy as onp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lblocks import autograd, gluon, init, np, npx, rng

VECTORS = json.loads((Path(__file__).parent / "reference" / "random-vectors.json").read_text())
CALLS = [v for v in VECTORS if v["calls"]]
WORDS = [v for v in VECTORS if not v["calls"]]


def shuffled(x):
    np.random.shuffle(x)
    return x


def mask(shape, p, axes=()):
    with autograd.train_mode():
        return npx.dropout(np.ones(shape), p, axes=axes)


def weight(shape, initializer):
    parameter = gluon.Parameter("test_weight", shape=shape)
    parameter.initialize(initializer)
    return parameter.data()


class legacy:
    """The draws that the original's old interface took from the parallel stream; `init.Orthogonal` still does."""

    class random:
        uniform = staticmethod(npx.random.legacy_uniform)
        normal = staticmethod(npx.random.legacy_normal)


SCOPE = {"np": np, "npx": npx, "init": init, "mx": legacy, "shuffled": shuffled, "mask": mask, "weight": weight}


@pytest.fixture(autouse=True)
def fresh():
    npx.random.seed(0)
    yield
    npx.random.seed(0)


@pytest.mark.parametrize("vector", CALLS, ids=lambda v: f"{v['seed']}-{v['calls'][0]}")
def test_recorded_draw(vector):
    npx.random.seed(vector["seed"])
    before = rng.streams.serial.drawn
    drawn = [eval(call, SCOPE) for call in vector["calls"]]
    assert [list(x.shape) for x in drawn] == vector["shape"]
    assert [str(x.dtype) for x in drawn] == vector["dtype"]
    assert rng.streams.serial.drawn - before == vector["words"]
    flat = onp.concatenate([x.asnumpy().reshape(-1) for x in drawn])
    if "crc32" in vector:
        assert zlib.crc32(drawn[0].asnumpy().tobytes()) == vector["crc32"]
        return
    expected = onp.array(vector["values"])
    if "Orthogonal" in vector["calls"][0]:  # through a singular value decomposition: the last bits are the library's
        onp.testing.assert_allclose(flat, expected, rtol=1e-5)
    elif all(x.dtype == onp.float32 for x in drawn):
        onp.testing.assert_array_equal(flat, expected.astype(onp.float32))  # 9 digits identify a float32
    else:
        parts = onp.split(expected, onp.cumsum([x.size for x in drawn])[:-1])
        for x, part in zip(drawn, parts, strict=True):
            onp.testing.assert_array_equal(x.asnumpy().reshape(-1), part.astype(x.dtype))


@pytest.mark.parametrize("vector", WORDS, ids=lambda v: str(v["engine_seed"]))
def test_first_words(vector):
    npx.random.seed(vector["seed"])
    assert rng.streams.serial.words(len(vector["first_words"])).tolist() == vector["first_words"]


def test_a_fresh_process_is_seed_0():
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(np.random.uniform(size=(4,)).tolist()))
    npx.random.seed(42)  # another thread does not hear of it
    thread.start()
    thread.join()
    assert drawn[0] == np.array([0.5488135, 0.5928446, 0.71518934, 0.84426576]).tolist()


def test_seed_for_one_context_takes_the_number_as_it_is():
    npx.random.seed(127, ctx=npx.cpu())
    one = np.random.uniform(size=(3,)).tolist()
    npx.random.seed(1)
    assert np.random.uniform(size=(3,)).tolist() == one


@given(st.integers(-(2**40), 2**40))
def test_seeds_count_modulo_2_to_32(s):
    npx.random.seed(s)
    one = np.random.uniform(size=(2,)).tolist()
    npx.random.seed(s % 2**32)
    assert np.random.uniform(size=(2,)).tolist() == one


@given(st.lists(st.integers(0, 5), max_size=3).map(tuple))
def test_one_word_per_uniform_value(shape):
    npx.random.seed(0)
    assert np.random.uniform(size=shape).shape == shape
    assert rng.streams.serial.drawn == int(onp.prod(shape))


def test_state_comes_back():
    np.random.normal(size=(3,))
    np.random.randint(0, 9, size=(70,))
    kept = rng.get_state()
    one = (np.random.normal(size=(5,)).tolist(), np.random.randint(0, 9, size=(70,)).tolist())
    rng.set_state(kept)
    assert (np.random.normal(size=(5,)).tolist(), np.random.randint(0, 9, size=(70,)).tolist()) == one


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("np.random.normal(0, -1)", "scale"),
        ("np.random.exponential(-1)", "scale"),
        ("np.random.randint(5, 2)", "low must be less or equal to high"),
        ("npx.random.bernoulli(1.5)", "probs >= 0 && probs <= 1"),
        ("npx.random.bernoulli()", "Either `prob` or `logit`"),
        ("np.random.multinomial(3, [.9, .9])", "1.0"),
        ("np.random.gamma(-1.0)", "expect shape > 0"),
        ("np.random.weibull(0)", "expect a > 0"),
        ("np.random.uniform(dtype='int32')", "float16, float32"),
        ("np.random.uniform(size=-1)", "negative"),
        ("np.random.choice(3, size=5, replace=False)", "without replacement"),
        ("npx.random.seed('a')", "must be int"),
    ],
)
def test_refused(call, words):
    with pytest.raises(ValueError) as problem:
        eval(call, SCOPE)
    assert words in str(problem.value)


def test_names_that_do_not_exist():
    for name in ("seed", "permutation", "poisson"):
        assert not hasattr(np.random, name)
