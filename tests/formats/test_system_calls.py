"""Killed before and after every system call that a save makes: what the kernel sees, not what Python calls. Linux only."""

import ctypes
import errno
import os
import platform
import signal
import sys

import pytest

from d2lblocks.formats import checksum
from tests.formats.test_crashes import FORMS, NEW, OLD, found, save

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ptrace as Linux has it")
TRACEME, PEEKUSER, SYSCALL, SETOPTIONS = 0, 3, 24, 0x4200
OPTIONS = 1 | 1 << 20  # tell stops at system calls from others; whom we trace ends when we do
AT_CALL = signal.SIGTRAP | 0x80
FORBIDDEN = 77
NUMBER = 8 * 15  # on x86-64: where the number of the call stands
NAMES = {1: "write", 74: "fsync", 82: "rename", 18: "write", 77: "truncate", 285: "fallocate"}


def ptrace(request, pid=0, address=0, data=0):
    """Ask the kernel; gives back its answer."""
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    ctypes.set_errno(0)
    answer = call(request, pid, address, data)
    if problem := ctypes.get_errno():
        raise OSError(problem, os.strerror(problem))
    return answer


def traced(act, kill_at):
    """Do something in a process of its own that is killed at stop `kill_at`, two for each call; gives back its calls.

    An empty list says that it came to its end; skips where the system forbids to trace.
    """
    pid = os.fork()
    if not pid:
        try:
            ptrace(TRACEME)
            os.kill(os.getpid(), signal.SIGSTOP)
            act()
            os._exit(0)
        except OSError as problem:
            os._exit(FORBIDDEN if problem.errno in (errno.EPERM, errno.ENOSYS) else 1)
        except BaseException:
            os._exit(1)
    status, calls, stops = os.waitpid(pid, 0)[1], [], 0
    if os.WIFSTOPPED(status):
        ptrace(SETOPTIONS, pid, 0, OPTIONS)
    while os.WIFSTOPPED(status):
        sent = os.WSTOPSIG(status)
        if sent == AT_CALL:
            if stops % 2 == 0 and platform.machine() == "x86_64":
                calls.append(NAMES.get(ptrace(PEEKUSER, pid, NUMBER), "other"))
            if stops == kill_at:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return calls, True
            stops += 1
        ptrace(SYSCALL, pid, 0, 0 if sent in (AT_CALL, signal.SIGSTOP) else sent)
        status = os.waitpid(pid, 0)[1]
    if os.waitstatus_to_exitcode(status) == FORBIDDEN:
        pytest.skip("the system forbids ptrace")
    assert os.waitstatus_to_exitcode(status) == 0
    return calls, False


@pytest.fixture(params=[False, True], ids=["alone", "threads"])
def threads(request, monkeypatch):
    """Whether the array is written by several threads, in pieces of 512 bytes."""
    if request.param:
        for name, value in {"PIECE": 512, "CACHED": 512, "_cores": lambda: 2}.items():
            monkeypatch.setattr(checksum, name, value)
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("there", [True, False])
def test_killed_before_and_after_every_system_call(tmp_path, name, there, threads):
    if threads and name.endswith("npz"):
        pytest.skip("archives are written by one thread")
    file, outcomes, before = tmp_path / name, [], "old" if there else "none"
    for n in range(3000):
        file.unlink(missing_ok=True)
        if there:
            save(file, OLD)
        _, killed = traced(lambda: save(file, NEW), n)
        if not killed:
            break
        outcomes.append(found(file) if file.exists() else "none")
        save(file, OLD)
        assert [p.name for p in tmp_path.iterdir()] == [name]
    assert not killed and n > 40 and set(outcomes) == {before, "new"}
    if not threads:  # whose calls come as they like
        assert outcomes == sorted(outcomes, key=[before, "new"].index)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of calls as on x86-64")
@pytest.mark.parametrize("name", FORMS)
def test_the_order_of_the_system_calls(tmp_path, name):
    """All is written and synced before the file takes its name, and then the folder is synced."""
    save(tmp_path / name, OLD)
    calls, _ = traced(lambda: save(tmp_path / name, NEW), -1)
    told = [call for i, call in enumerate(calls) if call != "other" and (not i or call != calls[i - 1])]
    assert (
        told[-3:] == ["fsync", "rename", "fsync"] and set(told[:-3]) <= {"fallocate", "write"} and told[-4] == "write"
    )
