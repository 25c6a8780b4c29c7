"""`kill -9` of campaigns with a sweep and a rule that prunes.

Who is pruned depends on who is how far, so that no two runs need to be equal. What holds for each: every value is the
one of a run without the rule, and every decision is the one that a naive reading of the rule takes on what the journal
held at that moment.
"""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

from tests.conftest import Rose
from tests.torture.campaign import STEP
from tests.torture.kills import Killer
from tests.torture.session import Session
from tests.torture.verdict import events_of, judge_marks

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.torture.verdict import Report

MIN_ITER, MIN_LEARNERS, FACTOR, MAX_ITER = 2, 2, 2, 7
_RULES = {
    "median": f"{{rule: median, min_iter: {MIN_ITER}, min_learners: {MIN_LEARNERS}}}",
    "successive_halving": f"{{rule: successive_halving, min_iter: {MIN_ITER}, factor: {FACTOR}}}",
}
_TEXT = """
max_iter: {max_iter}
seed: 7
retries: 3
engine: {{kind: local, cores: 4, grace: 1}}
limits: {{same_failure: 100}}
env: {{TORTURE_PAUSE: "0.02"}}
setup: {{pool: {{executable: "{step}"}}}}
before: {{bootstrap: {{executable: "{step}"}}}}
tasks: {{simulation: {{executable: "{step}", options: {{--n: 10}}}}}}
stop: {{metric: distance, operator: "<", threshold: 0, value: result.distance}}
sweep:
  random: {{simulation.--rate: {{from: 0.001, to: 1, scale: log}}, simulation.--n: [3, 5, 7]}}
  max_learners: 6
prune: {rule}
"""


def kill_a_race(folder: Path, seed: random.Random, kills: int) -> Report:
    """So many kills; one rule in one run, the other one in the next."""
    return _Killer(folder, seed, kills).run()


class _Killer(Killer):
    attack = "kill -9, sweep and prune"
    most_events = 30

    def _written(self, folder: Path) -> Rose:
        rose = Rose(folder)
        for rule, text in _RULES.items():
            step = f"{sys.executable} -I -S -B {STEP}"
            rose.write(_TEXT.format(max_iter=MAX_ITER, step=step, rule=text), f"{rule}.yaml")
        rule = next(iter(_RULES))
        called = rose("run", f"{rule}.yaml", "--run-dir", "whole", "--output", "quiet", "--set", "prune=null")
        assert called.code == 0, called.err
        self._unpruned = {name: each["history"] for name, each in rose.learners("whole").items()}
        assert all(len(values) == MAX_ITER for values in self._unpruned.values())
        return rose

    def _started(self, run: Path) -> Session:
        if run.exists():
            return Session(self._rose, "resume", run.name)
        return Session(self._rose, "run", f"{_rule_of(run)}.yaml", "--run-dir", run.name)

    def _judge(self, run: Path) -> None:
        report, found = self.report, self._rose.learners(run.name)
        report.expect(found.keys() == self._unpruned.keys(), f"{run.name}: the learners are {sorted(found)}")
        for name, learner in found.items():
            values, reason = learner["history"], learner["stop_reason"]
            report.count("pruned", reason == "pruned")
            known = self._unpruned.get(name, [])
            report.expect(values == known[: len(values)], f"{run.name}: {name} came to {values} instead of {known}")
            done = {"pruned": range(MIN_ITER, MAX_ITER), "max_iter": (MAX_ITER,)}.get(reason, ())
            report.expect(len(values) in done, f"{run.name}: {name} ended with {reason} after {len(values)}")
        report.findings += [f"{run.name}: {what}" for what in wrong_decisions(events_of(run), _rule_of(run))]
        judge_marks(report, run)


def _rule_of(run: Path) -> str:
    """That of the run `rN`."""
    return tuple(_RULES)[int(run.name[1:]) % len(_RULES)]


def wrong_decisions(events: Sequence[Mapping[str, Any]], rule: str) -> list[str]:
    """The ends of iterations after which a learner was pruned, or went on, other than by the rule.

    Between the end of its last task and the record of its decision others may finish: what the rule says at any moment
    of that time is right.
    """
    wrong = []
    heard: list[tuple[int, str, float]] = []
    task_ended: dict[str, int] = {}
    stopped = [(each["learner"], each["reason"]) for each in events if each["event"] == "learner_stopped"]
    for place, event in enumerate(events):
        name = event.get("learner", "")
        if event["event"] == "attempt_succeeded":
            task_ended[name] = place
        if event["event"] != "iteration_finished" or not name:
            continue
        others = [each for each in heard if each[1] != name]
        own = [value for _, of, value in heard if of == name] + [event["value"]]
        heard.append((place, name, event["value"]))
        if len(own) == MAX_ITER:
            continue
        moments = [len(others), *(n for n, (at, *_) in enumerate(others) if at > task_ended[name])]
        verdicts = {is_behind(rule, own, _histories(others[:count])) for count in moments}
        ends_here = (name, "pruned") in stopped and _is_last(events, place, name)
        if ends_here not in verdicts:
            wrong.append(f"{name} {'was pruned' if ends_here else 'went on'} after {own}: {_histories(others)}")
    return wrong


def _histories(heard: Sequence[tuple[int, str, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for _, name, value in heard:
        found.setdefault(name, []).append(value)
    return found


def _is_last(events: Sequence[Mapping[str, Any]], place: int, name: str) -> bool:
    return not any(each["event"] == "iteration_finished" and each["learner"] == name for each in events[place + 1 :])


def is_behind(rule: str, own: Sequence[float], others: Mapping[str, Sequence[float]]) -> bool:
    """The rules, as docs/campaign-file.md has them; smaller is better."""
    done, best = len(own), min(own)
    if done < MIN_ITER or best <= min((min(values) for values in others.values()), default=best):
        return False
    there = [values[:done] for values in others.values() if len(values) >= done]
    if rule == "median":
        return len(there) >= MIN_LEARNERS and best > statistics.median(map(statistics.fmean, there))
    is_rung = done in {MIN_ITER * FACTOR**power for power in range(8)}
    promoted = (len(there) + 1) // FACTOR
    return is_rung and promoted > 0 and sum(min(values) < best for values in there) >= promoted
