"""`rose set` and `rose add` at any moment of a run that is killed again and again, askers among them.

When a request arrives is left to chance, so that no two runs are equal. What holds for each: an iteration has the
values that were asked for before its task ran, and its link is the one that these values make. The links are worked out
here, without rose.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.plan.file import load_plan
from tests.conftest import PATIENCE, Rose
from tests.torture.campaign import STEP
from tests.torture.kills import Killer
from tests.torture.session import Session
from tests.torture.verdict import Report, events_of, judge_marks

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TEXT = """
max_iter: 5
seed: 7
retries: 3
engine: {{kind: local, cores: 4, grace: 1}}
limits: {{same_failure: 100}}
env: {{TORTURE_PAUSE: "0.2"}}
setup: {{pool: {{executable: "{step}"}}}}
before: {{bootstrap: {{executable: "{step}"}}}}
tasks: {{simulation: {{executable: "{step}", options: {{--n: 10}}}}}}
after: {{gather: {{executable: "{step}"}}}}
finish: {{table: {{executable: "{step}"}}}}
stop: {{metric: distance, operator: "<", threshold: 0.15, value: result.distance}}
learners: [{{name: left}}, {{name: right}}]
{sweep}
"""
_FIRST = 10
_SWEEP = "sweep: {grid: {simulation.--depth: [1, 2]}}"
_MORE_ITERATIONS, _HARDER = "max_iter=8", "stop.threshold=0.03"


def steer_and_kill(folder: Path, seed: random.Random, kills: int) -> Report:
    """So many kills; the learners of every second run are made by a sweep."""
    return _Killer(folder, seed, kills).run()


@dataclass
class Asked:
    """Somebody who asks for a change. `mark`: what shows in the settings, or the name of the new learner."""

    process: subprocess.Popen[str]
    words: tuple[str, ...]
    mark: str
    number: int | None = None
    learner: str | None = None
    was_killed: bool = False

    def is_in(self, change: Mapping[str, Any]) -> bool:
        if self.words[0] == "add":
            return any(name.split(",")[0] == self.mark for name in change.get("added", ()))
        return any(text.endswith(self.mark) for text in change.get("settings", ()))


class _Killer(Killer):
    attack = "kill -9, rose set and rose add"
    most_events = 30

    def _written(self, folder: Path) -> Rose:
        rose = Rose(folder)
        step = f"{sys.executable} -I -S -B {STEP}"
        rose.write(_TEXT.format(step=step, sweep=""), "plain.yaml")
        rose.write(_TEXT.format(step=step, sweep=_SWEEP), "swept.yaml")
        self._asked: list[Asked] = []
        self._number = 1000
        return rose

    def _is_swept(self, run: Path) -> bool:
        return int(run.name[1:]) % 2 == 0

    def _started(self, run: Path) -> Session:
        if run.exists():
            return Session(self._rose, "resume", run.name)
        file = "swept.yaml" if self._is_swept(run) else "plain.yaml"
        return Session(self._rose, "run", file, "--run-dir", run.name)

    def _strike(self, session: Session, run: Path) -> bool:
        if (run / "plan.json").exists() and self._seed.random() < 0.6:
            self._ask(run)
            return False
        return super()._strike(session, run)

    def _ended(self, run: Path, code: int) -> int:
        """4: somebody who asks at that moment changes the run."""
        if code == 4 and any(each.process.poll() is None for each in self._asked):
            self.report.count("refused while somebody changes the run")
            return code
        return super()._ended(run, code)

    def _ask(self, run: Path) -> None:
        words, mark, number, learner = self._change(run)
        asked = Asked(self._rose.start(*words), words, mark, number, learner)
        self._asked.append(asked)
        self.report.count("changes asked for")
        if self._seed.random() < 0.2:
            try:
                asked.process.wait(self._seed.uniform(0, 1.5))
            except subprocess.TimeoutExpired:
                asked.process.kill()
                asked.was_killed = True
                self.report.count("x who asks")

    def _change(self, run: Path) -> tuple[tuple[str, ...], str, int | None, str | None]:
        self._number += 1
        number, kind = self._number, self._seed.choice(("all", "all", "one", "add", "max_iter", "threshold"))
        for word, setting in (("max_iter", _MORE_ITERATIONS), ("threshold", _HARDER)):
            if kind == word and not any(each.mark == setting for each in self._asked):
                return ("set", run.name, setting), setting, None, None
        if kind == "add":
            name = f"added-{number}"
            self._rose.write(f"{{name: {name}, simulation: {{--n: {number}}}}}\n", f"{name}.yaml")
            return ("add", run.name, f"{name}.yaml"), name, number, name
        if kind == "one" and not self._is_swept(run):
            words = ("set", run.name, "--learner", "left", f"simulation.--n={number}")
            return words, f"--n={number}", number, "left"
        return ("set", run.name, f"simulation.--n={number}"), f"--n={number}", number, None

    def _judge(self, run: Path) -> None:
        for asked in self._asked:
            _, err = asked.process.communicate(timeout=PATIENCE)
            assert "Traceback" not in err, err
            fine = asked.process.returncode == (-9 if asked.was_killed else 0)
            self.report.expect(fine, f"{run.name}: {asked.words} ended with {asked.process.returncode}: {err}")
        for _ in range(5):  # a task was killed more often than it may be retried, or nobody has begun what was added
            if (code := Session(self._rose, "resume", run.name).process.wait(PATIENCE)) == 0:
                break
        self.report.expect(code == 0, f"{run.name}: the very last session ended with {code}")
        events = events_of(run)
        self.report.findings += [
            f"{run.name}: {what}" for what in (*self._lost(run, events), *self._wrong(run, events))
        ]
        judge_marks(self.report, run)
        self._asked = []

    def _lost(self, run: Path, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Changes that somebody was told of and that are not there, and such that nobody has asked for."""
        changes = [event for event in events if event["event"] == "plan_changed"]
        applied = [asked for asked in self._asked if any(map(asked.is_in, changes))]
        self.report.count("changes applied", len(applied))
        for asked in self._asked:
            if asked.process.returncode == 0 and asked not in applied:
                yield f"{asked.words} was said to be applied, and is not: {changes}"
        if pending := sorted(path.name for path in run.glob("requests/*") if path.suffix != ".answer"):
            yield f"nobody has answered {pending}"
        if len(changes) > len(applied):
            yield f"{len(changes)} changes, of {len(applied)} that were asked for"

    def _wrong(self, run: Path, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """What each learner came to, against what the requests make of it."""
        changes = [event for event in events if event["event"] == "plan_changed"]
        settings = changes[-1].get("settings", ()) if changes else ()
        most = 8 if any(text.endswith(_MORE_ITERATIONS) for text in settings) else 5
        threshold = 0.03 if any(text.endswith(_HARDER) for text in settings) else 0.15
        found = self._rose.learners(run.name)
        added = {asked.mark for asked in self._asked if asked.words[0] == "add" and any(map(asked.is_in, changes))}
        names = {name.split(",")[0] for name in found}
        if names != {"left", "right", *added}:
            yield f"the learners are {sorted(found)}, with {sorted(added)} added"
        for plan in load_plan(run / "plan.json").learners:
            workspace = run / "learners" / plan.name / "workspace"
            expected = _Learner(plan.name, plan.seed, workspace, events, self._asked).history(threshold, most)
            if isinstance(expected, str):
                yield expected
            elif found[plan.name]["history"] != expected:
                yield f"{plan.name} came to {found[plan.name]['history']} instead of {expected}"
        last = max(n for n, event in enumerate(events) if event["event"] == "learner_stopped" and event["learner"])
        after = [event["task"] for event in events[last:] if event["event"] == "attempt_succeeded"]
        if "table" not in after:
            yield "the campaign did not finish after its last learner"


@dataclass
class _Learner:
    """What a learner has to come to."""

    name: str
    seed: int
    workspace: Path
    events: Sequence[Mapping[str, Any]]
    asked: Sequence[Asked]

    def history(self, threshold: float, most: int) -> list[float] | str:
        """Its values, or what is wrong."""
        link = (self.workspace / "links/0.bootstrap.0").read_text()
        values: list[float] = []
        while len(values) < most and not (values and values[-1] < threshold):
            number = len(values)
            options = self._options(number)
            if options is None:
                return f"'{self.name}' did not run iteration {number}"
            if options["--n"] not in (allowed := self._allowed(number)):
                return f"'{self.name}' ran iteration {number} with {options}, and not with {sorted(allowed)}"
            link = self._link("simulation", number, [str(word) for pair in options.items() for word in pair], link)
            values.append(int(link[:13], 16) / 16**13)
        ends = {self._link("gather", len(values) - back, [], link) for back in (0, 1)}
        if (self.workspace / "links/gathered").read_text() not in ends:
            return f"'{self.name}' was gathered before its end"
        return values

    def _link(self, task: str, iteration: int, words: list[str], before: str) -> str:
        parts = [self.name, task, str(iteration), "0", "0", str(self.seed), *words, before]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _places(self, kind: str, iteration: int, task: str | None = None) -> list[int]:
        keys = {"event": kind, "learner": self.name, "iteration": iteration, "task": task}
        wanted = {key: value for key, value in keys.items() if value is not None}
        return [n for n, event in enumerate(self.events) if all(event.get(key) == wanted[key] for key in wanted)]

    def _ran(self, iteration: int) -> int | None:
        """Where the attempt began that has succeeded."""
        ended = self._places("attempt_succeeded", iteration, "simulation")
        starts = self._places("attempt_started", iteration, "simulation")
        return max((place for place in starts if ended and place < ended[-1]), default=None)

    def _options(self, iteration: int) -> Mapping[str, Any] | None:
        place = self._ran(iteration)
        return None if place is None else self.events[place]["options"]

    def _allowed(self, iteration: int) -> set[int]:
        """Those that were asked for before the iteration, and each that was asked for since, before its task began."""
        before = self._places("iteration_finished", iteration - 1)
        begun, ran = before[-1] if before else -1, self._ran(iteration)
        assert ran is not None
        changes = [n for n, event in enumerate(self.events) if event["event"] == "plan_changed"]
        moments = [begun, *(n for n in changes if begun < n < ran)]
        return {self._value([self.events[n] for n in changes if n <= moment]) for moment in moments}

    def _value(self, changes: Sequence[Mapping[str, Any]]) -> int:
        """After these changes; what a learner was given itself comes before what all are given."""
        own: int | None = None
        of_all = _FIRST
        for change in changes:
            for asked in self.asked:
                if asked.number is None or not asked.is_in(change):
                    continue
                if asked.learner is None:
                    of_all = asked.number
                elif asked.learner == self.name.split(",")[0]:
                    own = asked.number
        return of_all if own is None else own
