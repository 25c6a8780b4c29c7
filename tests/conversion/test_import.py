"""`rose import`: what becomes of workflow files of ROSE, the mistakes in them, and campaigns that run.

After a change that is meant: `python -m tests.conversion.test_import`, and read the difference.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.commands.import_spec import import_spec
from rose_cli.config.document import parse_document, read_document
from rose_cli.conversion.campaign import convert
from rose_cli.conversion.spec import SLOTS
from rose_cli.conversion.text import flow, lines_of
from rose_cli.util.errors import CampaignError
from rose_cli.view.diagnostics import diagnostics_text
from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

HERE = Path(__file__).parent
SPECS = sorted((HERE / "specs").glob("*.yaml"))
WRONG = sorted((HERE / "wrong").glob("*.yaml"))

WORK = '''
"""Functions as ROSE calls them: with the results of the tasks before, and with parameters."""


async def simulate(*before, data_set, batch_size, layers, metric, **others):
    assert (data_set, batch_size, layers, metric) == ("my set", 32, [64, 64], 5)
    assert sorted(others) == ["iteration", "learner_id", "pythonpath"], others
    return {"number": sum(before) + 1, "kind": object}


def train(simulated, **parameters):
    return [simulated["number"]]


def choose(simulated, model, iteration, **parameters):
    assert model == [simulated["number"]] == [2**iteration * (iteration + 1) // 2**iteration]
    return simulated["number"]


def check(*nothing, **parameters):
    assert nothing == ()
    return 0.9


def play(*judged):
    return {"reward": 10 + sum(judged)}


def improve(played):
    return played["reward"]


def judge(improved):
    return improved * 2
'''


def told(file: Path) -> str:
    """The mistakes or the warnings."""
    try:
        document = read_document(file, file.name)
        return str(diagnostics_text(convert(document, file.stem).warnings, document.text, file.name, 120)) + "\n"
    except CampaignError as error:
        return str(diagnostics_text(error.diagnostics, error.text or "", file.name, 120)) + "\n"


def campaign_of(file: Path) -> str:
    return convert(read_document(file, file.name), file.stem).text


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_a_workflow_file_becomes_this_campaign_and_this_is_told(file: Path) -> None:
    expected = HERE / "expected" / file.name
    assert campaign_of(file) == expected.read_text(encoding="utf-8")
    assert told(file) == expected.with_suffix(".txt").read_text(encoding="utf-8")


def test_there_is_one_of_each_type_of_learner() -> None:
    assert {yaml.safe_load(file.read_text())["learner"]["type"] for file in SPECS} == set(SLOTS)


@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
def test_mistakes_come_at_once_each_at_its_place_with_what_to_do(file: Path) -> None:
    assert told(file) == file.with_suffix(".txt").read_text(encoding="utf-8")
    with pytest.raises(CampaignError) as caught:
        campaign_of(file)
    assert all(each.hint and each.span and each.file == file.name for each in caught.value.diagnostics)


@pytest.mark.parametrize(("text", "hint"), [("", "start with 'learner:'"), ("- a\n", "start with 'learner:', as the")])
def test_a_file_that_is_no_mapping_is_told_how_a_workflow_file_starts(rose: Rose, text: str, hint: str) -> None:
    rose.write(text, "workflow.yaml")
    called = rose("import", "workflow.yaml")
    assert called.code == 2
    assert f"help: {hint}" in called.err


# --- the campaign runs -----------------------------------------------------------------------------------------------


def set_up(rose: Rose, name: str) -> None:
    """The workflow file, its functions, and programs that say what they were called with."""
    shutil.copy(HERE / "specs" / f"{name}.yaml", rose.folder / "workflow.yaml")
    rose.write(WORK, "work.py")
    for program in ("sim", "train", "active", "predict"):
        rose.write("import json, sys\nprint(json.dumps({'words': ' '.join(sys.argv[1:])}))\n", f"{program}.py")
    rose.write("print(0.5)\n", "check.py")


def words(rose: Rose, learner: str, task: str, iteration: int = 0) -> str:
    log = rose.folder / "run" / "learners" / learner / "logs" / str(iteration) / f"{task}.1.out"
    reported: str = json.loads(log.read_text())["words"]
    return reported


def metrics(rose: Rose) -> list[float]:
    exported = rose("export", "run", "--format", "jsonl")
    return [json.loads(line)["metric_value"] for line in exported.out.splitlines()]


def test_commands_of_parallel_learners_run_with_their_parameters(rose: Rose) -> None:
    set_up(rose, "parallel-commands")
    assert rose("import", "workflow.yaml").code == 0
    ran = rose("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet")
    assert ran.code == 0, ran.err
    assert words(rose, "linear", "simulation") == "--label a --size 30"
    assert words(rose, "ridge-2", "training", 1) == "--label b --model ridge --name ridge-2-1"


def test_functions_get_the_results_of_the_tasks_before_and_their_parameters(rose: Rose) -> None:
    set_up(rose, "sequential-functions")
    assert rose("import", "workflow.yaml").out == "wrote campaign.yaml, handover.py\nnext: rose plan campaign.yaml\n"
    ran = rose("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet", "--set", 'stop.operator=">="')
    assert ran.code == 0, ran.err
    (learner,) = rose.learners("run").values()
    assert learner["stop_reason"] == "criterion_met"


def test_an_environment_gets_what_the_criterion_of_the_iteration_before_returned(rose: Rose) -> None:
    set_up(rose, "reinforcement")
    assert rose("import", "workflow.yaml").code == 0
    ran = rose("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet")
    assert ran.code == 0, ran.err
    assert metrics(rose) == [20, 60, 140]
    kept = sorted(path.name for path in (rose.folder / "run/learners/learner-0/workspace/handover").iterdir())
    assert kept == [
        f"{task}-{iteration}.pickle" for task in ("criterion", "environment", "update") for iteration in (1, 2)
    ]


def test_a_campaign_that_was_killed_comes_to_the_same_results(rose: Rose) -> None:
    """What functions hand over is in files, and each is whole."""
    set_up(rose, "reinforcement")
    once = "flag = __file__ + '.once'\n    if improved == 30 and not os.path.exists(flag):\n"
    once += "        open(flag, 'w').close()\n        "
    rose.write(
        WORK.replace("return improved", f"import os\n    {once}os.kill(os.getppid(), 9)\n    return improved"),
        "work.py",
    )
    assert rose("import", "workflow.yaml").code == 0
    assert rose.start("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet").wait(PATIENCE) == -9
    resumed = rose("resume", "run", "--output", "quiet")
    assert resumed.code == 0, resumed.err
    assert metrics(rose) == [20, 60, 140]


# --- files -----------------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten_without_force(rose: Rose) -> None:
    set_up(rose, "sequential-functions")
    rose.write("mine", "campaign.yaml")
    called = rose("import", "workflow.yaml")
    assert (called.code, (rose.folder / "campaign.yaml").read_text()) == (2, "mine")
    assert called.err == "error: campaign.yaml exists and is kept\nhelp: choose another name with -o, or add --force\n"
    assert not (rose.folder / "handover.py").exists()
    assert rose("import", "workflow.yaml", "--force").code == 0
    assert "name: workflow" in (rose.folder / "campaign.yaml").read_text()
    rose.write("mine", "handover.py")
    called = rose("import", "workflow.yaml", "-o", "other.yaml")
    assert called.code == 2
    assert "handover.py exists and is kept" in called.err
    assert not (rose.folder / "other.yaml").exists()


def test_what_is_there_already_is_no_obstacle(rose: Rose) -> None:
    set_up(rose, "sequential-functions")
    assert rose("import", "workflow.yaml").code == 0
    assert rose("import", "workflow.yaml").out.startswith("'campaign.yaml' is up to date\n")


def test_the_workflow_file_itself_is_never_replaced(rose: Rose) -> None:
    set_up(rose, "reinforcement")
    (rose.folder / "link.yaml").symlink_to("workflow.yaml")
    before = (rose.folder / "workflow.yaml").read_text()
    for name in ("workflow.yaml", "link.yaml"):
        called = rose("import", "workflow.yaml", "-o", name, "--force")
        assert called.code == 2
        assert "the campaign would replace the workflow file itself" in called.err
    assert (rose.folder / "workflow.yaml").read_text() == before


def test_a_link_is_never_written_through(rose: Rose) -> None:
    set_up(rose, "parallel-commands")
    rose.write("theirs", "theirs")
    (rose.folder / "campaign.yaml").symlink_to("theirs")
    assert rose("import", "workflow.yaml").code == 2
    assert rose("import", "workflow.yaml", "--force").code == 0
    assert (rose.folder / "theirs").read_text() == "theirs"
    assert not (rose.folder / "campaign.yaml").is_symlink()


def test_standard_input_goes_to_standard_output(rose: Rose) -> None:
    file = HERE / "specs" / "parallel-commands.yaml"
    with file.open() as stream:
        done = subprocess.run(
            [sys.executable, "-m", "rose_cli", "import", "-"],
            cwd=rose.folder,
            env=rose.environment,
            stdin=stream,
            capture_output=True,
            text=True,
            check=True,
        )
    expected = (HERE / "expected" / file.name).read_text().replace("name: parallel-commands\n", "")
    assert done.stdout == expected
    assert "<stdin>:13:12: warning[renamed]" in done.stderr
    assert list(rose.folder.iterdir()) == []


def test_of_functions_on_standard_output_the_missing_file_is_told(rose: Rose) -> None:
    set_up(rose, "reinforcement")
    called = rose("import", "workflow.yaml", "-o", "-")
    assert called.out == convert(read_document(HERE / "specs" / "reinforcement.yaml"), "workflow").text
    assert "only -o FILE writes beside it: handover.py" in called.err
    assert not (rose.folder / "handover.py").exists()


def test_a_module_that_is_nowhere_is_told(
    rose: Rose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(rose, "reinforcement")
    (rose.folder / "work.py").unlink()
    monkeypatch.delenv("PYTHONPATH", raising=False)  # modules could be anywhere
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}")
    monkeypatch.chdir(rose.folder)
    assert import_spec("workflow.yaml", None, force=False) == 0
    shown = capsys.readouterr().err
    assert "workflow.yaml:2:39: warning[missing-module]: there is no module 'work' beside the campaign file" in shown


# --- hostile files ---------------------------------------------------------------------------------------------------

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
"""Those that a workflow file can contain."""
ANY_TEXT = st.text(CHARACTERS, min_size=1, max_size=30).filter(lambda text: text.strip() != "")


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(CHARACTERS),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS, min_size=1), inner),
        max_leaves=8,
    )
)
@settings(max_examples=300)
def test_every_value_is_read_back_as_it_was(value: Any) -> None:
    text = "\n".join(lines_of("key", {"inner": value, "other": [value]}))
    read = parse_document(text + "\n", "file").data
    assert read == {"key": {"inner": value, "other": [value]}}
    assert yaml.safe_load(f"key: {flow(value)}") is not None


def hostile(label: str, command: str, name: str, value: str) -> str:
    quoted = [json.dumps(each) for each in (label, command, name, value)]
    label, command, name, value = quoted
    tasks = "".join(
        f"    {slot}: {{type: shell, command: {command}}}\n" for slot in ("simulation", "training", "active_learn")
    )
    return (
        "learner: {type: parallel_active_learner}\nlearners:\n"
        f"  - label: {label}\n{tasks}"
        f"stop_criterion: {{metric: {name}, threshold: 1, evaluator: {{type: shell, command: {command}}}}}\n"
        f"parameters: {{{name}: {value}}}\n"
        f"remote: {{target: {{kind: psij, account: {label}, environment: {{A: {value}}}, setup: [{command}]}}}}\n"
        f"tracking: {{backend: mlflow, experiment: {label}, run_name: {value}}}\n"
    )


@given(label=ANY_TEXT, command=ANY_TEXT, name=ANY_TEXT, value=ANY_TEXT)
@settings(max_examples=200)
def test_no_text_breaks_out_of_its_place(label: str, command: str, name: str, value: str) -> None:
    try:
        document = parse_document(hostile(label, command, name, value), "file")
        converted = convert(document, "")
    except CampaignError:
        return
    read: Any = parse_document(converted.text, "campaign").data
    assert set(read) <= {"parameters", "tasks", "stop", "learners", "env", "pre_exec", "track"}
    assert read["pre_exec"] == [command]
    assert read["tasks"] == {
        slot: {"executable": read["stop"]["executable"]} for slot in SLOTS["parallel_active_learner"]
    }
    assert read["track"] == {"mlflow": {"experiment": label, "tags": {"run_name": value}}}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(3)),
        "a: " + "[" * 100,
        "x: 1\n" * 3,
        "!!python/object/apply:os.system [id]\n",
        "\x00",
    ],
)
def test_what_no_parser_should_follow_is_a_mistake(rose: Rose, text: str) -> None:
    (rose.folder / "workflow.yaml").write_text(text)
    called = rose("import", "workflow.yaml")
    assert called.code == 2
    assert re.search("workflow.yaml:[12]:", called.err)
    assert not (rose.folder / "campaign.yaml").exists()


def test_comments_for_editors_and_for_rose_are_not_taken_over() -> None:
    text = (
        "# yaml-language-server: $schema=x\n# rose: allow all\n#!/bin/sh\n# kept\n"
        + (HERE / "specs/reinforcement.yaml").read_text()
    )
    converted = convert(parse_document(text, "file"), "")
    assert [line for line in converted.text.splitlines() if line.startswith("#")] == [
        "# Made by `rose import` from a workflow file of ROSE.", "# kept"
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "what"), [("loop.py", "a Python program"), ("loop.ipynb", "a notebook")])
def test_a_program_is_no_workflow_file(rose: Rose, name: str, what: str) -> None:
    (rose.folder / name).write_text("from rose import Learner\n", encoding="utf-8")
    called = rose("import", name)
    assert called.code == 2
    assert f"'{name}' is {what}, and no workflow file" in called.err
    assert not (rose.folder / "campaign.yaml").exists()


if __name__ == "__main__":
    for each in SPECS:
        target = HERE / "expected" / each.name
        target.write_text(campaign_of(each), encoding="utf-8")
        target.with_suffix(".txt").write_text(told(each), encoding="utf-8")
    for each in WRONG:
        each.with_suffix(".txt").write_text(told(each), encoding="utf-8")
    sys.stdout.write(f"written to {HERE.relative_to(REPOSITORY)}\n")
