"""Comments that answer warnings; the files in tests/check have their places and what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rose_cli
from rose_cli.campaign_file import Setting
from rose_cli.config.allow import WARNING_CODES
from tests.check.fixture import HERE, Campaigns

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = """\
{top}
max_iter: 15
tasks: {{simulation: {{executable: python sim.py}}}}
learners:
  - simulation: {{0: {{--n: 1}}, 5: {{--n: 2}}, -1: {{--n: 3}}}}{line}
"""


def codes(place: Path, text: str, settings: Sequence[Setting] = ()) -> list[str]:
    campaigns = Campaigns.set_up(place)
    return [diagnostic.code for diagnostic in campaigns.check_text(text, settings).diagnostics]


def test_every_code_of_a_warning_is_known() -> None:
    expected = "\n".join(path.read_text(encoding="utf-8") for path in (HERE / "wrong").glob("*.txt"))
    assert set(re.findall(r"warning\[([a-z-]+)\]", expected)) <= WARNING_CODES | {"unknown-code", "unused-allow"}


def test_every_known_code_is_that_of_a_warning() -> None:
    sources = Path(rose_cli.__file__).parent.rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.name != "allow.py")
    assert [code for code in WARNING_CODES if f'"{code}"' not in source] == []


@pytest.mark.parametrize(
    "comment",
    [
        "# rose: allow keys-look-like-starts",
        "#rose:allow keys-look-like-starts",
        "# rose: allow: keys-look-like-starts",
        "## rose allow keys-look-like-starts",
        "# rose: allow keys-look-like-starts: ROSE does so too",
        "# rose: allow keys-look-like-starts (ROSE does so too)",
        "# rose: allow keys-look-like-starts because ROSE does so",
    ],
)
def test_a_comment_in_many_forms(tmp_path: Path, comment: str) -> None:
    assert codes(tmp_path, FILE.format(top="", line=f"   {comment}")) == []
    assert codes(tmp_path, FILE.format(top=comment, line="")) == []


@pytest.mark.parametrize(
    "text",
    ["# Rose: allow keys-look-like-starts", "# see # rose: allow keys-look-like-starts", "# rose: the campaign"],
)
def test_what_is_no_such_comment(tmp_path: Path, text: str) -> None:
    assert codes(tmp_path, FILE.format(top=text, line="")) == ["keys-look-like-starts"]


def test_with_windows_line_endings(tmp_path: Path) -> None:
    text = FILE.format(top="", line="  # rose: allow keys-look-like-starts").replace("\n", "\r\n")
    assert codes(tmp_path, text) == []


LONG = (Setting(("learners", 0, "simulation", 0, "--hidden"), "8 8", "--set learners.0.simulation.0.--hidden=8 8"),)


def test_at_the_top_it_allows_what_the_command_line_causes(tmp_path: Path) -> None:
    top = "# rose: allow keys-look-like-starts, one-argument"
    assert codes(tmp_path, FILE.format(top=top, line=""), LONG) == []
    assert codes(tmp_path, FILE.format(top="", line=f"  {top}"), LONG) == ["one-argument"]


def test_with_other_values_from_the_command_line_a_comment_is_not_called_unused(tmp_path: Path) -> None:
    short = Setting(("learners", 0, "simulation"), "{--n: 1}", "--set learners.0.simulation={--n: 1}")
    text = FILE.format(top="", line="  # rose: allow keys-look-like-starts")
    assert codes(tmp_path, text, [short]) == []
