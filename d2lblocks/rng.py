"""Random numbers: two Mersenne Twister streams, and how their 32-bit words become numbers. Raw arrays out.

The serial stream serves user draws and initializers; the parallel one, 1024 engines that share a call between them,
serves integers and dropout masks. Both give, word for word, what Gluon's original gives for the same seed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError

_ENGINES = 1024
_CHUNK = 64  # a call of N values is shared by ceil(N / 64) engines


class Engine:
    """One Mersenne Twister MT19937, seeded the classic way."""

    def __init__(self, seed: int):
        self._bits = onp.random.MT19937()
        self._bits._legacy_seeding(seed % 2**32)  # type: ignore[attr-defined]  # NumPy's name for init_genrand
        self._draw = onp.random.Generator(self._bits).integers
        self.drawn = 0

    def words(self, n: int) -> onp.ndarray:
        """Return the next n words, uint32."""
        self.drawn += n
        return self._draw(0, 2**32, size=n, dtype=onp.uint32)

    def get_state(self) -> dict:
        """Return where the engine stands."""
        return {"bits": self._bits.state, "drawn": self.drawn}

    def set_state(self, kept: dict) -> None:
        """Go back to where `get_state` was called."""
        self._bits.state, self.drawn = kept["bits"], kept["drawn"]


class _Streams(threading.local):
    """The generators of one thread; every thread starts as a fresh process does."""

    def __init__(self) -> None:
        self.base = 0
        self.serial = Engine(0)
        self.parallel: dict[int, Engine] = {}

    def engine(self, k: int) -> Engine:
        if k not in self.parallel:
            self.parallel[k] = Engine(self.base + k)
        return self.parallel[k]


streams = _Streams()


def seed(seed_state: Any, all_streams: bool = True) -> None:
    """Start both streams anew. With `all_streams` False the serial one takes the number as it is (`ctx=cpu()`)."""
    if not isinstance(seed_state, int | onp.integer):
        raise ArgumentError(f"seed_state must be int, got {type(seed_state).__name__}.")
    s = int(seed_state) % 2**32
    streams.base = 127 * s % 2**32
    streams.serial = Engine(streams.base if all_streams else s)
    streams.parallel = {}


def get_state() -> dict:
    """Return where this thread's streams stand, for `set_state`."""
    engines = {k: e.get_state() for k, e in streams.parallel.items()}
    return {"base": streams.base, "serial": streams.serial.get_state(), "parallel": engines}


def set_state(kept: dict) -> None:
    """Go back to where `get_state` was called."""
    streams.base = kept["base"]
    streams.serial.set_state(kept["serial"])
    streams.parallel = {}
    for k, state in kept["parallel"].items():
        streams.engine(k).set_state(state)


# ---------------------------------------------------------------------------------------- the C library's functions


def _libm() -> Any:
    try:
        return ctypes.CDLL("libm.so.6")
    except OSError:  # not Linux: asking where the library lies takes longer than all other imports
        name = ctypes.util.find_library("m") or ctypes.util.find_library("msvcrt")
        return ctypes.CDLL(name) if name else None


def _single_precision(name: str, double: Callable, arity: int = 1) -> Callable:
    """Return the C library's float32 function: NumPy's own differs from it in the last bit of many values.

    Where there is no such library function, the double-precision result is rounded; it differs in 0.7 % of values.
    """
    function = getattr(_libm(), name, None)
    if function is None:
        return lambda *args: double(*[onp.asarray(a, onp.float64) for a in args]).astype(onp.float32)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float] * arity

    def each(*args: Any) -> onp.ndarray:
        columns = onp.broadcast_arrays(*[onp.asarray(a, onp.float32) for a in args])
        values = map(function, *[c.ravel().tolist() for c in columns])
        return onp.fromiter(values, onp.float32, columns[0].size).reshape(columns[0].shape)

    return each


logf = _single_precision("logf", onp.log)
expf = _single_precision("expf", onp.exp)
powf = _single_precision("powf", onp.power, 2)


# ---------------------------------------------------------------------------------------- words to numbers


def _size(shape: tuple) -> int:
    n = 1
    for k in shape:
        n *= k
    return n


def _unit(words: onp.ndarray) -> onp.ndarray:
    """word / 2³², float32, rounded to nearest: 1.0 is possible."""
    return words.astype(onp.float32) * onp.float32(2.0**-32)


def _unit64(words: onp.ndarray) -> onp.ndarray:
    """(w0 + w1 2³²) / 2⁶⁴, float64: two words per number, the low half first."""
    return (words[0::2] + words[1::2] * 2.0**32) / 2.0**64


def uniform(shape: tuple) -> onp.ndarray:
    """Return float32 in [0, 1], serial; one word per value."""
    return _unit(streams.serial.words(_size(shape))).reshape(shape)


