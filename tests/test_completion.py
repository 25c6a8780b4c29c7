"""What a shell offers at TAB, asked as the shells ask, and once in a real bash."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rose_cli.completion import SETTINGS, TASK_SETTINGS
from rose_cli.config import models
from tests.conftest import PATIENCE, REPOSITORY, Rose

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = """
name: c
max_iter: 2
stop: {metric: mse, threshold: 0.1, executable: echo 1}
tasks:
  sim: {executable: 'true', options: {--n: 3, --model.lr: 0.1}}
  train: {executable: 'true'}
learners:
- name: hot
- {name: cold, sim: {--n: 5}}
- name: some times
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A campaign with a run that has ended; nobody changes it."""
    rose = Rose(tmp_path_factory.mktemp("completion"))
    rose.write(CAMPAIGN)
    rose.write("", "other.yml")
    assert rose("run", "campaign.yaml").code == 0
    return rose


@pytest.fixture
def copied(here: Rose, tmp_path: Path) -> Rose:
    """The same, to change."""
    shutil.copytree(here.folder, tmp_path / "copy", symlinks=True)
    return Rose(tmp_path / "copy")


def run_of(rose: Rose) -> str:
    return str((rose.folder / "rose-runs/latest").readlink())


def bash(rose: Rose, *words: str) -> list[str]:
    """What bash is given where the last of these words, as bash splits them, is being typed."""
    asked = {"COMP_WORDS": "\n".join(("rose", *words)), "COMP_CWORD": str(len(words))}
    called = rose(_ROSE_COMPLETE="complete_bash", **asked)
    assert (called.code, called.err) == (0, "")
    return called.out.splitlines()


LEARNERS = ["hot", "cold", r"some\ times"]
OFFERED = {
    "logs ": ["RUN", "campaign.yaml", "other.yml", *LEARNERS],
    "logs RUN ": LEARNERS,
    "logs campaign.yaml c": ["cold"],
    "logs hot ": ["0", "1"],
    "logs RUN cold ": ["0", "1"],
    "logs hot 1 ": ["sim", "train", "criterion"],
    "logs RUN 1 ": ["sim", "train", "criterion"],
    "logs hot 1 t": ["train"],
    "logs tr": ["train"],
    "exec RUN hot 1 t": ["train"],
    "exec hot ": ["0", "1"],
    "path hot ": ["0", "1"],
    "exec hot 0 t": ["train"],
    "exec RUN hot 0 s": ["sim"],
    "export --learner c": ["cold"],
    "resume --set max_i": ["max_iter=", "max_iter=2"],
    "status --sort n": ["name"],
    "status ": ["RUN", "campaign.yaml", "other.yml"],
    "status cam": ["campaign.yaml"],
    "status rose-runs/": ["rose-runs/RUN"],
    "list --format ": ["text", "json"],
    "stop ": ["RUN", "campaign.yaml", "other.yml"],
    "stop --learner h": ["hot"],
    "stop RUN --learner = h": ["hot"],
    "resume --learner hot --learner ": ["cold", r"some\ times"],
    "resume --from-iteration ": ["0", "1"],
    "resume RUN --learner hot --from-iteration ": ["0", "1"],
    "export --format ": ["csv", "jsonl", "parquet", "ro-crate"],
    "clean ": ["RUN", "campaign.yaml", "other.yml"],
    "clean RUN ": ["campaign.yaml", "other.yml"],
    "clean --status f": ["finished", "failed"],
    "run ": ["campaign.yaml", "other.yml"],
    "run campaign.yaml --learner ": LEARNERS,
    "run campaign.yaml --engine ": ["local", "slurm", "radical.pilot"],
    "run campaign.yaml --output q": ["quiet"],
    "plan campaign.yaml --iteration ": ["0", "1"],
    "plan RUN --learner co": ["cold"],
    "validate o": ["other.yml"],
    "run campaign.yaml --set max_i": ["max_iter=", "max_iter=2"],
    "run campaign.yaml --set max_iter = ": ["2"],
    "run campaign.yaml --set learners.cold.": [
        "learners.cold.max_iter=",
        "learners.cold.sim.--n=",
        "learners.cold.sim.--model.lr=",
    ],
    "run campaign.yaml --set learners.cold.sim.--n = ": ["5"],
    "run campaign.yaml --set limits.w": [
        "limits.wall_time=",
        "limits.workspace=",
    ],
    "set RUN sim.opt": ["sim.options.--n=", "sim.options.--model.lr="],
    "set RUN max_i": ["max_iter=", "max_iter=2"],
    "set RUN --learner co": ["cold"],
    "run campaign.yaml --set tasks.sim.opt": ["tasks.sim.options.--n=", "tasks.sim.options.--model.lr="],
}


@pytest.mark.parametrize("line", OFFERED)
def test_what_is_offered(here: Rose, line: str) -> None:
    run = run_of(here)
    words = ["" if word == "" else word.replace("RUN", run) for word in line.split(" ")]
    assert bash(here, *words) == [word.replace("RUN", run) for word in OFFERED[line]]


def test_many_keys_come_a_level_at_a_time(here: Rose) -> None:
    offered = bash(here, "run", "campaign.yaml", "--set", "")
    assert {"max_iter=", "tasks.", "learners.", "limits.", "keep.", "engine="} <= set(offered)
    assert not any("." in word.rstrip(".") for word in offered)


def test_every_offered_setting_is_one(here: Rose) -> None:
    settings = [f"{key}={value}" for key, value in SETTINGS.items() if not key.startswith("engine")]
    settings += ["engine={kind: local, cores: 8}"]
    settings += [f"tasks.sim.{key}={value}" for key, value in TASK_SETTINGS.items()]
    called = here("plan", "campaign.yaml", *(word for setting in settings for word in ("--set", setting)))
    assert called.code == 0, called.err
    for name, model in (("limits", models.Limits), ("keep", models.Keep), ("stop_campaign", models.StopCampaign)):
        assert {key for key in SETTINGS if key.startswith(f"{name}.")} == {
            f"{name}.{key}" for key in model.model_fields
        }


def test_a_word_in_quotes_is_not_quoted_again(here: Rose) -> None:
    assert bash(here, "logs", "'som") == ["some times"]
    assert bash(here, "logs", r"some\ t") == [r"some\ times"]


def test_zsh_and_fish(here: Rose) -> None:
    zsh = here(_ROSE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="rose logs hot 1 ")
    assert (zsh.out, zsh.err) == ('_arguments \'*: :(("sim"\n"train"\n"criterion"))\'\n', "")
    fish = {"_ROSE_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "rose stop --learner "}
    assert here(**fish, _TYPER_COMPLETE_FISH_ACTION="get-args").out == "hot\ncold\nsome times\n"
    assert here(**fish, _TYPER_COMPLETE_FISH_ACTION="is-args").code == 0
    fish["_TYPER_COMPLETE_ARGS"] = "rose stop --learner nobody"
    assert here(**fish, _TYPER_COMPLETE_FISH_ACTION="is-args").code == 1


def test_what_is_odd_is_neither_offered_nor_reported(copied: Rose) -> None:
    run = copied.folder / "rose-runs" / run_of(copied)
    plan = json.loads((run / "plan.json").read_text())
    plan["plan"]["learners"][0]["name"] = "\x1b[31mred\n"
    (run / "plan.json").write_text(json.dumps(plan))
    assert bash(copied, "stop", "--learner", "") == ["cold", r"some\ times"]
    for text in ("{", "[]", '{"plan": {"learners": 1}}', "\0" * 100):
        (run / "plan.json").write_text(text)
        assert bash(copied, "stop", "--learner", "") == []
        assert bash(copied, "logs", run.name, "") == []
    (run / "plan.json").unlink()
    os.mkfifo(run / "plan.json")
    assert bash(copied, "stop", "--learner", "") == []
    with (run / "plan.json").with_name("big").open("wb") as file:
        file.truncate(1 << 40)
    (run / "big").replace(run / "plan.json")
    assert bash(copied, "stop", "--learner", "") == []
    for text in ("- 1", "{", "tasks: 1", "learners: 3\ntasks: {a: 1}"):
        copied.write(text)
        bash(copied, "run", "campaign.yaml", "--set", "")
        bash(copied, "run", "campaign.yaml", "--learner", "")
    assert bash(copied, "run", "campaign.yaml", "--learner", "") == ["learner-0", "learner-1", "learner-2"]
    shutil.rmtree(copied.folder / "rose-runs")
    assert bash(copied, "stop", "--learner", "") == []
    assert bash(copied, "logs", "hot", "") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("name", ["rose", "rose-cli"])
def test_in_a_real_bash(here: Rose, name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    entry = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from rose_cli.__main__ import main; main()"
    program.write_text(f"#!{sys.executable}\n{entry}\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
    script = subprocess.run(
        [program],
        env={**environment, "_" + name.replace("-", "_").upper() + "_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "script").write_text(script)
    child, terminal = pty.fork()
    if not child:
        os.chdir(here.folder)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        _type(terminal, f". {tmp_path}/script; bind 'set enable-bracketed-paste off'\n")
        _type(terminal, f"{name} stop --learner so\t")
        _wait_for(terminal, "some\\ times")
        _type(terminal, f"\x15{name} run campaign.yaml --set max_it\t")
        _wait_for(terminal, "er=")
        _type(terminal, "\t")
        _wait_for(terminal, "2 ")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _type(terminal: int, text: str) -> None:
    os.write(terminal, text.encode())


def _wait_for(terminal: int, text: str) -> None:
    seen, end = "", time.monotonic() + PATIENCE
    while text not in seen:
        assert time.monotonic() < end, seen
        if select.select([terminal], [], [], 1.0)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
