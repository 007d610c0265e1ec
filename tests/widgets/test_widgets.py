"""Widgets without a browser: traits, what they measure, what a reader of a saved notebook gets."""

import json
import math
import random
import re
import threading
import warnings
from types import SimpleNamespace

import numpy as onp
import pytest
from d2lblocks_widgets import _widget, compare_initializers, explore, watch
from d2lblocks_widgets._bins import bins, counts
from d2lblocks_widgets._theory import fans, theory
from traitlets import TraitError

from d2lblocks import gluon, init, np, rng
from d2lblocks.errors import ArgumentError
from d2lblocks.gluon import nn
from d2lblocks.gluon import watch as watching
from tests.widgets.test_training_monitor import trained

KEPT = {"table", "caption", "thead", "tbody", "tr", "th", "td", "code", "img", "p", "br"}


@pytest.mark.parametrize("make", [compare_initializers, lambda: trained()[0]])
def test_every_widget_is_small_stable_and_readable_without_scripts(make):
    before = threading.active_count()
    one = make()
    assert threading.active_count() == before  # nobody watches files
    assert len(one._esm.encode()) <= 30_000 and "../common.js" not in one._esm
    data, _ = one._repr_mimebundle_()
    assert data["text/plain"] == repr(one) and "0x" not in repr(one)
    assert set(re.findall(r"<(\w+)", data["text/html"])) <= KEPT and len(data["text/html"]) <= 20_000
    assert all(re.findall(r'<img alt="([^"]*)"', data["text/html"]))


def test_fallback_is_the_same_every_time():
    assert compare_initializers(seed=4).fallback() == compare_initializers(seed=4).fallback()


def test_no_random_stream_moves():
    rng.seed(5)
    np.random.randint(0, 9, (300,))
    kept = rng.get_state(), onp.random.get_state()[1].tolist(), random.getstate()
    w = compare_initializers("xavier", "normal")
    w.seed = 11
    now = rng.get_state(), onp.random.get_state()[1].tolist(), random.getstate()
    assert str(kept) == str(now)


def test_statistics_agree_with_theory():
    told = compare_initializers("xavier", init.Normal(0.02), "ones", "msraprelu", shape=(400, 300)).statistics
    assert told["xavier"]["theory_std"] == pytest.approx(math.sqrt(2 / 700))
    for facts in told.values():
        assert facts["std"] == pytest.approx(facts["theory_std"], rel=0.02, abs=1e-12)
    assert told["ones"] == {"mean": 1, "std": 0, "min": 1, "max": 1, "theory_std": 0}


def test_variance_by_depth_follows_the_formula():
    # without activations each layer multiplies the variance by width * var(w)
    w = compare_initializers(init.Normal(0.05), "zeros", activation="identity", width=400)
    found = w.variances["Normal(sigma=0.05)"]
    for k in (1, 5, 10):
        assert found[k] == pytest.approx((400 * 0.05**2) ** k, rel=0.3)
    assert w.variances["zeros"][1:] == [0] * 10
    w.activation = "relu"
    assert w.variances["Normal(sigma=0.05)"][10] < 0.02


def test_numbers_without_end_and_failing_initializers_are_told():
    class Breaks(init.Initializer):
        def _init_weight(self, name, arr):
            raise RuntimeError("no <b>idea</b>")

    w = compare_initializers(init.Normal(1e9), Breaks(), activation="identity")
    assert w.variances["Normal(sigma=1000000000.0)"][10] is None and w.variances["Breaks()"] == []
    assert w.statistics["Breaks()"] == {"error": "RuntimeError: no <b>idea</b>"}
    assert "not finite" in w.fallback() and "no &lt;b&gt;idea" in w.fallback()


def test_a_subclass_keeps_the_law_only_with_its_draw():
    class Wide(init.Normal):
        def __init__(self):
            super().__init__(2.0)

    class Own(init.Normal):
        def _init_weight(self, name, arr):
            arr[:] = 3

    assert theory(Wide(), (2, 2)) == {"law": "normal", "sigma": 2.0, "std": 2.0} and theory(Own(), (2, 2)) is None
    assert fans((8, 4, 3, 3)) == (36, 72) and fans((5,)) is None


