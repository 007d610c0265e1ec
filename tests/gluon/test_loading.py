"""Parameters that take other numbers: from files, under other dtypes; what is refused changes nothing."""

import pytest

from d2lblocks import autograd, np, npx
from d2lblocks.gluon import nn, watch


def test_a_listener_sees_the_new_dtype():
    net, seen = nn.Dense(2, in_units=2), []
    net.initialize()
    listening = watch.on_change(net, lambda p, how: seen.append((str(p.dtype), str(p.data().dtype))))
    net.weight.cast("float16")
    listening.detach()
    assert seen == [("float16", "float16")]


def test_of_two_arrays_for_one_parameter_the_last_stays(tmp_path):
    net = nn.Sequential()
    net.add(nn.Dense(1, in_units=1, use_bias=False))
    net.add(nn.Dense(1, in_units=1, use_bias=False, params=net[0].params))
    net.initialize()
    third = np.full((1, 1), 1 / 3)
    npx.save(tmp_path / "f.params", {"0.weight": third.astype("float16"), "1.weight": third})
    with pytest.warns(UserWarning, match="the last one stays"):
        net.load_parameters(tmp_path / "f.params", cast_dtype=True, dtype_source="saved")
    assert net[0].weight.data().dtype == "float32" and net[0].weight.data().item() == third.item()


def test_a_load_that_is_refused_changes_nothing(tmp_path):
    net = nn.Sequential()
    net.add(nn.Dense(1, in_units=1), nn.Dense(1, in_units=1))
    net.initialize()
    net.save_parameters(tmp_path / "f")
    net[0].weight.set_data(np.full((1, 1), 7))
    net[0].collect_params().setattr("grad_req", "null")
    with autograd.record(), pytest.raises(RuntimeError, match="in-place write refused") as caught:
        net.load_parameters(tmp_path / "f")
    assert net[0].weight.data().item() == 7 and caught.value.__context__ is None


def test_a_waiting_parameter_is_loaded_to_where_it_waits_for(tmp_path):
    cpus = [npx.cpu(0), npx.cpu(1)]
    net, other = nn.Dense(1, in_units=1), nn.Dense(1)
    net.initialize()
    net.save_parameters(tmp_path / "f")
    other.initialize(ctx=cpus)
    other.load_parameters(tmp_path / "f")
    assert other.weight.list_ctx() == cpus
