"""Whatever an array may be – dtype, shape, strides, byte order, name – it comes back to the last bit, in every form."""

import numpy as onp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from d2lblocks import npx
from d2lblocks.np.ndarray import wrap

KINDS = ["f4", "f8", "f2", "u1", "i4", "i1", "i8", "?"]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@st.composite
def arrays(draw):
    """A view of an array: reversed, strided, transposed, broadcast, of either byte order, also empty or without axes."""
    kind = onp.dtype(draw(st.sampled_from(KINDS))).newbyteorder(draw(st.sampled_from("<>")))
    raw = draw(hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    raw = raw[tuple(slice(None, None, draw(st.sampled_from([1, 2, -1, -2]))) for _ in raw.shape)]
    raw = raw.transpose(draw(st.permutations(range(raw.ndim))))
    return onp.broadcast_to(raw, (2, *raw.shape)) if draw(st.booleans()) and raw.ndim < 4 else raw


def check(found, raw):
    assert found.dtype == raw.dtype.newbyteorder("=") and found.shape == raw.shape
    assert found.asnumpy().tobytes() == raw.astype(raw.dtype.newbyteorder("="), order="C").tobytes()
    assert found._data.flags.writeable and found._data.flags.aligned


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
@pytest.mark.parametrize("examples", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_dicts(tmp_path, form, examples):
    file = tmp_path / f"f.{form}"

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.dictionaries(NAMES, arrays(), min_size=1, max_size=5), st.booleans())
    def run(named, checksum):
        named.pop("__metadata__", None)
        npx.save(file, {name: wrap(raw) for name, raw in named.items()}, checksum)
        found = npx.load(file)
        assert isinstance(found, dict) or not named
        assert list(found) == list(named) or (form == "safetensors" and found.keys() == named.keys()) or not named
        for name, raw in named.items():
            check(found[name], raw)

    run()


@pytest.mark.parametrize("form", ["params", "npz"])
def test_lists(tmp_path, form):
    file = tmp_path / f"f.{form}"

    @settings(max_examples=60, deadline=None)
    @given(st.lists(arrays(), max_size=4))
    def run(raws):
        npx.save(file, [wrap(raw) for raw in raws])
        found = npx.load(file)
        found = [found[f"arr_{i}"] for i in range(len(raws))] if form == "npz" else found
        for x, raw in zip(found, raws, strict=True):
            check(x, raw)

    run()


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
def test_names_that_look_like_something_else(tmp_path, form):
    names = ["", ".", "../../up", "/etc/x", "a/b", "a\\b", "C:\\x", "x.npy", "arr_0", "重み", "a\nb", "é", "e\u0301", "file",
             " ", '"', "{", "\u2028", "\U0001f600", "n" * 5000, "d2lblocks.crc32", "dtype"]  # fmt: skip
    for chosen in (names, *([name] for name in names)):
        npx.save(tmp_path / f"f.{form}", {name: wrap(onp.array(i, "f4")) for i, name in enumerate(chosen)})
        found = npx.load(tmp_path / f"f.{form}")
        assert found.keys() == set(chosen) and [float(found[name]) for name in chosen] == list(range(len(chosen)))
    assert [p.name for p in tmp_path.iterdir()] == [f"f.{form}"]
