"""The explorer without a browser: what it sends, when it looks, and the state that a chapter can read."""

import gc
import json
from weakref import ref

import pytest
from d2lblocks_widgets import explore
from d2lblocks_widgets.explorer import live
from d2lblocks_widgets.explorer.payload import COLUMNS

from d2lblocks import np
from d2lblocks.errors import ArgumentError
from d2lblocks.gluon import nn
from tests.reprs.nets import Branching, mlp, tied


def deep():
    """Return a net of 2,047 rows, no input size of which is known."""
    net = nn.Sequential()
    for _ in range(66):
        part = nn.Sequential()
        part.add(*[nn.Dense(8) for _ in range(10)])
        net.add(part)
    return net


def table(w):
    """Return the rows as the browser reads them: columns of the tree, some replaced by the patch."""
    columns = {**w.tree, **w.patch}
    words = columns["words"] + columns.get("more", [])
    return [
        {
            key: columns[key][i] if key in ("depth", "name") else words[columns[key][i]]
            for key in w.tree
            if key != "words"
        }
        for i in range(len(columns["depth"]))
    ]


def size(value):
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(k)) + size(v) for k, v in value.items())
    return len(json.dumps(value, separators=(",", ":")))


def forward(net, *shape):
    return net(np.ones(shape))


def sent(w):
    """Return the names of the traits that change from now on."""
    names = []
    w.observe(lambda change: names.append(change["name"]))
    return names


# ------------------------------------------------------------------------------------------------ what it sends


def test_the_columns_are_the_facts_of_the_snapshot():
    net = mlp()
    net.initialize()
    forward(net, 2, 20)
    w = explore(net)
    rows = [row for row in w.snapshot.rows if not getattr(row, "fused", False)]
    got = table(w)
    assert [row["name"] for row in got] == [row.name for row in rows]
    for column, fact in COLUMNS.items():
        for mine, row in zip(got, rows, strict=True):
            want = getattr(row, fact, None)
            if column in ("input", "output"):
                assert mine[column] == (None if want is None else str(want))
            else:
                assert mine[column] == (list(want) if isinstance(want, tuple) else want)
    steps = [row["step"] for row in got]
    assert steps == ["net", "[0]", ".weight", ".bias", "[1]", ".weight", ".bias"]


def test_a_first_batch_is_a_patch_not_a_tree(shell):
    net = mlp()
    w = explore(net)
    names = sent(w)
    shell.run(net.initialize)
    shell.run(lambda: forward(net, 2, 20))
    assert "tree" not in names and names.count("patch") == 2
    assert set(w.patch) == {"text", "input", "output", "shape", "init", "state", "more"}
    assert [row["shape"] for row in table(w) if row["grad"]] == [[256, 20], [256], [10, 256], [10]]


def test_a_new_child_is_a_new_tree(shell):
    net = mlp()
    w = explore(net)
    w.selected = "net[1].bias"
    names = sent(w)
    shell.run(lambda: net.add(nn.Dense(3)))
    assert "tree" in names and w.patch == {}
    assert table(w)[-1]["step"] == ".bias" and w.selected == "net[1].bias"


def test_payload_of_2047_rows():
    net = deep()
    net.initialize()
    w = explore(net)
    n = len(w.tree["depth"])
    forward(net, 2, 8)
    w.refresh()
    assert n == 2047
    assert size(w.tree) < 60 * n and size(w.patch) < 20 * n and size(w.timeline) < 40 * n
    assert list(w.hists) == [str(w._row_of(w.selected))]


def test_what_only_the_layer_knows_is_no_row():
    assert not any("act" in row["step"] for row in table(explore(mlp())))


# ------------------------------------------------------------------------------------------------ the timeline


def test_steps_grow_as_the_net_lives(shell):
    net = mlp()
    w = explore(net)
    assert (w.steps, w.step) == (["constructed"], 0)
    shell.run(net.initialize)
    assert (w.steps[-1], w.step) == ("initialize()", 1)
    shell.run(lambda: forward(net, 2, 20))
    assert w.steps == ["constructed", "initialize()", "net[0]", "net[1]", "done"] and w.step == 4
    assert [event[3] for event in w.timeline["events"]] == [e.text for e in w.snapshot.events]


def test_a_step_that_was_chosen_stays(shell):
    net = mlp()
    net.initialize()
    w = explore(net)
    w.step = 0
    shell.run(lambda: forward(net, 2, 20))
    assert w.step == 0
    w.step = 99
    assert w.step == len(w.steps) - 1


def test_blocks_that_forward_never_reached_come_last():
    net = Branching()
    net.initialize()
    forward(net, 2, 4)
    w = explore(net)
    rows, story = table(w), w.timeline
    reached = [rows[i]["input"] for i in story["order"][: story["reached"]]]
    assert None not in reached and story["reached"] < len(story["order"])
    assert {rows[i]["input"] for i in story["order"][story["reached"] :]} == {None}


def test_a_batch_that_broke_off_has_no_end(shell):
    net = nn.Sequential()
    net.add(nn.Dense(3), nn.Dense(2, in_units=7))
    net.initialize()
    w = explore(net)
    with pytest.raises(ValueError):
        forward(net, 2, 4)
    w.refresh()
    assert w.steps == ["constructed", "initialize()", "net[0]"]


