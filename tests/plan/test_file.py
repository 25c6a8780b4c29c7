"""plan.json: what is read back is the plan that was written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.campaign_file import check_campaign
from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.util.errors import RunDirectoryError
from tests.check.fixture import HERE
from tests.conftest import CAMPAIGNS
from tests.forge import spread

if TYPE_CHECKING:
    from rose_cli.plan.model import Plan
    from tests.check.fixture import Campaigns
    from tests.plan.conftest import Compile

EXAMPLES = sorted(CAMPAIGNS.glob("*/*.yaml"))
RIGHT = sorted((HERE / "right").glob("*.yaml"))


def read_back(plan: Plan, folder: Path) -> Plan:
    path = folder / "plan.json"
    path.write_text(dump_plan(plan, folder), encoding="utf-8")
    return load_plan(path)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_plans_of_all_campaigns_come_back_as_they_were(campaigns: Campaigns, file: Path, tmp_path: Path) -> None:
    plan = check_campaign(file, {"PATH": str(campaigns.folder.parent / "bin")}).plan
    assert plan is not None
    assert read_back(plan, tmp_path) == plan


@pytest.mark.parametrize("file", RIGHT, ids=lambda file: file.stem)
def test_the_plans_of_odd_campaigns_come_back_as_they_were(campaigns: Campaigns, file: Path, tmp_path: Path) -> None:
    checked = campaigns.check(file)
    for plan in (checked.plan, checked.smoke_plan):
        assert plan is not None
        back = read_back(plan, tmp_path)
        assert back == plan
        assert [type(v) for v in _option_values(back)] == [type(v) for v in _option_values(plan)]


def _option_values(plan: Plan) -> list[object]:
    steps = [step for learner in plan.learners for step in learner.all_steps]
    return [
        value for step in steps for command in (step.otherwise, *step.at.values()) for value in command.options.values()
    ]


def test_the_same_plan_gives_the_same_text(compiled: Compile, tmp_path: Path) -> None:
    text = "learners: [{name: a}, {name: b}]"
    assert dump_plan(compiled(text), tmp_path) == dump_plan(compiled(text), tmp_path)


def test_what_changes_the_plan_changes_the_text(compiled: Compile, tmp_path: Path) -> None:
    plan = compiled("")
    assert dump_plan(replace(plan, campaign="other"), tmp_path) != dump_plan(plan, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '{"format": 1}',
        '{"format": 1, "plan": {}}',
        '{"format": 1, "plan": null}',
        '{"format": 1, "plan": []}',
        '{"format": 1, "plan": {"campaign": 1}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        load_plan(path)


@pytest.mark.parametrize("key", ["learners", "engine", "limits"])
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [5], [[]], [{}]])
def test_a_file_with_another_shape_is_damaged(compiled: Compile, tmp_path: Path, key: str, value: object) -> None:
    document = json.loads(dump_plan(compiled(""), tmp_path))
    document["plan"][key] = value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    if (key, value) == ("learners", []):
        assert load_plan(path).learners == ()
        return
    with pytest.raises(RunDirectoryError, match="is damaged"):
        load_plan(path)


def test_a_file_of_a_newer_rose_is_said_to_be_one(compiled: Compile, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(dump_plan(compiled(""), tmp_path).replace('"format": 4', '"format": 5'), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="newer rose"):
        load_plan(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot read"):
        load_plan(tmp_path / "plan.json")


def test_the_file_is_laid_out_for_a_reader(compiled: Compile, tmp_path: Path) -> None:
    lines = dump_plan(compiled(""), tmp_path).split("\n")
    assert lines[:3] == ["{", ' "format": 4,', ' "plan": {']
    assert lines[-2:] == ["}", ""]
    shared = json.loads("\n".join(lines))["plan"]["shared"]["steps"]
    assert [json.loads(line.strip().rstrip(",")) for line in lines if '"otherwise"' in line] == shared, "a line a step"
    assert sum('"name": "' in line for line in lines) == 1, "and a line a learner"


MANY = """
    files: [data.csv]
    stop: {metric: mse, threshold: 0.1, executable: python check.py}
    learners: [%s]
    """


def test_what_learners_share_is_written_once(compiled: Compile, tmp_path: Path) -> None:
    def many(*learners: str) -> tuple[Plan, dict[str, Any]]:
        plan = compiled(MANY % ", ".join(learners))
        document: dict[str, Any] = json.loads(dump_plan(plan, tmp_path))["plan"]
        assert read_back(plan, tmp_path) == plan
        return plan, document

    plan, document = many(*(f"{{name: l{number}}}" for number in range(20)))
    own, shared = plan.learners[0].steps[0], document["shared"]
    assert {kind: len(entries) for kind, entries in shared.items()} == {
        "steps": len(plan.learners[0].steps),
        "criteria": 1,
        "files": 1,
    }
    written = document["learners"][7]
    assert written == written | {
        "name": "l7", "index": 7, "seed": plan.learners[7].seed, "max_iter": plan.learners[7].max_iter,
        "steps": list(range(len(plan.learners[0].steps))), "criterion": 0, "files": [0], "more_criteria": [],
    }  # fmt: skip
    back = load_plan(tmp_path / "plan.json")
    assert len({id(learner.steps) for learner in back.learners}) == 1, "in memory too"
    assert len({id(learner.files) for learner in back.learners}) == 1
    faster = f"{own.task}: {{--n: 9}}"
    _, document = many("{name: a}", f"{{name: b, {faster}}}", f"{{name: c, {faster}}}", "{name: d, stop: null}")
    a, b, c, d = document["learners"]
    assert a["steps"] != b["steps"] == c["steps"], "equal ones are shared, wherever they were written"
    assert len(document["shared"]["steps"]) == len(plan.learners[0].steps) + 1
    assert d == {**a, "name": "d", "index": 3, "seed": d["seed"], "criterion": None}


def test_formats_without_shared_values_are_read_as_before(compiled: Compile, tmp_path: Path) -> None:
    plan = compiled(MANY % "{name: a}, {name: b}")
    document = json.loads(dump_plan(plan, tmp_path))
    spread(document["plan"])
    path = tmp_path / "plan.json"
    for version in (2, 3):
        path.write_text(json.dumps({**document, "format": version}), encoding="utf-8")
        back = load_plan(path)
        assert back == plan
        assert back.learners[0].steps[0] is back.learners[1].steps[0]


def test_a_plan_grows_by_a_line_with_each_learner(compiled: Compile, tmp_path: Path) -> None:
    few, many = (len(dump_plan(compiled(f"learners: {count}"), tmp_path)) for count in (10, 1010))
    assert (many - few) / 1000 < 200


@pytest.mark.parametrize("text", ["", "# notes", "[]", "\n"])
def test_a_file_that_is_something_else_is_said_to_contain_no_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(RunDirectoryError, match="contains no plan") as raised:
        load_plan(tmp_path / "plan.json")
    assert "new run" in str(raised.value.hint)


def test_what_someone_put_in_its_place_is_named(tmp_path: Path, compiled: Compile) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(RunDirectoryError) as raised:
        load_plan(path)
    assert raised.value.hint == "is this a run directory?"
    (tmp_path / "other.json").write_text(dump_plan(compiled(""), tmp_path))
    path.symlink_to("other.json")
    with pytest.raises(RunDirectoryError, match="cannot read") as raised:
        load_plan(path)
    assert "did not create" in str(raised.value.hint)
    path.unlink()
    path.write_bytes(b"\0" * 100)
    with pytest.raises(RunDirectoryError, match="NUL") as raised:
        load_plan(path)
    assert "did not create" in str(raised.value.hint)


# --- places --------------------------------------------------------------------------------------------------------


class Moves:
    """A campaign with a run in `rose-runs/r`, to be moved about."""

    def __init__(self, campaigns: Campaigns, compiled: Compile) -> None:
        self.campaign = campaigns.folder
        self.there = campaigns.folder.parent / "there"
        self.there.mkdir()
        for file in (self.campaign / "pool.csv", self.there / "other.csv"):
            file.touch()
        fixed = f"{{path: {self.there}/other.csv, to: fixed.csv}}"
        plan = compiled(f"files: [pool.csv, ../there/other.csv, {fixed}]")
        self.file = Path(plan.campaign_file)
        self.run = self.campaign / "rose-runs" / "r"
        self.run.mkdir(parents=True)
        (self.run / "plan.json").write_text(dump_plan(plan, self.run))
        (self.run / "campaign.yaml").write_bytes(self.file.read_bytes())

    @property
    def plan(self) -> Plan:
        return load_plan(self.run / "plan.json")

    def moved(self, source: Path, target: Path) -> None:
        """What lies below `source` lies below `target` from now on."""
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        for name in ("campaign", "there", "file", "run"):
            path = getattr(self, name)
            if path == source or source in path.parents:
                setattr(self, name, target / path.relative_to(source))

    def sources(self) -> list[Path]:
        return [Path(file.source) for file in self.plan.learners[0].files]


@pytest.fixture
def moves(campaigns: Campaigns, compiled: Compile) -> Moves:
    return Moves(campaigns, compiled)


def test_where_nothing_moved_everything_is_where_it_was(moves: Moves) -> None:
    plan = moves.plan
    assert (Path(plan.campaign_dir), Path(plan.campaign_file)) == (moves.campaign, moves.file)
    assert moves.sources() == [moves.campaign / "pool.csv", moves.there / "other.csv", moves.there / "other.csv"]
    document = json.loads((moves.run / "plan.json").read_text())["plan"]
    written = [file["source"] for file in document["shared"]["files"]]
    assert written == ["pool.csv", "../there/other.csv", str(moves.there / "other.csv")]
    assert (document["campaign_dir"], document["campaign_file"]) == ("../..", moves.file.name)


def test_a_campaign_that_moved_with_its_runs_takes_its_files_along(moves: Moves) -> None:
    there, file = moves.there, moves.file.name
    moves.moved(moves.campaign, moves.campaign.parent / "deep" / "moved")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    assert Path(moves.plan.campaign_file) == moves.campaign / file
    assert moves.sources() == [moves.campaign / "pool.csv", there / "other.csv", there / "other.csv"]


def test_what_moved_along_beside_the_campaign_is_found_there(moves: Moves) -> None:
    fixed = moves.there / "other.csv"
    parent = moves.campaign.parent
    moves.moved(moves.campaign, parent / "deep" / "moved")
    moves.moved(moves.there, parent / "deep" / "there")
    assert moves.sources() == [moves.campaign / "pool.csv", parent / "deep" / "there" / "other.csv", fixed]


def test_a_run_that_moved_by_itself_finds_its_campaign(moves: Moves) -> None:
    moves.moved(moves.run, moves.campaign.parent / "elsewhere" / "r")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    assert Path(moves.plan.campaign_file) == moves.file


def test_a_run_that_moved_to_another_campaign_is_still_of_its_own(moves: Moves) -> None:
    other = moves.campaign.parent / "other"
    (other / "rose-runs").mkdir(parents=True)
    (other / moves.file.name).write_text("another: campaign")
    moves.moved(moves.run, other / "rose-runs" / "r")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    (other / moves.file.name).write_bytes(moves.file.read_bytes())
    assert Path(moves.plan.campaign_dir) == other, "a copy of the campaign is one"


def test_a_copy_belongs_to_the_campaign_that_was_copied_along(moves: Moves) -> None:
    copy = moves.campaign.parent / "copy"
    shutil.copytree(moves.campaign, copy)
    (copy / moves.file.name).write_text("edited: true")
    plan = load_plan(copy / "rose-runs" / "r" / "plan.json")
    assert Path(plan.campaign_dir) == copy
    assert Path(moves.plan.campaign_dir) == moves.campaign


def test_a_campaign_file_with_another_name_is_known_by_its_text(moves: Moves) -> None:
    (moves.campaign / "a.yaml").write_text("other: text")
    (moves.campaign / "notes.txt").write_bytes(moves.file.read_bytes())
    moves.file.rename(moves.campaign / "renamed.yml")
    assert Path(moves.plan.campaign_file) == moves.campaign / "renamed.yml"
    (moves.campaign / "renamed.yml").write_text("edited: text")
    assert Path(moves.plan.campaign_file) == moves.file, "nothing has its text: it is where it was"
    (moves.run / "campaign.yaml").unlink()
    assert Path(moves.plan.campaign_file) == moves.file


def test_of_several_files_with_its_text_the_first_is_taken(moves: Moves) -> None:
    for name in ("z.yaml", "c.yml", "b.yaml", "y.yml"):
        shutil.copy(moves.file, moves.campaign / name)
    moves.file.unlink()
    assert Path(moves.plan.campaign_file) == moves.campaign / "b.yaml"


def test_a_link_to_the_campaign_file_is_one(moves: Moves) -> None:
    moves.file.rename(moves.there / "real.yaml")
    (moves.campaign / "link.yaml").symlink_to(moves.there / "real.yaml")
    assert Path(moves.plan.campaign_file) == moves.campaign / "link.yaml"


def test_a_moved_campaign_with_another_name_and_another_text_is_found_beside_its_runs(moves: Moves) -> None:
    before = moves.campaign
    moves.file.write_text("edited: true")
    moves.file.rename(moves.campaign / "new.yaml")
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    (moves.campaign / "new.yaml").unlink()
    assert Path(moves.plan.campaign_dir) == before, "no campaign is there"


def test_nothing_of_the_campaign_is_left(moves: Moves) -> None:
    before = moves.campaign
    moves.moved(moves.run, moves.campaign.parent / "elsewhere" / "r")
    shutil.rmtree(moves.campaign)
    assert Path(moves.plan.campaign_dir) == before


def test_a_moved_campaign_with_another_text_is_the_one_beside_its_runs(moves: Moves) -> None:
    moves.file.write_text("edited: true")
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    assert Path(moves.plan.campaign_dir) == moves.campaign


def test_a_run_of_a_lost_campaign_does_not_belong_to_what_lies_near_it(moves: Moves) -> None:
    before = moves.campaign
    other = moves.campaign.parent / "other"
    moves.moved(moves.run, other / "elsewhere" / "r")
    (other / "another.yaml").write_text("another: campaign")
    shutil.rmtree(before)
    assert Path(moves.plan.campaign_dir) == before


def test_without_its_copy_of_the_campaign_a_run_that_was_moved_alone_is_still_of_its_own(moves: Moves) -> None:
    other = moves.campaign.parent / "other"
    (other / "rose-runs").mkdir(parents=True)
    (other / moves.file.name).write_text("another: campaign")
    (moves.run / "campaign.yaml").unlink()
    moves.moved(moves.run, other / "rose-runs" / "r")
    assert Path(moves.plan.campaign_dir) == moves.campaign


def test_a_moved_campaign_is_found_through_a_link_to_its_run(moves: Moves) -> None:
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    link = moves.there / "latest"
    link.symlink_to(moves.run)
    assert Path(load_plan(link / "plan.json").campaign_dir) == moves.campaign


def test_a_file_inside_the_campaign_is_named_where_it_would_be_now(moves: Moves) -> None:
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    (moves.campaign / "pool.csv").unlink()
    assert moves.sources()[0] == moves.campaign / "pool.csv"


def test_an_absolute_path_into_the_campaign_moves_with_it(campaigns: Campaigns, compiled: Compile) -> None:
    run = campaigns.folder / "rose-runs" / "r"
    run.mkdir(parents=True)
    plan = compiled(f"files: ['{campaigns.folder}/data.csv']")
    (run / "plan.json").write_text(dump_plan(plan, run))
    moved = campaigns.folder.rename(campaigns.folder.parent / "moved")
    (file,) = load_plan(moved / "rose-runs" / "r" / "plan.json").learners[0].files
    assert file.source == str(moved / "data.csv")


def test_a_directory_with_the_name_of_a_campaign_file_is_none(moves: Moves) -> None:
    (moves.campaign / "a.yaml").mkdir()
    moves.file.rename(moves.campaign / "renamed.yaml")
    assert Path(moves.plan.campaign_file) == moves.campaign / "renamed.yaml"


def test_a_plan_that_does_not_know_its_run_belongs_to_the_campaign_beside_it(moves: Moves) -> None:
    document = json.loads((moves.run / "plan.json").read_text())
    document["plan"]["origin"]["run"] = None
    (moves.run / "plan.json").write_text(json.dumps(document))
    assert Path(moves.plan.campaign_dir) == moves.campaign
    before = moves.campaign
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    moves.file.rename(moves.campaign / "new.yaml")
    (moves.run / "campaign.yaml").unlink()
    assert Path(moves.plan.campaign_dir) == before


@pytest.mark.parametrize("version", [1, 2])
def test_each_format_has_its_own_paths(moves: Moves, version: int) -> None:
    """Format 2 says where it was, and format 1 has absolute paths instead."""
    if version == 1:
        old_format(moves)
    document = json.loads((moves.run / "plan.json").read_text())
    (moves.run / "plan.json").write_text(json.dumps({**document, "format": 3 - version}))
    with pytest.raises(RunDirectoryError, match="is damaged"):
        _ = moves.plan


def old_format(moves: Moves) -> None:
    """The plan as format 1 had it: absolute paths, and nothing of where it was."""
    document = json.loads((moves.run / "plan.json").read_text())
    plan = document["plan"]
    spread(plan)
    plan["campaign_dir"], plan["campaign_file"], plan["origin"] = str(moves.campaign), str(moves.file), None
    for learner in plan["learners"]:
        for file in learner["files"]:
            file["source"] = str((moves.campaign / file["source"]).resolve())
    (moves.run / "plan.json").write_text(json.dumps({"format": 1, "plan": plan}))


def test_format_1_is_read_where_it_is_and_where_it_was_moved_to(moves: Moves) -> None:
    old_format(moves)
    assert (Path(moves.plan.campaign_dir), Path(moves.plan.campaign_file)) == (moves.campaign, moves.file)
    assert moves.plan.origin is not None
    assert moves.plan.origin.run == str(moves.run)
    moves.moved(moves.campaign, moves.campaign.parent / "moved")
    assert Path(moves.plan.campaign_dir) == moves.campaign
    assert moves.sources()[0] == moves.campaign / "pool.csv"


def test_format_1_of_a_run_elsewhere_has_its_campaign_where_it_was(moves: Moves) -> None:
    old_format(moves)
    moves.moved(moves.run, moves.campaign.parent / "elsewhere" / "r")
    (moves.campaign / "rose-runs").rmdir()
    plan = moves.plan
    assert (Path(plan.campaign_dir), Path(plan.campaign_file)) == (moves.campaign, moves.file)
    assert plan.origin is not None
    assert plan.origin.run is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("campaign_file", "/abs/campaign.yaml"),
        ("campaign_file", ".."),
        ("campaign_file", "."),
        ("campaign_file", "a/b"),
    ],
)
def test_a_campaign_file_outside_of_its_folder_is_damage(moves: Moves, key: str, value: str) -> None:
    document = json.loads((moves.run / "plan.json").read_text())
    document["plan"][key] = value
    (moves.run / "plan.json").write_text(json.dumps(document))
    with pytest.raises(RunDirectoryError, match="campaign_dir"):
        _ = moves.plan


@pytest.mark.parametrize(
    ("key", "value"), [("campaign_file", "campaign.yaml"), ("campaign_dir", "."), ("campaign_dir", "/")]
)
def test_in_format_1_too(moves: Moves, key: str, value: str) -> None:
    old_format(moves)
    document = json.loads((moves.run / "plan.json").read_text())
    document["plan"][key] = value
    (moves.run / "plan.json").write_text(json.dumps(document))
    with pytest.raises(RunDirectoryError, match="campaign_dir"):
        _ = moves.plan


def test_format_1_with_paths_that_begin_nowhere_is_damaged(moves: Moves) -> None:
    old_format(moves)
    document = json.loads((moves.run / "plan.json").read_text())
    document["plan"].update(campaign_dir="sub", campaign_file="sub/campaign.yaml")
    (moves.run / "plan.json").write_text(json.dumps(document))
    with pytest.raises(RunDirectoryError, match="campaign_dir"):
        _ = moves.plan


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None])
def test_a_format_is_a_number_from_one(moves: Moves, version: object) -> None:
    document = json.loads((moves.run / "plan.json").read_text())
    (moves.run / "plan.json").write_text(json.dumps({**document, "format": version}))
    with pytest.raises(RunDirectoryError, match="there is no format"):
        _ = moves.plan
