"""Runs for reports: run directories with whole plans and journals, as sessions would have left them, of every kind.

`python -m tests.report.samples DIR [NAME…]` writes them; without names, all of them. With `--json` also what the page
reads of a report on each.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.campaign_file import check_campaign
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, encode
from rose_cli.loop.criterion import why_stop
from rose_cli.plan.file import dump_plan
from rose_cli.plan.model import CRITERION
from rose_cli.report.build import report
from rose_cli.report.data import to_json
from rose_cli.report.reading import Reading
from rose_cli.runs.changes import fingerprints
from rose_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.plan.model import LearnerPlan, Plan

BEGAN = 1_767_225_600.25

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "train.py", line 41, in <module>',
    "    loss.backward()",
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "left\u202eright | `code` **bold** [link](http://example.org) \u2028 end",
    "| a | b |\n| --- | --- |\n<!-- comment -->",
    "\ud800 lone, \0 nul, \ufeff bom",
    "=cmd|' /C calc'!A0",
    "x" * 100_000,
)


@dataclass
class Story:
    """Writes a run: attempts on so many cores, first come, first served, on a clock of its own.

    `seconds` says how long an attempt takes, `value` and `result` what comes of it, `fails` whether it fails.
    """

    directory: Path
    plan: Plan
    cores: int
    seconds: Callable[[LearnerPlan, int, str], float]
    value: Callable[[LearnerPlan, int], float | None]
    result: Callable[[LearnerPlan, int, str], dict[str, Any]] = lambda *_: {}
    fails: Callable[[LearnerPlan, int, str, int], Sequence[str] | None] = lambda *_: None
    options: Callable[[LearnerPlan, int, str], dict[str, Any]] = lambda *_: {}
    host: str = "node017"
    now: float = BEGAN
    session: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _learners: dict[str, _Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._learners = {learner.name: _Place(learner) for learner in self.plan.learners}
        self.tell(e.RunCreated("5a3e", self.plan.campaign, "0.1.0", tuple(self._learners)))

    def tell(self, *events: e.Event) -> None:
        for event in events:
            self._lines.append(encode(Record(len(self._lines) + 1, round(self.now, 6), event)))

    def start(self) -> None:
        self.session += 1
        where = str(self.directory), str(self.directory.parent)
        files = fingerprints(self.plan) if self.session == 1 else {}
        self.tell(
            e.SessionStarted(
                self.session, self.host, 4000 + self.session, "local", where[0], "identity", where[1], files,
                cores=self.cores,
            ),
            e.SessionDescribed(
                self.session, "0.1.0", "3.12.4", "/usr/bin/python3", "Linux 6.1", "Debian 12", "AMD EPYC 7763",
                "ada", "campaigns", "5f4dcc3b5aa765d61d8327deb882cf99ab12cd34", "main", "https://example.org/ada/al.git",
                ("train.py",) * (self.session - 1), self.session - 1,
            ),
        )  # fmt: skip

    def end(self, reason: str, message: str | None = None) -> None:
        """Attempts that are running are cancelled, unless the session was killed (`reason` is empty)."""
        if reason:
            for place in self._learners.values():
                if place.running is not None:
                    self.tell(e.AttemptCancelled(*place.running, reason=reason))
            self.tell(e.SessionEnded(self.session, reason, message))
            for place in self._learners.values():
                place.running = None

    def resume(self, pause: float) -> None:
        """A new session, which finds that the attempts of one that was killed are lost."""
        self.now += pause
        self.start()
        for place in self._learners.values():
            if place.running is not None:
                self.tell(e.AttemptLost(*place.running, reason="its session died"))
                place.running = None
            if place.reason == "failed":
                self.tell(e.LearnerReopened(place.plan.name, "resumed"))
                place.reason, place.failures = None, 0

    def run(self, until: float = math.inf) -> None:
        """Work for so many seconds, or until nothing is left to do."""
        end, free, running = self.now + until, self.cores, list[tuple[float, int, _Place]]()
        queue = deque(place for place in self._learners.values() if place.reason is None)
        number = 0
        while queue or running:
            while queue and free:
                place = queue.popleft()
                free -= 1
                number += 1
                heapq.heappush(running, (self.now + self._begin(place), number, place))
            done, _, place = running[0]
            if done > end:
                break
            heapq.heappop(running)
            self.now, free = done, free + 1
            if self._finish(place):
                queue.append(place)
        self.now = max(self.now, end) if math.isfinite(end) else self.now

    def _begin(self, place: _Place) -> float:
        plan, task = place.plan, place.task
        if not place.started:
            place.started = True
            self.tell(e.LearnerStarted(plan.name))
        place.attempts += 1
        place.running = (plan.name, place.iteration, task, 0, place.attempts)
        if place.began is None:
            place.began = self.now
        self.tell(e.AttemptStarted(*place.running, options=self.options(plan, place.iteration, task), cores=1))
        self.tell(e.ProcessSpawned(*place.running, pid=4321, start_ticks=1))
        place.took = self.seconds(plan, place.iteration, task)
        return place.took

    def _finish(self, place: _Place) -> bool:
        """Whether the learner has more to do."""
        assert place.running is not None
        plan, task, iteration, running = place.plan, place.task, place.iteration, place.running
        place.running = None
        if (why := self.fails(plan, iteration, task, place.attempts)) is not None:
            log = f"learners/{plan.name}/logs/{iteration}/{task}.{place.attempts}.err"
            self.tell(
                e.AttemptFailed(
                    *running, "exited", "exit code 1", f"python3 {task}.py", log, place.took, 1, stderr_tail=tuple(why)
                )
            )
            place.failures += 1
            step = next(step for step in plan.all_steps if step.task == task)
            if place.failures <= step.command(iteration).retries:
                return True
            place.reason = "failed"
            self.tell(e.LearnerStopped(plan.name, "failed", f"'{task}' failed in iteration {iteration}: exit code 1"))
            return False
        value = self.value(plan, iteration) if task == CRITERION else None
        self.tell(e.AttemptSucceeded(*running, place.took, self.result(plan, iteration, task), value))
        place.attempts = place.failures = 0
        place.step += 1
        if place.step < len(plan.all_steps):
            return True
        place.step = 0
        place.history.append(value if plan.criterion else None)
        self.tell(e.IterationFinished(plan.name, iteration, self.now - (place.began or self.now), place.history[-1]))
        place.began = None
        done = len(place.history)
        stop = why_stop(plan, [place.history] if plan.criterion else [], done, plan.max_iter)
        place.reason = None if stop is None else stop.reason
        if place.reason is not None:
            self.tell(e.LearnerStopped(plan.name, place.reason))
        return place.reason is None

    def write(self, text: str, *, alive: bool = False) -> Path:
        """The run directory; `alive`: as if a session on another host were working on it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "campaign.yaml").write_text(text, encoding="utf-8")
        (self.directory / "plan.json").write_text(dump_plan(self.plan, self.directory), encoding="utf-8")
        (self.directory / "journal.jsonl").write_bytes(b"".join(self._lines))
        if alive:
            owner = {"host": "elsewhere", "boot_id": "b", "pid": 4001, "start_ticks": 1, "time": BEGAN, "user": "ada"}
            (self.directory / "lock").write_text(json.dumps({**owner, "job_id": None, "token": "t"}) + "\n")
        return self.directory