def test_a_running_cell_is_looked_at_ten_times_a_second(shell, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: now[0])
    net = nn.Dense(2, in_units=3)
    net.initialize()
    w = explore(net)
    frames = []
    w.observe(lambda change: frames.append(change["new"]), "frame")

    def train():
        for k in range(100):
            now[0] += 0.01
            net.weight.set_data(np.ones((2, 3)) * k)

    shell.run(train)
    assert 9 <= len([frame for frame in frames if frame]) <= 10
    assert w.frame == {} and w.hists["1"]["values"]["mean"] == 99


def test_a_look_that_took_long_is_followed_by_a_long_rest(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: now[0])
    looks = []

    def look(*_):
        looks.append(now[0])
        now[0] += 0.05

    net = nn.Dense(2, in_units=3)
    net.initialize()
    watch = live.Live(net, look)
    for _ in range(300):
        now[0] += 0.01
        net.weight.set_data(np.ones((2, 3)))
    assert 2 <= len(looks) <= 4 and min(b - a for a, b in zip(looks, looks[1:], strict=False)) >= 1.0
    watch.close()


def test_only_the_newest_view_of_a_net_follows_a_running_cell(shell, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: now[0])
    net = nn.Dense(2, in_units=3)
    net.initialize()
    old, new = explore(net), explore(net)
    names = sent(old), sent(new)

    def write():
        now[0] += 1
        net.weight.set_data(np.zeros((2, 3)))

    shell.run(write)
    assert "frame" not in names[0] and "frame" in names[1]
    assert old.hists == new.hists


def test_close_lets_go(shell):
    net = mlp()
    w = explore(net)
    w.close()
    assert shell._jobs == {"pre_run_cell": [], "post_run_cell": []}
    names = sent(w)
    shell.run(net.initialize)
    assert names == []


def test_a_layer_is_selected_in_the_cell_that_adds_it():
    net = nn.Sequential()
    net.add(nn.Dense(2))
    w = explore(net)
    net.add(nn.Dense(1))
    w.selected = "net[1].bias"
    assert w.selected_parameter is net[1].bias
    with pytest.raises(ArgumentError, match=r"no row 'net\[2\]"):
        w.selected = "net[2].bias"


def test_a_retired_explorer_shows_its_net_but_does_not_keep_it(shell):
    net = mlp()
    net.initialize()
    net(np.ones((2, 20)))
    w = explore(net)
    weight, html = net[0].weight, w.fallback()
    w.retire()
    w.retire()
    hists = w.hists
    w.want = [1]
    assert w.selected_parameter is weight and hists == w.hists != {} and w.matches and not w.follows
    gone = ref(net), ref(weight)
    del net, weight
    gc.collect()
    assert [one() for one in gone] == [None, None]
    w.want, w.ask = [2], "(?i)weight"
    assert repr(w) == "explore(Sequential, 4 parameters)" and w.selected_parameter is None
    assert "is gone; explore the new one" in w.matched["error"]
    assert len(w.fallback()) > len(html) / 2
    with pytest.raises(ArgumentError, match="an earlier run of its cell"):
        w.snapshot  # noqa: B018


# ------------------------------------------------------------------------------------------------ state


def test_the_state_reads_as_python():
    net = mlp()
    w = explore(net)
    assert repr(w) == "explore(Sequential, 4 parameters)"
    assert w.selected == "net[0].weight" and w.selected_parameter is net[0].weight
    w.selected = "1.bias"
    assert w.selected == "net[1].bias" and w.selected_parameter is net[1].bias
    w.selected = "net[1]"
    assert w.selected_parameter is None
    w.pattern = ".*weight"
    assert list(w.matches.values()) == [net[0].weight, net[1].weight]
    with pytest.raises(ValueError, match=r"near are net\[0\]"):
        w.selected = "net[0].wieght"


def test_tied_parameters_share_a_group():
    w = explore(tied())
    groups = [row["tie"] for row in table(w) if row["tie"]]
    assert groups == [1, 2, 1, 2]
    assert repr(w) == "explore(Sequential, 4 parameters)"


def test_python_answers_for_patterns_that_a_browser_reads_otherwise():
    net = mlp()
    w = explore(net)
    w.ask = "(?i).*WEIGHT"
    assert w.matched == {"pattern": "(?i).*WEIGHT", "rows": [2, 5]}
    w.ask = "(?P<x"
    assert "no regular expression" in w.matched["error"]


def test_a_net_of_nothing():
    w = explore(nn.Sequential())
    assert (w.selected, w.steps, w.hists) == ("net", ["constructed"], {})
    assert repr(w) == "explore(Sequential, 0 parameters)"


def test_only_a_block_can_be_explored():
    with pytest.raises(TypeError, match="explore takes a Block"):
        explore(mlp().collect_params())


@pytest.mark.parametrize("net", [mlp(), deep()], ids=["mlp", "deep"])
def test_the_fallback_is_short_and_static(net):
    made = explore(net).fallback()
    assert len(made.encode()) <= 20_000 and "<script" not in made and "net[0]" in made
