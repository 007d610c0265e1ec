"""Kills, failures and full disks at every moment of a save: there is always a good file, and in the end nothing else."""

import errno
import io
import os
import random
import re
import signal
import subprocess
import threading
import time

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.formats import atomic

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")
slow = pytest.mark.slow
OLD, NEW = np.full((700,), 1.0), np.full((900,), 2.0)
FORMS = ["w.params", "w.npz", "w.safetensors"]


def save(file, x):
    npx.save(file, {"x": x})


def found(file):
    """Return 'old' or 'new': what the file holds, whole."""
    x = npx.load(file)["x"].asnumpy()
    return {(700, 1.0): "old", (900, 2.0): "new"}[len(x), *set(x.tolist())]


def child(act):
    """Do something in a process of its own; gives back its exit code, -9 if it was killed."""
    pid = os.fork()
    if not pid:
        try:
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Calls:
    """Stands between a save and the system: `event(n, name)` comes before and after each call, which are numbered."""

    def __init__(self, patch, event):
        self.log, self.event = [], event
        for name in ("open", "chmod", "posix_fallocate", "fsync", "close", "replace", "remove"):
            if hasattr(os, name):
                patch.setattr(os, name, self.counted(name, getattr(os, name)))
        calls, created = self, self.counted("create", lambda path: File(path, "x"))

        class File(io.FileIO):
            write = lambda self, data: calls.counted("write", super().write)(data)
            close = lambda self: None if self.closed else calls.counted("close file", super().close)()

        patch.setattr(atomic, "open", lambda path, mode: io.BufferedWriter(created(path)), raising=False)

    def counted(self, name, function):
        def call(*args):
            self.log.append(name)
            self.event(2 * len(self.log) - 2, name)
            result = function(*args)
            self.event(2 * len(self.log) - 1, name)
            return result

        return call


def test_the_order_is_that_of_durable_files(tmp_path, monkeypatch):
    save(tmp_path / "w.params", OLD)
    with monkeypatch.context() as patch:
        calls = Calls(patch, lambda *_: None)
        save(tmp_path / "w.params", NEW)
    order = [name for i, name in enumerate(calls.log) if not i or calls.log[i - 1] != name]
    assert order == [
        "create",
        "chmod",
        "posix_fallocate",
        "write",
        "fsync",
        "close file",
        "replace",
        "open",
        "fsync",
        "close",
    ]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("there", [True, False])
