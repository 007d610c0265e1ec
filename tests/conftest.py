"""What holds for all tests."""

import signal

from d2lblocks.kernels import _jit


def pytest_configure():
    """Compile the kernels. Let Ctrl-C end the processes that tests start: in the background they inherit deafness to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert _jit.ready() or not _jit.enabled(), _jit.reason()  # NumPy would stand in for the kernels, and all be well
