"""The tape player worked by hand: slider, keys, selection, play, a long tape; and in JupyterLab with both themes."""

import re

import pytest
from d2lblocks_widgets import tape

from d2lblocks import autograd, np
from d2lblocks.gluon import nn
from tests.browser.chromium import axe, expect
from tests.widgets.test_tape_player import line, net_loss

LINE = """
from d2lblocks import autograd, np
from d2lblocks_widgets import tape
X, W, b, y = np.array([[1.0, 2], [3, 4]]), np.array([[0.5, -1]]), np.array([0.1]), np.array([[1.0], [2]])
W.attach_grad(), b.attach_grad()
with autograd.record():
    L = ((X @ W.T + b) - y) ** 2
w = tape(L)
w"""


def player(bare, *blocks):
    loss, names = line()
    return bare.show(tape(loss, **names))


def box(root, name):
    """Return the box whose first line is `name`."""
    return root.locator(".tape-node", has=root.page.locator(".tape-name", has_text=re.compile(f"^{re.escape(name)}$")))


def texts(node):
    return [text for text in node.locator("text").all_text_contents() if text]


def test_a_step_set_in_python_is_shown(bare):
    loss, _ = net_loss(nn.Dense(4, activation="relu"), nn.Dense(4, activation="relu"), nn.Dense(1))
    root = bare.show(tape(loss))
    frame = root.locator(".tape-chart")
    for step in (9, 2, 8):
        bare.push(step=step)  # two messages, as the kernel sends them
        bare.push(selected=f"#{step}")
        node = root.locator(".tape-node[aria-selected=true]")
        bare.page.wait_for_timeout(400)
        here, view = node.bounding_box(), frame.bounding_box()
        assert view["y"] <= here["y"] and here["y"] + here["height"] <= view["y"] + view["height"], step


def test_the_walk_forward_and_back(bare):
    root = player(bare)
    slider = root.locator("input[type=range]")
    slider.press("Home")
    expect(root.locator("output")).to_have_text("start: nothing computed")
    assert root.locator(".tape-node.todo").count() == 5 and texts(box(root, "#2 = X @ #1")) == ["#2 = X @ #1"]
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    assert texts(box(root, "#2 = X @ #1")) == ["#2 = X @ #1", "[−1.5 −2.5]"] and root.locator(".todo.op").count() == 3
    expect(root.locator(".tape-node.current")).to_contain_text("#2 = X @ #1")
    expect(root.locator("[data-now] h4").first).to_have_text("forward: f")
    for _ in range(4):
        slider.press("ArrowRight")
    expect(root.locator("output")).to_have_text("backward, 1 of 5")
    assert texts(box(root, "#5 = #4 ** 2")) == ["#5 = #4 ** 2", "[5.76 19.4]", "g [1 1]"]
    assert texts(box(root, "#4 = #3 - y"))[2] == "g [−4.8 −8.8]" and len(texts(box(root, "b"))) == 2
    expect(root.locator("[data-now] h4").first).to_have_text("backward: f′")
    expect(root.locator("[data-now] .tape-source")).to_have_text("lambda g, z, x, y: g * y * x ** (y - 1)")
    slider.press("End")
    expect(root.locator("output")).to_have_text("end: gradients are complete")
    assert texts(box(root, "b")) == ["b", "0.1", "g −13.6"] and len(texts(box(root, "X"))) == 2
    assert root.locator(".tape-edge.back").count() == 6 and root.locator(".current").count() == 0
    assert {k: v for one in bare.saved() for k, v in one.items()} == {"phase": "backward", "step": 0, "selected": "#5"}


def test_keys_walk_through_the_drawing(bare):
    root = player(bare)
    chart = root.get_by_role("listbox")
    chart.focus()
    seen = []
    chart.press("Home")
    for _ in range(9):
        seen.append(root.locator('[aria-selected="true"] .tape-name').text_content())
        chart.press("ArrowDown")
    assert seen == ["#1 = W.T", "W", "#2 = X @ #1", "X", "#3 = #2 + b", "b", "#4 = #3 - y", "y", "#5 = #4 ** 2"]
    chart.press("ArrowUp")
    assert chart.get_attribute("aria-activedescendant") == root.locator('[aria-selected="true"]').get_attribute("id")
    expect(root.locator(".tape-facts")).to_contain_text("Read by #4.")
    assert bare.saved()[-1] == {"selected": "y"}
    chart.press("ArrowUp")
    chart.press("Enter")
    expect(root.locator("output")).to_have_text("forward, 4 of 5")
    expect(chart).to_be_focused()
    chart.press("Tab")  # numbers and sources can be scrolled by keyboard
    assert root.page.evaluate("document.activeElement.className") == "tape-source"


def test_a_click_shows_f_and_its_derivative(bare):
    root = player(bare)
    box(root, "#2 = X @ #1").click()
    facts = root.locator(".tape-facts")
    expect(facts).to_contain_text("#2 = X @ #1")
    expect(facts).to_contain_text("return onp.matmul")
    expect(facts).to_contain_text("column = g if b.ndim > 1")
    expect(facts).to_contain_text("b = #1 (2, 1): 0.5, −1")
    assert "da = matmul" not in facts.inner_text()  # nobody wants the gradient of X
    assert root.locator("output").inner_text() == "forward, 5 of 5"
    box(root, "W").click()
    expect(facts.locator("pre").last).to_have_text(re.compile("−31.2.*−44.8"))


