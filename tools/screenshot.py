"""Pictures of a report in light and dark, small enough for git; runs in the environment that `make others` creates.

PYTHON tools/screenshot.py BROWSER REPORT.html PICTURE: writes PICTURE-light.png and PICTURE-dark.png
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image  # type: ignore[import-not-found, unused-ignore]
from playwright.sync_api import sync_playwright  # type: ignore[import-not-found, unused-ignore]

SIZE = {"width": 1180, "height": 1560}
COLOURS = 256


def main(program: str, report: Path, picture: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(report.absolute().as_uri())
            page.wait_for_selector("html[data-ready=true]")
            page.wait_for_timeout(300)
            image = Image.open(io.BytesIO(page.screenshot()))
            image.convert("RGB").quantize(COLOURS, kmeans=4, dither=Image.Dither.NONE).save(
                f"{picture}-{scheme}.png", optimize=True
            )
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
