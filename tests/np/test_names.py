"""Every public name of the original's np and npx is there, with the same arguments, places and defaults."""

import inspect
import json
from pathlib import Path

import pytest

import d2lblocks

SIGNATURES = json.loads((Path(__file__).parent.parent / "reference" / "signatures.json").read_text())
SAME = {("float32", "None"), ("0", "0.0"), ("1", "1.0"), ("None", "REQUIRED")}  # as given there, as given here


def arguments(signature):
    """Return [(name, default or None), ...] of '(a, axis=None, ...)'; starred ones are left out."""
    found, depth, text = [], 0, ""
    for c in signature[1:-1] + ",":
        depth += (c in "([") - (c in ")]")
        if c == "," and not depth:
            found.append(text.strip())
            text = ""
        else:
            text += c
    return [(a.partition("=")[0], a.partition("=")[2] or None) for a in found if a and not a.startswith("*")]


def find(name):
    thing = d2lblocks
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def parameters(name):
    """Return the parameters of our function; of a method without self."""
    found = list(inspect.signature(find(name)).parameters.values())
    return found[1:] if name.startswith("np.ndarray.") else found


@pytest.mark.parametrize("name", SIGNATURES)
def test_name_and_arguments(name):
    if not SIGNATURES[name]:
        find(name)
        return
    ours = parameters(name)
    places = {p.name: i for i, p in enumerate(ours)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in ours)
    for i, (argument, default) in enumerate(arguments(SIGNATURES[name])):
        if argument not in places:
            assert open_ended, f"{argument} is missing"
            continue
        assert places[argument] == i, f"{argument} stands at {places[argument]}, not at {i}"
        here = ours[i].default
        shown = "REQUIRED" if here is inspect.Parameter.empty else repr(here)
        if default is not None and shown != default and str(here) != default.strip("'"):
            assert (default, shown) in SAME, f"{argument}={shown}, not {default}"


def test_names_the_original_lacks_stay_away():
    assert not hasattr(d2lblocks.np.random, "seed")
