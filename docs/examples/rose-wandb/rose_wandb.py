"""A tracker for Weights & Biases: a run for each learner, grouped by the run of rose.

Settings below `track: {wandb: …}` are arguments of `wandb.init`, for example `project`, `entity`, `mode` and `tags`.
"""

import hashlib
import math

import wandb

from rose_cli.track.interface import numbers


class WandbTracker:
    def open(self, run, memory):
        """Nothing is created yet: a learner gets its run with its first value."""
        self.rose_run = run
        self.learners = {learner.name: learner for learner in run.learners}
        self.runs = {}
        # the last iteration that was sent, by learner: W&B cannot change what it has
        self.sent = memory.setdefault("sent", {})
        self.project = run.settings.get("project", run.campaign)
        return f"W&B project {self.project}, group {run.name}"

    def send(self, changes):
        for change in changes:
            name = getattr(change, "learner", None)
            kind = type(change).__name__
            if kind == "IterationFinished" and change.iteration > self.sent.get(name, -1):
                self._run_of(name).log(self._values(change), step=change.iteration)
                self.sent[name] = change.iteration
            elif kind == "LearnerStopped":
                self._run_of(name).summary.update({"stop_reason": change.reason, "stop_message": change.message})
            elif kind == "TaskFailed":
                self._run_of(name).summary["last_failure"] = f"{change.task}: {change.message}"

    def close(self, end):
        """Finish every run; what W&B could not send by then, `wandb sync` sends."""
        states = {learner.name: learner for learner in end.learners}
        for name, run in self.runs.items():
            if states[name].best is not None:
                run.summary["best"] = states[name].best
            run.finish(exit_code=1 if states[name].status == "failed" else 0)

    def _run_of(self, name):
        if name not in self.runs:
            planned = self.learners.get(name)
            config = {} if planned is None else {"seed": planned.seed, "max_iter": planned.max_iter, **planned.options}
            # the same in every session of the run, so that a resume continues it
            identity = hashlib.sha256(f"{self.rose_run.run_id}/{name}".encode()).hexdigest()[:16]
            given = {
                "project": self.project,
                "group": self.rose_run.name,
                "name": name,
                "id": identity,
                "resume": "allow",
                "config": config,
                "dir": str(self.rose_run.directory),
                **self.rose_run.settings,
            }
            self.runs[name] = wandb.init(**given, reinit="create_new", save_code=False)
        return self.runs[name]

    def _values(self, change):
        values = {f"result/{name}": value for name, value in numbers(change.result).items()}
        for task, options in change.options.items():
            values |= {f"option/{task}/{name.lstrip('-')}": value for name, value in numbers(options).items()}
        planned = self.learners.get(change.learner)
        if change.value is not None and planned is not None:
            values[planned.metric] = change.value
        values |= {"time/seconds": change.seconds, "time/core_seconds": change.core_seconds}
        return {name: value for name, value in values.items() if math.isfinite(value)}
