"""The static views in a real JupyterLab: axe finds nothing in either theme, in trusted and in untrusted notebooks."""

import pytest

from tests.browser.chromium import axe, expect

VIEWS = """
from d2lblocks import autograd, init, np
from d2lblocks.gluon import nn
from d2lblocks.op import OPS
from d2lblocks.reprs import Snapshot, Tape
from IPython.display import display
net = nn.Sequential()
shared = nn.Dense(8)
net.add(nn.Dense(8, activation="relu"), shared, nn.Dense(8, params=shared.params), nn.Dense(3))
before = Snapshot.of(net)
display(net)
net.initialize(init.Xavier())
display(net[0].weight)
X = np.random.normal(size=(5, 8))
X.attach_grad()
with autograd.record():
    loss = (net(X) ** 2).sum()
tape = Tape(loss, net)
for thing in (net, net.collect_params(), net[0].weight, np.random.normal(size=(40, 30)), init.Xavier(), Snapshot.of(net),
              before.diff(Snapshot.of(net)), OPS["tanh"], tape):
    display(thing)
"""
SHOWN = 11


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_static_views_are_clean_in_both_themes(trusted, notebook, lab):
    book = notebook(VIEWS).run()
    expect(book.page.locator(views(book))).to_have_count(SHOWN)
    if not trusted:
        book = notebook(path=lab.forged(book.close()))
        expect(book.page.locator(views(book))).to_have_count(SHOWN)
    for dark in (False, True):
        lab.theme(dark)
        assert all(text.strip() for text in book.page.locator(views(book)).all_inner_texts())
        assert axe(book.page, views(book)) == []


def views(book):
    """Return the CSS selector of the outputs that are HTML."""
    return f'[id="{book.id}"] .jp-OutputArea-output.jp-RenderedHTMLCommon'
