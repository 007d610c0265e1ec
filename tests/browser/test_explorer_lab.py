"""The explorer in JupyterLab: it follows the net, speaks with the kernel, keeps its keys, and tells the truth."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import axe

NET = """
from d2lblocks import np, autograd, gluon
from d2lblocks.gluon import nn
from d2lblocks_widgets import explore
net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'), nn.Dense(10))
w = explore(net)
"""
TRAIN = """
import time
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
frames = []
w.observe(lambda change: frames.append(bool(change['new'])), 'frame')
end = time.time() + 1
while time.time() < end:
    with autograd.record():
        loss = (net(np.random.normal(0, 1, (2, 20))) ** 2).mean()
    loss.backward()
    trainer.step(1)
print(sum(frames))
"""


@pytest.fixture
def book(notebook):
    made = notebook(NET, "w", "pass")
    made.run()
    expect(made.out(".x-tree")).to_be_visible()
    return made


def test_it_follows_the_net(book):
    weight = book.out("[role=treeitem]").nth(2)
    expect(weight).to_have_attribute("aria-label", "weight, Parameter, shape 256 by unknown, constructed")
    book.kernel("net.initialize()")
    expect(book.out(".x-nothing")).to_contain_text("the first batch")
    book.kernel("net(np.ones((2, 20)))")
    expect(weight).to_have_attribute("aria-label", "weight, Parameter, shape 256 by 20, ready")
    expect(book.out("svg[role=img]")).to_be_visible()
    book.kernel("net[0].weight.set_data(np.ones((256, 20)) * 3)")
    expect(book.out(".d2l-table tbody td").first).to_have_text("3")
    book.kernel("net.add(nn.Dense(4))")
    expect(book.out("[role=treeitem]")).to_have_count(10)
    book.kernel("net.initialize(force_reinit=True); net(np.ones((2, 20)))")
    assert 1 <= int(book.kernel(TRAIN)) <= 11  # fewer where the machine is slow: looks take at most 5 % of a cell
    expect(book.out("input[type=checkbox]")).to_have_count(5)  # values, gradient, previous, theory; log scale
    assert book.kernel("print(w.steps[-1], w.step)") == "done 5"


def test_clicks_and_keys_and_the_kernel(book):
    book.out(".x-step").nth(6).click()
    expect(book.out(".x-accessor")).to_have_text("net[1].bias")
    assert book.kernel("print(w.selected, w.selected_parameter is net[1].bias)") == "net[1].bias True"
    book.kernel("w.selected = '0.weight'; w.pattern = '.*weight'")
    expect(book.out(".x-accessor")).to_have_text("net[0].weight")
    expect(book.out(".x-found")).to_have_text("2 of 4 parameters")
    book.kernel("w.pattern = ''")
    expect(book.out("[role=treeitem]")).to_have_count(7)
    cells = "path => [window.panels[path].content.activeCellIndex, window.panels[path].content.widgets.length]"
    before = book.page.evaluate(cells, book.path)
    book.out("[aria-selected=true][role=treeitem]").click()
    for key in (
        "ArrowDown",
        "ArrowUp",
        "Home",
        "End",
        "b",
        "d",
        "d",
        "x",
        "*",
        "Enter",
        "Space",
        "ArrowUp",
        "PageDown",
    ):
        book.page.keyboard.press(key)
    assert book.page.evaluate(cells, book.path) == [1, before[1]]
    book.out("[role=tab]").nth(2).click()
    expect(book.out(".x-timeline")).to_be_visible()
    assert book.kernel("print(w.tab)") == "shapes"


def test_a_busy_kernel_and_a_kernel_that_is_gone(book):
    book.page.evaluate(
        "path => void window.panels[path].sessionContext.session.kernel.requestExecute({code: 'import time; time.sleep(1)'})",
        book.path,
    )
    book.out(".x-pattern").fill("(?i).*WEIGHT")
    expect(book.out(".d2l-status")).to_contain_text("Kernel busy")
    expect(book.out(".x-found")).to_have_text("2 of 4 parameters")
    expect(book.out(".d2l-status")).to_be_hidden()
    book.restart()
    expect(book.out(".d2l-status")).to_contain_text("Kernel gone")
    book.out(".x-step").nth(4).click()  # what the browser has is there to be read
    expect(book.out(".x-accessor")).to_have_text("net[1].weight")
    assert book.kernel("print('w' in globals())") == "False"


def test_no_violations_in_either_theme(book, lab):
    book.kernel("net.initialize(); net(np.ones((2, 20)))")
    for dark in (False, True):
        lab.theme(dark)
        expect(book.out(".d2l")).to_have_attribute("data-theme", "dark" if dark else "light")
        for tab in ("histogram", "heatmap", "shapes"):
            book.kernel(f"w.tab = '{tab}'")
            expect(book.out("[role=tab][aria-selected=true]")).to_have_text(
                {"histogram": "Histogram", "heatmap": "Heat map", "shapes": "Shape timeline"}[tab]
            )
            assert axe(book.page, book.where(".d2l")) == []


def test_a_reader_without_a_kernel_sees_the_facts(book, lab, notebook):
    path = book.close()
    saved = json.loads((lab.server.root / path).read_text())
    assert "widgets" not in saved["metadata"]
    copy = notebook(path=lab.forged(path))
    expect(copy.out().first).to_contain_text("net[0]")
    expect(copy.out(".x-tree")).to_have_count(0)


def test_running_a_cell_again_leaves_one_view_that_follows(notebook):
    book = notebook(NET, "explore(net); explore(net)", "'done'")
    for _ in range(3):
        book.run()
    listeners = "print(sum('Live' in repr(f) for f in get_ipython().events.callbacks['post_run_cell']))"
    assert book.kernel(listeners) == "3"
