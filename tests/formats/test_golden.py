"""The files that the original wrote, array by array against their manifest, and the way back byte for byte."""

import hashlib
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as onp
import pytest

from d2lblocks import npx
from d2lblocks.errors import FormatError
from d2lblocks.formats import params
from d2lblocks.gluon import nn

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "params"
OTHER = FOLDER / "other"
ENTRIES = json.loads((FOLDER / "manifest.json").read_text())["files"]
FOREIGN = json.loads((OTHER / "manifest.json").read_text())["files"]


def by_name(entry):
    return entry["file"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def little_endian(raw):
    return onp.ascontiguousarray(raw, raw.dtype.newbyteorder("<")).tobytes()


def test_every_file_is_listed():
    assert {e["file"] for e in ENTRIES} == {p.name for p in FOLDER.iterdir() if p.is_file()} - {"manifest.json"}
    assert {e["file"] for e in FOREIGN} == {p.name for p in OTHER.iterdir()} - {"manifest.json"}
    assert len(ENTRIES) == 40 and len(FOREIGN) == 14


def compare(path, entry):
    """A file gives the arrays that the manifest tells, to the last bit."""
    assert sha256(path.read_bytes()) == entry["sha256"] and path.stat().st_size == entry["bytes"]
    found = npx.load(str(path))
    assert type(found).__name__ == entry["kind"]
    names = [a["name"] for a in entry["arrays"]]
    if entry["file"].endswith(".safetensors"):  # its table is in an order of its own
        found = {name: found.pop(name) for name in names} | found
    assert list(found) == names if entry["kind"] == "dict" else True
    arrays = list(found.values()) if isinstance(found, dict) else found
    assert len(arrays) == len(entry["arrays"])
    for array, told in zip(arrays, entry["arrays"], strict=True):
        assert list(array.shape) == told["shape"]
        assert array._data.flags.writeable and array._data.flags.c_contiguous
        data = little_endian(array.asnumpy())
        if told["dtype"] == "bfloat16":  # read as float32, of which it is the high half
            assert array.dtype == "float32" and data[0::4] + data[1::4] == bytes(2 * array.size)
            data = b"".join(data[i + 2 : i + 4] for i in range(0, len(data), 4))
        else:
            assert array.dtype == told["dtype"]
        assert sha256(data) == told["sha256"] and data.hex() == told.get("hex", data.hex())


@pytest.mark.parametrize("entry", ENTRIES, ids=by_name)
def test_golden(entry):
    path = FOLDER / entry["file"]
    if entry.get("expect") == "reject":
        with pytest.raises(FormatError, match=rf"{entry['file']}.*sparse"):
            npx.load(path)
        return
    compare(path, entry)


V3 = [e for e in ENTRIES if (FOLDER / e["file"]).read_bytes()[24:28] == struct.pack("<I", params._V3)]


@pytest.mark.parametrize("entry", [*V3, *(e for e in ENTRIES if not e["arrays"])], ids=by_name)
def test_written_again_byte_for_byte(entry, tmp_path):
    original = (FOLDER / entry["file"]).read_bytes()
    npx.save(tmp_path / "again", npx.load(FOLDER / entry["file"]), checksum=False)
    assert (tmp_path / "again").read_bytes() == original
    npx.save(tmp_path / "again", npx.load(FOLDER / entry["file"]))
    trailer = b"D2LBLK\x01\n" + struct.pack("<Q", len(original))
    trailer += struct.pack("<I", zlib.crc32(original + trailer))
    assert (tmp_path / "again").read_bytes() == original + trailer + struct.pack("<I", zlib.crc32(trailer))


def test_old_files_become_new_ones(tmp_path):
    """Versions 0 to 2 hold the same arrays; written again they are one and the same file of version 3."""
    for kind in ("dict", "list"):
        written = set()
        for old in ("v0_mxnet0.10.0", "v1_mxnet0.11.0", "v2_mxnet1.4.1"):
            npx.save(tmp_path / "f", npx.load(FOLDER / f"{old}_{kind}.params"))
            written.add((tmp_path / "f").read_bytes())
        assert len(written) == 1


WORDS = {"torch.pt": "safetensors.torch.save_file", "plain.pickle": "pickle", "object.npz": "Python objects"}


@pytest.mark.parametrize("entry", FOREIGN, ids=by_name)
def test_files_of_other_tools(entry, tmp_path):
    """They are told apart by their first bytes, never by their suffix, and nothing in them is run."""
    disguised = tmp_path / "x.params"
    disguised.write_bytes((OTHER / entry["file"]).read_bytes())
    for path in (OTHER / entry["file"], disguised):
        if entry["expect"] == "reject":
            with pytest.raises(FormatError, match=rf"{path.name}: .*{WORDS[entry['file']]}"):
                npx.load(path)
        else:
            compare(path, entry)


START = [(b"<!DOCTYPE html>", "HTML"), (b"\n  <html>", "HTML"), (b"\x1f\x8b\x08", "gzip"), (b"\x89HDF\r\n", "HDF5"),
         (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"),
         (b"\x80\x05\x95", "pickle"), (b"\xef\xbb\xbf<html>", "HTML"), (b"\x93NUMPY", "damaged header"),
         (b"", "the file is empty"), (b"\x12", "first bytes are 12"), (b"{", "first bytes are 7b")]  # fmt: skip


@pytest.mark.parametrize(("start", "word"), START)
def test_foreign_files(tmp_path, start, word):
    (tmp_path / "thing.params").write_bytes(start + b" " * 90 * bool(start))
    with pytest.raises(FormatError, match=rf"thing.params: .*{word}"):
        npx.load(tmp_path / "thing.params")


@pytest.mark.skipif(os.name == "nt", reason="no such files")
def test_devices_and_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(FormatError, match=f"{name}: this is a device or a pipe"):
            npx.load(name)


def test_net_of_another_tool_is_refused_whole(tmp_path):
    net = nn.Dense(2, in_units=2)
    net.initialize()
    before = net.weight.data().asnumpy().copy()
    with pytest.raises(FormatError, match=r"torch\.pt"):
        net.load_parameters(str(OTHER / "torch.pt"))
    assert (net.weight.data().asnumpy() == before).all()
    assert net.bias.data().tolist() == [0, 0]
