"""Drives a browser for the tests, in the environment that has Playwright: reads visits as JSON lines, answers each.

A visit: {"file": …, "width": 1280, "scheme": "light", …, "steps": [[what, …], …]}; the answer has a result per step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError as PlaywrightTimeoutError  # type: ignore[import-not-found, unused-ignore]
from playwright.sync_api import sync_playwright

PATIENCE = 60_000

DRAWN = """() => Object.fromEntries([...document.querySelectorAll('[data-chart]')].map((plot) => {
  const colours = new Set();
  for (const canvas of plot.querySelectorAll('canvas')) {
    const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    for (let at = 0; at < pixels.length; at += 3) colours.add(pixels[at]);
  }
  return [plot.dataset.chart, colours.size];
}))"""
"""How many colours each chart has: 1 if it is empty."""


def step(page: Any, axe: str, what: str, *given: Any) -> Any:
    """What one step gives: most give nothing."""
    if what == "evaluate":
        return page.evaluate(given[0])
    if what == "drawn":
        return page.evaluate(DRAWN)
    if what == "axe":
        page.evaluate(Path(axe).read_text(encoding="utf-8"))  # a script tag would be refused
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            (each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]
        ]
    if what == "loads":
        return _loads(page, *given)
    return _act(page, what, *given)


def _loads(page: Any, patience: float) -> bool:
    """Whether the page is read again before so many milliseconds are over."""
    try:
        page.wait_for_event("load", timeout=patience)
    except PlaywrightTimeoutError:
        return False
    return True


def _act(page: Any, what: str, *given: Any) -> None:
    mouse, keyboard = page.mouse, page.keyboard
    if what in {"hover", "drag"}:
        first, *others = (_place(page, given[0], *place) for place in given[1:])
        mouse.move(*first)
        if others:
            mouse.down()
            mouse.move(*others[0], steps=8)
            mouse.up()
    elif what == "keys":
        for key in given:
            keyboard.press(key)
    elif what == "do":
        page.evaluate(f"void ({given[0]})")
    elif what == "media":
        page.emulate_media(**given[0])
    elif what == "pdf":
        page.pdf(path=given[0], format="A4")
    elif what == "shot":
        page.screenshot(path=given[0], full_page=True)
    else:  # click, focus, select_option, fill
        getattr(page.locator(given[0]).first, what)(*given[1:])
    page.wait_for_timeout(100)


def _place(page: Any, selector: str, x: float, y: float) -> tuple[float, float]:
    page.locator(selector).first.scroll_into_view_if_needed()
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


def visit(browser: Any, axe: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Open a page, take all steps, and tell what the browser complained about and asked for."""
    context = browser.new_context(
        viewport={"width": asked.get("width", 1280), "height": asked.get("height", 900)},
        color_scheme=asked.get("scheme", "light"),
        reduced_motion=asked.get("motion", "no-preference"),
        device_scale_factor=asked.get("scale", 1),
        has_touch=asked.get("touch", False),
        java_script_enabled=asked.get("script", True),
        timezone_id="UTC",
    )
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text[:500]) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)[:500]))
    page.on("request", lambda request: requests.append(request.url[:200]))
    page.goto(Path(asked["file"]).as_uri(), timeout=PATIENCE)
    if asked.get("script", True):
        page.wait_for_selector("html[data-ready]", timeout=PATIENCE)
    results = [step(page, axe, *each) for each in asked["steps"]]
    context.close()
    return {"results": results, "complaints": complaints, "requests": requests}


def _is_complaint(message: Any) -> bool:
    """Reading the pixels of a canvas, as only these tests do, is something to warn of."""
    return message.type in {"error", "warning"} and "getImageData" not in message.text


def main() -> None:
    program, axe = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for line in sys.stdin:
            try:
                answer = visit(browser, axe, json.loads(line))
            except Exception as error:  # noqa: BLE001 - the test that asked reports it
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        browser.close()


if __name__ == "__main__":
    main()
