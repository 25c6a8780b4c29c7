"""Wrong campaign files, each with exactly the mistakes that its .txt says, all at once.

After a change that is meant: `python -m tests.check.test_wrong_files`, and read the difference.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli.campaign_file import Setting
from tests.check.fixture import HERE, Campaigns, shown

if TYPE_CHECKING:
    from rose_cli.util.errors import Diagnostic

WRONG = sorted((HERE / "wrong").glob("*.yaml"))


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    return Campaigns.set_up(tmp_path_factory.mktemp("wrong"))


@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
def test_the_mistakes_are_these_and_no_others(campaigns: Campaigns, file: Path) -> None:
    assert shown(campaigns.check(file)) == file.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
def test_each_mistake_is_told_once_in_full_and_where_it_is(campaigns: Campaigns, file: Path) -> None:
    checked = campaigns.check(file)
    lines = checked.text.splitlines() or [""]
    assert checked.diagnostics
    assert checked.plan is None or not any(diagnostic.is_error for diagnostic in checked.diagnostics)
    for diagnostic in checked.diagnostics:
        span = diagnostic.span
        assert diagnostic.file.endswith(file.name)
        assert diagnostic.hint, f"no hint: {diagnostic.message}"
        assert span is not None
        assert 1 <= span.line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)
        first = diagnostic.message.split()[0].rstrip(":")
        assert first.lower() == first or first.isupper()  # GPU, and the names of variables
        assert "\n" not in diagnostic.message + diagnostic.hint
    assert len({(d.span, d.code, d.message) for d in checked.diagnostics}) == len(checked.diagnostics)


def test_the_mistakes_come_in_the_order_of_the_file(campaigns: Campaigns) -> None:
    for file in WRONG:
        places = [(d.span.line, d.span.column) for d in campaigns.check(file).diagnostics if d.span is not None]
        assert places == sorted(places)


# --- one mistake hides no other ------------------------------------------------------------------------------------

RIGHT = """\
name: right
max_iter: 10
seed: 1
engine: {kind: local, cores: 4, gpus: [0]}
env: {OMP_NUM_THREADS: 1}
retries: {times: 2, pause: 5s}
timeout: 1h
on_failure: stop_learner
limits: {max_parallel_learners: 2, wall_time: 2h}
stop_campaign: {after_converged: 1}
files: [data.csv]
smoke: {simulation: {--n: 1}}
tasks:
  simulation:
    executable: python sim.py
    options: {--n: 1}
    timeout: 30m
  training: {executable: python train.py, cores_per_rank: 2}
  active_learn: {executable: python active.py, gpus_per_rank: 1}
stop:
  metric: mse
  threshold: 0.1
  operator: <
  patience: 3
  executable: python check.py
learners:
  - name: a
    simulation: {--n: 5}
    training: {0: {--lr: 1}, 1: {--lr: 2}, -1: {--lr: 3}}
  - name: b
    simulation: {adaptive: {--n: 100 + i*50}}
    stop: {threshold: 0.05}
    env: {A: 1}
  - {}
