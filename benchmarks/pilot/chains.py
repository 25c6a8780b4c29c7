"""Overhead of rose on a pilot: 16 learners with 8 tasks each, compared with a hand-written script for the same chains.

Run it with `make bench-pilot`, or `python benchmarks/pilot/chains.py [ROUNDS]`; a round takes about a minute and a
half. The two alternate. The comparison covers the chains alone, from the first task to the last, and the whole call,
including start and end of the pilot. A ratio below 1 means that rose is faster.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHAINS, LENGTH, CORES = 16, 8, 8
COMMAND = "sleep 0.5"
CAMPAIGN = f"""\
engine: {{kind: radical.pilot, resource: local.localhost, runtime: 30, cores: {CORES}}}
tasks: {{training: {{executable: {COMMAND}}}}}
learners: {CHAINS}
max_iter: {LENGTH}
"""


def called(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds of the whole call, and its output; both need the scripts of this environment on the PATH."""
    environment = {
        **os.environ, "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix, "PWD": str(folder),
    }  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return seconds, done.stdout


def by_hand(folder: Path) -> tuple[float, float]:
    script = Path(__file__).with_name("by_hand.py")
    arguments = [str(CHAINS), str(LENGTH), str(CORES), COMMAND]
    whole, said = called([sys.executable, str(script), *arguments], folder)
    line = next(line for line in said.splitlines() if line.startswith('{"seconds"'))
    return json.loads(line)["seconds"], whole


def by_rose(folder: Path) -> tuple[float, float]:
    (folder / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
    command = [sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet"]
    whole, _ = called(command, folder)
    events = [json.loads(line) for line in (folder / "run" / "journal.jsonl").read_text().splitlines()]
    first = next(event["time"] for event in events if event["event"] == "attempt_started")
    succeeded = [event["time"] for event in events if event["event"] == "attempt_succeeded"]
    if len(succeeded) != CHAINS * LENGTH:
        sys.exit(f"{len(succeeded)} tasks succeeded, not {CHAINS * LENGTH}")
    return max(succeeded) - first, whole


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    figures: dict[str, list[tuple[float, float]]] = {"rose": [], "by hand": []}
    for number in range(rounds):
        turns = [("rose", by_rose), ("by hand", by_hand)]
        for name, measure in turns if number % 2 == 0 else reversed(turns):
            with tempfile.TemporaryDirectory() as folder:
                figures[name].append(measure(Path(folder)))
            chains, whole = figures[name][-1]
            print(f"{name:>8}: chains {chains:6.2f} s, with start and end {whole:6.2f} s", flush=True)
    for index, words in enumerate(("chains", "with start and end")):
        ours, theirs = ([pair[index] for pair in figures[name]] for name in ("rose", "by hand"))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"{words:>20}: rose {min(ours):.2f} s, by hand {min(theirs):.2f} s at best, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