def test_play_and_pause(bare):
    root = player(bare)
    bare.page.clock.install()
    play = root.locator(".tape-play")
    root.locator("input[type=range]").press("End")
    play.click()
    expect(root.locator("output")).to_have_text("start: nothing computed")
    bare.page.clock.run_for(3100)
    expect(root.locator("output")).to_have_text("forward, 3 of 5")
    play.click()
    bare.page.clock.run_for(3000)
    expect(root.locator("output")).to_have_text("forward, 3 of 5")
    expect(play).to_have_text("▶ Play")
    play.click()
    bare.page.clock.run_for(20_000)
    expect(root.locator("output")).to_have_text("end: gradients are complete")
    expect(play).to_have_text("▶ Play")
    root.get_by_role("button", name="One step back").click()
    expect(root.locator("output")).to_have_text("backward, 5 of 5")
    bare.page.evaluate("window.shown.dispose()")
    assert bare.page.evaluate("window.shown.model.listening()") == 0


def test_python_moves_the_view(bare):
    root = player(bare)
    bare.push(phase="backward", step=3, selected="b")
    expect(root.locator("output")).to_have_text("backward, 3 of 5")
    expect(root.locator(".selected .tape-name")).to_have_text("b")
    expect(root.locator(".tape-node.current .tape-name")).to_have_text("#3 = #2 + b")


def test_frames_and_a_shared_parameter(bare):
    first = nn.Dense(3, in_units=3)
    loss, net = net_loss(first, nn.Dense(3, in_units=3, params=first.params), nn.Dense(1))
    root = bare.show(tape(loss, net))
    assert root.locator(".tape-frame text").all_text_contents()[::-1] == ["net[0]", "net[1]", "net[2]"]
    again = box(root, "⇄ net[0].weight")
    expect(again).to_contain_text("used again")
    again.click()
    assert root.locator(".tape-node.selected").count() == 2
    expect(root.locator(".tape-facts")).to_contain_text("The gradients that #1, #2 hand on add up.")
    bare.push(phase="backward", step=2)
    assert texts(box(root, "net[0].weight"))[2] == "g: 1 of 2 parts"
    root.locator("summary").click()
    expect(root.locator("tbody tr")).to_have_count(len(tape(loss, net).record["nodes"]) + 6)
    expect(root.locator("tbody tr", has_text="fully_connected(#1").first).to_contain_text("net[1]")


def test_a_thousand_nodes_are_boxes(bare):
    x = np.ones(100)
    x.attach_grad()
    with autograd.record():
        z = x
        for _ in range(1000):
            z = z * 1.001
    root = bare.show(tape(z))
    expect(root.locator(".d2l-hint").first).to_contain_text("summarised in 59 boxes")
    assert root.locator(".tape-node").count() == 59
    root.locator("input[type=range]").press("Home")
    root.locator("input[type=range]").press("ArrowRight")
    expect(root.locator(".tape-node.current")).to_contain_text("17 nodes")
    choice = root.locator(".tape-choice select")
    assert choice.input_value() == "#17"
    choice.select_option("#5")
    expect(root.locator(".tape-head")).to_have_text("#5 = #4 * 1.001")
    assert bare.saved()[-1] == {"selected": "#5"}


def test_a_tape_that_cannot_be_walked_back_says_so(bare):
    x = np.array([3.0])
    x.attach_grad()

    class Broken(autograd.Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            raise ValueError("no <way> back")

    with autograd.record():
        y = Broken()(x) + 1
    root = bare.show(tape(y))
    expect(root.locator(".tape-bad")).to_have_text("The walk back stopped at #1: no <way> back")
    root.locator("input[type=range]").press("End")
    assert texts(box(root, "#2 = #1 + 1")) == ["#2 = #1 + 1", "7", "g 1"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(bare, dark):
    bare.theme(dark)
    root = bare.show(tape(*net_loss(nn.Dense(4, activation="relu"), nn.Dense(1))))
    root.locator("summary").click()
    for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
        root.locator("input[type=range]").press(key)
        assert axe(bare.page, ".d2l") == []


def told(book, code, wanted):
    """Return whether the kernel soon prints what is wanted: quick changes travel one after the other."""
    for _ in range(50):
        if book.kernel(code) == wanted:
            return True
    return False


def test_in_jupyterlab(notebook, lab, shot):
    book = notebook(LINE, "after = 1").run()
    expect(book.out(".tape-node")).to_have_count(9)
    assert book.out(".tape-node.variable .tape-name").all_text_contents() == ["W", "b"]  # as the notebook calls them
    slider, chart = book.out("input[type=range]"), book.out('[role="listbox"]')
    for key in ("Home", "ArrowRight", "ArrowUp", "d", "d"):
        slider.press(key)
    expect(book.out("output")).to_have_text("forward, 2 of 5")
    assert told(book, "print(w.step, w.phase, w.selected)", "2 forward #2")
    for key in ("End", "ArrowUp", "ArrowDown", "ArrowUp"):
        chart.press(key)
    assert told(book, "print(w.selected, w.step)", "y 2")
    assert book.page.locator(f'[id="{book.id}"] .jp-Cell').count() == 2  # d, d deletes a cell
    book.kernel("w.phase = 'backward'; w.step = 3")
    expect(book.out("output")).to_have_text("backward, 3 of 5")
    assert book.kernel("L.backward(); print(b.grad, w.selected)") == "[-13.6] #3"
    for dark in (False, True):
        lab.theme(dark)
        expect(book.out(f'.d2l[data-theme="{"dark" if dark else "light"}"]')).to_have_count(1)
        assert axe(book.page, book.where(".d2l")) == []
        shot(book.out(".d2l"), f"tape-{'dark' if dark else 'light'}")
