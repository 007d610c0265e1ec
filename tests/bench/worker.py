"""One peer's side: builds the workloads of its framework, times them on request. Standard library and NumPy only."""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import sys
import tempfile
import time

from tests.bench.workloads import LR, make


def fastest(call, budget: float) -> tuple[float, float]:
    """Return wall and CPU seconds of one call: those of the fastest chunk of some 4 ms within the budget, of two at least."""
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    n, best, end = max(1, int(4e-3 / once)), (float("inf"), 0.0), time.perf_counter() + budget
    chunks = 0
    while chunks < 2 or time.perf_counter() < end:
        chunks += 1
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(n):
            call()
        best = min(best, ((time.perf_counter() - start) / n, (time.process_time() - cpu) / n))
    return best


def memory() -> tuple[int, int]:
    """Return what is resident now, and the most since the last `forget_peak`, in bytes; Linux only."""
    with open("/proc/self/status") as f:
        text = f.read()
    return tuple(1024 * int(re.search(rf"{key}:\s*(\d+)", text)[1]) for key in ("VmRSS", "VmHWM"))  # type: ignore


def forget_peak() -> None:
    """Let the peak begin anew."""
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


def peak(peer, workload: str, folder: str) -> int | None:
    """Return by how much memory rises at most while a net is built and makes five steps; libraries are loaded before."""
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    small = make(peer, "W4b1", folder)
    for _ in range(3):
        small.call()
    gc.collect()
    forget_peak()
    before = memory()[0]
    task = make(peer, workload, folder)
    for _ in range(5):
        task.call()
    return memory()[1] - before


def serve(peer, folder: str) -> None:
    """Answer questions until there are none; one workload is held at a time."""
    name = task = None
    if hasattr(peer, "warm"):
        peer.warm()
    for line in sys.stdin:
        question = json.loads(line)
        if question["workload"] != name:
            task = None
            gc.collect()
            name, task = question["workload"], make(peer, question["workload"], folder)
        if task is None:
            answer: dict = {"missing": True}
        elif question["what"] == "check":
            answer = {"values": task.value()}
        else:
            wall, cpu = fastest(task.call, question["budget"])
            answer = {"wall": wall, "cpu": cpu}
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve; or compute one gradient, or measure memory, say so and end."""
    name, cores, job, *rest = sys.argv[1:]
    if cores != "-" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})  # before the framework counts its cores
    framework, _, mode = name.partition("_")
    peer = importlib.import_module(f"tests.bench.peer_{framework}").Peer(mode, LR)
    if job == "first":
        peer.first()
        print(json.dumps({"cpu": time.process_time()}), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        if job == "memory":
            print(json.dumps({"peak": peak(peer, rest[0], folder)}), flush=True)
        else:
            serve(peer, folder)


if __name__ == "__main__":
    main()
