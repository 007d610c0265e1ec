"""The chapters as web pages without Python and without a network: nothing is blank, nothing is wider than the page."""

import pytest
from nbconvert import HTMLExporter

from tests.browser.chromium import is_local
from tests.refresh_chapters import FOLDER

CHAPTERS = sorted(FOLDER.glob("*.ipynb"))
FAULTS = """
() => [...document.querySelectorAll(".jp-Cell .jp-RenderedMarkdown, .jp-OutputArea-output")].flatMap((output, i) => {
  const { width, height } = output.getBoundingClientRect();
  const images = [...output.querySelectorAll("img")];
  const blind = images.filter((img) => !(img.complete && img.naturalWidth) || !img.alt);
  const what = `${i} ${output.className}: `;
  const faults = [];
  if (!width || height < 10 || !(output.innerText.trim() || images.length)) faults.push(what + "blank");
  if (/model not found|Error displaying widget|Loading widget/.test(output.innerText)) faults.push(what + "no widget");
  if (blind.length) faults.push(what + `${blind.length} of ${images.length} images missing or without words`);
  return faults;
})
"""


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    context.route(lambda url: not is_local(url) and not url.startswith("file:"), lambda route: route.abort())
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_page_without_python_shows_everything(path, page, tmp_path):
    html, _ = HTMLExporter(embed_images=True).from_filename(str(path))
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    assert page.locator(".jp-OutputArea-output").count() >= 10
    assert page.evaluate(FAULTS) == []


@pytest.mark.parametrize(
    "output", ["<table></table>", "<b></b>", "<img src='none.png' alt='a tree'>", "Loading widget"]
)
def test_a_blank_output_is_found(output, page):
    page.set_content(f'<div class="jp-OutputArea-output">{output}</div>')
    assert page.evaluate(FAULTS)
