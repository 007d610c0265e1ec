"""The arguments of loading: what fits is taken, what does not is told whole, and then nothing has changed."""

import warnings

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon import nn


def chain(*layers, ready=True):
    net = nn.Sequential()
    net.add(*layers)
    if ready:
        net.initialize()
    return net


def wide():
    return chain(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4))


def facts(net):
    """Everything that loading could change."""
    return [
        (name, p.shape, str(p.dtype), p.state, p.grad_req)
        + ((p.data().asnumpy().tobytes(), p.grad().asnumpy().tobytes()) if p.state == "ready" else ())
        for name, p in net._collect_params_with_prefix().items()
    ]


def values(n=2.0, **shapes):
    return {name.replace("_", ".", 1): np.full(shape, n) for name, shape in shapes.items()}


RIGHT = {"0_weight": (4, 3), "0_bias": (4,), "1_weight": (2, 4), "1_bias": (2,)}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize(
    "lacks, has", [((), ()), (("1_bias",), ()), ((), ("2_weight",)), (("1_bias", "0_bias"), ("2_weight",))]
)
def test_missing_and_extra_names(tmp_path, missing, extra, lacks, has):
    shapes = {name: shape for name, shape in RIGHT.items() if name not in lacks} | {name: (1, 1) for name in has}
    npx.save(tmp_path / "f", values(**shapes))
    net = wide()
    before = facts(net)
    load = lambda: net.load_parameters(tmp_path / "f", allow_missing=missing, ignore_extra=extra)
    if (lacks and not missing) or (has and not extra):
        with pytest.raises(ValueError, match=str(tmp_path / "f")) as caught:
            load()
        told = str(caught.value)
        assert facts(net) == before
        assert all((f"'{name.replace('_', '.', 1)}'" in told) for name in lacks if not missing)
        assert all((f"'{name.replace('_', '.', 1)}'" in told) for name in has if not extra)
    else:
        load()
        for name, p in net._collect_params_with_prefix().items():
            assert (set(p.data().asnumpy().ravel().tolist()) == {2.0}) == (
                name in {n.replace("_", ".", 1) for n in shapes}
            )


def test_all_differences_are_told_at_once(tmp_path):
    file = tmp_path / "net.params"
    arrays = values(**{"0_weight": (4, 5), "0_bais": (4,), "1_weight": (2, 4, 1)}) | {
        "1.bias": np.ones(2, dtype="float64")
    }
    npx.save(file, arrays)
    for net in (
        wide(),
        chain(nn.Dense(4, in_units=3), nn.Dense(2), ready=False),
        chain(nn.Dense(4, in_units=3), nn.Dense(2)),
    ):
        before = facts(net)
        with pytest.raises(AssertionError) as caught:
            net.load_parameters(file)
        told = str(caught.value)
        for words in ("'0.bias' is missing", "Did you mean '0.bais'?", "'0.bais' loaded",
                      "Did you mean '0.bias'?", "(0.weight)",
                      "(4, 3) vs saved (4, 5)",
                      "(1.weight)", "vs saved (2, 4, 1)", "(1.bias)", "float32 vs saved float64"):  # fmt: skip
            assert words in told, words
        assert told.count(str(file)) == 5 and facts(net) == before


def test_a_refused_file_leaves_a_deferred_net_as_it_was(tmp_path):
    npx.save(tmp_path / "f", values(**RIGHT | {"1_bias": (3,)}))
    net = chain(nn.Dense(4), nn.Dense(2))
    before = facts(net)
    assert before[0][1] == (4, -1) and before[0][3] == "waiting"
    with pytest.raises(ValueError):
        net.load_parameters(tmp_path / "f")
    assert facts(net) == before and net(np.ones((1, 7))).shape == (1, 2)


@pytest.mark.parametrize("source", ["current", "saved"])
@pytest.mark.parametrize("ready", [True, False])
def test_dtypes(tmp_path, source, ready):
    half = {name: x.astype("float16") for name, x in values(1 / 3, **RIGHT).items()}
    npx.save(tmp_path / "f", half)
    net = chain(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4), ready=ready)
    before = facts(net)
    with pytest.raises(ValueError, match="cast_dtype=True"):
        net.load_parameters(tmp_path / "f", dtype_source=source)
    with pytest.raises(AssertionError, match="dtype_source"):
        net.load_parameters(tmp_path / "f", cast_dtype=True, dtype_source="both")
    assert facts(net) == before
    net.load_parameters(tmp_path / "f", cast_dtype=True, dtype_source=source)
    kind = "float32" if source == "current" else "float16"
    for name, p in net._collect_params_with_prefix().items():
        assert p.data().dtype == kind == onp.dtype(p.dtype) and p.grad().dtype == kind
        assert (p.data().asnumpy() == half[name].asnumpy()).all()


