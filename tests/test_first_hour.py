"""The pages for the first hour are true: what they show is written to an empty directory and run, as a reader does it.

A block whose first line is `# NAME` is a file of that name, or its end. In console blocks, what follows `$` is called.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pages import Block, blocks

if TYPE_CHECKING:
    from tests.conftest import Rose

PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
_FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))(?P<is_end>, at its end)?\n")
_CALL = re.compile(r"^\$ (?P<line>.*?)(?P<fails>  # fails)?$", re.MULTILINE)


def page_blocks(page: str) -> list[Block]:
    return [block for block in blocks() if block.page == f"docs/{page}"]


def name_of(block: Block) -> str | None:
    match = _FILE.match(block.text)
    return match[1] if match is not None else None


def write(rose: Rose, block: Block) -> None:
    match = _FILE.match(block.text)
    assert match is not None
    with (rose.folder / match[1]).open("a" if match["is_end"] else "w", encoding="utf-8") as file:
        file.write(block.text)


def calls(rose: Rose, block: Block) -> None:
    """Call what a console block shows; only a line that ends in `# fails` may and must fail."""
    environment = {**os.environ, "PATH": PATH, "COLUMNS": "120"}
    for match in _CALL.finditer(block.text) if block.language == "console" else ():
        line = match["line"]
        done = subprocess.run(
            line, shell=True, cwd=rose.folder, env=environment, capture_output=True, text=True, check=False
        )
        failed = done.returncode != 0
        assert failed == bool(match["fails"]), f"{block}: {line}\n{done.stderr}"


# --- the cookbook --------------------------------------------------------------------------------------------------

COOKBOOK = page_blocks("cookbook.md")
RECIPES = {name: block for block in COOKBOOK if (name := name_of(block)) and name.endswith(".yaml")}


def cookbook(rose: Rose) -> None:
    for block in COOKBOOK:
        if name_of(block):
            write(rose, block)
    (pretrained,) = [block for block in COOKBOOK if block.language == "json"]
    rose.write(pretrained.text, "pretrained.json")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_no_mistake_and_runs(rose: Rose, name: str) -> None:
    cookbook(rose)
    assert rose.json("validate", name, "--format", "json") == []
    assert rose("run", "--smoke", name, PATH=PATH).code == 0
    called = rose("run", name, "--output", "quiet", "--run-dir", "run", PATH=PATH)
    assert called.code == 0, called.err


def test_learners_that_are_compared_draw_the_same_numbers(rose: Rose) -> None:
    cookbook(rose)
    plan = rose.json("plan", "compare.yaml", "--format", "json")
    assert [learner["seed"] for learner in plan["learners"]] == [1, 1]
    repeats = rose.json("plan", "repeats.yaml", "--format", "json")["learners"]
    assert [learner["seed"] for learner in repeats] == [1, 2, 3, 1, 2, 3]
    options = [learner["iterations"][0]["tasks"][0]["options"]["--lr"] for learner in repeats]
    assert options == [0.5, 0.5, 0.5, 0.05, 0.05, 0.05]


def test_repeats_are_summarized_as_shown_and_the_first_seed_misleads(rose: Rose) -> None:
    cookbook(rose)
    assert rose("run", "repeats.yaml", "--output", "quiet", PATH=PATH).code == 0
    (shown,) = [block for block in COOKBOOK if block.text.startswith("repeats  n")]
    assert shown.text in rose("status", "repeats.yaml", "--results").out
    best = {learner["name"]: learner["best_value"] for learner in rose.status("repeats.yaml")["learners"]}
    assert round(best["small-1"] / best["large-1"]) == 39
    assert sum(best[f"small-{seed}"] for seed in (1, 2, 3)) < sum(best[f"large-{seed}"] for seed in (1, 2, 3))


def rates(rose: Rose, name: str) -> dict[str, list[float]]:
    """The learning rate of each iteration, by learner, in a run of the recipe."""
    cookbook(rose)
    assert rose("run", name, "--output", "quiet", "--run-dir", "run", PATH=PATH).code == 0
    found: dict[str, list[float]] = {}
    for line in rose("export", "run", "--format", "jsonl").out.splitlines():
        row = json.loads(line)
        found.setdefault(row["learner"], []).append(row["option.training.--lr"])
    return found


def test_the_rate_falls_on_a_plateau_and_only_there(rose: Rose) -> None:
    used = rates(rose, "plateau.yaml")["plateau"]
    expected, best, waited, rate = [], float("inf"), 0, 0.5
    for loss in rose.learners("run")["plateau"]["history"]:
        expected.append(rate)
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == 2:
            rate, waited = rate / 2, 0
    assert used == expected
    assert len(set(used)) > 1


def test_the_schedules_are_what_their_comments_say(rose: Rose) -> None:
    used = rates(rose, "rates.yaml")
    assert set(used["constant"]) == {0.1}
    assert used["stages"] == ([0.5] * 4 + [0.1] * 3 + [0.02] * 3)[: len(used["stages"])]
    assert used["exponential"] == pytest.approx([0.5 * 0.7**i for i in range(len(used["exponential"]))])
    assert used["warm-up"][:4] == pytest.approx([0.1, 0.2333, 0.3667, 0.5], abs=1e-3)
    assert sorted(used["cosine"], reverse=True) == used["cosine"]


def test_patience_ends_the_early_stop_before_its_last_iteration(rose: Rose) -> None:
    cookbook(rose)
    assert rose("run", "early.yaml", "--output", "quiet", "--run-dir", "run", PATH=PATH).code == 0
    for learner in rose.learners("run").values():
        assert learner["stop_reason"] == "no_improvement"
        assert 3 <= learner["iterations_done"] < 30


def test_a_warm_start_starts_warmer(rose: Rose) -> None:
    cookbook(rose)
    assert rose("run", "warm.yaml", "--output", "quiet", "--run-dir", "run", PATH=PATH).code == 0
    learners = rose.learners("run")
    assert learners["warm"]["history"][0] < learners["cold"]["history"][0]


def test_the_best_model_is_kept_and_old_ones_are_not(rose: Rose) -> None:
    cookbook(rose)
    assert rose("run", "best.yaml", "--output", "quiet", "--run-dir", "run", PATH=PATH).code == 0
    history = rose.learners("run")["large"]["history"]
    slope, offset = json.loads((rose.folder / "run/learners/large/workspace/best-model.json").read_text())
    assert (slope - 2) ** 2 / 3 + (offset - 1) ** 2 == min(history) < history[-1]
    kept = {path.name for path in (rose.folder / "run/learners/large/workspace").glob("model-*")}
    assert kept == {"model-6.json", "model-7.json"}


def test_the_commands_and_scripts_of_the_cookbook_work(rose: Rose) -> None:
    cookbook(rose)
    for block in COOKBOOK:
        calls(rose, block)
    done = subprocess.run([sys.executable, "best.py"], cwd=rose.folder, capture_output=True, text=True, check=True)
    learners = {learner["name"]: learner["best_value"] for learner in rose.status("compare.yaml")["learners"]}
    printed = dict(re.findall(r"^(\w+): (\S+) in iteration \d+, with a rate of 0\.0?5$", done.stdout, re.MULTILINE))
    assert printed == {name: f"{best:.4g}" for name, best in learners.items()}
    if importlib.util.find_spec("pandas") and importlib.util.find_spec("matplotlib"):
        subprocess.run(
            [sys.executable, "plot.py"], cwd=rose.folder, check=True, env={**os.environ, "MPLBACKEND": "agg"}
        )
        assert (rose.folder / "history.png").exists()


# --- write your own ------------------------------------------------------------------------------------------------


def test_the_page_leads_from_scripts_to_a_campaign(rose: Rose) -> None:
    """Its files are written and its commands called in the order of the page."""
    for block in page_blocks("write-your-own.md"):
        if name_of(block):
            write(rose, block)
        calls(rose, block)
    learners = rose.learners("campaign.yaml")
    assert {name: learner["stop_reason"] for name, learner in learners.items()} == {
        "narrow": "criterion_met",
        "medium": "max_iter",
        "wide": "max_iter",
    }
    assert "★0.094115 @7" in rose("status", "--results").out
    workspace = rose.folder / "rose-runs/latest/learners/wide/workspace"
    assert {path.name for path in workspace.iterdir()} == {"fit.json", *(f"data-{number}.csv" for number in range(12))}
