"""Checkpoints: one file from which a training goes on as if it had never stopped."""

from __future__ import annotations

import contextlib
import os
import random
import re
from typing import Any

import numpy as onp

from d2lblocks import io, rng
from d2lblocks.errors import ArgumentError, ArrayTypeError, FormatError, kind_of, listed, warn
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.parameter.loading import do_all, fitted
from d2lblocks.gluon.states import check, check_rule
from d2lblocks.gluon.trainer import Trainer
from d2lblocks.np.ndarray import ndarray, wrap

_FILE = re.compile(r"step-(\d+)\.params")


class Checkpointer:
    """Keeps the newest checkpoints of a training in a folder: step-00000100.params and so on.

    Each holds the net's parameters, what the trainer remembers with its learning rate, and where the random streams stand:
    those of this thread, that of official NumPy (`numpy.random.permutation`, and all of its functions that need no Generator)
    and that of Python (`random.shuffle`). A file is whole or not there; damage is found.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many checkpoints stay; None for all.
    """

    def __init__(self, folder: str | os.PathLike, keep: int | None = 3):
        if not isinstance(folder, str | os.PathLike):
            raise ArrayTypeError(f"Checkpointer takes the name of a folder, got {kind_of(folder)}.")
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ArgumentError(f"keep is how many checkpoints stay, a whole number from 1, or None; got {keep!r}.")
        self.folder, self.keep = os.fspath(folder), keep

    def file(self, step: int) -> str:
        """Return the name of the file of a step."""
        return os.path.join(self.folder, f"step-{step:08d}.params")

    def steps(self) -> list[int]:
        """Return the steps of which there are checkpoints, rising."""
        try:
            found = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        steps = [int(match[1]) for name in found if (match := _FILE.fullmatch(name))]
        return sorted(step for step in set(steps) if os.path.basename(self.file(step)) in found)

    def save(self, step: int, net: Block, trainer: Trainer | None = None, rng: Any = True) -> str:
        """Save a checkpoint, then remove those older than the `keep` newest; gives back the name of the file.

        With `rng` False the random streams are left out. A Generator of your own is not among them; keep its state yourself.
        """
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ArgumentError(f"step is a whole number from 0, got {step!r}.")
        arrays = {f"net.{name}": x for name, x in net.saved_arrays().items()}
        if trainer is not None:
            names = _names(net, trainer)
            for key, x in trainer._updater.arrays().items():
                i, part = key.split(".")
                arrays[f"trainer.{part}.{names[int(i)]}"] = x
            arrays["lr"] = wrap(onp.float64(trainer.optimizer.lr))
            arrays[f"rule.{type(trainer.optimizer).__name__}"] = wrap(onp.empty(0))
        if rng:
            arrays |= {f"rng.{name}": wrap(x) for name, x in _streams().items()}
        os.makedirs(self.folder, exist_ok=True)
        io.save(self.file(step), arrays)
        older = [s for s in self.steps() if s < step]
        for s in older[: max(0, len(older) + 1 - self.keep)] if self.keep else []:
            with contextlib.suppress(OSError):  # another process tidies up, too; the new file is safe in any case
                os.remove(self.file(s))
        return self.file(step)

    def restore_latest(self, net: Block, trainer: Trainer | None = None, rng: Any = True) -> int | None:
        """Go back to the newest checkpoint that can be read; gives back its step, None if there is none.

        A damaged file is skipped with a warning. One that belongs to another net is an error, and nothing has changed.
        """
        for step in reversed(self.steps()):
            try:
                arrays = _named(self.file(step))
            except (FormatError, OSError) as problem:
                warn(f"This checkpoint is skipped: {problem}")
                continue
            self._restore(self.file(step), arrays, net, trainer, rng)
            return step
        return None

    def _restore(self, file: str, arrays: dict, net: Block, trainer: Trainer | None, streams_too: Any) -> None:
        """Take all from one checkpoint; everything is looked at before anything is changed."""
        states, streams, rules = (_part(arrays, kind) for kind in ("trainer.", "rng.", "rule."))
        for asked, found, what in (trainer, "lr" in arrays, "a trainer"), (streams_too, streams, "random streams"):
            if asked and not found:
                raise ArgumentError(f"File '{file}' tells nothing of {what}; it was saved without.")
        places = _places(file, {name: x.asnumpy() for name, x in streams.items()}) if streams_too else None
        if trainer is not None:
            for rule in rules:
                check_rule(rule, trainer.optimizer, file)
            if arrays["lr"].shape:
                raise ArgumentError(f"File '{file}': 'lr' is no learning rate, but of shape {arrays['lr'].shape}.")
            numbers = {name: i for i, name in enumerate(_names(net, trainer))}
            parted = {key: key.partition(".") for key in states}
            if lost := [name for _, _, name in parted.values() if name not in numbers]:
                raise ArgumentError(
                    f"File '{file}' tells of {listed(dict.fromkeys(lost))}, which this trainer does not move."
                )
            states = {f"{numbers[name]}.{part}": states[key] for key, (part, _, name) in parted.items()}
            check(states, trainer._params, trainer.optimizer, file)
        params = net._collect_params_with_prefix()
        steps: list = fitted(params, _part(arrays, "net."), f"file '{file}'", None, False, False, False, "current")
        if trainer is not None:
            rate = float(arrays["lr"])
            steps += [lambda: trainer._updater.take(states), lambda: setattr(trainer.optimizer, "lr", rate)]
        if places is not None:
            steps.append(lambda: _go_back(*places))
        do_all(steps)


