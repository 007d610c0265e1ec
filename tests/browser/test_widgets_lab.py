"""The widgets in a real JupyterLab: drawn, worked by hand, heard by the kernel, in both themes."""

from tests.browser.chromium import axe, expect

BENCH = """
from d2lblocks import init
from d2lblocks_widgets import compare_initializers
w = compare_initializers("xavier", init.Normal(0.05), "zeros", seed=3)
w"""
RUN = """
from d2lblocks import autograd, gluon, init, np
from d2lblocks.gluon import nn
from d2lblocks_widgets import watch
net = nn.Sequential()
net.add(nn.Dense(32, activation="relu"), nn.Dense(4))
net.initialize(init.Xavier())
X, y = np.random.normal(0, 1, (64, 20)), np.random.normal(0, 1, (64, 4))
trainer, loss = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05}), gluon.loss.L2Loss()
with watch(trainer, loss) as run:
    for step in range(100):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(64)
"""


def test_clicks_reach_the_kernel_and_both_themes_are_clean(notebook, lab, shot):
    book = notebook(BENCH, RUN).run()
    expect(book.out(".bench-row")).to_have_count(6)
    expect(book.out(".run-row .d2l-button")).to_have_count(4)
    book.out(".d2l-select select").select_option("relu")
    expect(book.out(".bench-deep .bench-facts").first).not_to_contain_text("0.39")
    book.out(".bench-seed").fill("7")
    book.out(".bench-seed").press("Tab")
    book.out('.run-row .d2l-button[data-name="dense1_weight"]').click()
    expect(book.out(".run-pair h4").first).to_contain_text("dense1_weight")
    assert book.kernel("print(w.activation, w.seed, run.selected_parameter, run.step, run.running)") == (
        "relu 7 dense1_weight 100 False"
    )
    for dark in (False, True):
        lab.theme(dark)
        where = book.where(".d2l")
        expect(book.out('.d2l[data-theme="dark"]' if dark else '.d2l[data-theme="light"]')).to_have_count(2)
        assert axe(book.page, where) == []
        shot(book.out(".bench-deep").locator("xpath=.."), f"bench-{'dark' if dark else 'light'}")
        shot(book.out(".run-pair").locator("xpath=.."), f"watch-{'dark' if dark else 'light'}")


def test_arrows_stay_in_the_widget(notebook):
    book = notebook(BENCH, "after = 1").run()
    layer = book.out(".d2l-slider input").nth(2)
    layer.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp", "End", "d", "d"):
        layer.press(key)
    expect(layer).to_have_value("10")
    expect(layer).to_be_focused()
    book.kernel_says("print(w.layer)", "10")
    assert book.page.locator(f'[id="{book.id}"] .jp-Cell').count() == 2  # d, d deletes a cell


def test_python_moves_the_view(notebook):
    book = notebook(BENCH).run()
    book.kernel("w.shape = [30, 40]; w.layer = 4; w.log_scale = True; w.bins = 20")
    expect(book.out(".d2l-title").first).to_have_text("Weights of shape (30, 40)")
    expect(book.out(".bench-shape")).to_have_value("30, 40")
    expect(book.out(".d2l-slider output").nth(2)).to_have_text("4")
    expect(book.out(".d2l-check input")).to_be_checked()


def test_a_busy_kernel_is_called_busy_and_a_lost_one_lost(notebook):
    book = notebook(BENCH, "import time; time.sleep(1.5)")
    book.start()
    seed = book.out(".bench-seed")
    seed.fill("5")
    seed.press("Enter")
    expect(book.out(".d2l-status")).to_contain_text("Kernel busy")
    book.out(".d2l-slider input").first.press("ArrowRight")  # what needs no kernel goes on
    expect(book.out(".d2l-slider output").first).to_have_text("49")
    expect(book.out(".d2l-status")).to_be_hidden()
    assert book.kernel("print(w.seed)") == "5"
    book.restart()
    expect(book.out(".d2l-status")).to_contain_text("Kernel gone")
    expect(seed).to_be_disabled()
    expect(book.out(".d2l-slider input").first).to_be_enabled()


def test_a_kernel_that_was_shut_down_is_gone(notebook):
    layers = "net.add(*(nn.Dense(1, in_units=1) for _ in range(70)))"
    many = "from d2lblocks_widgets import explore\nfrom d2lblocks.gluon import nn\nnet = nn.Sequential()\n"
    many += f"{layers}\nnet.initialize()\nexplore(net)"
    book = notebook(BENCH, many).run()
    expect(book.out(".x-tree")).to_be_visible()
    book.shutdown()
    expect(book.out(".d2l-status").first).to_contain_text("Kernel gone")
    expect(book.out(".d2l-status").nth(1)).to_contain_text("Kernel gone")
    expect(book.out(".bench-seed")).to_be_disabled()
    book.out("button").filter(has_text="Expand all").click()
    book.out(".x-step").filter(has_text="weight").nth(5).click()  # its numbers were never sent
    expect(book.out(".x-nothing")).to_have_text("Its numbers were not asked for before the kernel went.")
    book.out(".x-pattern").fill("(?i).*WEIGHT")
    expect(book.out(".x-found")).to_have_text("only Python could tell, and the kernel is gone")


def test_a_run_is_drawn_while_it_runs(notebook):
    book = notebook(RUN.replace("range(100)", "range(2_000_000)").replace("for step", "display(1)\n    for step"))
    book.start()
    expect(book.out(".run-curves path.d2l-line")).to_be_visible()
    first = book.out(".d2l-title").first.inner_text()
    expect(book.out(".d2l-title").first).not_to_have_text(first)
    book.page.evaluate("path => window.panels[path].sessionContext.session.kernel.interrupt()", book.path)
    expect(book.out(".d2l-title").first).to_contain_text("ended")
    expect(book.out("pre").filter(has_text="KeyboardInterrupt").first).to_be_visible()
    # an interrupt may fall between the update and the news of it
    assert book.kernel("print(trainer.optimizer.num_update - run.step)") in ("0", "1")


def test_saved_untrusted_and_displayed_twice(notebook, lab):
    book = notebook(BENCH, "w", RUN).run()
    expect(book.out(".bench-row")).to_have_count(12)
    book.out(".d2l-slider input").nth(2).press("End")
    expect(book.out(".d2l-slider output").nth(5)).to_have_text("10")  # the second view follows the first
    path = book.close()
    saved = notebook(path=lab.forged(path))
    expect(saved.out("table caption").first).to_contain_text("fan-in 256")
    assert saved.out("img").count() == 7 and saved.out(".d2l").count() == 0
    assert "at step 99" in saved.out("img[alt^='loss:']").get_attribute("alt")


def test_reloaded_from_a_trusted_file_with_its_kernel_gone(notebook):
    path = notebook(BENCH).run().close()
    again = notebook(path=path)  # signed by the server that saved it: JupyterLab prefers the widget, which is no more
    expect(again.out()).to_contain_text("model not found")
    again.run()
    expect(again.out(".bench-row")).to_have_count(6)
