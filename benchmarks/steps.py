"""Overhead of rose on `engine: slurm`: many short steps, compared with bare `srun --exact` of the same width.

Run it with `python -m benchmarks.steps [ROUNDS]`, as root with Slurm installed: it starts a Slurm of its own, with two
nodes of two cores each. In one job the two alternate; the local engine, on the two cores of one node, is shown for
information.
A ratio below 1 means that rose is faster. The aim: at most 1.15.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.slurm.cluster import OVER, ROSE, Cluster

WIDTH, LENGTH = 4, 20
PROGRAM = "sleep 0.2"
CAMPAIGN = f"""\
engine: {{kind: slurm, cores: {WIDTH}}}
tasks: {{training: {{executable: {PROGRAM}}}}}
learners: {WIDTH}
max_iter: {LENGTH}
"""

BARE = f"""\
chain() {{ for _ in $(seq {LENGTH}); do
  srun -Q -N1 -n1 -c1 --exact --mem=0 --gres=none -i none -w $1 {PROGRAM}; done; }}
for node in n1 n1 n2 n2; do chain $node & done; wait
"""
"""One chain for each core, on the node that has it, so that no step ever waits for another."""


def script(rounds: int) -> str:
    ours = f"{ROSE} run campaign.yaml --output quiet --run-dir"
    lines = ["set -e"]
    for number in range(rounds):
        turns = [f"{ours} rose-{number}", f"sh bare.sh >bare-{number}.out", f"{ours} local-{number} --engine local"]
        named = list(zip(("rose", "srun", "local"), turns, strict=True))
        for name, turn in named if number % 2 == 0 else reversed(named):
            lines += ["from=$(date +%s.%N)", turn, f"echo {name} {number} $from $(date +%s.%N) >>times"]
    return "\n".join(lines) + "\n"


def chains(run: Path) -> float:
    """Seconds from the start of the first task to the end of the last one."""
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    started = [event["time"] for event in events if event["event"] == "attempt_started"]
    ended = [event["time"] for event in events if event["event"] == "attempt_succeeded"]
    if len(ended) != WIDTH * LENGTH:
        sys.exit(f"{len(ended)} tasks succeeded, not {WIDTH * LENGTH}")
    return float(max(ended) - min(started))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds: dict[str, list[float]] = {"rose": [], "srun": [], "local": []}
    with tempfile.TemporaryDirectory(prefix="rose-steps-") as name, Cluster.start() as cluster:
        folder = Path(name)
        (folder / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
        (folder / "bare.sh").write_text(BARE, encoding="utf-8")
        job = cluster.sbatch(script(rounds), "-N2", "--exclusive", folder=folder)
        while cluster.state(job) not in OVER:
            time.sleep(1)
        if cluster.code(job) != 0:
            sys.exit(cluster.output(job))
        for line in (folder / "times").read_text().splitlines():
            what, number, start, end = line.split()
            is_ours = what != "srun"
            seconds[what].append(chains(folder / f"{what}-{number}") if is_ours else float(end) - float(start))
    tasks = WIDTH * LENGTH
    for what, found in seconds.items():
        width = 2 if what == "local" else WIDTH
        print(f"{what:>6}: {statistics.median(found):6.2f} s for {tasks} times '{PROGRAM}', {width} at a time")
    ratio = statistics.median(a / b for a, b in zip(seconds["rose"], seconds["srun"], strict=True))
    print(f" ratio: {ratio:.2f} (rose / bare srun, median of {rounds} rounds)")


if __name__ == "__main__":
    main()