def _named(file: str) -> dict[str, ndarray]:
    arrays = io.load(file)
    if not isinstance(arrays, dict) or not any(name.startswith("net.") for name in arrays):
        raise FormatError(f"{file}: this is no checkpoint.")
    return arrays


def _names(net: Block, trainer: Trainer) -> list[str]:
    """Return the structural names of what the trainer moves: unlike its numbers, they are the same in another notebook."""
    known = {id(p): name for name, p in net._collect_params_with_prefix().items()}
    return [known.get(id(p)) or p.name for p in trainer._params]


def _part(arrays: dict[str, ndarray], prefix: str) -> dict[str, ndarray]:
    return {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}


def _streams() -> dict[str, Any]:
    """Return where every random stream of this thread stands, and those of NumPy and Python; engine -1 is the serial one."""
    state = rng.get_state()
    engines = {-1: state["serial"], **state["parallel"]}
    bits = [engine["bits"]["state"] for engine in engines.values()]
    _, key, position, has_gauss, gauss = onp.random.get_state()
    _, words, waiting = random.getstate()
    return {
        "base": onp.int64(state["base"]),
        "engines": onp.array([[k, b["pos"], e["drawn"]] for (k, e), b in zip(engines.items(), bits, strict=True)]),
        "keys": onp.array([b["key"] for b in bits], "uint32").view("int32"),
        "numpy.key": onp.asarray(key, "uint32").view("int32"),
        "numpy.position": onp.array([position, has_gauss]),
        "numpy.gauss": onp.float64(gauss),
        "python.key": onp.array(words, "uint32").view("int32"),
        "python.gauss": onp.array([] if waiting is None else [waiting]),
    }


def _places(file: str, told: dict[str, onp.ndarray]) -> tuple[dict, tuple, tuple]:
    """Return the states for our streams, NumPy's and Python's; ArgumentError if the file does not tell them whole."""
    probe: Any = onp.random.MT19937()
    try:
        engines = {}
        for (k, position, drawn), key in zip(told["engines"].tolist(), told["keys"].view("uint32"), strict=True):
            bits = {"bit_generator": "MT19937", "state": {"key": key, "pos": _position(position)}}
            probe.state = bits  # like the two below, it looks at what it is given
            engines[k] = {"bits": bits, "drawn": drawn}
        own = {"base": int(told["base"]), "serial": engines.pop(-1), "parallel": engines}
        position, has_gauss = told["numpy.position"].tolist()
        numpy = (
            "MT19937",
            told["numpy.key"].view("uint32"),
            _position(position),
            has_gauss,
            float(told["numpy.gauss"]),
        )
        waiting = told["python.gauss"].tolist()
        python = (3, tuple(told["python.key"].view("uint32").tolist()), waiting[0] if waiting else None)
        onp.random.RandomState().set_state(numpy)
        random.Random().setstate(python)
    except (LookupError, TypeError, ValueError, OverflowError) as problem:
        raise ArgumentError(
            f"File '{file}' does not tell all random streams: {problem}. Restore with rng=False."
        ) from None
    return own, numpy, python


def _position(n: int) -> int:
    """Return how many of a Mersenne twister's 624 words are used up; NumPy would read on beyond them."""
    if not 0 <= n <= 624:
        raise ValueError(f"no stream stands at word {n} of 624")
    return n


def _go_back(own: dict, numpy: tuple, python: tuple) -> None:
    """Put every random stream where `_streams` was called."""
    rng.set_state(own)
    onp.random.set_state(numpy)
    random.setstate(python)
