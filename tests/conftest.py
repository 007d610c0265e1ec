"""What holds for all tests."""

import signal


def pytest_configure():
    """Let Ctrl-C end the processes that tests start: where the tests run in the background, they inherit deafness to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
