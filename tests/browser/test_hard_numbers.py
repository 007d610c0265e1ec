"""Pictures of numbers that are hard to draw, and pictures in the colours of the system."""

import math

import pytest
from d2lblocks_widgets import compare_initializers, explore, watch

from d2lblocks import init, np
from d2lblocks.gluon import nn
from tests.browser.chromium import axe, expect


def net_of(value, dtype="float32"):
    net = nn.Dense(2, in_units=2, use_bias=False)
    net.initialize()
    net.cast(dtype)
    net.weight.set_data(np.array(value, dtype=dtype))
    return net


@pytest.mark.parametrize("value, dtype", [
    ([[3e15] * 2] * 2, "float32"), ([[0.3, 0.1 + 0.2], [0.3, 0.3]], "float64"), ([[4e15] * 2] * 2, "float64"),
    ([[-1e30] * 2] * 2, "float32"), ([[1e16, 1e16 + 2], [1e16] * 2], "float64"), ([[1e-300, 2e-300]] * 2, "float64"),
    ([[-1e-310, 1e-310]] * 2, "float64"), ([[0.0, 5e-324]] * 2, "float64"),
])  # fmt: skip
@pytest.mark.parametrize("view", [explore, watch])
def test_numbers_beside_each_other(bare, value, dtype, view):
    """A step of an axis must not be lost in rounding: the page would count for ever."""
    widget = view(net_of(value, dtype))
    if view is watch:
        widget.record(loss=1.0)
        widget.stop()
    root = bare.show(widget)
    expect(root.locator("svg path.d2l-area").last).to_be_visible()
    assert "NaN" not in root.inner_html()


def test_labels_say_where_their_line_is(bare):
    bare.show(compare_initializers("zeros", "ones", shape=(4, 4)))
    for lo, hi in [
        (-100.6, -99.3),
        (-848.2, -837),
        (0.12345, 0.1236),
        (1000.5, 1003),
        (-3, 5),
        (0, 1e-7),
        (99_990, 100_010),
    ]:
        found = bare.common(f"m.ticks({lo}, {hi}, 5)")
        words = bare.page.evaluate(
            "([m, lo, hi]) => { const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');"
            "shown.module.frame(svg, { width: 400, height: 200, x: { lo: 0, hi: 1, ticks: [] }, y: { lo, hi, ticks: m } });"
            "return [...svg.querySelectorAll('.d2l-ticks text')].map((t) => t.textContent); }",
            [found, lo, hi],
        )
        assert 3 <= len(found) <= 12 and all(lo <= v <= hi for v in found)
        for word, value in zip(words, found, strict=True):
            number = float(word.replace("−", "-").replace(",", ""))
            assert math.isclose(number, value, rel_tol=1e-11, abs_tol=1e-30), (word, value)


def test_a_heat_map_names_what_is_not_finite(bare):
    widget = explore(net_of([[math.nan, 1.0], [math.inf, -2.0]]))
    widget.tab = "heatmap"
    root = bare.show(widget)
    expect(root.locator("output").filter(has_text="net.weight[0, 0]")).to_have_text("net.weight[0, 0] = NaN")
    expect(root).to_contain_text("Cells in the colour of the text are not finite.")
    root.locator(".x-canvas").press("ArrowRight")
    expect(root.locator("output").filter(has_text="net.weight[0, 1]")).to_have_text("net.weight[0, 1] = 1")


def test_the_bench_shows_what_was_asked(bare):
    widget = compare_initializers(init.Normal(0.3), "bilinear", shape=(8, 8), activation="identity")
    widget.layer = 3
    root = bare.show(widget)
    layers = root.locator(".bench-rows").nth(1)
    expect(layers.locator("svg")).to_have_count(1)  # what could not be measured leaves no empty picture
    before = layers.locator("svg").first.inner_html()
    root.locator("select").select_option("tanh")  # no answer yet: the numbers are still those of before
    root.locator(".d2l-slider input").first.press("ArrowRight")
    root.locator(".d2l-slider input").first.press("ArrowLeft")
    assert layers.locator("svg").first.inner_html() == before
    field = root.locator(".bench-shape")
    field.fill("0, 3")
    field.press("Tab")
    expect(field).to_have_attribute("aria-invalid", "true")
    widget.seed = 7
    bare.push(seed=7, results=widget.results)
    expect(field).to_have_value("8, 8")
    expect(field).to_have_attribute("aria-invalid", "false")
    expect(root.locator(".bench-error").first).to_have_text("")


@pytest.mark.parametrize("width", [300, 640])
@pytest.mark.parametrize("view", [explore, watch])
def test_long_names_stay_in_their_place(bare, width, view):
    net = nn.Dense(2, in_units=2, prefix="a_very_long_prefix_of_sixty_letters_that_somebody_has_chosen_")
    net.initialize()
    bare.page.set_viewport_size({"width": width, "height": 900})
    try:
        root = bare.show(view(net))
        expect(root.locator("svg").last).to_be_visible()
        wide = "e => [...e.querySelectorAll('h4, button, table')].filter((n) => n.scrollWidth > Math.max(n.clientWidth, 1) + 1)"
        assert root.evaluate(f"{wide}.map((n) => n.outerHTML)") == []
        assert bare.page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        bare.page.set_viewport_size({"width": 1000, "height": 900})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_the_system(bare, scheme):
    """Windows' high contrast: colours of backgrounds are gone, pictures keep theirs."""
    bare.page.emulate_media(forced_colors="active", color_scheme=scheme)
    try:
        bare.theme(scheme == "light")  # the page's own theme does not count then
        net = nn.Dense(3, in_units=4)
        net.initialize()
        root = bare.show(explore(net))
        expect(root).to_have_attribute("data-theme", scheme)
        chosen = root.locator("[role=treeitem][aria-selected=true]")
        assert chosen.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        tabs = root.get_by_role("tab")
        color = "e => getComputedStyle(e).borderBottomColor"
        canvas = bare.page.evaluate("() => { const e = document.createElement('i'); e.style.color = 'Canvas';"
                                    "document.body.append(e); return getComputedStyle(e).color; }")  # fmt: skip
        assert tabs.nth(0).evaluate(color) != canvas and tabs.nth(1).evaluate(color) == canvas
        tabs.nth(1).click()
        assert root.locator(".x-legend i").evaluate("e => getComputedStyle(e).backgroundImage").startswith("linear")
        assert axe(bare.page, ".d2l") == []
    finally:
        bare.page.emulate_media(forced_colors="none", color_scheme="light")
