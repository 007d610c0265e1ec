"""Checksums put together from pieces: the same as of the whole, whoever moves them and in whatever order they are done."""

import _thread
import contextlib
import os
import queue
import random
import sys
import threading
import time
import zlib

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.formats import checksum
from d2lblocks.formats.atomic import write_all
from d2lblocks.formats.checksum import Checksum, joined
from d2lblocks.np.ndarray import wrap

threaded = pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system has no reading here and there")
FORMS = ["params", "safetensors"]


@pytest.fixture
def pieces(monkeypatch):
    """Even small arrays are shared among threads, in pieces of 64 bytes and parts of 16."""
    for name, value in {"PIECE": 64, "CACHED": 16, "_AHEAD": 3, "_cores": lambda: 3}.items():
        monkeypatch.setattr(checksum, name, value)


def test_joined():
    rng = random.Random(0)
    for n in (0, 1, 2, 3, 7, 64, 1000, 1 << 18, (1 << 20) + 3):
        for m in (0, 1, 5, 300):
            a, b = rng.randbytes(m), rng.randbytes(n)
            assert joined(zlib.crc32(a), zlib.crc32(b), n) == zlib.crc32(a + b)


@pytest.fixture
def file(tmp_path):
    with open(tmp_path / "f", "w+b") as f:
        yield f


class Moved(bytearray):
    """Where pieces are moved to; after a while, if they are to come late."""

    def __init__(self, n, late=0.0):
        super().__init__(n)
        self.rng, self.late = random.Random(n), late

    def __call__(self, handle, part, at):
        os.fstat(handle)  # it is open
        time.sleep(self.rng.uniform(0, self.late))
        self[at : at + len(part)] = part


@threaded
def test_pieces_are_summed_in_their_order_however_late_they_come(pieces, file):
    data, moved = random.Random(1).randbytes(1000), Moved(1000, 2e-3)
    with Checksum(1000, file=file) as crc:
        assert crc.shares(16) and not crc.shares(15)
        crc.add(data[:10])
        crc.later(moved, memoryview(data)[10:500], 10)
        crc.add(data[500:502])
        crc.add(data[502:503])
        crc.later(moved, memoryview(data)[503:], 503)
        assert crc.value() == zlib.crc32(data) and moved[10:500] == data[10:500] and moved[503:] == data[503:]


@threaded
@pytest.mark.parametrize("n", [16, 17, 63, 64, 65, 191, 192, 193, 1000])
def test_pieces_of_all_sizes(pieces, file, n):
    data, moved = random.Random(n).randbytes(n), Moved(n)
    with Checksum(1000, file=file) as crc:  # a small file would not be shared
        crc.later(moved, memoryview(data), 0)
        assert crc.value() == zlib.crc32(data) and moved == data
    with Checksum(1000, wanted=False, file=file) as crc:
        crc.later(lambda *_: None, memoryview(data), 0)
        crc.add(data)
        assert crc.value() == 0


def ended(before, seconds=5.0):
    """Whether nothing is left soon: no thread, no handle. Some of `before` may have been on their way out."""
    deadline = time.monotonic() + seconds
    while (
        not (gone := all(now <= then for now, then in zip(left(), before, strict=True))) and time.monotonic() < deadline
    ):
        time.sleep(1e-3)
    return gone


def left():
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return len(sys._current_frames()), handles


def refuse(*_):
    raise RuntimeError("can't start new thread")


def die(function, args):
    """A thread that ends before its first line, for lack of memory, is started all the same."""


@threaded
@pytest.mark.parametrize("start", [refuse, die])
def test_without_threads(pieces, file, monkeypatch, start):
    monkeypatch.setattr(_thread, "start_new_thread", start)
    data, moved = random.Random(0).randbytes(1000), Moved(1000)
    with Checksum(1000, file=file) as crc:
        crc.later(moved, memoryview(data), 0)
        assert crc.value() == zlib.crc32(data) and moved == data


@threaded
def test_a_piece_whose_thread_died(pieces, file, monkeypatch):
    """One that took it, and ended without a word for lack of memory."""
    data, moved = random.Random(0).randbytes(1000), Moved(1000)
    with Checksum(1000, file=file) as crc:
        monkeypatch.setattr(crc, "_start", lambda: None)
        crc.later(moved, memoryview(data)[:64], 0)
        crc._jobs.get_nowait()
        crc.later(moved, memoryview(data)[64:], 64)
        assert crc.value() == zlib.crc32(data) and moved == data


@threaded
def test_the_end_waits_for_all_and_a_failure_gives_up_the_rest(pieces, file):
    moved, before = Moved(640, 2e-3), left()
    with Checksum(1000, file=file) as crc:
        crc.later(moved, memoryview(bytes([7] * 640)), 0)
    assert moved == bytes([7] * 640) and ended(before)

    def fail(*_):
        raise OSError(5, "I/O error")

    with pytest.raises(OSError, match="I/O"), Checksum(1000, file=file) as crc:
        crc.later(fail, memoryview(bytes(640)), 0)
    assert ended(before)


