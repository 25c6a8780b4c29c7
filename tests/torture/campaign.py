"""The campaign that is tortured: deterministic, with replicas, failures that are retried, and options that adapt.

One learner has as many replicas of a task as an earlier one reports, one leaves a task out at times.

Each value of its metric depends on everything that happened before it, so that a history that comes out equal, bit
for bit, is one in which nothing was lost, repeated or put in another order.

In it, tasks report how many replicas others have and what they are called, conditions leave tasks out, and several
criteria stop a learner, or only watch.

Two learners read their metric from a file. One has a criterion that does nothing: the file is that of a task before it,
whose failed and killed attempts leave other values there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Rose

STEP = Path(__file__).parent / "programs" / "step.py"

PRELOAD = ("hashlib", "subprocess", "colorsys")
_TEXT = """
name: tortured
preload: {preload}
max_iter: {max_iter}
seed: 7
retries: {retries}
on_failure: {on_failure}
engine: {{kind: {kind}, cores: {cores}, grace: 1}}
limits: {{same_failure: {same_failure}}}
env: {{TORTURE_PAUSE: "{pause}"{environment}}}
parameters: {{salt: 11, most: 3}}
setup:
  pool: {{executable: "{step} --salt {{salt}}"}}
before:
  bootstrap: {{executable: "{step}", options: {{--salt: "{{salt}}"}}}}
tasks:
  simulation: {{executable: "{step}", options: {{--n: 10}}}}
  training: {{executable: "{step}", replicas: [left, middle, right]}}
  active_learn: {{executable: "{step}", retries: {more}}}
after:
  gather: {{executable: "{step}", adaptive: {{--best: best}}}}
  polish: {{executable: "{step}", when: result.copies > 1, replicas: {{side: [up, down]}}}}
finish:
  table: {{executable: "{step}"}}
stop:
  any:
    - {{metric: distance, operator: "<", threshold: 0.06, executable: "{step}"}}
    - {{metric: copies, operator: ">", threshold: 3, value: result.copies}}
    - {{metric: spread, operator: "<", value: max(results.training.weight) - min(results.training.weight)}}
learners:
  - name: adaptive
    simulation: {{adaptive: {{--n: "10 + 3*i", --rate: "metric * 0.9**i if i > 0 else 1.0"}}}}
    training: {{adaptive: {{--best: "best if i > 0 else 0.5", --seen: "mean(results.simulation.distance)"}}}}
  - name: stepped
    simulation: {{0: {{--n: 5}}, 1: {{--n: 7}}, -1: {{--n: 6}}}}
    training: {{replicas: "min(most, result.copies)"}}
    stop: {{metric: distance, threshold: 0.0, read: {{file: metric.txt}}}}
  - name: plain
    max_iter: {less}
    parameters: {{salt: 12}}
    training: {{when: i != 1 and (i != 2 or metric < 0.5), replicas: {{model: [cnn, mlp]}}}}
  - name: filed
    training: {{replicas: result.names}}
    stop:
      all:
        - {{metric: distance, threshold: 0.3, read: {{file: metric.txt}}, executable: "true"}}
        - {{metric: copies, operator: "<=", threshold: 1}}
        - {{metric: checked, operator: "<", executable: "{step}", when: i % 2 == 1}}
"""


@dataclass(frozen=True)
class Ground:
    """What a campaign is tortured on.

    `start_seconds`: what goes by, at most, until the engine runs its first task. `files`: how many files each process
    may open; rose needs few, radical.pilot needs what a login shell gives. `warm`: tasks are forked by a server of warm
    starts, which is attacked too.
    """

    engine: str
    start_seconds: float
    files: int
    warm: bool = False

    @property
    def name(self) -> str:
        return f"{self.engine}, warm" if self.warm else self.engine

    @property
    def options(self) -> tuple[str, ...]:
        return "--engine", self.engine


LOCAL = Ground("local", 0, 128)
WARM = Ground("local", 0, 128, warm=True)
PILOT = Ground("radical.pilot", 40, 1024)
"""A pilot of this machine; half as long, where nothing else runs."""


def write_campaign(
    folder: Path,
    *,
    max_iter: int = 6,
    pause_seconds: float = 0.02,
    on_failure: str | None = None,
    warm: bool = False,
    catch: int | None = None,
    same_failure: int = 100,
    fails: bool = True,
    cores: int = 4,
    kind: str = "local",
) -> Rose:
    """The campaign in a folder of its own, made where it is missing.

    With `on_failure` no step has more retries than it needs. `catch`: with what its tasks exit when they are told to
    end. `fails`: some steps fail once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rose = Rose(folder)
    step = f"{sys.executable} {'' if warm else '-I -S -B '}{STEP}"
    retries, more = ("3", "3") if on_failure is None else ("0", "{times: 1, pause: 0}")
    more_environment = "" if catch is None else f', TORTURE_CATCH: "{catch}"'
    more_environment += "" if fails else ', TORTURE_FAIL: "no"'
    text = _TEXT.format(
        max_iter=max_iter, less=max(1, max_iter - 2), pause=pause_seconds, step=step, retries=retries, more=more,
        on_failure=on_failure or "stop_learner", preload=f"[{', '.join(PRELOAD)}]" if warm else "false",
        same_failure=same_failure, kind=kind, cores=cores, environment=more_environment,
    )  # fmt: skip
    rose.write(text)
    return rose


def history(rose: Rose, run: str | Path) -> dict[str, Any]:
    """What has to come out the same whatever happened on the way."""
    keys = ("history", "criteria", "stop_reason", "iterations_done", "best_value")
    found: dict[str, Any] = {name: [learner[key] for key in keys] for name, learner in rose.learners(run).items()}
    for row in _exported(rose, run):
        found[row["learner"]].append(row)
    links = Path(rose.folder / run, "campaign/workspace/links")
    return {**found, "campaign": [path.read_text() for path in sorted(links.glob("0.*.0"))]}


def _exported(rose: Rose, run: str | Path) -> list[dict[str, Any]]:
    """Each iteration as `rose export` has it, without what depends on the clock and on how often it was tried."""
    called = rose("export", str(run), "--format", "jsonl")
    assert called.code == 0, called.err
    kept = ("learner", "iteration", "metric", "option.", "result.", "replica.")
    return [
        {key: value for key, value in json.loads(line).items() if key.startswith(kept)}
        for line in called.out.splitlines()
    ]


def whole_history(rose: Rose) -> dict[str, Any]:
    """The history of a run that nobody disturbs."""
    called = rose("run", "campaign.yaml", "--run-dir", "whole", "--output", "quiet")
    assert called.code == 0, called.err
    return history(rose, "whole")