def test_killed_before_and_after_every_call(tmp_path, monkeypatch, name, there):
    file = tmp_path / name
    outcomes = []
    for n in range(100):
        file.unlink(missing_ok=True)
        if there:
            save(file, OLD)

        def die(at, _, n=n):
            if at == n:
                os.kill(os.getpid(), signal.SIGKILL)

        with monkeypatch.context() as patch:
            Calls(patch, die)
            code = child(lambda: save(file, NEW))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        outcomes.append(found(file) if file.exists() else "none")
        save(file, OLD)  # what a killed process left goes with the next save
        assert [p.name for p in tmp_path.iterdir()] == [name]
    before = "old" if there else "none"
    assert n > 14 and outcomes == sorted(outcomes, key=[before, "new"].index) and set(outcomes) == {before, "new"}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("problem", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_failure_at_every_call(tmp_path, monkeypatch, name, problem):
    file = tmp_path / name
    save(file, OLD)
    for n in range(100):

        def fail(at, what, n=n):
            if at == n and what != "remove":
                raise problem

        with monkeypatch.context() as patch:
            calls = Calls(patch, fail)
            try:
                save(file, NEW)
                done = True
            except type(problem) as caught:
                done = False
                assert not isinstance(caught, OSError) or (caught.filename == str(file) and caught.errno == errno.EIO)
        assert [p.name for p in tmp_path.iterdir()] == [name]
        assert found(file) == "new" if done else found(file) in ("old", "new")[: 1 + ("replace" in calls.log)]
        save(file, OLD)
        if n >= 2 * len(calls.log):
            break
    assert n > 14


def looping(file, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        save(file, OLD)
        save(file, NEW)


@pytest.mark.parametrize("kills", [25, pytest.param(1000, marks=slow)])
def test_kill_9_in_save_loops(tmp_path, kills):
    rng, file = random.Random(kills), tmp_path / "w.params"
    save(file, OLD)
    for _ in range(kills):
        pid = os.fork()
        if not pid:
            looping(file, 10)
            os._exit(0)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert found(file) in ("old", "new")
    save(file, OLD)
    assert [p.name for p in tmp_path.iterdir()] == ["w.params"]


def limited(file, size, reserve):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if not reserve:  # as on systems that cannot take the room at once
        del os.posix_fallocate
    try:
        save(file, NEW)
    except OSError as problem:
        os._exit(3 if problem.filename == str(file) and problem.errno == errno.EFBIG else 4)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("reserve", [True, False])
@pytest.mark.parametrize("step", [203, pytest.param(7, marks=slow)])
def test_full_disk_at_many_places(tmp_path, name, reserve, step):
    file = tmp_path / name
    save(file, NEW)
    size = file.stat().st_size
    save(file, OLD)
    for room in range(0, size, step):
        assert child(lambda room=room: limited(file, room, reserve)) == 3
        assert found(file) == "old" and [p.name for p in tmp_path.iterdir()] == [name]
    assert child(lambda: limited(file, size, reserve)) == 0 and found(file) == "new"


@slow
def test_full_small_disk(tmp_path):
    """A disk of 64 KB that is filled, byte by byte, before each save."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only an administrator can make a disk")
    try:
        file, ballast = tmp_path / "w.params", tmp_path / "ballast"
        save(file, OLD)
        failures = 0
        for size in range(0, 60_000, 1000):
            try:
                ballast.write_bytes(bytes(size))
            except OSError:
                break
            try:
                save(file, NEW)
                assert found(file) == "new"
                save(file, OLD)
            except OSError as problem:
                failures += 1
                assert problem.errno == errno.ENOSPC and problem.filename == str(file)
                assert found(file) in ("old", "new")
            assert sorted(p.name for p in tmp_path.iterdir()) == ["ballast", "w.params"]
        assert failures
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=slow)])
def test_two_writers_and_a_reader(tmp_path, seconds):
    file, reads = tmp_path / "w.params", 0
    save(file, OLD)
    writers = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            looping(file, seconds)
            os._exit(0)
        writers.append(pid)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert found(file) in ("old", "new")
        reads += 1
    assert [os.waitpid(pid, 0)[1] for pid in writers] == [0, 0] and reads > 20
    assert [p.name for p in tmp_path.iterdir()] == ["w.params"]


def test_two_threads_save_one_name(tmp_path):
    file, problems = tmp_path / "w.params", []

    def work(x):
        try:
            for _ in range(30):
                save(file, x)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(x,)) for x in (OLD, NEW)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems and found(file) in ("old", "new") and [p.name for p in tmp_path.iterdir()] == ["w.params"]


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    file = tmp_path / "w.params"
    save(file, np.array(onp.zeros(3_000_000, "float32")))
    size, real = file.stat().st_size, os.fstat

    class Larger:
        def __init__(self, handle):
            self.st_size, self.st_mode = size, real(handle).st_mode
            self.st_dev, self.st_ino = real(handle).st_dev, real(handle).st_ino

    os.truncate(file, 5_000_000)
    monkeypatch.setattr(os, "fstat", Larger)
    with pytest.raises(ValueError, match=r"w\.params: truncated"):
        npx.load(file)


TEMPORARY = re.compile(r"\.w\.params\.(\w{8})\.(\d+)\.\w{8}\.tmp")


def test_whose_temporary_files_go(tmp_path):
    """Those of processes that are gone, and what a second Ctrl-C left of our own; of other machines, those of yesterday."""
    seen = []
    real = os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda a, b: (seen.append(os.path.basename(a)), real(a, b)))
        save(tmp_path / "w.params", OLD)
    world, pid = TEMPORARY.fullmatch(seen[0]).groups()
    assert int(pid) == os.getpid()
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    names = {
        "dead": f".w.params.{world}.{dead}.00000000.tmp",
        "left": f".w.params.{world}.{pid}.00000001.tmp",
        "busy": f".w.params.{world}.1.00000002.tmp",
        "other": f".w.params.{'0' * 8}.{dead}.00000003.tmp",
        "yesterday": f".w.params.{'0' * 8}.1.00000004.tmp",
        "foreign": ".w.paramsx.tmp",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / names["yesterday"], (time.time() - 90_000,) * 2)
    save(tmp_path / "w.params", NEW)
    left = {k for k, name in names.items() if (tmp_path / name).exists()}
    assert left == {"busy", "other", "foreign"}