@threaded
@pytest.mark.parametrize("cut", ["exit", "value", "start"])
def test_threads_end_by_themselves_wherever_ctrl_c_comes(pieces, file, monkeypatch, cut):
    """Also where it comes before anybody could tell them to end."""
    before = left()

    def interrupted(*_):
        raise KeyboardInterrupt

    where = {"exit": "__exit__", "value": "value", "start": "_join"}[cut]
    monkeypatch.setattr(Checksum, where, interrupted)
    for _ in range(5):
        with contextlib.suppress(KeyboardInterrupt), Checksum(1000, file=file) as crc:
            crc.later(Moved(640, 1e-3), memoryview(bytes(640)), 0)
    assert ended(before)


@threaded
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("checked", [True, False])
def test_the_same_bytes_with_threads_and_without(tmp_path, pieces, monkeypatch, form, checked):
    rng = onp.random.default_rng(0)
    raws = {"a": rng.random((9, 7)), "tiny": rng.random(2), "t": rng.random((8, 6, 4)).T, "none": onp.empty((0, 3))}
    raws |= {
        "half": rng.random(301).astype("f2"),
        "flags": rng.random(300) < 0.5,
        "swapped": rng.random(99).astype(">f4"),
    }
    arrays = {name: wrap(raw) for name, raw in raws.items()}
    npx.save(tmp_path / f"shared.{form}", arrays, checked)
    shared = npx.load(tmp_path / f"shared.{form}")
    monkeypatch.setattr(checksum, "_cores", lambda: 1)
    npx.save(tmp_path / f"alone.{form}", arrays, checked)
    assert (tmp_path / f"shared.{form}").read_bytes() == (tmp_path / f"alone.{form}").read_bytes()
    alone = npx.load(tmp_path / f"shared.{form}")
    for name, raw in raws.items():
        assert (shared[name].asnumpy() == raw).all() and (alone[name].asnumpy() == raw).all()


@threaded
@pytest.mark.parametrize("form", FORMS)
def test_damage_is_found_with_threads_too(tmp_path, pieces, form):
    file = tmp_path / f"f.{form}"
    npx.save(file, {"x": np.arange(100), "flags": np.ones((200,), dtype=bool)})
    data = file.read_bytes()
    behind = data.index(b"}}") if form == "safetensors" else 0  # some texts before mean nothing
    for at in range(behind, len(data), 3):
        file.write_bytes(data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :])
        with pytest.raises(ValueError, match=rf"f\.{form}"):
            npx.load(file)
        file.write_bytes(data[:at])
        with pytest.raises(ValueError, match=rf"f\.{form}"):
            npx.load(file)


@threaded
def test_a_late_thread_writes_into_no_other_file(tmp_path, pieces, monkeypatch):
    """After Ctrl-C a thread may still be at work; the number of its file must not have become that of another."""
    begun, go, wrote, real, before = threading.Event(), threading.Event(), threading.Event(), os.pwrite, left()

    def late(handle, part, at):
        begun.set()
        go.wait()
        try:
            return real(handle, part, at)
        finally:
            wrote.set()

    monkeypatch.setattr(os, "pwrite", late)
    with pytest.raises(KeyboardInterrupt), open(tmp_path / "f", "wb") as f, Checksum(64, file=f) as crc:
        write_all(f, b"late" * 4, crc)
        assert begun.wait(10)
        raise KeyboardInterrupt
    with open(tmp_path / "other", "wb"):
        go.set()
        assert wrote.wait(10)
    assert b"late" in (tmp_path / "f").read_bytes() and not (tmp_path / "other").read_bytes()
    assert ended(before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
@pytest.mark.parametrize("form", [*FORMS, "npz"])
def test_into_a_pipe(tmp_path, pieces, form):
    """A pipe takes one byte after another; what comes out is a file."""
    pipe, found = tmp_path / f"pipe.{form}", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    npx.save(pipe, {"x": np.arange(200), "y": np.ones(3)})
    reader.join()
    (tmp_path / "f").write_bytes(found[0])
    assert npx.load(tmp_path / "f")["x"].tolist() == list(range(200))


@threaded
def test_a_piece_that_a_thread_takes_at_the_last_moment_is_done_once(pieces, file, monkeypatch):
    """Between the question whether one is at work and that for a job: done twice, it could be moved after the end."""
    moved, done, before = Moved(64, 2e-3), [], left()

    def move(handle, part, at):
        done.append(at)
        moved(handle, part, at)

    with Checksum(1000, file=file) as crc:
        real, start = crc._jobs, crc._start
        monkeypatch.setattr(crc, "_start", lambda: None)
        crc.later(move, memoryview(bytes(64)), 0)

        class Late:
            def get_nowait(self):
                for _ in range(3 - len(crc._begun)):
                    start()
                while not real.empty():
                    time.sleep(1e-4)
                return real.get_nowait()

            def __getattr__(self, name):
                return getattr(real, name)

        crc._jobs = Late()
        crc.value()
    assert ended(before) and len(done) == len(set(done)) == 6


@threaded
def test_ctrl_c_just_behind_a_result_is_not_lost(pieces, file, monkeypatch):
    """Where the main thread works itself: what came of the piece must not hide it."""

    class Struck(queue.SimpleQueue):
        def put(self, x):
            super().put(x)
            if isinstance(x, int):
                raise KeyboardInterrupt

    monkeypatch.setattr(checksum.queue, "SimpleQueue", Struck)
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(KeyboardInterrupt), Checksum(1000, file=file) as crc:
        crc.later(Moved(640), memoryview(bytes(640)), 0)
