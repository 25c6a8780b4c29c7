"""What a tracker is told of a run, and that it is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.track.conftest import Tracked


def test_a_tracker_gets_the_run_its_values_and_its_end(tracked: Tracked) -> None:
    tracked.campaign()
    called = tracked("run", "campaign.yaml", "-o", "quiet")
    assert called.code == 0, called.err
    kinds = [what for what, _ in tracked.heard]
    assert (kinds[0], kinds[-1]) == ("open", "close")
    (opened,) = tracked.told("open")
    assert opened["campaign"] == "campaign"
    assert [learner["name"] for learner in opened["learners"]] == ["a", "b"]
    assert [learner["options"]["train"]["--lr"] for learner in opened["learners"]] == [0.5, 0.25]
