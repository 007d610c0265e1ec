"""What every test of a widget needs."""

import pytest
from d2lblocks_widgets.explorer import live
from ipywidgets import Widget


@pytest.fixture(autouse=True)
def nobody_listens_on():
    yield
    Widget.close_all()


class Shell:
    """Runs functions as a notebook runs cells."""

    def __init__(self):
        self.events, self._jobs = self, {"pre_run_cell": [], "post_run_cell": []}

    def register(self, event, job):
        self._jobs[event].append(job)

    def unregister(self, event, job):
        self._jobs[event].remove(job)

    def run(self, cell):
        for job in self._jobs["pre_run_cell"]:
            job(None)
        out = cell()
        for job in self._jobs["post_run_cell"]:
            job(None)
        return out


@pytest.fixture
def shell(monkeypatch):
    made = Shell()
    monkeypatch.setattr(live, "get_ipython", lambda: made)
    return made
