"""What the system may refuse while saving or loading: the old file stays whole, and nothing else is left."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from d2lblocks import np, npx

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")
ordinary = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is forbidden to root")


@pytest.fixture
def old(tmp_path):
    """A file that was saved before, in a folder of its own."""
    file = tmp_path / "w.params"
    npx.save(file, np.array([1, 2, 3]))
    return file


def whole(file):
    """The old file is there as it was, and it is alone."""
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    return npx.load(file)[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("call", [npx.load, lambda f: npx.save(f, np.ones(1))], ids=["load", "save"])
@pytest.mark.parametrize(("name", "kind"), [("", IsADirectoryError), ("no/such/file", FileNotFoundError),
                                            ("w.params/inside", NotADirectoryError), ("x" * 300, OSError)])  # fmt: skip
def test_places_that_are_no_files(old, call, name, kind):
    place = old.parent / name
    with pytest.raises(kind if os.name != "nt" else OSError) as problem:
        call(place)
    assert str(place) in str(problem.value) and whole(old)


@posix
def test_read_only_file(old):
    old.chmod(0o444)
    with pytest.raises(PermissionError, match=r"read-only.*w\.params"):
        npx.save(old, np.ones(1))
    assert whole(old)


@posix
@ordinary
def test_what_an_ordinary_user_may_not(old):
    old.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match=r"w\.params"):
            npx.save(old, np.ones(1))
    finally:
        old.parent.chmod(0o755)
    assert whole(old)
    old.chmod(0)
    with pytest.raises(PermissionError, match=r"w\.params"):
        npx.load(old)


@posix
def test_full_disk(old):
    """A file may have at most 4096 bytes here, as if the disk were full behind them."""
    program = (
        "import resource, signal, sys; from d2lblocks import np, npx; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: npx.save(sys.argv[1], np.zeros(5000))\nexcept OSError as problem: print(problem)"
    )
    said = subprocess.run([sys.executable, "-c", program, old], capture_output=True, text=True, check=True).stdout
    assert str(old) in said and ".tmp" not in said and whole(old)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_full_device():
    with pytest.raises(OSError, match="No space left"):
        npx.save("/dev/full", np.zeros(5000))


@posix
def test_killed_while_saving(old):
    """What a killed process leaves goes with the next save."""
    program = (
        "import os, signal, sys; from d2lblocks import np, npx\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nnpx.save(sys.argv[1], np.zeros(9))"
    )
    assert subprocess.run([sys.executable, "-c", program, old]).returncode == -signal.SIGKILL
    assert len(list(old.parent.iterdir())) == 2 and npx.load(old)[0].tolist() == [1, 2, 3]
    npx.save(old, np.array([1, 2, 3]))
    assert whole(old)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, MemoryError])
def test_interrupted_while_saving(old, monkeypatch, problem):
    def stop(_):
        raise problem

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(problem):
        npx.save(old, np.ones(3))
    assert whole(old)


@posix
def test_modes_and_links(old, tmp_path_factory):
    old.chmod(0o640)
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(old)
    npx.save(link, np.array([1, 2, 3]))
    assert link.is_symlink() and old.stat().st_mode & 0o777 == 0o640 and whole(old)
    before = os.umask(0o027)
    try:
        npx.save(link.parent / "new", np.ones(1))
    finally:
        os.umask(before)
    assert (link.parent / "new").stat().st_mode & 0o777 == 0o640


@posix
def test_long_names(tmp_path):
    for name in ("x" * 255, "重" * 85):
        npx.save(tmp_path / name, np.ones(1))
        assert npx.load(tmp_path / name)[0].tolist() == [1]


def test_many_threads_at_one_file(old):
    """Whoever comes last wins, and a reader sees one whole file or the other."""
    threads = [threading.Thread(target=npx.save, args=(old, np.full((500,), i))) for i in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(set(npx.load(old)[0].tolist())) in (1, 3)
    assert [p.name for p in old.parent.iterdir()] == [old.name]
    assert npx.load(old)[0].shape == (500,)
