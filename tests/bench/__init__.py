"""Timings beside peers: `python -m tests.bench --peer torch=/path/to/python`. Ratios, measured side by side in one run."""
