"""A Slurm that only queues: sbatch, squeue, scancel and sinfo, called by these names through links to this file.

Its jobs are JSON files in the folder `$FAKE_SLURM`, where a test can change them. A file `refuse` there is the error
that sbatch fails with, and a file `down` means that the controller does not answer. What it prints was recorded from
22.05.
"""

# ruff: noqa: T201

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

QUEUE = Path(os.environ["FAKE_SLURM"])


def jobs() -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted(QUEUE.glob("*.json"), key=lambda path: int(path.stem))]


def sbatch(words: list[str]) -> None:
    if (QUEUE / "refuse").exists():
        sys.exit((QUEUE / "refuse").read_text())
    given = dict(word.removeprefix("--").partition("=")[::2] for word in words[:-1])
    job = {"id": str(int((QUEUE / "last").read_text()) + 1 if (QUEUE / "last").exists() else 1)}
    (QUEUE / "last").write_text(job["id"])
    job |= {"name": given["job-name"], "words": " ".join(words), "script": Path(words[-1]).read_text()}
    reason = "Dependency" if "afterany" in given["dependency"] else "Resources"
    job |= {"state": "PENDING", "reason": reason, "start": "N/A", "end": "N/A", "nodes": ""}
    job |= {"environment": "\n".join(os.environ)}
    (QUEUE / f"{job['id']}.json").write_text(json.dumps(job))
    print("Submitted batch job", job["id"])


def squeue(words: list[str]) -> None:
    names = [word.partition("=")[2] for word in words if word.startswith("--name=")]
    for job in jobs():
        if not names or job["name"] in names:
            print("|".join(job[key] for key in ("id", "state", "reason", "start", "end", "nodes", "name")))


def scancel(words: list[str]) -> None:
    (QUEUE / f"{words[-1]}.json").unlink(missing_ok=True)


def sinfo(words: list[str]) -> None:
    queues = {"debug": "debug*|3|4|8000", "big": "big|2|64|256000"}
    wanted = [word.partition("=")[2] for word in words if word.startswith("--partition=")]
    print("\n".join(line for name, line in queues.items() if name in (wanted or queues)))


if __name__ == "__main__":
    if (QUEUE / "down").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    globals()[Path(sys.argv[0]).name](sys.argv[1:])
