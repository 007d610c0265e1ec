"""Parameter files: the original's files, damage of every kind, and the way back."""

import struct
import tracemalloc
from pathlib import Path

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from d2lblocks import autograd, np, npx
from d2lblocks.errors import FormatError
from d2lblocks.formats import params

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "params"
X_FILE = bytes.fromhex(
    "120100000000000000000000000000000100000000000000cafa93f900000000010000000400000000000000010000000000000000000000"
    "000000000000803f00000040000040400000000000000000"
)


def test_byte_for_byte(tmp_path):
    npx.save(tmp_path / "x-file", np.arange(4), checksum=False)
    assert (tmp_path / "x-file").read_bytes() == X_FILE == (FOLDER / "seed_x-file").read_bytes()


@pytest.mark.parametrize("length", range(len(X_FILE)))
def test_truncated(tmp_path, length):
    file = tmp_path / "cut.params"
    file.write_bytes(X_FILE[:length])
    with pytest.raises(ValueError, match="cut.params"):
        npx.load(file)


BROKEN = [(0, "13"), (16, "02"), (16, "00"), (16, "ff" * 8), (24, "cb"), (28, "01"), (32, "ff" * 4), (32, "ffffff7f"),
          (36, "05"), (36, "03"), (36, "ff" * 8), (36, "0000000000000040"), (52, "63"), (52, "ff" * 4), (80, "00")]  # fmt: skip


@pytest.mark.parametrize(("at", "change"), BROKEN)
def test_refused(tmp_path, at, change):
    new = bytes.fromhex(change)
    (tmp_path / "lie.params").write_bytes(X_FILE[:at] + new + X_FILE[at + len(new) :])
    with pytest.raises(ValueError, match="lie.params"):
        npx.load(tmp_path / "lie.params")


@pytest.mark.parametrize(("at", "change"), [(8, "01"), (44, "02"), (44, "03"), (44, "05"), (48, "07")])
def test_accepted(tmp_path, at, change):
    new = bytes.fromhex(change)
    (tmp_path / "f").write_bytes(X_FILE[:at] + new + X_FILE[at + len(new) :])
    assert npx.load(tmp_path / "f")[0].tolist() == [0, 1, 2, 3]


def small_file():
    """Every field of the format once: a dict with two dtypes, a scalar, an empty array, a name beyond ASCII."""
    arrays = {"a.ü": onp.array([[1, -2, 3]], "<f4"), "": onp.array(True), "none": onp.zeros((0, 2), "<i8")}
    out = params.MAGIC + struct.pack("<QQ", 0, 3)
    for raw in arrays.values():
        code = {"f": 0, "b": 7, "i": 6}[raw.dtype.kind]
        shape = struct.pack(f"<{raw.ndim}q", *raw.shape)
        out += struct.pack("<Iii", 0xF993FACA, 0, raw.ndim) + shape + struct.pack("<iii", 1, 0, code) + raw.tobytes()
    return out + struct.pack("<Q", 3) + b"".join(struct.pack("<Q", len(n.encode())) + n.encode() for n in arrays)


SMALL = small_file()


def load_bytes(file, data):
    """What npx.load gives for these bytes, or None; any other way out than FormatError is a failure of the test."""
    file.write_bytes(data)
    try:
        return npx.load(file)
    except FormatError as problem:
        assert str(file) in str(problem)
        return None


def test_every_truncation_and_every_flipped_bit(tmp_path):
    """Nothing but FormatError comes out, and no memory is taken for what a damaged size claims."""
    assert list(load_bytes(tmp_path / "f", SMALL)) == ["a.ü", "", "none"]
    tracemalloc.start()
    try:
        for length in range(len(SMALL)):
            assert load_bytes(tmp_path / "f", SMALL[:length]) is None
        for bit in range(8 * len(SMALL)):
            data = bytearray(SMALL)
            data[bit // 8] ^= 1 << bit % 8
            load_bytes(tmp_path / "f", data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("version", ["v0_mxnet0.10.0", "v1_mxnet0.11.0", "v2_mxnet1.4.1"])
def test_truncated_old_files(tmp_path, version):
    whole = (FOLDER / f"{version}_dict.params").read_bytes()
    for length in range(len(whole)):
        assert load_bytes(tmp_path / "f", whole[:length]) is None


def test_every_damaged_byte_is_found_with_a_checksum(tmp_path):
    whole = X_FILE + bytes.fromhex("44324c424c4b010a50000000000000005e83461bbebe23f8")
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        assert load_bytes(tmp_path / "f", data) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(0, len(SMALL)))
def test_any_bytes(tmp_path_factory, noise, at):
    load_bytes(tmp_path_factory.getbasetemp() / "noise", SMALL[:at] + noise)


def test_trailer(tmp_path):
    good = bytes.fromhex("44324c424c4b010a50000000000000005e83461bbebe23f8")
    (tmp_path / "f").write_bytes(X_FILE + good)
    assert npx.load(tmp_path / "f")[0].tolist() == [0, 1, 2, 3]
    (tmp_path / "f").write_bytes(X_FILE[:60] + b"\x01" + X_FILE[61:] + good)
    with pytest.raises(ValueError, match="checksum"):
        npx.load(tmp_path / "f")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
        st.sampled_from(["f4", "f8", "f2", "u1", "i4", "i1", "i8", "?"]).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        ),
        min_size=1,
        max_size=4,
    )
)
def test_round_trip(tmp_path_factory, arrays):
    file = tmp_path_factory.mktemp("round") / "f"
    npx.save(file, {name: np.array(raw) for name, raw in arrays.items()})
    found = npx.load(file)
    assert list(found) == list(arrays)
    for name, raw in arrays.items():
        assert found[name].dtype == raw.dtype
        assert found[name].asnumpy().tobytes() == raw.tobytes()


