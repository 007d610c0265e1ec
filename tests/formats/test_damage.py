"""Damage of every kind, in all forms: a file is refused with its name, or it gives what was saved; never anything else."""

import io
import json
import random
import struct
import tracemalloc
import zipfile
import zlib

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.errors import FormatError

ARRAYS = {
    "hidden.weight": onp.arange(6, dtype="<f4").reshape(2, 3) - 2.5,
    "ü": onp.array([True, False, True]),
    "scalar": onp.array(-7, "<i8"),
    "none": onp.zeros((0, 2), "<f8"),
}
FORMS = ["params", "npz", "safetensors"]
ROOM = 1_000_000  # bytes that reading may take beyond the file's own size


def whole(folder, form):
    """Return the bytes of a good file."""
    file = folder / f"good.{form}"
    npx.save(file, {name: np.array(raw, dtype=raw.dtype) for name, raw in ARRAYS.items()})
    return file.read_bytes()


def outcome(file, data):
    """Return 'same' or 'refused'; whatever else comes out of reading these bytes is a failure."""
    file.write_bytes(data)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        found = npx.load(file)
    except FormatError as problem:
        assert str(problem).startswith(f"{file}: ")
        found = None
    assert tracemalloc.get_traced_memory()[1] - before < 3 * len(data) + ROOM
    if found is None:
        return "refused"
    assert isinstance(found, dict) and found.keys() == ARRAYS.keys()
    for name, raw in ARRAYS.items():
        assert found[name].dtype == raw.dtype and found[name].shape == raw.shape
        assert found[name].asnumpy().tobytes() == raw.tobytes()
    return "same"


@pytest.fixture(autouse=True)
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_cut_anywhere(tmp_path, form):
    data = whole(tmp_path, form)
    assert outcome(tmp_path / "f", data) == "same"
    whole_without_checksum = [len(data) - 24] if form == "params" else []
    assert [n for n in range(len(data)) if outcome(tmp_path / "f", data[:n]) == "same"] == whole_without_checksum


@pytest.mark.parametrize("form", FORMS)
def test_something_behind(tmp_path, form):
    data = whole(tmp_path, form)
    for more in (b"\0", b"x", bytes(24), b"PK\x05\x06" + bytes(18), data):
        assert outcome(tmp_path / "f", data + more) == "refused"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_every_bit_flipped(tmp_path, form, step):
    data = whole(tmp_path, form)
    found = [outcome(tmp_path / "f", flipped(data, bit)) for bit in range(0, 8 * len(data), step)]
    same = found.count("same")  # times, versions, and names of what is not checked: nothing an array could come from
    assert same == 0 if form == "params" else same < len(found) / 3


def flipped(data, bit):
    new = bytearray(data)
    new[bit // 8] ^= 1 << bit % 8
    return bytes(new)


def mutated(data, rng):
    """Return the bytes with one to three injuries, as programs and disks make them."""
    new = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at, n = rng.randrange(len(new)), rng.choice([1, 1, 2, 4, 8, 24, 100])
        there = new[rng.randrange(len(new)) :][:n]
        new[at : at + n] = rng.choice([
            rng.randbytes(n), bytes(n), b"\xff" * n, b"", there, new[at : at + n] * 2, new[at : at + n][::-1],
            rng.randint(0, 2**63).to_bytes(8, "little"), rng.choice([b"\r\n", b"\n", b"{", b'"', b"9" * n]),
        ])  # fmt: skip
        if not new:
            return bytes(new)
    return bytes(new)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutations(tmp_path, form, count):
    data, rng = whole(tmp_path, form), random.Random(f"{form} {count}")
    assert sum(outcome(tmp_path / "f", mutated(data, rng)) == "refused" for _ in range(count)) > count / 2


def zipped(*members, comment=b"", method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(header, data=b"", version=1):
    text = header.encode().ljust(118 - 10 * (version > 1)) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def told(shape, kind="<f4", fortran=False):
    return f"{{'descr': {kind!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


ONE = npy(told("(2,)"), bytes(8))
CENTRAL = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 7, 7, 0, 0, 0)
NPZ_LIES = [
    zipped(("a.npy", ONE), comment=b"hello"), zipped(("a.npy", ONE), ("a.npy", ONE)), zipped(("a.txt", ONE)),
    zipped(("a.npy", b"")), zipped(("a.npy", ONE + b"x")), zipped(("a.npy", ONE[:-1])),
    zipped(("a.npy", ONE), method=zipfile.ZIP_LZMA), CENTRAL,
    b"PK\x03\x04" + CENTRAL, zipped(("a.npy", npy(told("(1 << 40,)")))), zipped(("archive/data.pkl", b"\x80\x02.")),
    zipped(("a.npy", npy(told((2**40,)))), method=zipfile.ZIP_DEFLATED),
    *(npy(told(*lie)) for lie in [((2**62, 4),), ((2**40,),), ((-1,),), ((0, 2**62, 2**62),), ("(True,)",), ("(1.0,)",),
                                  ("7",), ((1,) * 65,), ((1,), "|O"), ((1,), "<c8"), ((1,), "<U4"), ((1,), "<M8[s]"),
                                  ((1,), "bad"), ((2**40,), "<f4", True)]),
    npy("{}"), npy("[" * 110), npy("(" * 110), npy("x" * 100), npy(told((1,)), version=2), npy(told((1,)), version=9),
    b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", ONE + b"x", ONE[:-1],
    npy(told((2,), "|b1"), b"\x01\x02"), npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)),
]  # fmt: skip


