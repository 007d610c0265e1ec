"""Parameter files: the original's files, damage of every kind, and the way back."""

import json
import struct
from pathlib import Path

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from d2lblocks import np, npx
from d2lblocks.formats import params

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "params"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())["files"]
X_FILE = bytes.fromhex(
    "120100000000000000000000000000000100000000000000cafa93f900000000010000000400000000000000010000000000000000000000"
    "000000000000803f00000040000040400000000000000000"
)


def test_byte_for_byte(tmp_path):
    npx.save(tmp_path / "x-file", np.arange(4))
    assert (tmp_path / "x-file").read_bytes() == X_FILE == (FOLDER / "seed_x-file").read_bytes()


@pytest.mark.parametrize("path", sorted(p for p in FOLDER.iterdir() if p.name != "manifest.json"), ids=lambda p: p.name)
def test_golden_file(path, tmp_path):
    entries = MANIFEST if isinstance(MANIFEST, list) else [{"file": k, **v} for k, v in MANIFEST.items()]
    entry = next((e for e in entries if path.name in str(e.get("file", e.get("name", "")))), {})
    if entry.get("expect") == "reject":
        with pytest.raises(ValueError, match=path.name):
            params.read(path)
        return
    found = params.read(path)
    if path.read_bytes()[24:28] == struct.pack("<I", params._V3):
        params.write(tmp_path / "again", found)
        assert (tmp_path / "again").read_bytes() == path.read_bytes()


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


@pytest.mark.parametrize("bit", range(0, len(X_FILE) * 8, 3))
def test_flipped_bit_never_crashes(tmp_path, bit):
    data = bytearray(X_FILE)
    data[bit // 8] ^= 1 << bit % 8
    (tmp_path / "f").write_bytes(data)
    try:
        npx.load(tmp_path / "f")
    except ValueError as problem:
        assert str(tmp_path / "f") in str(problem)


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