@pytest.mark.parametrize("thing", [(1, 2), onp.ones(2), {"a": onp.ones(2)}, {1: np.ones(1)}, [3], None, "text"])
def test_wrong_arguments_touch_no_file(tmp_path, thing):
    with pytest.raises(TypeError):
        npx.save(tmp_path / "f", thing)
    assert not list(tmp_path.iterdir())


def test_failure_keeps_the_old_file(tmp_path, monkeypatch):
    npx.save(tmp_path / "f", np.ones(3))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="f"):
        npx.save(tmp_path / "f", np.zeros(3))
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert npx.load(tmp_path / "f")[0].tolist() == [1, 1, 1]


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(OSError):
        npx.save(tmp_path, np.ones(1))
    with pytest.raises(FileNotFoundError, match="nope"):
        npx.load(tmp_path / "nope")
    with pytest.raises(FileNotFoundError):
        npx.save(tmp_path / "no" / "f", np.ones(1))


def test_names_are_kept_as_they_are(tmp_path):
    names = ["", "../../up", "重み", "a\nb", "x" * 1000, "arg:w", " ", "0.weight", "é", "e\u0301"]
    npx.save(tmp_path / "f", {name: np.array(i) for i, name in enumerate(names)})
    found = npx.load(tmp_path / "f")
    assert list(found) == names and [int(x) for x in found.values()] == list(range(len(names)))


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800", "x\udfff"])
def test_names_that_cannot_be_kept(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be saved"):
        npx.save(tmp_path / "f", {"good": np.ones(1), name: np.ones(1)})
    assert not list(tmp_path.iterdir())


def test_empty(tmp_path):
    for nothing in ([], {}):
        npx.save(tmp_path / "f", nothing, checksum=False)
        assert (tmp_path / "f").read_bytes() == (FOLDER / "empty_list.params").read_bytes()
        assert npx.load(tmp_path / "f") == []


@pytest.mark.parametrize("place", [str, Path, lambda p: str(p) + "/ü file .params", lambda p: p / "no.npy"])
def test_places(tmp_path, place):
    file = place(tmp_path / "f") if place in (str, Path) else place(tmp_path)
    npx.save(file, np.array(2.5))
    (x,) = npx.load(file)
    assert x.shape == () and float(x) == 2.5


@pytest.mark.parametrize("file", [3, None, b"bytes", ["f"]])
def test_places_that_are_none(file):
    for call in (lambda: npx.load(file), lambda: npx.save(file, np.ones(1))):
        with pytest.raises(TypeError, match="A file name is text or a path"):
            call()


def test_place_with_a_nul(tmp_path):
    with pytest.raises(ValueError):
        npx.save(str(tmp_path / "a\0b"), np.ones(1))
    with pytest.raises(ValueError):
        npx.load(str(tmp_path / "a\0b"))


X = onp.arange(24, dtype="float32").reshape(2, 3, 4)


LAYOUTS = [X.T, X[::-1, :, ::2], onp.asfortranarray(X), onp.broadcast_to(X[0], (5, 3, 4)), X[:, 1], X[..., :0],
           X.astype(">f4"), X.astype(">i8"), X.astype(">f2").T, onp.array(7, ">i4")]  # fmt: skip


@pytest.mark.parametrize("raw", LAYOUTS, ids=lambda raw: f"{raw.dtype.str}{raw.shape}")
def test_layouts(tmp_path, raw):
    """Views, reversed, Fortran and big-endian arrays are written row by row and little-endian."""
    params.write(tmp_path / "f", [raw])
    (found,) = npx.load(tmp_path / "f")
    assert found.dtype == raw.dtype.newbyteorder("=") and found.shape == raw.shape
    assert (found.asnumpy() == raw).all()
    params.write(tmp_path / "g", [onp.ascontiguousarray(raw, raw.dtype.newbyteorder("<")).reshape(raw.shape)])
    npx.save(tmp_path / "h", [np.array(raw, dtype=raw.dtype)])
    assert len({(tmp_path / name).read_bytes() for name in "fgh"}) == 1


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[::-1], lambda x: x[:, 1], lambda x: x[:0]])
def test_views_of_ours(tmp_path, view):
    x = view(np.array(X))
    npx.save(tmp_path / "f", [x])
    assert (npx.load(tmp_path / "f")[0].asnumpy() == x.asnumpy()).all()


def test_loaded_arrays_are_free(tmp_path):
    """They are writable, carry no gradient, and outlive their file."""
    x = np.ones(3)
    x.attach_grad()
    with autograd.record():
        npx.save(tmp_path / "f", {"x": x * 2})
    found = npx.load(tmp_path / "f")["x"]
    (tmp_path / "f").unlink()
    found[1] = 5
    assert found.tolist() == [2, 5, 2] and found.grad is None


def test_other_dtypes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="int16"):
        params.write(tmp_path / "f", [onp.zeros(2, "int16")])
    assert not list(tmp_path.iterdir())


def test_the_same_array_twice(tmp_path):
    x = np.arange(3)
    npx.save(tmp_path / "f", {"a": x, "b": x})
    assert [v.tolist() for v in npx.load(tmp_path / "f").values()] == [[0, 1, 2]] * 2