def uniform64(n: int) -> onp.ndarray:
    """Return n float64 in [0, 1), serial; two words per value."""
    return _unit64(streams.serial.words(2 * n))


def serial_words(n: int) -> onp.ndarray:
    """Return the next n words of the serial stream."""
    return streams.serial.words(n)


def _polar(engine: Engine, pairs: int) -> tuple[onp.ndarray, onp.ndarray]:
    """Marsaglia's polar method (1964): `pairs` pairs of independent N(0, 1), float32.

    A point of the square that misses the disc is thrown away and two new words are taken. Asking each time for just
    the points still missing never takes a word too many, so the stream stands where one-by-one drawing leaves it.
    """
    one, two = onp.float32(1), onp.float32(2)
    xs, ys = onp.empty(pairs, onp.float32), onp.empty(pairs, onp.float32)
    found = 0
    while found < pairs:
        u = _unit(engine.words(2 * (pairs - found)))
        x, y = two * u[0::2] - one, two * u[1::2] - one
        q = x * x + y * y
        good = (q <= one) & (q > 0)
        found += int(good.sum())
        here = slice(found - int(good.sum()), found)
        xs[here], ys[here] = x[good], y[good]
    q = xs * xs + ys * ys
    m = onp.sqrt(onp.float32(-2) * logf(q) / q)
    return ys * m, xs * m  # y first: the order of the Linux original


def normal(shape: tuple) -> onp.ndarray:
    """Return N(0, 1), float32, serial. The second value of an odd last pair is thrown away."""
    n = _size(shape)
    first, second = _polar(streams.serial, (n + 1) // 2)
    return onp.stack([first, second], 1).reshape(-1)[:n].reshape(shape)


def normal64(pairs: int) -> onp.ndarray:
    """Return the first value of `pairs` polar pairs in float64, serial; four words per attempt."""
    kept, missing = [], pairs
    while missing:
        u = uniform64(2 * missing)
        x, y = 2 * u[0::2] - 1, 2 * u[1::2] - 1
        q = x * x + y * y
        good = (q <= 1) & (q > 0)
        kept.append(y[good] * onp.sqrt(-2 * onp.log(q[good]) / q[good]))
        missing -= int(good.sum())
    return onp.concatenate(kept) if kept else onp.empty(0)


def _shared(shape: tuple, draw: Callable[[Engine, int], onp.ndarray], dtype: Any) -> onp.ndarray:
    """Share N values between the parallel engines: engine k draws the k-th run of the flattened result."""
    n = _size(shape)
    out = onp.empty(n, dtype)
    if n:
        engines = min(-(-n // _CHUNK), _ENGINES)
        step = -(-n // engines)
        for k, start in enumerate(range(0, n, step)):
            stop = min(start + step, n)
            out[start:stop] = draw(streams.engine(k), stop - start)
    return out.reshape(shape)


def parallel_uniform(shape: tuple) -> onp.ndarray:
    """Return float32 in [0, 1], parallel; one word per value."""
    return _shared(shape, lambda engine, n: _unit(engine.words(n)), onp.float32)


def parallel_normal(shape: tuple) -> onp.ndarray:
    """Return N(0, 1), float32, parallel: every value is the first of a fresh pair."""
    return _shared(shape, lambda engine, n: _polar(engine, n)[0], onp.float32)


def randint(low: int, high: int, shape: tuple, dtype: Any = onp.int64) -> onp.ndarray:
    """low + (w0 2³¹ + w1) mod (high - low), parallel; two words per value."""

    def draw(engine: Engine, n: int) -> onp.ndarray:
        words = engine.words(2 * n).astype(onp.uint64)
        big = (words[0::2] << onp.uint64(31)) + words[1::2]
        return (big % onp.uint64(high - low)).astype(onp.int64) + low

    return _shared(shape, draw, onp.int64).astype(dtype)


def dropout_mask(shape: tuple, p: float, dtype: Any = onp.float32, strict: bool = False) -> onp.ndarray:
    """Return 1 / (1 - p) where u <= 1 - p (u < 1 - p if strict), else 0; parallel."""
    keep = onp.float32(1) - onp.float32(p)
    if dtype == onp.float32:
        u = parallel_uniform(shape)
    else:
        u = _shared(shape, lambda engine, n: _unit64(engine.words(2 * n)), onp.float64).astype(onp.float32)
    stays = u < keep if strict else u <= keep
    with onp.errstate(divide="ignore", invalid="ignore"):
        return (stays * (onp.float32(1) / keep)).astype(dtype)


def below(n: int) -> int:
    """Return an integer in [0, n) without bias, serial: words in the incomplete last interval are refused."""
    scale = (2**32 - 1) // n
    while True:
        word = int(streams.serial.words(1)[0])
        if word < scale * n:
            return word // scale
