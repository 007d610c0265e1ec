"""The rows of bad input, the check they share, and how a test says which rows it covers."""

import pytest

from d2lblocks import autograd, np
from d2lblocks.errors import MXNetError
from d2lblocks.gluon import nn

ROWS = {
    "A1": "official array beside ours, either order",
    "A2": "x + list, None, text",
    "A3": "x == None, x in list",
    "A4": "ragged lists, strings, objects, complex numbers in np.array",
    "A5": "np.array([None, 1])",
    "A6": "unsupported dtypes",
    "A7": "broadcast, reshape, concat, dot, axis and index mistakes",
    "A8": "float(x), bool(x) of several elements",
    "A9": "bool(empty)",
    "A10": "iterating or len() of a 0-d array",
    "A11": "hash(x)",
    "A12": "x[:] = wrong shape",
    "A13": "int array += float array",
    "A14": "float32 @ float64",
    "A15": "sizes that cannot be allocated, negative and float sizes",
    "A16": "NaN through relu",
    "A17": "division by zero, log of a negative number",
    "G1": "backward() twice",
    "G2": "computed outside record",
    "G3": "no attach_grad anywhere",
    "G4": "graph cut by asnumpy(), float(), np.array(), detach()",
    "G5": "float(loss).backward()",
    "G6": "in-place on a recorded array or leaf",
    "G7": "leaf changed between forward and backward",
    "G8": "head gradient of wrong shape",
    "G9": "bad grad_req",
    "G10": "attach_grad on an int or bool array",
    "G11": "gradient through an op without derivative",
    "G12": "x.grad without attach_grad",
    "G13": "exception, return, Ctrl-C, closed generator inside record",
    "G14": "record().__enter__() never left",
    "G15": "with autograd.record: without parentheses",
    "G16": "another thread",
    "G17": "100,000 operations in a chain",
    "G18": "Trainer.step at the wrong time or with a wrong batch size",
    "G19": "backward() of several numbers",
    "B1": "super().__init__() forgotten, late, without ()",
    "B2": "no forward",
    "B3": "forward returns None",
    "B4": "add(function, class, list, None, 3)",
    "B5": "Sequential(layer, layer)",
    "B6": "add(...) chained",
    "B7": "blocks in a list, tuple or dict",
    "B8": "a net inside itself",
    "B9": "the same block added twice",
    "B10": "equal prefixes, different parameters",
    "B11": "reserved attribute names",
    "B12": "a Parameter attribute replaced by an array",
    "B13": "a child replaced, a child deleted",
    "B14": "params.get twice with other attributes",
    "B15": "a parameter on no attribute",
    "B16": "Dense(0), Dense(-3), Dense(2.5), Dense('4')",
    "B17": "unknown activation",
    "B18": "misspelt keyword",
    "B19": "params=block",
    "B20": "layer added after initialize",
    "B21": "net[0] on what is no Sequential",
    "B22": "wrong regular expression, no match",
    "B23": "deepcopy, copy, pickle",
    "B24": "net.initialize() twice",
    "B25": "initialize with an unknown name, a class, a wrong ctx",
    "B26": "own initializers that rebind, write a wrong shape, lack _init_weight",
    "B27": "gpu context",
    "C1": "list, tuple, float, None as input",
    "C2": "official array as input",
    "C3": "no argument, two arguments",
    "C4": "wrong number of features",
    "C5": "1-d input",
    "C6": "0-d input, zero features",
    "C7": "empty batch",
    "C8": "input of another dtype",
    "C9": "uninitialised",
    "C10": "data() and grad() before initialization or while deferred",
    "C11": "grad() before backward",
    "C12": "set_data of wrong shape, list, official array",
    "C13": "label out of range",
    "C14": "label of wrong shape",
    "C15": "NaN input",
    "F1": "missing file, directory, no parent",
    "F2": "damaged, truncated, foreign files",
    "F3": "names, shapes, dtypes that do not fit",
    "F4": "a list or an empty file into a net",
    "F5": "saving a net that is not initialized",
    "F6": "full names of another run",
    "P1": "fork computes correctly",
    "P2": "several threads compute correctly",
    "P3": "one net in several threads",
    "P4": "data loader: failing dataset, ragged examples",
    "P5": "Ctrl-C in a long cell",
}

# Words of the machinery, which no message may hold.
JARGON = ("ufunc", "core dimension", "newaxis", "remapped", "'_data'", "object at 0x", "<class 'd2l", "Traceback", "Located",
          "has no attribute 'shape'", "has no attribute 'dtype'", "_of:", "NDArray or one Symbol")  # fmt: skip


def covers(*rows):
    """Note on a test which rows it covers."""

    def noted(test):
        test.rows = rows
        return test

    return noted


def check_table(table, covered=lambda case: case[0]):
    """Return the decorator that runs a test once per case (row, action, class, words...)."""
    counts = {}
    ids = [f"{covered(c)}-{counts.setdefault(covered(c), []).append(0) or len(counts[covered(c)])}" for c in table]
    return pytest.mark.parametrize("case", table, ids=ids)


def refused(action, kind, *words):
    """Check that the action raises `kind` with all words, in plain language, and leaves no flag on."""
    with pytest.raises(kind) as caught:
        action()
    problem = caught.value
    text = str(problem)
    for word in words:
        assert word in text, text
    assert not [word for word in JARGON if word in text], text
    ours = isinstance(problem, MXNetError | MemoryError)
    assert ours or type(problem) in (TypeError, NotImplementedError, AttributeError), text
    assert not autograd.is_recording() and not autograd.is_training() and not autograd.state.pulling
    return problem


class Own(nn.Block):
    """An own block of 3 inputs and 2 outputs, made as the book makes one."""

    def __init__(self):
        super().__init__()
        self.w = self.params.get("w", shape=(3, 2))
        self.c = self.params.get("c", shape=(2,))

    def forward(self, x):
        return np.dot(x, self.w.data()) + self.c.data()


def net_of(*layers, ready=True, hybrid=False):
    """Return a Sequential of the layers."""
    net = nn.HybridSequential() if hybrid else nn.Sequential()
    net.add(*layers)
    if ready:
        net.initialize()
    return net
