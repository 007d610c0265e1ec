"""The initializer bench and the shared module on a bare page: what the browser does without a kernel."""

import numpy as onp
import pytest
from d2lblocks_widgets import compare_initializers
from d2lblocks_widgets._bins import bins

from d2lblocks import init
from tests.browser.chromium import axe, expect


@pytest.fixture
def bench(bare):
    return bare.show(compare_initializers("xavier", init.Normal(0.05), "zeros", shape=(64, 32)))


def rebinned(bare, values, lo, hi, n):
    facts = bins(onp.asarray(values))
    fine = onp.frombuffer(facts["fine"], "<u4").tolist()
    given = f"{{lo: {facts['lo']}, hi: {facts['hi']}, fine: Uint32Array.from({fine})}}"
    return bare.common(f"Array.from(m.rebin({given}, {lo}, {hi}, {n}))")


def test_bins_counted_anew_agree_with_numpy(bare, bench):
    values = onp.random.default_rng(0).standard_normal(5000)
    lo, hi = values.min(), values.max()
    for n in (8, 48, 90):
        told, _ = onp.histogram(values, n, (lo, hi))
        assert rebinned(bare, values, lo, hi, n) == pytest.approx(told, abs=2)  # values at a border of a fine bin
    assert sum(rebinned(bare, values, lo - 1, hi + 1, 37)) == pytest.approx(5000)
    assert rebinned(bare, [2.0, 2.0], 1, 3, 4) == [0, 0, 2, 0]
    assert rebinned(bare, [2.0, 2.0], 0, 2, 4) == [0, 0, 0, 2]


@pytest.mark.parametrize(
    "lo, hi, expected",
    [(-0.11, 0.09, [-0.1, -0.05, 0, 0.05]), (0, 7, [0, 2, 4, 6]), (-3e-9, 3e-9, [-2e-9, 0, 2e-9]), (1, 1, [1])],
)
def test_ticks_are_round_and_hold_zero(bare, bench, lo, hi, expected):
    assert bare.common(f"m.ticks({lo}, {hi}, 4)") == expected


def test_numbers_are_written_as_people_read_them(bare, bench):
    told = bare.common("[0, 7946, -0.01234, 1.2e-7, 43360000, NaN, -Infinity, 0.1 + 0.2].map((x) => m.text(x))")
    assert told == ["0", "7,946", "−0.0123", "1.2e−7", "4.34e7", "–", "−∞", "0.3"]


def test_sliders_need_no_kernel(bare, bench):
    path = bench.locator(".d2l-area").first
    before = path.get_attribute("d")
    bench.get_by_label("bins").fill("12")
    assert path.get_attribute("d").count("V") == 12 + 1 and path.get_attribute("d") != before
    bench.get_by_role("checkbox", name="log scale").check()
    bench.get_by_role("slider", name="layer").press("End")
    assert "after layer 10" in bench.locator(".bench-deep .bench-rows svg").first.get_attribute("aria-label")
    assert bare.saved() == [{"bins": 12}, {"log_scale": True}, {"layer": 10}]
    assert bench.get_attribute("data-waiting") is None


def test_a_question_to_the_kernel_waits_for_its_answer(bare, bench):
    bench.get_by_label("seed").fill("9")
    bench.get_by_label("seed").press("Enter")
    assert bare.saved() == [{"seed": 9}]
    expect(bench.locator(".d2l-status")).to_contain_text("Kernel busy")
    answer = compare_initializers("xavier", init.Normal(0.05), "zeros", shape=(64, 32), seed=9)
    bare.push(results=answer.results)
    expect(bench.locator(".d2l-status")).to_be_hidden()
    assert bench.get_attribute("data-waiting") is None


@pytest.mark.parametrize("wrong", ["", "0, 3", "-4", "3.5", "4, many", "5000, 5000"])
def test_a_wrong_shape_is_refused_in_the_browser(bare, bench, wrong):
    bench.get_by_label("shape").fill(wrong)
    bench.get_by_label("shape").press("Enter")
    expect(bench.get_by_label("shape")).to_have_attribute("aria-invalid", "true")
    assert bench.locator(".bench-error").first.inner_text() and bare.saved() == []


def test_keys_of_the_notebook_stay_out_but_its_chords_pass(bare, bench):
    bare.page.evaluate("window.heard = []; document.body.addEventListener('keydown', (e) => window.heard.push(e.key))")
    bins_slider = bench.get_by_label("bins")
    for key in ("ArrowDown", "Home", "End", "a", "Enter", "Shift+Enter", "Control+s", "Escape"):
        bins_slider.press(key)
    assert bare.page.evaluate("window.heard.filter((k) => k !== 'Shift' && k !== 'Control')") == [
        "Enter",
        "s",
        "Escape",
    ]


def test_both_themes_are_clean_and_follow_the_page(bare, bench):
    for dark in (False, True):
        bare.theme(dark)
        expect(bench).to_have_attribute("data-theme", "dark" if dark else "light")
        assert axe(bare.page, ".d2l") == []


def test_taking_the_view_down_leaves_nobody_listening(bare, bench):
    bare.page.evaluate("window.shown.dispose()")
    assert bare.page.evaluate("window.shown.model.listening()") == 0


def test_a_view_beside_a_narrow_page_keeps_inside(bare, bench):
    bare.page.set_viewport_size({"width": 420, "height": 900})
    assert bare.page.evaluate("document.documentElement.scrollWidth <= 420")
    bare.page.set_viewport_size({"width": 1000, "height": 900})


def test_an_initializer_that_fails_says_why_in_its_row(bare):
    root = bare.show(compare_initializers("xavier", "normal", shape=(20,)))
    expect(root.locator(".bench-row .bench-error").first).to_contain_text("at least 2D")
    assert axe(bare.page, ".d2l") == []
