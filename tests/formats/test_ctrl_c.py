"""Ctrl-C in a save or a load: it comes, as itself, and leaves the old file whole and alone."""

import os
import random
import signal
import sys
import time
import zipfile

import pytest

from d2lblocks import np, npx
from d2lblocks.formats import checksum
from tests.formats.test_crashes import FORMS, NEW, OLD, found, save

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")
slow = pytest.mark.slow


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("act", [save, lambda file, _: npx.load(file)], ids=["save", "load"])
def test_ctrl_c_while_a_big_file_passes(tmp_path, name, act):
    """It comes soon wherever it strikes; the old file is whole and alone."""
    file, big, rng = tmp_path / name, np.zeros((40_000_000,)), random.Random(name)
    save(file, big if act is not save else OLD)
    for _ in range(4):
        assert interrupted(lambda: act(file, big), rng.uniform(0.02, 0.3), 5)  # a disk may be busy
        assert [p.name for p in tmp_path.iterdir()] == [name]
    assert len(npx.load(file)["x"]) in (700, 40_000_000)


def interrupted(act, seconds, patience):
    """Do something again and again; whether Ctrl-C, some time after it began, ends that within so many seconds."""
    begun, beginning = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(beginning, b"!")
            while True:
                act()
        except KeyboardInterrupt:
            os._exit(5)
        finally:
            os._exit(1)
    os.read(begun, 1)  # before that, Python prepares the new process, and what comes then is lost
    os.close(begun)
    os.close(beginning)
    time.sleep(seconds)
    os.kill(pid, signal.SIGINT)
    late, ended = time.monotonic() + patience, 0
    while not ended and time.monotonic() < late:
        time.sleep(1e-3)
        ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status) == 5


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("act", [save, lambda file, _: npx.load(file)], ids=["save", "load"])
@pytest.mark.parametrize("times", [20, pytest.param(2000, marks=slow)])
def test_no_ctrl_c_is_lost(tmp_path, name, act, times):
    """Threads come and go; where something of Python's dies just then, it might be swallowed."""
    file, x, rng = tmp_path / name, np.zeros((1_500_000,)), random.Random(name)
    save(file, x)
    assert all(interrupted(lambda: act(file, x), rng.uniform(0, 0.04), 30) for _ in range(times))  # a disk may be busy
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system has no reading here and there")
@pytest.mark.parametrize("name", FORMS)
def test_nothing_of_pythons_dies_with_a_callback(tmp_path, name, monkeypatch):
    """What a callback of a dying object or `__del__` raises is lost, a Ctrl-C as well: the threads of a file have none."""
    monkeypatch.setattr(checksum, "_cores", lambda: 2)
    names = {"remove", "_remove", "weakref_cb", "__del__"}
    seen = []
    sys.setprofile(lambda frame, event, _: seen.append(frame.f_code) if event == "call" else None)
    try:
        save(tmp_path / name, np.zeros((1_500_000,)))
        npx.load(tmp_path / name)
    finally:
        sys.setprofile(None)
    assert [code for code in seen if code.co_name in names] == []
    assert any(code.co_name == "_start" for code in seen) == (name != "w.npz")


def test_a_second_ctrl_c_leaves_nothing_for_long(tmp_path):
    """It may come while the temporary file is removed; the next save of this process does it then."""

    def interrupted_twice(*_):
        raise KeyboardInterrupt

    save(tmp_path / "w.params", OLD)
    for call in ("replace", "remove"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", interrupted_twice)
            if call == "remove":
                patch.setattr(os, "remove", interrupted_twice)
            with pytest.raises(KeyboardInterrupt):
                save(tmp_path / "w.params", NEW)
        assert len(list(tmp_path.iterdir())) == (2 if call == "remove" else 1)
    save(tmp_path / "w.params", NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["w.params"] and found(tmp_path / "w.params") == "new"


@pytest.mark.parametrize("where", ["_open_to_write", "close"])
def test_ctrl_c_in_an_archive_is_no_other_error(tmp_path, monkeypatch, where):
    """The archive itself, closed while an array is half written, would raise a ValueError in its place."""

    def interrupted(self, *args, **kwargs):
        if where == "_open_to_write":
            self._writing = True
        raise KeyboardInterrupt

    save(tmp_path / "w.npz", OLD)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile if where == "_open_to_write" else zipfile._ZipWriteFile, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "w.npz", NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"] and found(tmp_path / "w.npz") == "old"