def test_an_initialized_net_keeps_its_arrays(tmp_path):
    """Views, optimizers and tapes hold them: loading writes into them, and gradients stay."""
    net = wide()
    held = net[0].weight.data()
    with autograd.record():
        y = net(np.ones((1, 3)))
    y.backward()
    gradient = net[0].weight.grad().asnumpy()
    npx.save(tmp_path / "f", values(5.0, **RIGHT))
    net.load_parameters(tmp_path / "f")
    assert net[0].weight.data() is held and held[0, 0] == 5 and (net[0].weight.grad().asnumpy() == gradient).all()


def test_full_names_with_and_without_prefix(tmp_path):
    one, other = nn.Dense(2, in_units=2), nn.Dense(2, in_units=2)
    one.initialize()
    one.collect_params().save(tmp_path / "full")
    one.collect_params().save(tmp_path / "short", strip_prefix=one.prefix)
    assert [*npx.load(tmp_path / "full")] == [one.prefix + "weight", one.prefix + "bias"]
    one.load_parameters(tmp_path / "full")
    with pytest.raises(ValueError, match="full.*save_parameters"):
        other.load_parameters(tmp_path / "full")
    assert other.weight.state == "new"
    npx.save(tmp_path / "exported", {f"arg:{name}": x for name, x in npx.load(tmp_path / "short").items()})
    for file, prefix in (("short", other.prefix), ("exported", other.prefix)):
        other.collect_params().load(tmp_path / file, restore_prefix=prefix)
        assert (other.weight.data() == one.weight.data()).all()
        other.weight.set_data(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="Prefix 'dense99_'"):
        one.collect_params().save(tmp_path / "never", strip_prefix="dense99_")
    assert not (tmp_path / "never").exists()


def test_a_name_under_arg_and_aux_is_not_lost_in_silence(tmp_path):
    layer = nn.Dense(2, in_units=2, prefix="d_")
    npx.save(
        tmp_path / "f", {"arg:d_weight": np.ones((2, 2)), "aux:d_weight": np.ones((2, 2)), "arg:d_bias": np.ones(2)}
    )
    with pytest.raises(ValueError, match="f' has one name under both"):
        layer.load_parameters(tmp_path / "f")
    assert layer.weight.state == "new"


def test_tied_parameters_with_other_numbers(tmp_path):
    first = nn.Dense(3, in_units=3)
    net = chain(first, nn.Dense(3, in_units=3, params=first.params))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.save_parameters(tmp_path / "f")
        net.load_parameters(tmp_path / "f")
    arrays = npx.load(tmp_path / "f")
    arrays["1.weight"] = np.full((3, 3), 8.0)
    npx.save(tmp_path / "f", arrays)
    with pytest.warns(UserWarning, match=r"'0.weight' and '1.weight' are one parameter") as caught:
        net.load_parameters(tmp_path / "f")
    assert caught[0].filename == __file__ and net[0].weight.data()[0, 0] == 8


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
def test_states_of_trainers_in_files_that_lie(tmp_path, form):
    def told(text):
        return np.array(onp.frombuffer(text.encode(), "u1"), dtype="uint8")

    rule = '{"optimizer": "SGD", "parameters": '
    texts = ("", "[1]", "{}", "[" * 9999, rule + "1}", rule + '["a%s"]}' % ("9" * 5000), rule + '["a", "b", "c", "d"]}',
             '{"optimizer": 1, "parameters": []}', '{"optimizer": "Adam", "parameters": []}')  # fmt: skip
    from_other = {"0.0": np.ones((9, 9)), "0.t": np.array(1, dtype="int64")}
    net = wide()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9})
    for lie in (from_other, {"0.t": np.ones(2)}, {"0.t": np.array(1.5)}, {"9.t": np.array(1, dtype="int64")}, {"x": np.ones(1)},
                {"0.t.t": np.ones(1)}, {"0.": np.ones(1)}, {"²": np.ones(1)}, {"0.t": np.array(-1, dtype="int64")},
                {"0.t": np.array(1, dtype="int64"), "00.t": np.array(1, dtype="int64")}, {"0.0": np.ones((16, 20))},
                {"9" * 5000 + ".t": np.array(1, dtype="int64")}, {"whose": np.ones(2)}, {"whose": np.array(5, dtype="uint8")},
                *({"whose": told(text)} for text in texts)):  # fmt: skip
        npx.save(tmp_path / f"f.{form}", lie)
        with pytest.raises(ValueError, match=rf"f\.{form}"):
            trainer.load_states(tmp_path / f"f.{form}")
        assert not trainer._updater.states
