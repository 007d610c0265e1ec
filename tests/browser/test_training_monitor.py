"""The training monitor on a bare page."""

import pytest
from d2lblocks_widgets import watch

from d2lblocks.gluon import nn
from tests.browser.chromium import axe, expect


@pytest.fixture
def run():
    net = nn.Dense(3, in_units=4)
    net.initialize()
    monitor = watch(net)
    for k in range(20):
        monitor.record(loss=1 / (k + 1), accuracy=k / 20)
    monitor.stop()
    return monitor


def test_curves_and_fans_speak(bare, run):
    root = bare.show(run)
    expect(root.locator(".run-curves svg")).to_have_count(2)
    assert (
        root.locator(".run-curves svg").first.get_attribute("aria-label")
        == "loss by step: 1 at step 1, 0.05 at step 20"
    )
    root.get_by_role("button", name="bias").press("Enter")
    expect(root.get_by_role("button", name="bias")).to_have_attribute("aria-pressed", "true")
    expect(root.get_by_role("button", name="bias")).to_be_focused()
    assert bare.saved() == [{"selected_parameter": run.histograms["names"][1]}]
    for dark in (False, True):
        bare.theme(dark)
        assert axe(bare.page, ".d2l") == []


def test_nothing_yet_is_said(bare):
    net = nn.Dense(3)
    net.initialize()
    root = bare.show(watch(net))
    expect(root.locator(".d2l-title").first).to_contain_text("waiting for the first step")
    expect(root.locator(".run-curves")).to_contain_text("Nothing recorded yet")


def test_a_point_without_neighbours_is_drawn(bare):
    monitor = watch(nn.Dense(3, in_units=4))
    monitor.record(accuracy=0.9)
    for value in (1.0, float("nan"), 2.0, 3.0):
        monitor.record(loss=value)
    monitor.stop()
    expect(bare.show(monitor).locator(".run-alone")).to_have_count(2)


def test_a_loss_that_breaks_is_named(bare):
    net = nn.Dense(3, in_units=4)
    net.initialize()
    monitor = watch(net)
    for k in range(10):
        monitor.record(loss=float("nan") if k > 6 else 1.0)
    monitor.stop()
    root = bare.show(monitor)
    expect(root.locator(".run-bad")).to_contain_text("not finite from step 8 on")
    expect(root.locator("h4").first).to_have_text("loss NaN not finite from step 8 on")
    for path in ".d2l-line", ".run-band":  # the line and its band end where the numbers do
        box, frame = (root.locator(f".run-curves {what}").first.bounding_box() for what in (path, "svg"))
        assert box["x"] + box["width"] < frame["x"] + frame["width"] * 0.75


def test_a_parameter_that_breaks_is_named_and_counted(bare):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    monitor = watch(net)
    for k in range(4):
        net.weight.data()[:k] = float("nan")
        monitor.record(loss=1.0)
    monitor.stop()
    root = bare.show(monitor)
    assert "; not finite at step 2" in root.locator(".run-row svg").first.get_attribute("aria-label")
    assert root.locator(".run-row .run-fault").count() > 0
    expect(root.locator(".run-pair")).to_contain_text("6 not finite at step 4")
    for dark in (False, True):
        bare.theme(dark)
        assert axe(bare.page, ".d2l") == []


def ticks(root, at):
    """Return the numbers at an axis, whose labels all have one x or one y."""
    words = root.locator(f".run-curves .d2l-ticks text[{at}]").all_text_contents()
    return [float(word.replace("−", "-").replace(",", "")) for word in words]


@pytest.mark.parametrize("values", [[0.008, 0.002], [6.1e5, 1.2e5], [100.3, 100.0]])
@pytest.mark.parametrize("logged", [False, True])
def test_no_two_ticks_of_a_narrow_range_look_alike(bare, values, logged):
    monitor = watch(nn.Dense(2, in_units=3))
    for value in values:
        monitor.record(loss=value)
    monitor.stop()
    monitor.log_scale = logged
    root = bare.show(monitor)
    expect(root.locator(".run-curves svg")).to_have_count(1)
    across, upward = ticks(root, "y='151'"), ticks(root, "x='40'")
    assert across == [1, 2] and len(set(upward)) == len(upward) >= 2
    assert all(0 <= v <= 1.2 * max(values) for v in upward)


def test_a_press_is_not_lost_when_the_picture_changes_under_it(bare, run):
    root = bare.show(run)
    button = root.get_by_role("button", name="bias")
    button.hover()
    bare.page.mouse.down()
    bare.page.evaluate("shown.model.push({ rate: 7 })")
    bare.page.wait_for_timeout(100)
    bare.page.mouse.up()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_one_monitor_shown_twice_has_no_two_landmarks_of_one_name(bare, run):
    bare.show(run)
    bare.show(run)
    assert axe(bare.page, "body") == []


@pytest.mark.parametrize(
    "rate, told", [(7, "7"), (0.25, "0.25"), (999.6, "1,000"), (12_345.6, "12,300"), (250_000.5, "2.5e5")]
)
def test_a_rate_is_written_for_people(bare, run, rate, told):
    run.rate = rate
    expect(bare.show(run).locator(".d2l-title").first).to_contain_text(f"{told} steps/s")
