"""Timings beside peers: `python -m tests.bench`. Ratios, measured side by side in one run."""
