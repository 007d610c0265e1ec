"""Notebook views: the facts are there, also where style and script are stripped."""

from d2lblocks import np
from d2lblocks.gluon import nn
from d2lblocks.reprs import Snapshot


def small():
    net = nn.Sequential()
    net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
    return net


def test_tree_before_and_after():
    net = small()
    html = net._repr_html_()
    assert "<details" in html and "<table" in html and "<script" not in html and "<style" not in html
    assert html.count("<mark") == 3 and "net[0].weight" in html and "new" in html
    net.initialize()
    net(np.ones((2, 20)))
    html = net._repr_html_()
    assert "<mark" not in html and "(256, 20)" in html and "7,946 parameters" in html
    assert len(html) < 2048


def test_same_net_same_html():
    assert small()._repr_html_() == small()._repr_html_()


def test_ties_are_marked():
    one = nn.Dense(3, in_units=3)
    net = nn.Sequential()
    net.add(one, nn.Dense(3, in_units=3, params=one.params))
    assert net._repr_html_().count("tied 1") == 2
    facts = Snapshot.of(net)
    assert (facts.unique, facts.shared) == (12, 12)


def test_big_trees_stay_small():
    net = nn.Sequential()
    net.add(*[nn.Dense(4) for _ in range(700)])
    html = net._repr_html_()
    assert len(html) < 100_000 and "more rows" in html


def test_names_are_escaped():
    layer = nn.Dense(2, prefix="<b>")
    assert "<b>weight" not in layer.params._repr_html_() and "&lt;b&gt;weight" in layer.params._repr_html_()
