"""What every test of a widget needs."""

import pytest
from ipywidgets import Widget


@pytest.fixture(autouse=True)
def nobody_listens_on():
    yield
    Widget.close_all()
