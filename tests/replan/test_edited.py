"""Which campaign file a resume compiles: not one that somebody else may have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.replan.edited import Replan, Wanted, replan
from rose_cli.run_info import read_run
from rose_cli.runs.moves import RunLocation
from rose_cli.util.errors import CampaignError, UsageError
from tests.loop.simulation import Fate, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path

ONE = "{max_iter: 2, tasks: {t: {executable: 'true', options: {--n: 1}}}, learners: [{name: a}]}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An interrupted run in its first iteration."""
    world = World.of(tmp_path, ONE, lambda _: Fate(10))
    world.run(interrupt(5))
    return world


def planned(world: World, text: str | None = None, **options: Any) -> Replan:
    if text is not None:
        (world.folder / "campaign.yaml").write_text(text)
    return replan(RunLocation(world.directory, world.plan, read_run(world.directory).state), Wanted(**options))


def test_an_unchanged_file_is_not_read_as_a_campaign(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rose_cli.replan.edited.check_campaign", pytest.fail)
    assert planned(world) == Replan()


def test_a_file_that_others_can_change_is_not_applied(world: World) -> None:
    changed = ONE.replace("max_iter: 2", "max_iter: 3")
    (world.folder / "campaign.yaml").chmod(0o666)
    with pytest.raises(UsageError, match="has changed since this run was started, and it can be changed by") as raised:
        planned(world, changed)
    assert "add `--trust`" in (raised.value.hint or "")
    assert planned(world, trust=True).new is not None
    assert planned(world, as_it_was=True).new is None


def test_a_run_that_is_not_ones_own_keeps_its_plan(world: World) -> None:
    world.directory.path.chmod(0o777)
    found = planned(world, ONE.replace("'true'", "'false'"), trust=True)
    assert found.new is None
    assert "is not applied, because this run is not yours alone" in found.news[0]


def test_a_file_with_errors_is_refused_with_all_of_them(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CampaignError) as raised:
        planned(world, ONE.replace("max_iter: 2", "max_iters: 2").replace("name: a", "nome: a"))
    assert len(raised.value.diagnostics) == 2
    assert "--as-it-was" in capsys.readouterr().err