@dataclass
class _Place:
    """Where a learner is."""

    plan: LearnerPlan
    step: int = 0
    attempts: int = 0
    failures: int = 0
    took: float = 0.0
    began: float | None = None
    started: bool = False
    reason: str | None = None
    running: tuple[str, int, str, int, int] | None = None
    history: list[float | None] = field(default_factory=list)

    @property
    def iteration(self) -> int:
        return len(self.history)

    @property
    def task(self) -> str:
        return self.plan.all_steps[self.step].task


def story(folder: Path, name: str, text: str, cores: int = 4, **more: Any) -> Story:
    """The story of a run of the campaign in `text`; more than the usual course of it by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for script in ("simulate.py", "train.py", "choose.py", "check.py"):
        (folder / script).write_text("print(1)\n", encoding="utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    plan = check_campaign(file, {**os.environ}).good_plan
    usual: dict[str, Any] = {"seconds": _seconds, "value": falling, "options": planned, "result": reports}
    made = Story(folder / "rose-runs" / name, plan, cores, **{**usual, **more})
    made.start()
    return made


def _random(*words: object) -> random.Random:
    return random.Random(" ".join(map(str, words)))


def _seconds(learner: LearnerPlan, iteration: int, task: str) -> float:
    usual = {"simulate": 20.0, "train": 45.0, "select": 6.0, CRITERION: 3.0}
    return usual.get(task, 5.0) * _random("seconds", learner.index, iteration, task).uniform(0.7, 1.6)


def falling(learner: LearnerPlan, iteration: int) -> float:
    own = _random("value", learner.index)
    floor, pace = own.uniform(0.01, 0.1), own.uniform(0.03, 0.25)
    noise = _random("noise", learner.index, iteration).gauss(0, 0.015)
    return abs(floor + 0.9 * math.exp(-pace * iteration) + noise)


def planned(learner: LearnerPlan, iteration: int, task: str) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "simulate": {"--n": 10 + 5 * iteration, "--noise": round(0.1 * 0.95**iteration, 6)},
        "train": {"--lr": 10 ** -(1 + learner.index % 4), "--model": ("gp", "mlp", "forest")[learner.index % 3]},
    }
    return own.get(task, {})


def reports(learner: LearnerPlan, iteration: int, task: str) -> dict[str, Any]:
    if task == "simulate":
        return {"labeled": 10 * (iteration + 1), "pool": 1000 - 10 * iteration}
    return {"loss": falling(learner, iteration) * 1.7, "epochs": 20} if task == "train" else {}


CAMPAIGN = """\
# {title}
name: {name}
seed: 7
max_iter: {max_iter}
tasks:
  simulate:
    executable: python3 simulate.py
    options: {{--n: 10, --noise: 0.1}}
  train:
    executable: python3 train.py
    retries: 2
    options: {{--lr: 0.001, --model: gp}}
    env: {{HF_TOKEN: "hf_{secret}"}}
{more}stop:
  metric: {metric}
  operator: "{operator}"
  threshold: {threshold}
  executable: python3 check.py
