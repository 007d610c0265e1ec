"""Time and size of the views of a net of 2,047 rows: python -m tests.bench.views."""

import time

from d2lblocks import np
from d2lblocks.gluon import nn
from d2lblocks.reprs import Snapshot


def best(thing, repeat=7):
    """Return the shortest of several times, in milliseconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        thing()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main():
    """Print the figures."""
    alike, different, small = nn.Sequential(), nn.Sequential(), nn.Sequential()
    alike.add(*[nn.Dense(3, in_units=3) for _ in range(682)])
    different.add(*[nn.Dense(i + 1, in_units=3) for i in range(682)])
    small.add(nn.Dense(256, activation="relu"), nn.Dense(10))
    for net in (alike, different, small):
        net.initialize()
    small(np.ones((2, 20)))
    for name, net in {
        "chapter's net": small,
        "682 layers alike": alike,
        "682 layers, all different": different,
    }.items():
        snap = Snapshot.of(net)
        print(f"{name}: {len(snap):,} rows, Snapshot {best(lambda net=net: Snapshot.of(net)):.1f} ms, "
              f"view {best(net._repr_html_):.1f} ms, {len(net._repr_html_().encode()):,} bytes")  # fmt: skip
    for size in (100, 1000, 4000):
        x = np.random.normal(size=(size, size))
        print(f"array {x.shape}: view {best(x._repr_html_, 3):.1f} ms, {len(x._repr_html_().encode()):,} bytes")


if __name__ == "__main__":
    main()
