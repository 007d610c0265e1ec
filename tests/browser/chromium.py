"""A browser for the tests: Debian's Chromium, driven by Playwright; and which requests it tried to send away."""

import os
import shutil
from importlib.resources import files
from urllib.parse import urlparse

import pytest

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    expect = sync_playwright = None

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def need(found, what):
    """Skip on a laptop without `what`; a machine that calls itself CI must have it."""
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so the browser tests must run: {what}")
    pytest.skip(what)


def start():
    """Return (playwright, browser), both to be closed by the caller."""
    need(sync_playwright, "Playwright is missing; `pip install playwright` or `python3 run.py test`")
    program = os.environ.get("D2LBLOCKS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    need(program, f"no browser: install one of {', '.join(NAMES)} or set D2LBLOCKS_CHROMIUM to its path")
    playwright = sync_playwright().start()
    try:
        return playwright, playwright.chromium.launch(executable_path=program, args=FLAGS)
    except BaseException:
        playwright.stop()
        raise


def is_local(url):
    """Return whether a request stays on this machine."""
    parts = urlparse(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost", "::1")


class Watched:
    """What a page asked of other machines, and the errors its scripts threw."""

    def __init__(self, context):
        self.foreign, self.errors = [], []
        context.on("request", lambda request: None if is_local(request.url) else self.foreign.append(request.url))
        context.on("weberror", lambda problem: self.errors.append(str(problem.error)))
        context.on("page", self._page)

    def _page(self, page):
        page.on("websocket", lambda socket: None if is_local(socket.url) else self.foreign.append(socket.url))

    def check(self):
        """Fail if anything left this machine or went wrong since the last check."""
        foreign, errors = self.foreign[:], [e for e in self.errors if "Canceled future" not in e]  # Lab, at a restart
        self.foreign.clear(), self.errors.clear()
        assert not foreign, f"requests left this machine: {foreign}"
        assert not errors, f"errors in the page: {errors}"


AXE = files("axe_playwright_python") / "axe.min.js" if sync_playwright else None


def axe(page, selector):
    """Return the violations that axe finds in the elements: one line each, [] if there are none."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    assert page.locator(selector).count(), f"nothing matches {selector}"
    found = page.evaluate(
        "s => axe.run({include: [[s]]}, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, "
        "help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? ''))})))",
        selector,
    )
    return [f"{v['id']}: {v['help']}: {' | '.join(v['nodes'][:3])}" for v in found]
