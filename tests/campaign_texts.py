"""Every campaign in the repository that has no error: the files, the blocks of the pages, the texts in the tests."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from rose_cli.config.document import parse_document
from rose_cli.util.errors import CampaignError
from tests.conftest import CAMPAIGNS, REPOSITORY
from tests.pages import blocks, whole_campaign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.check.fixture import Campaigns

TEMPLATES = REPOSITORY / "rose_cli" / "templates"
WRONG = sorted((REPOSITORY / "tests/check/wrong").glob("*.yaml"))

OF_THE_MACHINE = frozenset(
    ("missing-argument", "missing-file", "missing-interpreter", "missing-program", "missing-script", "not-executable",
     "own-module", "too-many-resources", "unknown-parameter", "unknown-resource")
)  # fmt: skip
"""Errors that depend on the files beside a campaign, or on the machine."""


def all_texts() -> dict[str, str]:
    """Campaigns by where they stand, also those with errors."""
    files = [*CAMPAIGNS.glob("*/*.yaml"), *TEMPLATES.glob("*/campaign.yaml")]
    files += (REPOSITORY / "tests/check/right").glob("*.yaml")
    found = {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8") for path in sorted(files)}
    found |= {str(block): whole_campaign(block) for block in blocks("yaml", "yaml part")}
    return {**found, **dict(_texts_in_tests())}


def _texts_in_tests() -> Iterator[tuple[str, str]]:
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        if "corpus" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Constant):
                continue
            text = node.value
            if isinstance(text, str) and "tasks:" in text and "learners:" in text:
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", text


def valid_texts(campaigns: Campaigns) -> dict[str, str]:
    """Those without errors other than such as other files and the machine decide."""
    return {place: text for place, text in all_texts().items() if is_valid(campaigns, text)}


def is_valid(campaigns: Campaigns, text: str) -> bool:
    checked = campaigns.check_text(text)
    return all(each.code in OF_THE_MACHINE for each in checked.diagnostics if each.is_error)


def data_of(text: str) -> Any:
    """What an editor reads, with strings as keys; None if it is not YAML, which an editor says itself."""
    try:
        return as_json(parse_document(text, "campaign.yaml").data)
    except CampaignError:
        return None


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value
