"""Views in a notebook: readable where style and script are gone, small, the same every time, safe from names."""

import os
import subprocess
import sys

import numpy as onp
import pytest
from IPython.core.formatters import PlainTextFormatter

from d2lblocks import autograd, init, np, npx
from d2lblocks.gluon import nn, watch
from d2lblocks.op import OPS
from d2lblocks.reprs import Snapshot, Tape
from d2lblocks.reprs.array import MINUS, PLUS
from d2lblocks.reprs.source import source
from d2lblocks.reprs.style import EDGE, TINTS, bars
from tests.reprs.nets import deep, mlp
from tests.reprs.page import Page
from tests.reprs.test_golden import CASES


def seen(thing):
    return Page(thing._repr_html_())


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_needed_that_an_untrusted_notebook_drops(name):
    assert seen(CASES[name]()).unsafe() == []


@pytest.mark.parametrize("name", OPS)
def test_every_op_can_be_shown(name):
    page = seen(OPS[name])
    assert page.unsafe() == [] and "lambda g, z, x: \n" not in page.text


def test_text_stays_gluon():
    bundle = mlp()
    assert repr(bundle).startswith("Sequential(\n  (0): Dense(-1 -> 256, Activation(relu))\n")
    assert repr(bundle[0].weight) == "Parameter net_dense0_weight (shape=(256, -1), dtype=float32)"


def test_a_life_without_styles():
    net = mlp()
    assert "net[0].weight | (256, ?) | float32 | ? | ? |  | constructed" in seen(net).text
    net.initialize(init.Normal())
    assert "net[0].weight | (256, ?) | float32 | ? | ? | Normal(sigma=0.01) | deferred" in seen(net).text
    net(np.ones((2, 20)))
    text = seen(net).text
    assert "net[0].weight | (256, 20) | float32 | 5,120 | 20.0 KiB |" in text and "?" not in text
    assert "Dense(20 -> 256, Activation(relu)) (2, 20) → (2, 256)" in text
    assert "Sequential (2, 20) → (2, 10) · 7,946 parameters, 31.0 KiB" in text
    assert net._repr_html_().count('<ins title="was ?">') == 2


@pytest.mark.parametrize("called", [False, True])
def test_the_chapters_net_is_two_kilobytes(called):
    assert len(mlp(called)._repr_html_().encode()) <= 2000


def test_two_thousand_nodes():
    alike, different = nn.Sequential(), nn.Sequential()
    alike.add(*[nn.Dense(4) for _ in range(682)])
    different.add(*[nn.Dense(i + 1, in_units=3) for i in range(682)])
    different.initialize()
    text = seen(alike).text
    assert text.count("\n") < 8 and "net[0] … net[681] Dense(? -> 4, linear) ×682" in text and "net[i].weight" in text
    text = seen(different).text
    assert len(different._repr_html_().encode()) < 100_000
    assert text.count(".weight |") + text.count(".bias |") + text.count("Dense(") == 400
    assert f"{682 * 3 - 400:,} more rows" in text
    many = Page(different.collect_params()._repr_html_())
    assert many.text.count("_weight |") + many.text.count("_bias |") == 400 and "964 more" in many.text
    assert repr(Snapshot.of(different)).count("\n") < 405 and "1,647 more" in repr(Snapshot.of(different))


def test_a_deep_tree_unfolds_level_by_level():
    net = nn.Sequential()
    net.add(*[deep(3 + k, 2) for k in range(3)], *[nn.Dense(k + 1) for k in range(2)])
    html = net._repr_html_()
    assert 1 <= html.count("<details open") < html.count("<details")
    assert Page(html).text.count("×") == 3


def test_alike_means_alike_in_everything_but_names_and_values():
    def net(change=lambda n: None):
        made = nn.Sequential()
        made.add(*[nn.Dense(4, in_units=4) for _ in range(3)])
        change(made)
        return seen(made).text

    assert "×3" in net()
    assert "×" not in net(lambda n: setattr(n[1].weight, "grad_req", "null"))
    assert "×" not in net(lambda n: n[2].initialize())
    assert "×" not in net(lambda n: n[0].cast("float64"))
    assert "null grad" in net(lambda n: setattr(n[1].weight, "grad_req", "null"))