@pytest.mark.parametrize("lie", NPZ_LIES, ids=range(len(NPZ_LIES)))
def test_lies_of_numpy_files(tmp_path, lie):
    assert outcome(tmp_path / "f.npz", lie) == "refused"


def table(entries, data=bytes(8), length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape=(2,), place=(0, 8), kind="F32", **more):
    return {"dtype": kind, "shape": shape, "data_offsets": place} | more


TABLE_LIES = [
    table({"a": entry()}, length=2**40), table({"a": entry()}, length=2**63), table({"a": entry()}, length=3), table(b"{", b""),
    table(b'{"a": 1}'), table(b'{"a":' * 5000), table(b'{"\xff": 1}'), table(b"{}"), table(b'{"a": NaN}'),
    table(b"{" + b"9" * 5000),
    table(json.dumps({"a": entry()}).encode()[:-1] + b"," + json.dumps({"a": entry()}).encode()[1:]),
    *(table({"a": lie}) for lie in [
        entry(place=(0, 4)), entry(place=(4, 12)), entry(place=(8, 0)), entry(place=(0, 8, 16)), entry(place=(0, 2**70)),
        entry(place=(0.0, 8.0)), entry(place=(-8, 0)), entry(place=8), entry(shape=(3,)), entry(shape=(-2,)), entry(shape=2),
        entry(shape=(2**62, 8)), entry(shape=(2**40,), place=(0, 2**42)), entry(shape=(1,) * 65, kind="F64"),
        entry(shape=(True, 2)),
        entry(shape=(0, 2**62, 2**62), place=(0, 0)),
        entry(shape=(0, 2**61), place=(0, 0), kind="BF16"), entry(kind="C64"), entry(kind="F8_E4M3"), entry(kind=3),
        entry(kind=["F32"]),
        entry(shape=(None,)), entry(shape=("2",)), entry(more=1), {}, [], "F32", None]),
    table({"a": entry(), "b": entry()}), table({"a": entry((1,), (0, 4)), "b": entry((2,), (0, 8))}),
    table({"a": entry((1,), (4, 8))}), table({"a": entry(), "__metadata__": {"x": 1}}),
    table({"a": entry(), "__metadata__": []}),
    table({"a": entry((8,), kind="BOOL")}, b"\x01\x02" + bytes(6)),
    table({"a": entry()}, bytes(9)), table({"a": entry()}, bytes(7)), table({"a\0b": entry()}),
    table({"a": entry(), "__metadata__": {"d2lblocks.crc32": "00000000"}}),
    table({"a": entry(), "__metadata__": {"producer": "d2lblocks 0.1.0", "d2lclocks.crc32": "00000000"}}),
    table({"\ud800": entry()}),
]  # fmt: skip


@pytest.mark.parametrize("lie", TABLE_LIES, ids=range(len(TABLE_LIES)))
def test_lies_of_tables(tmp_path, lie):
    assert outcome(tmp_path / "f.safetensors", lie) == "refused"


def record(head, data=b""):
    return struct.pack("<QQQ", 0x112, 0, 1) + head + data + struct.pack("<Q", 0)


def v3(shape, code=0, ndim=None, device=1):
    ndim = len(shape) if ndim is None else ndim
    head = struct.pack("<Iii", 0xF993FACA, 0, ndim) + b"".join(struct.pack("<q", n) for n in shape)
    return head + struct.pack("<iii", device, 0, code)


PARAMS_LIES = [
    record(v3((2**62, 4)), bytes(16)), record(v3((2**40,))), record(v3((0, 2**62, 2**62))), record(v3((-1,))),
    record(v3((), ndim=-1)),
    record(v3((1,) * 65), bytes(4)), record(v3((1,), ndim=2**31 - 1)), record(v3((1,), code=8), bytes(2)),
    record(v3((1,), code=99)), record(v3((0, 2**61), code=12)),
    record(v3((1,), device=4), bytes(4)), record(v3((2,), code=7), b"\x01\x02"), record(v3((2,)), bytes(9)),
    struct.pack("<QQQ", 0x112, 0, 2**61) + bytes(100), struct.pack("<QQQ", 0x112, 0, 2**64 - 1) + bytes(100),
    struct.pack("<QQQQQ", 0x112, 0, 0, 2**63, 5), record(struct.pack("<III", 0, 1, 0)), record(struct.pack("<I", 2**32 - 1)),
]  # fmt: skip


@pytest.mark.parametrize("lie", PARAMS_LIES, ids=range(len(PARAMS_LIES)))
def test_lies_of_parameter_files(tmp_path, lie):
    """With a checksum that fits, too: a sum tells of damage, not of malice."""
    trailer = b"D2LBLK\x01\n" + struct.pack("<Q", len(lie))
    trailer += struct.pack("<I", zlib.crc32(lie + trailer))
    for data in (lie, lie + trailer + struct.pack("<I", zlib.crc32(trailer))):
        assert outcome(tmp_path / "f.params", data) == "refused"


def test_nothing_but_the_first_bytes(tmp_path):
    for start in (b"\x93NUMPY", b"\x93NUMPY\1", b"PK\3\4", b"PK"):
        assert outcome(tmp_path / "f", start) == "refused"