learners: {learners}
"""

SECRET = "AbCdEf0123456789AbCdEf0123456789ab"


def campaign(**given: Any) -> str:
    usual = {"title": "A campaign for tests of the report", "name": "tutorial", "max_iter": 12, "more": "",
             "metric": "rmse", "operator": "<", "threshold": 0.2, "learners": 2, "secret": SECRET}  # fmt: skip
    return CAMPAIGN.format(**{**usual, **given})


def two(folder: Path) -> Path:
    told = story(folder, "two", text := campaign(learners="[{name: adaptive}, {name: static}]"))
    told.run()
    told.end("finished")
    return told.write(text)


def large(folder: Path) -> Path:
    """64 learners, 50 iterations, 4 tasks; some attempts fail and are retried."""
    more = "  select: {executable: python3 choose.py}\n"
    text = campaign(name="sweep", max_iter=50, learners=64, more=more, threshold=0.0001)
    told = story(folder, "large", text, 24, fails=_now_and_then)
    told.run()
    told.end("finished")
    return told.write(text)


def _now_and_then(learner: LearnerPlan, iteration: int, task: str, attempt: int) -> Sequence[str] | None:
    if task == "train" and attempt == 1 and (learner.index + 3 * iteration) % 41 == 0:
        return TRACEBACK
    return None


def five_hundred(folder: Path) -> Path:
    text = campaign(name="five-hundred", max_iter=12, learners=500, threshold=0.1)
    told = story(folder, "five-hundred", text, 128, fails=_some_for_good)
    told.run()
    told.end("finished")
    return told.write(text)


def ten_thousand(folder: Path) -> Path:
    text = campaign(name="ten-thousand", max_iter=4, learners=10_000, threshold=0.75)
    told = story(folder, "ten-thousand", text, 2_000, fails=_some_for_good)
    told.run()
    told.end("finished")
    return told.write(text)


def _some_for_good(learner: LearnerPlan, iteration: int, task: str, _: int) -> Sequence[str] | None:
    return TRACEBACK if task == "train" and iteration == 3 and learner.index % 29 == 4 else None


def running(folder: Path) -> Path:
    """A session on another host has been working on it for seven minutes."""
    now = time.time() - 420
    told = story(folder, "running", text := campaign(learners=6), fails=_now_and_then, now=now)
    told.run(400)
    return told.write(text, alive=True)


def interrupted(folder: Path) -> Path:
    """Interrupted, resumed, killed."""
    told = story(folder, "interrupted", text := campaign(learners=6, max_iter=20), fails=_now_and_then)
    told.run(300)
    told.end("interrupted", "Ctrl-C")
    told.resume(600)
    told.run(250)
    told.end("")
    return told.write(text)


def resumed(folder: Path) -> Path:
    """Killed, resumed, failed, resumed, finished; the campaign file was edited in between."""
    text = campaign(learners=6, max_iter=15, threshold=0.05)
    broken = True

    def fails(learner: LearnerPlan, iteration: int, task: str, attempt: int) -> Sequence[str] | None:
        if broken and learner.index == 2 and iteration == 4 and task == "train":
            return TRACEBACK
        return _now_and_then(learner, iteration, task, attempt)

    told = story(folder, "resumed", text, fails=fails)
    told.run(200)
    told.end("")
    told.resume(3600)
    told.run(700)
    told.end("wall_time", "limits.wall_time is reached")
    broken = False
    told.resume(120)
    told.run()
    told.end("finished")
    return told.write(text)


def failed(folder: Path) -> Path:
    text = campaign(learners=5, max_iter=8)
    told = story(
        folder,
        "failed",
        text,
        fails=lambda learner, _, task, attempt: (
            (*TRACEBACK[:-1], f"ValueError: no data for {learner.name}") if task == "train" and attempt else None
        ),
    )
    told.run()
    told.end("finished")
    return told.write(text)


def nothing_yet(folder: Path) -> Path:
    """No task has finished."""
    told = story(folder, "nothing-yet", text := campaign(learners=3), now=time.time() - 2)
    told.run(1.5)
    return told.write(text, alive=True)


def never_started(folder: Path) -> Path:
    told = story(folder, "never-started", text := campaign(learners=3))
    told._lines = told._lines[:1]
    return told.write(text)


ODD = (math.nan, 0.5, math.inf, 1e308, -math.inf, 5e-324, -0.0, 0.25, math.nan, 1e-12, 2.0**60, 0.1 + 0.2)


def odd(folder: Path) -> Path:
    """Values at the edges of numbers, or none at all."""
    told = story(
        folder,
        "odd",
        text := campaign(name="odd", learners=3, operator=">", threshold=1.7e308, metric="anything"),
        value=lambda learner, iteration: None if learner.index == 2 else ODD[(iteration + learner.index) % len(ODD)],
        result=lambda _, iteration, task: {
            "nested": {"a": [1, {"b": math.nan}]}, "list": [1, 2.5, "three", None], "huge": 2**70 + iteration,
            "mixed": [1, "two", None, True, 2.5][iteration % 5], "text": f"step {iteration}", "nothing": None,
            "x": ODD[iteration % len(ODD)],
            "flag": iteration % 2 == 0,
        } if task == "train" else {},
    )  # fmt: skip
    told.run()
    told.end("finished")
    return told.write(text)


def without_criterion(folder: Path) -> Path:
    text = campaign(learners=3, max_iter=6)
    start, end = text.index("stop:"), text.index("learners:")
    text = text[:start] + text[end:]
    told = story(folder, "without-criterion", text)
    told.run()
    told.end("finished")
    return told.write(text)


def several_metrics(folder: Path) -> Path:
    learners = """
  - {name: down, max_iter: 9}
  - {name: up, stop: {metric: accuracy, operator: ">=", threshold: 0.9}}
  - {name: near, stop: {metric: energy, operator: "==", threshold: 0.5}}
  - {name: patient, stop: {metric: rmse, patience: 3, threshold: null}}
