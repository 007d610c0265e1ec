"""A real JupyterLab: one server, one page, notebooks opened in it one after the other."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.browser.chromium import Watched

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
OPEN = """
async (path) => {
  const panel = await window.jupyterapp.commands.execute("docmanager:open", { path });
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  (window.panels ??= {})[path] = panel;
  return panel.id;
}
"""
RUN = """
async (path) => {
  const app = window.jupyterapp, panel = window.panels[path];
  app.shell.activateById(panel.id);
  await app.commands.execute("notebook:run-all-cells");
}
"""
ASK = """
async ({ path, code }) => {
  const kernel = window.panels[path].sessionContext.session.kernel;
  for (;;) {
    const future = kernel.requestExecute({ code, store_history: false });
    let out = "";
    future.onIOPub = ({ header, content }) => {
      if (header.msg_type === "stream") out += content.text;
      if (header.msg_type === "error") out += content.traceback.join("\\n");
    };
    const reply = await future.done;
    if (reply.content.status !== "aborted") return out;  // as what waits is when a cell before it fails
  }
}
"""
CLOSE = """
async (path) => {
  const panel = window.panels[path];
  await panel.context.save();
  await panel.sessionContext.shutdown();
  panel.dispose();
  delete window.panels[path];
}
"""


class Server:
    """A JupyterLab server of its own: free port, random token, every folder temporary."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="d2lblocks-lab-")
        base = Path(self._folder.name)
        self.root = base / "work"
        names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                 "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")  # fmt: skip
        env = {**os.environ, **{name: str(base / name.lower()) for name in names}}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "widgets"), os.environ.get("PYTHONPATH", "")])
        for folder in (self.root, *(base / name.lower() for name in names)):
            folder.mkdir()
        for name, values in QUIET.items():
            file = base / "jupyterlab_settings_dir" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"
        self._log = (base / "log.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
             f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True",
             "--LabApp.extension_manager=readonly"],
            env=env, cwd=self.root, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._wait()

    def _wait(self, seconds=60):
        request = urllib.request.Request(f"{self.url}/api/status", headers={"Authorization": f"token {self.token}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(seconds * 10):
            try:
                return opener.open(request, timeout=5).close()
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        self._log.seek(0)
        log = self._log.read()[-3000:]
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{log}")

    def stop(self):
        """End the server and its kernels, and remove its folders."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()


class Lab:
    """One page of JupyterLab."""

    def __init__(self, browser, server):
        self.server = server
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.set_default_timeout(15_000)
        self.watched = Watched(self.context)
        self.page = self.context.new_page()
        self.page.goto(f"{server.url}/lab?token={server.token}", timeout=60_000)
        self.page.wait_for_function("window.jupyterapp?.started")
        self.page.evaluate("window.jupyterapp.started.then(() => window.jupyterapp.restored).then(() => null)")
        self.page.evaluate("window.jupyterapp.shell.collapseLeft()")

    def theme(self, dark):
        """Change the theme of the whole page."""
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{'false' if dark else 'true'}'")

    def write(self, *cells, name=None):
        """Write a notebook of code cells; returns its path below the server's root."""
        path = name or f"{secrets.token_hex(4)}.ipynb"
        made = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": c}
                for i, c in enumerate(cells)]  # fmt: skip
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (self.server.root / path).write_text(json.dumps(book))
        return path

    def forged(self, path):
        """Copy a saved notebook with one change, so that its signature is unknown: it opens untrusted."""
        book = json.loads((self.server.root / path).read_text())
        book["metadata"]["copy_of"] = path
        copy = f"untrusted-{path}"
        (self.server.root / copy).write_text(json.dumps(book))
        return copy

    def close(self):
        """Close the page."""
        self.context.close()


class Notebook:
    """An open notebook with its kernel."""

    def __init__(self, lab, path):
        self.lab, self.page, self.path = lab, lab.page, path
        self.id = self.page.evaluate(OPEN, path)

    def run(self):
        """Run all cells and wait for the last to end."""
        self.page.evaluate(RUN, self.path)
        return self

    def start(self):
        """Run all cells, but wait for none."""
        self.page.evaluate("path => { (" + RUN.strip() + ")(path) }", self.path)
        return self

    def out(self, selector=""):
        """Return what matches in the outputs of this notebook; sources of cells never do."""
        return self.page.locator(f'[id="{self.id}"] .jp-OutputArea-output {selector}'.strip())

    def where(self, selector):
        """Return a CSS selector for `axe`: what matches in the outputs of this notebook."""
        return f'[id="{self.id}"] .jp-OutputArea-output {selector}'

    def kernel(self, code):
        """Run code in the kernel and return what it prints."""
        return self.page.evaluate(ASK, {"path": self.path, "code": code}).strip()

    def kernel_says(self, code, wanted, seconds=5):
        """Ask the kernel until it prints `wanted`: of many quick changes the browser holds the last back for a while."""
        end = time.monotonic() + seconds
        while (found := self.kernel(code)) != wanted and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert found == wanted

    def restart(self):
        """Restart the kernel."""
        self.page.evaluate(
            "path => window.panels[path].sessionContext.session.kernel.restart().then(() => null)", self.path
        )

    def shutdown(self):
        """Shut the kernel down, as the menu does; the notebook stays."""
        self.page.evaluate("path => window.panels[path].sessionContext.shutdown()", self.path)

    def close(self):
        """Save, shut the kernel down and close the tab; returns the path."""
        self.page.evaluate(CLOSE, self.path)
        return self.path
