"""How Sphinx builds the site (`make docs`) from README.md, the pages beside this file and those at the top.

The pages are Markdown as GitHub shows it, and MyST reads them the same way, down to the anchors of headings. The source
directory is the repository, so that links between pages and links to other files work in both places.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes

import rose_cli

PAGES = {
    "First steps": [
        "docs/write-your-own",
        "docs/python-tasks",
        "docs/python-api",
        "docs/cookbook",
        "docs/from-the-rose-tutorial",
        "docs/coming-from",
    ],
    "Reference": [
        "docs/one-page",
        "docs/campaign-file",
        "docs/commands",
        "docs/from-laptop-to-cluster",
        "docs/pilots",
        "docs/ci",
        "docs/editor",
        "docs/report",
        "docs/trackers",
        "docs/provenance",
    ],
    "What to rely on": ["docs/guarantees", "SECURITY", "CHANGELOG", "docs/licences"],
    "Background": ["docs/how-it-works", "docs/benchmarks", "CONTRIBUTING", "tests/field/README", "docs/glossary"],
}
"""The navigation; a page that is missing here is an error."""

project = "rose"
version = release = rose_cli.__version__
author = "the rose authors"
language = "en"

root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "tests/field/README.md"]
extensions = ["myst_parser"]
highlight_language = "text"
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"rose {version}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"

LOADED = r"""<(?:link|script|img)\b[^>]*(?:href|src)="(?:https?:)?//|@import|url\(["']?http"""


def add_navigation(_app: object, page: str, source: list[str]) -> None:
    """Append it to README.md, where GitHub would show Sphinx's directive as code."""
    if page == root_doc:
        for caption, pages in PAGES.items():
            source[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```\n"])


def remove_comments(_app: object, doctree: nodes.document) -> None:
    """They are for those who edit the pages: which test holds a sentence, which table is made from the code."""
    for comment in [node for node in doctree.findall(nodes.raw) if node.astext().lstrip().startswith("<!--")]:
        comment.parent.remove(comment)


def finish(app: Any, error: Exception | None) -> None:  # noqa: ANN401 - Sphinx is not installed where types are checked
    """Add the page that browsers open first, and check that the site is complete without a network."""
    if error or app.builder.name != "html":
        return
    site = Path(app.outdir)
    shutil.copyfile(site / "README.html", site / "index.html")
    for picture in Path(app.srcdir, "docs").glob("report-*.png"):  # named by <picture>, which Sphinx does not read
        shutil.copyfile(picture, site / "docs" / picture.name)
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        if found := re.search(LOADED, file.read_text(encoding="utf-8")):
            message = f"{file} loads something from the network: {found[0]}"
            raise RuntimeError(message)


def setup(app: Any) -> dict[str, bool]:  # noqa: ANN401
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", remove_comments)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}
