"""A campaign from a few lines of YAML, compiled in a folder with scripts beside it."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.check.fixture import Campaigns, shown

if TYPE_CHECKING:
    from rose_cli.plan.model import Plan


class Compile(Protocol):
    def __call__(self, text: str, *, smoke: bool = False) -> Plan: ...


@pytest.fixture
def campaigns(tmp_path: object) -> Campaigns:
    from pathlib import Path

    return Campaigns.set_up(Path(str(tmp_path)))


@pytest.fixture
def compiled(campaigns: Campaigns) -> Compile:
    """The plan of a campaign; the keys that every campaign needs are added where they are not given."""

    def compile_text(text: str, *, smoke: bool = False) -> Plan:
        text = dedent(text)
        for line in ("max_iter: 10", "tasks: {simulation: {executable: python sim.py}}", "learners: 1"):
            key = line.partition(":")[0]
            text = text if re.search(rf"^{key}:", text, re.MULTILINE) else f"{text}\n{line}\n"
        checked = campaigns.check_text(text)
        plan = checked.smoke_plan if smoke else checked.plan
        assert plan is not None, shown(checked)
        return plan

    return compile_text
