"""The exception classes: Python's own first, and Gluon's `MXNetError` beside them, so old `except` clauses keep working."""


class MXNetError(RuntimeError):
    """Any error of the framework; the name that Gluon programs catch."""


class ArgumentError(ValueError, MXNetError):
    """A value, shape or dtype that does not fit."""


class ArrayTypeError(TypeError, MXNetError):
    """An object of the wrong type, such as an official NumPy array where one of ours belongs."""


class AxisError(IndexError, ArgumentError):
    """An axis or index that the array does not have."""


class MismatchError(AssertionError, ArgumentError):
    """Names, shapes or attributes that differ between two sides: a file and a net, a parameter and a request."""


class FormatError(ArgumentError):
    """A file that is damaged or is no file of ours."""


class NotRecordedError(MXNetError):
    """A gradient was asked for where no recorded path leads to a variable."""


class DeferredInitializationError(MXNetError):
    """A parameter was read while it still waits for its shape."""
