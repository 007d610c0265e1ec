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


def test_a_loss_that_breaks_is_named(bare):
    net = nn.Dense(3, in_units=4)
    net.initialize()
    monitor = watch(net)
    for k in range(10):
        monitor.record(loss=float("nan") if k > 6 else 1.0)
    monitor.stop()
    expect(bare.show(monitor).locator(".run-bad")).to_contain_text("not finite from step 8 on")
