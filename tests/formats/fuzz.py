"""A long search for bytes that the readers are not ready for: `python -m tests.formats.fuzz SECONDS [SEED]`.

Every file that is refused with new words joins the bytes that are changed further, so that the search goes deep.
"""

import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from d2lblocks import np, npx
from d2lblocks.errors import FormatError
from tests.formats import test_damage
from tests.formats.test_golden import FOLDER


def seeds(folder):
    """Return good files of every kind, and the lies of the tests."""
    data = [p.read_bytes() for place in (FOLDER, FOLDER / "other") for p in place.iterdir() if p.is_file()]
    arrays = {name: np.array(raw, dtype=raw.dtype) for name, raw in test_damage.ARRAYS.items()}
    for form in test_damage.FORMS:
        npx.save(folder / f"good.{form}", arrays)
        data.append((folder / f"good.{form}").read_bytes())
    lies = [*test_damage.NPZ_LIES, *test_damage.TABLE_LIES, *test_damage.PARAMS_LIES]
    return [one for one in data + lies if 0 < len(one) < 5000]


def search(seconds, seed):
    rng, kinds = random.Random(seed), Counter()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good, corpus, file = seeds(folder), [b"\0"], folder / "f"
        while time.monotonic() < end:
            data = test_damage.mutated(rng.choice(rng.choice([good, corpus])), rng) or b"\0"
            if rng.random() < 0.1:
                other = rng.choice(good)
                data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
            file.write_bytes(data)
            try:
                npx.load(file)
                told = "loaded"
            except FormatError as problem:
                assert str(problem).startswith(f"{file}: "), problem
                told = " ".join(re.findall("[a-z]{2,}", str(problem).removeprefix(f"{file}: "))[:6])
            except BaseException:
                Path("fuzz-found.bin").write_bytes(data)
                raise
            kinds[told] += 1
            if kinds[told] == 1 and 0 < len(data) < 5000:
                corpus.append(data)
    print(f"{kinds.total():,} files, {kinds['loaded']:,} loaded, {len(kinds)} kinds of answers, nothing else came out")


if __name__ == "__main__":
    search(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
