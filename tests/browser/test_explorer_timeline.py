"""The shape timeline of the explorer in a bare page."""

from d2lblocks_widgets import explore

from d2lblocks import np
from tests.browser.test_explorer import press, run, state
from tests.reprs.nets import Branching, mlp


def test_the_timeline_replays_how_shapes_became_known(bare):
    w = explore(run(mlp()))
    w.tab, w.step = "shapes", 0
    root = bare.show(w)
    slider = root.get_by_label("step")
    shapes = lambda: [t for t in root.locator("tbody td:nth-last-child(3)").all_inner_texts()]
    assert root.locator(".x-timeline tbody .x-unknown").count() == 2
    slider.focus()
    press(bare, "ArrowRight", "ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "net[0]"
    assert root.locator(".x-story").inner_text() == "net[0] is called: input (2, 20) reached net[0], so in_units = 20."
    assert shapes() == ["(256, 20) in_units was ?", "(256,)", "(10, ?)", "(10,)"]
    assert "(2, 20) → (2, 256)" in root.locator(".x-now").inner_text()
    press(bare, "End")
    assert root.locator(".x-story").inner_text() == "Done: the batch went through 2 blocks."
    assert shapes() == ["(256, 20) in_units was ?", "(256,)", "(10, 256) in_units was ?", "(10,)"]
    assert bare.saved()[-1] == {"step": 4}


def test_the_timeline_marks_what_forward_never_reached(bare):
    net = Branching()
    net.initialize()
    net(np.ones((2, 20)))
    w = explore(net)
    w.tab = "shapes"
    root = bare.show(w)
    assert root.locator(".x-missed").count() == 1
    assert "1 block not reached" in root.locator(".x-story").inner_text()


def test_the_timeline_grows_with_the_net(bare):
    net = mlp()
    w = explore(net)
    w.tab = "shapes"
    root = bare.show(w)
    assert root.get_by_label("step").is_disabled() and "Next: net.initialize()" in root.inner_text()
    net.initialize()
    w.refresh()
    bare.push(**state(w), step=w.step)
    assert root.get_by_label("step").get_attribute("aria-valuetext") == "initialize()"
