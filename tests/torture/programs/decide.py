"""A program that decides on the tortured campaign after each iteration, by nothing but what it is told.

Arguments: the campaign file, the run directory. It starts the run or continues it, and ends with 0 if the run is done,
1 if it failed, 5 if the session was lost.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import rose_cli

file, directory = Path(sys.argv[1]), Path(sys.argv[2])
STEP = Path(__file__).parent / "step.py"
SHORTEST = 3
"""Iterations before which no learner is stopped."""


def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
    note(state)
    known = [state.learner, state.index, state.number, state.max_iter, state.value, state.best, state.threshold]
    known += [state.history, state.metrics, state.options, state.results]
    text = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
    pick = int(text[:8], 16) % 7
    task = ("simulation", "training", "active_learn")[int(text[8:16], 16) % 3]
    if pick == 0 and state.number >= SHORTEST:
        return rose_cli.Decision(stop=True, message=f"enough: {text[:4]}")
    changes = {
        1: rose_cli.TaskChange(options={"--decided": text[:6]}),
        2: rose_cli.TaskChange(args=["{iteration}", text[:6]]),
        3: rose_cli.TaskChange(words=[sys.executable, "-I", "-S", "-B", str(STEP), text[:6]]),
        4: rose_cli.TaskChange(),
        5: rose_cli.TaskChange(options={"--n": None, "--decided": [1, 2.5, text[:6]]}),
    }
    return rose_cli.Decision(tasks={task: changes[pick]}) if pick in changes else None


def note(state: rose_cli.Iteration) -> None:
    """That it was asked; and if it was although the journal has the answer."""
    made = [event for event in events() if event["event"] == "decision_made"]
    again = any((event["learner"], event["iteration"]) == (state.learner, state.number) for event in made)
    with (directory / "asked").open("a") as asked:
        asked.write(f"{'again' if again else 'asked'} {state.learner} {state.number}\n")


def events() -> list[dict[str, object]]:
    lines = (directory / "journal.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def main() -> int:
    try:
        if (directory / "plan.json").exists():
            run = rose_cli.open_run(directory).resume(decide=decide, output="quiet")
        else:
            run = rose_cli.load(file).run(run_dir=directory, decide=decide, output="quiet")
    except rose_cli.EngineError as error:
        sys.stderr.write(f"lost: {error}\n")
        return 5
    return 0 if run.status == "done" else 1


sys.exit(main())
