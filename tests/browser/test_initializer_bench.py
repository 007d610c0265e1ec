
from d2lblocks_widgets import compare_initializers

from d2lblocks import init


def test_rows_show(bare):
    root = bare.show(compare_initializers("xavier", init.Normal(0.05), "zeros"))
    assert root.locator(".bench-row").count() == 6
    bare.page.screenshot(path="/tmp/bench.png")
    bare.theme(True)
    bare.page.screenshot(path="/tmp/bench-dark.png")
