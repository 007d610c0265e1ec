"""The peers: a process each, pinned to the same core, that times what it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"  # a virtual environment for each framework, made by tests.bench.setup
MODES = {"d2lblocks": ["eager", "hybrid"], "torch": ["eager", "compile"], "mxnet": ["imperative", "hybrid"]}
# Preset kernels halve NumPy's products on new processors, and unwritten byte code is compiled at every import.
HARMFUL = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
CACHES = ("D2LBLOCKS_CACHE_DIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def names(texts: list[str]) -> list[str]:
    """Return the peers meant by frameworks and modes: torch is torch_eager and torch_compile."""
    wanted = " ".join(texts).replace(",", " ").split()
    found = [f"{name}_{mode}" for name in wanted for mode in MODES.get(name, [])]
    return list(dict.fromkeys([*found, *(name for name in wanted if name not in MODES)]))


def interpreter(framework: str, folder: Path = FOLDER) -> str:
    """Return the Python that has the framework: this one for d2lblocks and NumPy, else that of its environment."""
    if framework in ("d2lblocks", "numpy"):
        return sys.executable
    places = [folder / framework / "bin" / "python", folder / framework / "Scripts" / "python.exe"]
    for place in places:
        if place.exists():
            return str(place)
    raise SystemExit(
        f"There is no Python with {framework} in {folder / framework}: python -m tests.bench.setup makes "
        f"one, or name it by --peer {framework}=/path/to/python."
    )


class Peer:
    """A process that holds one workload of one framework at a time."""

    def __init__(self, name: str, python: str, threads: int):
        self.name, self.python = name, python
        self.env = {k: v for k, v in os.environ.items() if k not in HARMFUL}
        self.env.update(
            PYTHONPATH=str(ROOT),
            OMP_NUM_THREADS=str(threads),
            OPENBLAS_NUM_THREADS=str(threads),
            MKL_NUM_THREADS=str(threads),
        )
        if threads == 1:
            self.env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        there = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.cores = ",".join(map(str, there[-threads:])) or "-"
        self.process: subprocess.Popen | None = None

    def start(self, *job: str, env: dict | None = None) -> subprocess.Popen:
        """Start a process of this peer."""
        return subprocess.Popen(
            [self.python, "-m", "tests.bench.worker", self.name, self.cores, *job],
            env={**self.env, **(env or {})},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, workload: str, budget: float = 0.0) -> dict:
        """Send a question to the process that waits for them, and wait for its answer."""
        if self.process is None:
            self.process = self.start("serve")
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"what": what, "workload": workload, "budget": budget}) + "\n")
        self.process.stdin.flush()
        return self._answer(self.process)

    def once(self, *job: str, env: dict | None = None) -> dict:
        """Return the answer of a fresh process, with the wall time to it as `wall`."""
        start = time.perf_counter()
        with self.start(*job, env=env) as process:
            answer = self._answer(process)
            return {"wall": time.perf_counter() - start, **answer}

    def first(self, empty: bool) -> dict:
        """Time a fresh process to its first gradient; with `empty`, nothing is cached that it compiles."""
        if not empty:
            return self.once("first")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # what compiles may go on writing
            return self.once("first", env=dict.fromkeys(CACHES, folder))

    def warm(self) -> None:
        """Fill the caches of what is compiled at first use."""
        if self.name.startswith("d2lblocks"):
            subprocess.run(
                [self.python, "-m", "d2lblocks", "warm", "--kernels"], env=self.env, cwd=ROOT, stdout=subprocess.DEVNULL
            )
        self.first(False)

    def _answer(self, process: subprocess.Popen) -> dict:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("{"):  # a library may say something of its own
                return json.loads(line)
        raise SystemExit(f"{self.name} ({self.python}) ended; its message stands above.")

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()
            self.process = None
