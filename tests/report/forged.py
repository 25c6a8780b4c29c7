"""The JSON form of reports, made up for tests of the page: any number of learners, without a run behind them."""

from __future__ import annotations

import random
from typing import Any

from rose_cli.report.data import (
    Band,
    Capacity,
    Column,
    CoreUse,
    Cost,
    Criterion,
    Edit,
    Failure,
    Learner,
    LeftOut,
    Ran,
    Report,
    Run,
    Session,
    TaskDurations,
    Tasks,
    Totals,
    to_json,
)  # fmt: skip

BEGAN = 1_767_225_600.25
TASKS = ("simulate", "train", "criterion")


def forged(*runs: Run, **changes: Any) -> dict[str, Any]:
    return to_json(Report(BEGAN + 5000, "0.1.0", runs, **changes))


def forged_run(learners: int = 3, iterations: int = 8, **changes: Any) -> Run:
    """Every learner takes a task after the other; the first meets the criterion, one attempt fails and is retried."""
    chance = random.Random(learners)
    values = [
        [(0.9 - 0.3 * learner / learners) ** (i + 1) * chance.uniform(0.9, 1.1) for i in range(iterations)]
        for learner in range(learners)
    ]
    values.sort(key=lambda each: min(each, default=0.0))
    rows = sorted(
        (round(12.0 * i + 4 * task + (i > 3) * 600 + at % 7 * 0.1, 3), at, i, task)
        for at in range(learners) for i in range(iterations) for task in range(len(TASKS))
    )  # fmt: skip
    outcomes = [1 if row[1:] == (0, 2, 1) else 0 for row in rows]
    until = rows[-1][0] + 4 if rows else 1.0
    shown = [_learner(at, each, learners) for at, each in enumerate(values)]
    run = {
        "name": f"forged-{learners}", "directory": f"/home/ann/rose-runs/forged-{learners}", "campaign": "forged",
        "file": "campaign.yaml", "status": "finished", "verdict": "finished", "outcome": "1 met the criterion",
        "headline": f"finished: 1 of {learners} learners met mse < 0.1", "alive": False, "began": BEGAN,
        "until": BEGAN + until, "elapsed": until - 500, "notices": ("one thing to know",),
        "sessions": (
            Session(1, 0, 60, "interrupted", None, "node017", "local", 8, None),
            Session(2, 640, until, "finished", None, "node018", "local", 8, None),
        ),
        "edits": (Edit(640, ("max_iter: 5 -> 8",)),),
        "criteria": (Criterion("mse", "<", 0.1, "mse < 0.1", lower=True),),
        "learners": tuple(shown), "left_out": None, "bands": (), "columns": _columns(shown), "columns_left_out": None,
        "tasks": Tasks(
            TASKS, [row[1] for row in rows], [row[2] for row in rows], [row[2] for row in rows],
            [row[3] for row in rows], [0] * len(rows), [2 if row[1:] == (0, 3, 1) else 1 for row in rows],
            [row[0] for row in rows], [3.5] * len(rows), [0.4 if row[3] else 0 for row in rows], [1] * len(rows),
            outcomes, [], 1, 0, None,
        ),
        "durations": tuple(TaskDurations(t, 9, 1, 0, 0, (1, 2, 3, 4, 5), (0, 0, 0.1, 0.2, 1), 60) for t in TASKS),
        "cores": CoreUse(
            [0, 60, 640, until], [min(8, learners), 0, min(8, learners), 0], [8, 0, 8, 0],
            (Capacity(0, 8), Capacity(60, None), Capacity(640, 8)), None,
        ),
        "failures": (
            Failure(
                shown[0].name, 2, "iteration 2", "train", 0, 1, 28, 28, 1, (shown[0].name,), 0, 1, 0,
                "exited", "exit code 1", 1, None, "python train.py", ("Traceback:", "MemoryError"),
                "learners/0/logs/2/train.1.err", "/home/ann/learners/0/logs/2/train.1.err", "Run it again."),
        ) if shown else (),
        "failures_left_out": 0,
        "totals": Totals(
            learners, min(1, learners), learners, learners * iterations, len(rows), 1, 0, 0, 0, 7200.0, 4, 9000.0
        ),
        "ran": Ran(
            "name: forged # a comment\nseed: 7\n", ("1 plan",), (("rose", "0.1.0"), ("git", "4f2a9c1")), ("max_iter=8",)
        ),
    }  # fmt: skip
    return Run(**{**run, **changes})


def _learner(at: int, values: list[float], learners: int) -> Learner:
    best = [min(values[: i + 1]) for i in range(len(values))]
    met = Cost(len(values), 30.0, 30.0, 700) if at == 0 and values else None
    times = [12.0 * (i + 1) for i in range(len(values))]
    return Learner(
        name=f"learner-{(at * 7) % learners}", index=(at * 7) % learners if learners % 7 else at, status="stopped",
        reason="criterion_met" if met else "max_iter", message=None, criterion=0, seed=at, max_iter=8, current=None,
        iterations=list(range(len(values))), values=values, best=best, ended=times, seconds=times, core_seconds=times,
        best_at=values.index(best[-1]) if best else None, is_best=at == 0, met=met,
        used=Cost(len(values), sum(times[-1:]), sum(times[-1:])),

        places={"best": at + 1, **({"iterations": 1, "time": 1, "core-seconds": 1} if met else {})},
        settings={"--lr": 0.1 / (at + 1), "--kind": ["gp", "nn"][at % 2]},
    )  # fmt: skip


def _columns(learners: list[Learner]) -> tuple[Column, ...]:
    return (
        Column("--lr", "option", "train", is_numeric=True, values=[0.1] * len(learners)),
        Column("--kind", "option", "train", is_numeric=False, values=[["gp", "nn"] * 4 for _ in learners]),
        Column("samples", "reported", None, is_numeric=True, values=[[i * 10 for i in range(8)]] * len(learners)),
    )  # fmt: skip


def left_out(learners: int) -> dict[str, Any]:
    """What a run of so many learners has in place of most of them."""
    numbers = list(range(8))
    falling = [0.9 ** (i + 1) for i in numbers]
    bands = [[share * value for value in falling] for share in (0.4, 0.5, 0.6, 0.8, 1.0, 1.1, 1.3)]
    return {
        "left_out": LeftOut(learners, f"20 of {learners} learners are shown one by one"),
        "bands": (Band(0, numbers, [learners] * 8, *bands),),
    }
