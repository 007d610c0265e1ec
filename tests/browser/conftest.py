"""One browser, one bare page and one JupyterLab for all tests of this folder; all end with its last test."""

import pytest
from ipywidgets import Widget

from tests.browser import chromium
from tests.browser.bare import PAGE, Bare
from tests.browser.lab import Lab, Notebook, Server


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def nobody_listens_on():
    yield
    Widget.close_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


def _keep_screenshot(request, page):
    """Keep a picture of a failed test in .pytest_cache/d/screenshots."""
    if request.node.stash.get(FAILED, False):
        page.screenshot(path=request.config.cache.mkdir("screenshots") / f"{request.node.name}.png", timeout=5000)


@pytest.fixture(scope="package")
def browser():
    playwright, browser = chromium.start()
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture(scope="package")
def bare_page(browser):
    context = browser.new_context(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.route("http://localhost/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    watched = chromium.Watched(context)
    page = context.new_page()
    page.watched = watched
    yield page
    context.close()


@pytest.fixture
def bare(request, bare_page):
    """An empty page to render widgets in, without a kernel."""
    bare_page.goto("http://localhost/")
    yield Bare(bare_page)
    _keep_screenshot(request, bare_page)
    bare_page.watched.check()


@pytest.fixture(scope="package")
def lab(browser):
    server = Server()
    try:
        lab = Lab(browser, server)
        yield lab
        lab.close()
    finally:
        server.stop()


@pytest.fixture
def notebook(request, lab):
    """Open notebooks: `notebook("cell", "cell")` by their cells, `notebook(path=...)` from a file."""
    opened = []

    def open_notebook(*cells, path=None):
        opened.append(Notebook(lab, path or lab.write(*cells)))
        return opened[-1]

    yield open_notebook
    _keep_screenshot(request, lab.page)
    for book in opened:
        if lab.page.evaluate("path => path in (window.panels ?? {})", book.path):
            book.close()
    lab.theme(dark=False)
    lab.watched.check()


@pytest.fixture
def shot(request):
    """Keep a picture of a locator in .pytest_cache/d/screenshots, to be looked at by people."""
    folder = request.config.cache.mkdir("screenshots")
    return lambda locator, name: locator.screenshot(path=folder / f"{name}.png")