def test_same_thing_same_view_also_in_another_process():
    code = "from tests.reprs.test_golden import CASES; print([hash(CASES[n]()._repr_html_()) for n in CASES])"
    command = [sys.executable, "-c", code]
    runs = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "0"}
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and runs.pop().count(",") == len(CASES) - 1
    for make in CASES.values():
        assert "0x" not in make()._repr_html_() and " id=" not in make()._repr_html_()


def test_names_cannot_become_html():
    hostile = '<script>alert("&")</script>'

    class Odd(nn.Block):
        def __init__(self):
            super().__init__(prefix=hostile)
            self.register_child(nn.Dense(2, in_units=2, prefix=hostile), hostile)
            self.params.get(hostile, shape=(1,))

        def __repr__(self):
            return hostile

        def forward(self, x):
            return self._children[hostile](x)

    Odd.__name__ = hostile
    net = Odd()
    net.initialize()
    before = Snapshot.of(net)
    with autograd.record():
        out = net(np.ones((1, 2)))
    net.cast("float64")
    for thing in (net, net.collect_params(), net.params[hostile + hostile], Snapshot.of(net), Tape(out, net),
                  before.diff(Snapshot.of(net))):  # fmt: skip
        page = seen(thing)
        assert page.unsafe() == [] and "script" not in page.tags
    assert hostile in seen(net).text


def test_looking_changes_nothing():
    net = mlp(called=True)
    before = Snapshot.of(net)
    drawn = []
    for things in ((), (net, net.collect_params(), net[0].weight, init.Normal(), init.Xavier(), np.ones((10, 10)))):
        npx.random.seed(3)
        for thing in things:
            thing._repr_html_()
        drawn.append(np.random.uniform(size=3).tolist())
    assert Snapshot.of(net) == before and drawn[0] == drawn[1]
    x = np.ones((10, 10))
    x.attach_grad()
    with autograd.record():
        y = x * 2
        y._repr_html_()
        assert Tape(y).steps[0].op == "multiply" and len(Tape(y)) == 1


# ------------------------------------------------------------------------------------------------ arrays


def test_small_arrays_are_just_text():
    assert np.arange(64)._repr_html_() is None and np.array(3)._repr_html_() is None
    assert np.zeros((0, 5))._repr_html_() is None


def test_big_arrays_have_text_statistics_and_a_picture():
    x = np.arange(-60, 60).reshape(10, 12)
    page = seen(x)
    assert repr(x) in page.text
    assert "(10, 12) float32 · 120 numbers, 480 B" in page.text
    assert "mean −0.5 · std 34.6 · min −60 · max 59" in page.text
    (picture,) = page.pictures
    assert picture["alt"].startswith("Heat map of 10×12 numbers. Blue is above 0, orange below, strongest at ±60.")
    assert seen(np.arange(200)).pictures == [] and seen(np.ones((20, 20))).pictures == []


def test_odd_numbers():
    x = np.ones((10, 10))
    x[0, 0], x[0, 1], x[0, 2] = onp.nan, onp.inf, 3
    page = seen(x)
    assert "2 not finite" in page.text and "max 3" in page.text and len(page.pictures) == 1
    assert "Red is what is not finite: 2 of 100 cells." in page.pictures[0]["alt"]
    x[0, 2] = 1
    assert len(seen(x).pictures) == 1  # the others are all alike
    x[...] = onp.nan
    assert "100 not finite" in seen(x).text
    huge = np.array([[-3e38, 3e38]] * 40)
    assert "min −3e+38 · max 3e+38" in seen(huge).text
    assert "float16" in seen(np.ones((9, 9), dtype="float16")).text and "bool" in seen(np.ones((9, 9)) > 0).text
    assert "min −9.22e+18" in seen(np.full((9, 9), -(2**63), dtype="int64")).text


def test_blocks_with_names_are_told_by_the_name_of_the_first():
    class Heads(nn.Block):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Dense(4, in_units=4) for _ in range(3))

    net = nn.Sequential()
    net.add(Heads(), Heads(), Heads())
    assert "net.q.weight" in seen(net[0]).text and "[i].weight" not in seen(net[0]).text
    assert "net[i].q.weight" in seen(net).text


def test_huge_arrays_are_sampled():
    x = np.zeros((3000, 1500))
    x[:, 1::2] = 1  # every second number, or every fourth, would all be alike
    page = seen(x)
    assert len(x._repr_html_()) < 20_000 and "mean 0.5 · std 0.5 · min 0 · max 1 · █▁▁" in page.text
    assert "▁▁█ of one number in 5" in page.text
    assert "each cell the mean over 64×32" in page.pictures[0]["alt"]


