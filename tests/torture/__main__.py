"""`python -m tests.torture --seed 1 --kills 200`: every attack at length, one line of report for each."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.slurm.cluster import TRACKERS, Cluster, why_not
from tests.slurm.keeper import why_no_cgroups
from tests.torture.campaign import PILOT, WARM
from tests.torture.clocks import run_out_of_wall_time, set_the_clock, sleep_through_wall_time, suspend
from tests.torture.decisions import kill_who_decides
from tests.torture.full_disk import fill_the_disk
from tests.torture.job_end import end_jobs
from tests.torture.journal_faults import open_every_fault, resume_from_faults
from tests.torture.kills import kill_again_and_again
from tests.torture.load import crowd
from tests.torture.locks import meet_left_locks, race
from tests.torture.moves import copy_between_sessions, move_between_sessions, purge_between_sessions
from tests.torture.nasty import fill_the_workspace, misbehave, remove_the_run
from tests.torture.race import kill_a_race
from tests.torture.slurm import LOCAL, STEPS, Ends, Jobs, end_slurm_jobs
from tests.torture.steering import steer_and_kill
from tests.torture.system_calls import fail_system_calls
from tests.torture.verdict import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Attack: TypeAlias = Callable[[Path, random.Random], Report]


def attacks(kills: int) -> dict[str, Attack]:
    """Every attack by the name that chooses it."""
    return {
        "kills": lambda folder, seed: kill_again_and_again(folder, seed, kills),
        "warm-kills": lambda folder, seed: kill_again_and_again(folder, seed, kills, WARM),
        "decided-kills": lambda folder, seed: kill_who_decides(folder, seed, max(1, kills // 4)),
        "pruned-kills": lambda folder, seed: kill_a_race(folder, seed, max(1, kills // 4)),
        "steered-kills": lambda folder, seed: steer_and_kill(folder, seed, max(1, kills // 4)),
        "warm-job-end": lambda folder, seed: end_jobs(folder, seed, 30, WARM),
        "job-end": lambda folder, seed: end_jobs(folder, seed, 60),
        "journal": open_every_fault,
        "races": lambda folder, seed: race(folder, seed, 30),
        "locks": meet_left_locks,
        "calls": lambda folder, seed: fail_system_calls(folder, seed, 150),
        "disk": lambda folder, seed: fill_the_disk(folder, seed, 40),
        "suspended": lambda folder, seed: suspend(folder, seed, 10),
        "clock": lambda folder, seed: set_the_clock(folder, seed, 10),
        "wall-time": run_out_of_wall_time,
        "wall-time-asleep": sleep_through_wall_time,
        "nasty": lambda folder, seed: misbehave(folder, seed, 1000),
        "greedy": fill_the_workspace,
        "removed": remove_the_run,
        "moved": lambda folder, seed: move_between_sessions(folder, seed, 10),
        "copied": lambda folder, seed: copy_between_sessions(folder, seed, 10),
        "purged": lambda folder, seed: purge_between_sessions(folder, seed, 10),
        "1000x20": lambda folder, seed: crowd(folder, seed, 1_000, 20),
        "10000x2": lambda folder, seed: crowd(folder, seed, 10_000, 2),
        "resume": lambda folder, seed: resume_from_faults(folder, seed, 60),
        "pilot-kills": lambda folder, seed: kill_again_and_again(folder, seed, max(1, kills // 20), PILOT),
        "pilot-job-end": lambda folder, seed: end_jobs(folder, seed, 3, PILOT),
        "pilot-resume": lambda folder, seed: resume_from_faults(folder, seed, 6, PILOT),
        "pilot-calls": lambda folder, seed: fail_system_calls(folder, seed, 10, PILOT),
        "pilot-suspended": lambda folder, seed: suspend(folder, seed, 3, PILOT),
        "pilot-clock": lambda folder, seed: set_the_clock(folder, seed, 10, PILOT),
        "pilot-wall-time": lambda folder, seed: run_out_of_wall_time(folder, seed, PILOT),
        "pilot-wall-time-asleep": lambda folder, seed: sleep_through_wall_time(folder, seed, PILOT),
        "pilot-nasty": lambda folder, seed: misbehave(folder, seed, 1000, PILOT),
        "pilot-50x4": lambda folder, seed: crowd(folder, seed, 50, 4, PILOT),
        **{
            f"slurm-{jobs.engine}-{tracker}": _on_slurm(tracker, jobs)
            for jobs in (LOCAL, STEPS)
            for tracker in TRACKERS
        },
    }


def _on_slurm(tracker: str, jobs: Jobs) -> Attack:
    def attack(folder: Path, seed: random.Random) -> Report:
        if reason := why_not() or (why_no_cgroups() if tracker == "cgroup" else None):
            return Report(f"jobs of Slurm, proctrack/{tracker}, engine {jobs.engine}", skipped=reason)
        with Cluster.start(tracker=tracker) as cluster:
            return end_slurm_jobs(cluster, folder, seed, Ends(preemptions=5, failures=5), jobs)

    return attack


def _report_of(attack: Attack, name: str, folder: Path, seed: random.Random) -> Report:
    """The report; one that an attack could not make, as something unheard of happened, is a finding too."""
    try:
        return attack(folder, seed)
    except Exception:  # noqa: BLE001 - the other attacks are still to come
        return Report(name, findings=[traceback.format_exc()])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where runs are left for a look; default: removed")
    parser.add_argument("attack", nargs="*", help="only these, or those whose names begin so: slurm, pilot")
    given = parser.parse_args()
    known = attacks(given.kills)
    chosen = {word: [name for name in known if name == word or name.startswith(f"{word}-")] for word in given.attack}
    if unknown := [word for word, names in chosen.items() if not names]:
        parser.error(f"no such attack: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = {word: [word] if word in known else names for word, names in chosen.items()}
    broken = False
    with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
        for name in [name for names in chosen.values() for name in names] or known:
            folder = (given.folder or Path(temporary)).absolute() / name
            folder.mkdir(parents=True)
            report = _report_of(known[name], name, folder, random.Random(f"{given.seed} {name}"))
            print(report.line(), flush=True)
            broken = broken or bool(report.findings)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
