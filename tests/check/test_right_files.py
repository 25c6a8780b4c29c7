"""Right campaign files, however odd: no error, and no warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.plan.overview import overview
from rose_cli.view.overview import overview_lines
from tests.check.fixture import HERE, TARGET, Campaigns, shown

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = sorted((HERE / "right").glob("*.yaml"))


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    return Campaigns.set_up(tmp_path_factory.mktemp("right"))


@pytest.mark.parametrize("file", RIGHT, ids=lambda file: file.stem)
def test_nothing_is_wrong_with_it(campaigns: Campaigns, file: Path) -> None:
    checked = campaigns.check(file)
    assert shown(checked) == "\n"
    assert checked.plan is not None
    assert checked.smoke_plan is not None
    for width in (30, 80, 120):
        page = list(overview_lines(checked.plan, overview(checked.plan), TARGET.machine, width))
        assert all(learner.name in "\n".join(page) for learner in checked.plan.learners)
        assert len(page) < 150