"""

# line → what it becomes, and the code of the one mistake that is then in it
MISTAKES: dict[int, list[tuple[str, str]]] = {
    1: [("nmae: right", "unknown-key"), ("name: [right]", "wrong-type"), ('name: "right', "unclosed-quote")],
    3: [("seed: -1", "out-of-range"), ("seed: 1.5", "wrong-type"), ("max_iter: 5", "duplicate-key")],
    4: [
        ("engine: {kind: locl, cores: 4, gpus: [0]}", "wrong-value"),
        ("engine: {kind: local, cores: 4, gpus: [0], memory: 4}", "unknown-key"),
        ("engine: {kind: local, cores: 4, gpus: [0], grace: soon}", "wrong-type"),
    ],
    5: [("env: {ROSE_SEED: 1}", "bad-name"), ("env: [A]", "wrong-type"), ("env: {A: '{lerner}'}", "bad-placeholder")],
    6: [("retries: {times: 2, puase: 5s}", "unknown-key"), ("retries: {pause: 5s}", "missing-key")],
    7: [("timeout: 1 hour", "wrong-type"), ("timeout: 0", "out-of-range"), ("timeout: 1h: 2", "yaml-syntax")],
    8: [("on_failure: stop", "wrong-value"), ("on_failure: &x", "bare-anchor")],
    9: [("limits: {wall: 2h}", "unknown-key"), ("limits: {same_failure: 0}", "out-of-range")],
    10: [("stop_campaign: {after_converged: 4}", "out-of-range"), ("stop_campaign: 1", "wrong-type")],
    11: [("files: [dta.csv]", "missing-file"), ("files: [{path: data.csv, to: ..}]", "outside-workspace")],
    12: [("smoke: {simulaton: {--n: 1}}", "unknown-key"), ("smoke: {simulation: 1}", "wrong-type")],
    15: [
        ("    executable: python smi.py", "missing-script"),
        ("    executable: pythn sim.py", "missing-program"),
        ("    executable: ./tool.sh", "not-executable"),
        ("    executable: python 'sim.py", "bad-quotes"),
        ("    executbale: python sim.py", "unknown-key"),
        ("    executable: {}", "wrong-type"),
    ],
    16: [("    options: [--n]", "wrong-type"), ("    options: {--n: {a: 1}}", "wrong-type")],
    17: [("    tmeout: 30m", "unknown-key"), ("    options: {--m: 1}", "duplicate-key")],
    18: [
        ("  training: {executable: python train.py, cores_per_rank: 5}", "too-many-resources"),
        ("  training: {executable: python train.py, cores_per_rank: 2", "unclosed-bracket"),
        ("  training: {cores_per_rank: 2}", "missing-key"),
        ("  training: python train.py", "wrong-type"),
    ],
    19: [("  active_learn: {executable: python active.py, gpus_per_rank: 2}", "too-many-resources")],
    21: [("  metric: accurracy", "metric-name"), ("  metric: [mse]", "wrong-type")],
    22: [("  threshold: -1", "threshold-never-met"), ("  threshold: low", "wrong-type")],
    23: [("  operator: =", "wrong-value"), ("  operator: <=", "unusual-operator"), ("  operator: >=", "block-text")],
    24: [("  patience: 10", "patience-too-long"), ("  patience: 0", "out-of-range")],
    25: [("  executable: python chek.py", "missing-script"), ("  executable: python check.py {x}", "bad-placeholder")],
    27: [("  - name: a/b", "bad-name"), ("  - nmae: a", "unknown-key")],
    28: [("    simulaton: {--n: 5}", "unknown-key"), ("    simulation: 5", "wrong-type")],
    29: [
        ("    training: {0: {--lr: 1}, 10: {--lr: 2}, -1: {--lr: 3}}", "iteration-never-comes"),
        ("    training: {0: {--lr: 1}, one: {--lr: 2}, -1: {--lr: 3}}", "bad-iteration-key"),
        ("    training: {0: {--lr: 1}, 1.5: {--lr: 2}, -1: {--lr: 3}}", "odd-key"),
        ("    training: {0: {--lr: 1}, 5: {--lr: 2}, -1: {--lr: 3}}", "keys-look-like-starts"),
    ],
    30: [("  - name: A", "duplicate-name"), ("  - name: [b]", "wrong-type")],
    31: [
        ("    simulation: {adaptive: {--n: 100 + j*50}}", "bad-expression"),
        ("    simulation: {adaptive: {--n: 1 / (i - 3)}}", "bad-expression"),
        ("    simulation: {adaptive: {--n: min(1, i)}}", "split-by-comma"),
        ("    simulation: {adaptve: {--n: 100 + i*50}}", "unknown-key"),
    ],
    32: [("    stop: {treshold: 0.05}", "unknown-key"), ("    stop: {threshold: -5}", "threshold-never-met")],
    33: [("    env: {A: [1]}", "wrong-type"), ("    pre_exec: {a: b}", "wrong-type")],
    34: [("  - hello", "wrong-type"), ("  - {max_iter: 0}", "out-of-range")],
}

# What nobody can know once the other is broken: (line, code) → the lines that it depends on.
DEPENDS = {
    (21, "metric-name"): {23},
    (22, "threshold-never-met"): {21, 23},
    (23, "unusual-operator"): {21},
    (32, "threshold-never-met"): {21, 23},
    (30, "duplicate-name"): {27},
}


def edited(choice: dict[int, str]) -> str:
    lines = RIGHT.splitlines()
    return "\n".join([choice.get(number, line) for number, line in enumerate(lines, start=1)]) + "\n"


def told(campaigns: Campaigns, choice: dict[int, str]) -> list[tuple[int, str]]:
    return [place_and_code(diagnostic) for diagnostic in campaigns.check_text(edited(choice)).diagnostics]


def place_and_code(diagnostic: Diagnostic) -> tuple[int, str]:
    assert diagnostic.span is not None
    return diagnostic.span.line, diagnostic.code


def test_the_right_file_is_right(campaigns: Campaigns) -> None:
    assert told(campaigns, {}) == []


@pytest.mark.parametrize(
    ("line", "wrong", "code"), [(line, wrong, code) for line, each in MISTAKES.items() for wrong, code in each]
)
def test_one_mistake_gives_one_diagnostic(campaigns: Campaigns, line: int, wrong: str, code: str) -> None:
    assert told(campaigns, {line: wrong}) == [(line, code)]


@pytest.mark.parametrize("number", range(60))
def test_any_mistakes_together_are_told_together(campaigns: Campaigns, number: int) -> None:
    chance = random.Random(number)
    lines = chance.sample(sorted(MISTAKES), chance.randint(2, len(MISTAKES)))
    chosen = {line: chance.choice(MISTAKES[line]) for line in sorted(lines)}
    found = told(campaigns, {line: wrong for line, (wrong, _) in chosen.items()})
    expected = {(line, code) for line, (_, code) in chosen.items()}
    optional = {each for each in expected if DEPENDS.get(each, set()) & set(chosen)}
    assert len(set(found)) == len(found)
    assert expected - optional <= set(found) <= expected


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "code", "message"),
    [
        (("max_iter",), "ten", "wrong-type", "max_iter: expected an integer, not the string 'ten'"),
        (("max_iter",), "0", "out-of-range", "max_iter: expected at least 1, not 0"),
        (("max_itr",), "3", "unknown-key", "unknown key 'max_itr'"),
        (("limits", "wall_time"), "soon", "wrong-type", "wall_time: expected a duration, not the string 'soon'"),
        (("learners", 1, "simulation", "adaptive", "--n"), "j", "bad-expression", "unknown name 'j'"),
        (
            ("engine",),
            "slum",
            "wrong-value",
            "engine: expected 'local', 'slurm' or 'radical.pilot', not the string 'slum'",
        ),
        (("max_iter",), "[1", "unclosed-bracket", "the '[' that opens here is not closed before line 1"),
    ],
)
def test_a_mistake_on_the_command_line_points_there(
    campaigns: Campaigns, path: tuple[str | int, ...], text: str, code: str, message: str
) -> None:
    source = f"--set {'.'.join(map(str, path))}={text}"
    (found,) = campaigns.check_text(RIGHT, [Setting(path, text, source)]).diagnostics
    assert (found.file, found.code, found.message) == (source, code, message)


def test_mistakes_of_the_file_and_of_the_command_line_come_together(campaigns: Campaigns) -> None:
    settings = [Setting(("seed",), "-1", "--set seed=-1"), Setting(("max_iter",), "[", "--set max_iter=[")]
    found = campaigns.check_text(edited({7: "timeout: soon", 28: "    simulaton: {}"}), settings).diagnostics
    assert [(d.file.rpartition("/")[2], d.code) for d in found] == [
        ("campaign.yaml", "wrong-type"),
        ("campaign.yaml", "unknown-key"),
        ("--set max_iter=[", "unclosed-bracket"),
        ("--set seed=-1", "out-of-range"),
    ]


@pytest.mark.parametrize("by", ["the file", "the command line"])
def test_a_schedule_may_go_beyond_max_iter(campaigns: Campaigns, by: str) -> None:
    """People shorten runs to try them."""
    lines, setting = {29: "    training: {0: {}, 9: {--lr: 1}}", 24: "  min_iter: 8"}, []
    if by == "the file":
        lines[2] = "max_iter: 3"
    else:
        setting = [Setting(("max_iter",), "3", "--max-iter 3")]
    checked = campaigns.check_text(edited(lines), setting)
    assert checked.plan is not None
    assert all(not diagnostic.is_error for diagnostic in checked.diagnostics)
    assert [(d.code, d.is_error) for d in checked.diagnostics if d.code == "iteration-never-comes"] == [
        ("iteration-never-comes", False)
    ]


def update() -> None:
    with tempfile.TemporaryDirectory() as place:
        campaigns = Campaigns.set_up(Path(place))
        for file in WRONG:
            file.with_suffix(".txt").write_text(shown(campaigns.check(file)), encoding="utf-8")


if __name__ == "__main__":
    update()
