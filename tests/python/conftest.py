"""What every test starts from."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Signals act as in a terminal: what is started in the background may inherit them as ignored."""
    del config
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
