"""A bare page: a widget's real module and real state, but a model without a kernel behind it."""

import base64

PAGE = "<!doctype html><html lang=en><title>widgets</title><body style='margin: 20px'><main></main></body></html>"
SHOW = """
async ({ esm, css, state }) => {
  const decode = (v) => {
    if (Array.isArray(v)) return v.map(decode);
    if (v === null || typeof v !== "object") return v;
    if ("bytes64" in v) return new DataView(Uint8Array.from(atob(v.bytes64), (c) => c.charCodeAt(0)).buffer);
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, decode(x)]));
  };
  const listeners = {}, dirty = {};
  const fire = (name) => (listeners[name] ?? []).slice().forEach((f) => f());
  const put = (key, value) => {
    if (JSON.stringify(state[key]) === JSON.stringify(value) && !(value instanceof DataView)) return false;
    state[key] = value;
    fire(`change:${key}`);
    return true;
  };
  state = decode(state);
  const model = {
    saved: [],
    get: (key) => state[key],
    set: (key, value) => { if (put(key, value)) dirty[key] = value; },
    save_changes() { this.saved.push({ ...dirty }); for (const k of Object.keys(dirty)) delete dirty[k]; },
    send(content) { this.saved.push({ sent: content }); },
    on: (name, f) => (listeners[name] ??= []).push(f),
    off: (name, f) => { listeners[name] = (listeners[name] ?? []).filter((g) => g !== f); },
    push(values) { for (const [k, v] of Object.entries(values)) put(k, decode(v)); },
    listening: () => Object.values(listeners).reduce((n, l) => n + l.length, 0),
    fire,
  };
  const main = document.querySelector("main");
  const el = document.createElement("div");
  if (!document.querySelector(".shown")) main.append(Object.assign(document.createElement("style"), { textContent: css }));
  el.className = "shown";
  main.append(el);
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const module = await import(url);
  const dispose = await module.default.render({ model, el });
  window.shown = { model, el, dispose, module };
}
"""


def encoded(value):
    """Return the value as JSON can hold it: bytes in base64."""
    if isinstance(value, bytes | memoryview):
        return {"bytes64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: encoded(v) for k, v in value.items()}
    return [encoded(v) for v in value] if isinstance(value, list | tuple) else value


class Bare:
    """One page, emptied for every test."""

    def __init__(self, page):
        self.page = page

    def show(self, widget):
        """Render the widget as a notebook would; returns its root."""
        state = {k: encoded(getattr(widget, k)) for k in widget.keys if not k.startswith("_")}
        skip = {"layout", "comm", "tabbable", "tooltip"}
        self.page.evaluate(
            SHOW, {"esm": widget._esm, "css": widget._css, "state": {k: v for k, v in state.items() if k not in skip}}
        )
        return self.page.locator(".shown > .d2l").last

    def saved(self):
        """Return what the view has sent to the kernel since the last time."""
        return self.page.evaluate("window.shown.model.saved.splice(0)")

    def push(self, **values):
        """Set traits as the kernel would."""
        self.page.evaluate("values => window.shown.model.push(values)", encoded(values))

    def theme(self, dark):
        """Make the page light or dark."""
        self.page.evaluate(
            "dark => { document.body.dataset.theme = dark ? 'dark' : 'light'; "
            "document.body.style.background = dark ? '#111' : '#fff'; }",
            dark,
        )

    def common(self, call):
        """Return the value of a JavaScript expression that speaks of the module's exports as `m`."""
        return self.page.evaluate(f"(() => {{ const m = window.shown.module; return {call}; }})()")
