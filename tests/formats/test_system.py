"""What the system may refuse while saving or loading: the old file stays whole, and nothing else is left."""

import os
import signal
import subprocess
import sys
import threading

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.np.ndarray import wrap

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
        with pytest.raises(PermissionError, match=r"takes no new files.*w\.params"):
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
@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
@pytest.mark.parametrize("count", [5000, 6_000_000])
def test_full_device(tmp_path, form, count):
    """Also by a link, whose suffix tells the form; the message has the name that was given."""
    file = tmp_path / f"w.{form}"
    file.symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"No space left.*w\.{form}"):
        npx.save(file, {"x": np.zeros(count)})
    assert file.is_symlink() and os.path.exists("/dev/full")


@posix
def test_links_in_a_circle_and_into_nothing(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("no/such/file")
    (tmp_path / "new").symlink_to("later")
    for call in (npx.load, lambda f: npx.save(f, np.ones(1))):
        with pytest.raises(OSError, match="circle"):
            call(tmp_path / "circle")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            call(tmp_path / "nowhere")
    npx.save(tmp_path / "new", np.ones(1))
    assert (tmp_path / "new").is_symlink() and len(npx.load(tmp_path / "later")) == 1


@pytest.mark.parametrize("call", [npx.load, lambda f: npx.save(f, np.ones(1))], ids=["load", "save"])
def test_names_that_no_file_can_have(tmp_path, monkeypatch, call):
    class Path:
        def __fspath__(self):
            return b"as bytes"

    monkeypatch.chdir(tmp_path)
    for name, kind, words in (("a\0b", ValueError, r"a\\x00b.*NUL"), (b"x", TypeError, "text or a path"),
                              (Path(), TypeError, "as bytes.*fsdecode"), (1, TypeError, "got int")):  # fmt: skip
        with pytest.raises(kind, match=words):
            call(name)
    with pytest.raises(OSError, match="folder/"):
        call("folder/")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
def test_names_of_every_writing(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    names = [f"重み é \U0001f600.{form}", f"two\nlines.{form}", f"-rf *.{form}", f"%d{{}}.{form}"]
    if os.name != "nt":
        names += [f"C:\\folder\\net.{form}", os.fsdecode(b"\xff." + form.encode())]
    for name in names:
        npx.save(name, {"x": np.arange(3)})
        assert npx.load(name)["x"].tolist() == [0, 1, 2]
    assert sorted(os.listdir()) == sorted(names)


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
@pytest.mark.parametrize("kind", ["int16", "uint32", "complex64", "U3", "O", "M8[s]"])
def test_dtypes_that_no_file_can_hold(tmp_path, form, kind):
    with pytest.raises(ValueError, match=rf"f\.{form}: array 'b' is .*astype"):
        npx.save(tmp_path / f"f.{form}", {"a": np.ones(2), "b": wrap(onp.ones(2).astype(kind))})
    assert not list(tmp_path.iterdir())


@posix
def test_out_of_a_program_into_another(tmp_path):
    """/dev/stdout leads to the pipe, which has no name of its own."""
    program = "from d2lblocks import np, npx; npx.save('/dev/stdout', {'x': np.arange(2_000_000)})"
    (tmp_path / "f").write_bytes(
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout
    )
    assert npx.load(tmp_path / "f")["x"].shape == (2_000_000,)


@pytest.mark.parametrize("form", ["params", "safetensors"])
def test_without_threads(tmp_path, monkeypatch, form):
    """A system may have no more of them, and at the end of Python there are none."""

    def none(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    npx.save(tmp_path / f"f.{form}", {"x": np.arange(6_000_000)})
    assert int(npx.load(tmp_path / f"f.{form}")["x"][-1]) == 5_999_999


@pytest.mark.parametrize("form", ["params", "npz", "safetensors"])
def test_over_the_file_that_is_mapped_into_memory(tmp_path, form):
    """The map keeps the file that it was made of."""
    file = tmp_path / f"f.{form}"
    npx.save(file, {"x": np.full((1000,), 3)})
    at = file.read_bytes().index(onp.full(1000, 3, "f4").tobytes())
    mapped = onp.memmap(file, "f4", "r", offset=at, shape=1000)
    npx.save(file, {"x": wrap(mapped[::2]), "y": wrap(mapped)})
    found = npx.load(file)
    assert found["x"].tolist() == [3] * 500 and found["y"].tolist() == [3] * 1000 and (mapped == 3).all()


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