"""
    told = story(
        folder,
        "several-metrics",
        text := campaign(name="several", learners=learners, max_iter=14),
        value=lambda learner, i: 1 - falling(learner, i) if learner.index in (1, 2) else falling(learner, i),
    )
    told.run()
    told.end("finished")
    return told.write(text)


def hostile(folder: Path) -> Path:
    """Names, reports and messages that try to be more than text."""
    names = ["<script>alert(1)<", "a|b`c*d_[e](f)", "'quotes\" & ampersand;", "naïve-Ω-学习-🌹", "#1 <b>bold<b>"]
    learners = json.dumps([{"name": name} for name in names], ensure_ascii=False)
    text = campaign(
        name=json.dumps("</script><script>alert('name')</script>"), metric=json.dumps("<b>&rmse</b>|x"),
        learners=learners, title="</script><!--<script> & ``` `tricks` $${{{{x}}}}",
    )  # fmt: skip
    told = story(
        folder,
        "hostile",
        text,
        result=lambda learner, i, task: {
            HOSTILE[i % len(HOSTILE)][:300] + str(learner.index): HOSTILE[(i + 1) % len(HOSTILE)],
            "__proto__": i, "constructor": "x", "hasOwnProperty": 1, "<i>key</i>": 0.5 * i,
        } if task == "train" else {},
        options=lambda learner, i, task: {**planned(learner, i, task), "--<img>": HOSTILE[i % 4]},
        fails=lambda learner, i, task, _: HOSTILE if task == "train" and i == 1 + learner.index else None,
        host="<b>host</b>",
    )  # fmt: skip
    told.run()
    told.end("failed", HOSTILE[0])
    return told.write(text)


def compared(folder: Path, name: str = "compared", **given: Any) -> Path:
    """Like `two`, with another threshold, seed and course: for a comparison."""
    text = campaign(learners="[{name: adaptive}, {name: static}, {name: extra}]", threshold=0.05, **given)
    text = text.replace("seed: 7", "seed: 8").replace("--lr: 0.001", "--lr: 0.01")
    told = story(folder, name, text, 8, value=lambda learner, i: 0.8 * falling(learner, i))
    told.run()
    told.end("finished")
    return told.write(text)


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "two": two,
    "large": large,
    "five-hundred": five_hundred,
    "ten-thousand": ten_thousand,
    "running": running,
    "interrupted": interrupted,
    "resumed": resumed,
    "failed": failed,
    "nothing-yet": nothing_yet,
    "never-started": never_started,
    "odd": odd,
    "without-criterion": without_criterion,
    "several-metrics": several_metrics,
    "hostile": hostile,
    "compared": compared,
}


def object_of(*runs: Path, now: float | None = None) -> dict[str, Any]:
    """What the page reads of a report on these runs."""
    read = [Reading(RunDirectory.at(run)).read() for run in runs]
    return to_json(report(read, time.time() if now is None else now))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--json"]
    folder = Path(words[0]).absolute()
    for chosen in words[1:] or SAMPLES:
        run = SAMPLES[chosen](folder)
        if "--json" in sys.argv:
            (folder / f"{chosen}.json").write_text(json.dumps(object_of(run), allow_nan=False), encoding="utf-8")
        sys.stdout.write(f"{run}\n")