# ------------------------------------------------------------------------------------------------ tapes and sources


def test_tape_names_parameters_and_blocks():
    net = mlp(called=True)
    with autograd.record():
        loss = (net(np.ones((3, 20))) ** 2).mean()
    tape = Tape(loss, net)
    assert [s.block for s in tape.steps][:1] == ["net[0]"] and "net[0].weight" in tape.steps[0].inputs
    assert tape.steps[-1].op == "mean" and tape.steps[-1].shape == () and tape.steps[-2].inputs[0].startswith("#")
    loss.backward()
    assert len(tape) > 3 and not tape.freed
    assert Tape(loss).freed and "freed" in seen(Tape(loss)).text
    assert (
        "Nothing was recorded" in seen(Tape(np.ones(3))).text and repr(Tape(np.ones(3))) == "Tape: nothing was recorded"
    )


def test_a_watched_net_knows_its_nodes():
    class Doubled(nn.Block):
        def __init__(self):
            super().__init__(prefix="d_")
            self.inner = nn.Dense(2, in_units=2)

        def forward(self, x):
            return self.inner(x) * 2

    net = nn.Sequential()
    net.add(Doubled(), nn.LayerNorm(in_channels=2))
    net.initialize()
    x = np.ones((3, 2))
    with autograd.record():
        first = net(x).sum()
        second = net(x).sum()
    assert [s.block for s in Tape(first, net).steps][:2] == ["net[0].inner", "net[0]"]
    assert {s.block for s in Tape(first, net).steps[2:-1]} == {"net[1]"} and Tape(first, net).steps[-1].block == ""
    expected = [s.block for s in Tape(first, net).steps]
    assert [s.block for s in Tape(second, net).steps][:2] == ["net[0].inner", ""]
    with watch.watching(net), autograd.record():
        third = net(x).sum()
    assert [s.block for s in Tape(third, net).steps] == expected


def test_long_tapes_are_counted():
    x = np.ones(2)
    x.attach_grad()
    with autograd.record():
        y = x
        for _ in range(400):
            y = y * 1.01
    assert "– | multiply | 400" in seen(Tape(y)).text and repr(Tape(y)) == "-  multiply ×400"


def test_ops_show_f_beside_its_rules():
    text = seen(OPS["multiply"]).text
    assert "numpy.multiply" in text and "lambda g, z, x, y: g * y" in text and "lambda g, z, x, y: g * x" in text
    assert "def sum(" in seen(OPS["sum"]).text and '@sum.vjp("a")' in seen(OPS["sum"]).text
    assert "positions or truths" in seen(OPS["argmax"]).text
    assert source(len) == "builtins.len"


def test_initializers_show_what_they_do_without_drawing():
    assert "Normal(sigma=0.1) Draw from N(0, sigma²)." in seen(init.Normal(0.1)).text

    class Mine(init.Initializer):
        """Say <b>one</b>."""

        def _init_weight(self, name, arr):
            arr[...] = 1

    assert "Mine() Say <b>one</b>." in seen(Mine()).text and "arr[...] = 1" in seen(Mine()).text


# ------------------------------------------------------------------------------------------------ colours


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    hi, lo = sorted((luminance(a), luminance(b)), reverse=True)
    return (hi + 0.05) / (lo + 0.05)


def rgb(text):
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


PAGES = {"white": ("#ffffff", "#1b2430"), "stripe": ("#f5f5f5", "#1b2430"), "dark": ("#111111", "#e6ebf2")}


@pytest.mark.parametrize("page", PAGES)
def test_contrast(page):
    ground, text = map(rgb, PAGES[page])
    for r, g, b, opacity in TINTS.values():
        behind = tuple(opacity * c + (1 - opacity) * p for c, p in zip((r, g, b), ground, strict=True))
        assert contrast(text, behind) >= 4.5
    for mark in (rgb(EDGE), PLUS, MINUS):
        assert contrast(mark, ground) >= 3


def test_bars():
    assert bars([0, 1, 2, 4]) == "▁▃▅█" and bars([5] * 4) == "▅▅▅▅" and bars([0, 0, 0, 1]) == "▁▁▁█"


def test_an_initializer_has_no_address_in_a_notebook():
    assert PlainTextFormatter()(init.Normal(0.5)) == "Normal(sigma=0.5)"