def test_wrong_arguments_say_the_cure():
    for arguments, words in {("xavier",): "2 to 6", ("xavier",) * 7: "2 to 6"}.items():
        with pytest.raises(ArgumentError, match=words):
            compare_initializers(*arguments)
    for options in ({"shape": (0, 2)}, {"shape": (2000, 2000)}, {"activation": "gelu"}, {"depth": 0}):
        with pytest.raises(ArgumentError, match="|".join(options)):
            compare_initializers(**options)
    w = compare_initializers("normal", "normal")
    assert [row["name"] for row in w.results["rows"]] == ["normal", "normal #2"]
    with pytest.raises((TraitError, ArgumentError)):
        w.shape = [-1]
    w.layer = 99
    assert w.layer == 10 and w.shape == [256, 256]


@pytest.mark.parametrize(
    "values", [[], [onp.nan, onp.inf], [3.0], [1, 2, 2], [-1e308, 1e308], [5e-324, 0], [True, False]]
)
def test_bins_of_odd_arrays(values):
    facts = bins(onp.array(values))
    assert counts(facts).sum() == facts["n"] == onp.isfinite(onp.array(values, float)).sum()
    assert all(v is None or onp.isfinite(v) for k, v in facts.items() if k != "fine")


def test_figures_for_print():
    figures = pytest.importorskip("d2lblocks_widgets.figures")
    one = figures.plot_initializers("xavier", "zeros", shape=(20, 30))
    two = figures.plot_activations("xavier", "zeros", depth=3, width=16)
    assert one._repr_png_()[:4] == two._repr_png_()[:4] == b"\x89PNG"
    assert "xavier std" in repr(one) and "after 3 layers" in repr(two)


def test_a_cell_that_is_run_again_retires_what_it_made_before(monkeypatch):
    run = ["1"]
    parent = {"metadata": {"cellId": "a cell"}, "header": {}}
    shell = SimpleNamespace(get_parent=lambda: {**parent, "header": {"msg_id": run[0]}})
    monkeypatch.setattr(_widget, "get_ipython", lambda: shell)
    net = nn.Dense(2, in_units=3)
    net.initialize()

    def cell():
        trainer = gluon.Trainer(net.collect_params(), "sgd")
        return explore(net), explore(net), watch(trainer, loss), watch(net.collect_params())

    loss = gluon.loss.L2Loss()
    first = cell()
    ended = []
    for one in first:
        monkeypatch.setattr(one, "retire", lambda one=one, retire=one.retire: (ended.append(one), retire()))
    assert ended == []
    run[0] = "2"
    with warnings.catch_warnings(action="error"):  # the loss is not taken to be watched twice
        second = cell()
    assert ended == [*first] and not first[2].running and not first[3].running and second[2].running
    parent["metadata"]["cellId"] = "another cell"
    run[0] = "3"
    cell_3 = explore(net)
    assert second[2].running and cell_3.selected == "net.weight"
    assert len(watching._listening[net]) == 3


def test_three_of_a_name_are_three():
    w = compare_initializers("xavier", "xavier", "xavier")
    assert list(w.statistics) == ["xavier", "xavier #2", "xavier #3"]


def test_laws_of_odd_arguments():
    """A bound below 0 is one above it to what is drawn; what is not finite has no law, and JSON no word for it."""
    w = compare_initializers(init.Uniform(-0.1), init.Constant(float("nan")), init.Normal(float("inf")), shape=(8, 8))
    laws = [row["drawn"].get("theory") for row in w.results["rows"]]
    assert laws[0]["bound"] == 0.1 and laws[0]["std"] > 0 and laws[1:] == [None, None]
    json.dumps([{k: v for k, v in row["drawn"].items() if k != "fine"} for row in w.results["rows"]], allow_nan=False)


def test_traits_of_the_bench_take_what_its_arguments_take():
    w = compare_initializers("zeros", "ones", shape=(4, 4))
    with pytest.raises(ArgumentError, match="seed must be 0 or more, got -1"):
        w.seed = -1
    w.bins = -5
    assert (w.seed, w.bins) == (0, 8)
    w.bins = 100_000
    assert w.bins == 128
