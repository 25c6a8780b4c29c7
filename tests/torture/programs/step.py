"""Every task of the tortured campaign: a link of a hash chain that any slip of rose breaks for good.

A link is made of the links before it, of the arguments and of the place in the campaign. It is written to a file of
its own by a rename, so that a link that was torn off in the middle is simply made again. Besides, each attempt holds
locks for as long as it lives: whoever finds them held has met itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LEARNER, TASK = os.environ.get("ROSE_LEARNER", "of the campaign"), os.environ["ROSE_TASK"]
ITERATION, REPLICA = int(os.environ.get("ROSE_ITERATION", "0")), int(os.environ["ROSE_REPLICA_INDEX"])
SHARED = Path(os.environ["ROSE_SHARED"])
ATTEMPT = int(os.environ["ROSE_ATTEMPT"])
WARM = "colorsys" in sys.modules  # which only a server of warm starts imports
PAUSE_SECONDS = float(os.environ.get("TORTURE_PAUSE", "0.02"))

BEFORE = {
    "simulation": [("active_learn", ITERATION - 1), ("simulation", ITERATION - 1)],
    "training": [("simulation", ITERATION)],
    "active_learn": [("training", ITERATION), ("simulation", ITERATION)],
    "criterion": [("active_learn", ITERATION)],
    "criterion-3": [("active_learn", ITERATION)],
    "gather": [
        ("criterion", ITERATION),
        ("active_learn", ITERATION),
        ("simulation", ITERATION),
        ("simulation", ITERATION - 1),  # where a learner ends between two iterations
    ],
    "polish": [("active_learn", ITERATION)],
}
"""What a link is made of: the links of the first of these tasks that has run."""


def log(what: str) -> None:
    line = f"{what} {ITERATION} {TASK} {REPLICA} {ATTEMPT} {os.getpid()} {time.monotonic():.6f}\n"
    descriptor = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def hold(name: str, kind: int) -> None:
    """Keep a lock until the end of this process. Replicas share the workspace; nobody shares a step."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        log("overlap")


def links_before() -> list[Path]:
    """What runs once is before the first link, and behind the last one."""
    if TASK == "pool":
        return []
    if TASK == "table":
        return sorted(Path(os.environ["ROSE_RUN"]).glob("learners/*/workspace/links/gathered"))
    if TASK == "bootstrap":
        return [SHARED / "links/0.pool.0"]
    before = [("bootstrap", 0)] if TASK == "simulation" and ITERATION == 0 else BEFORE[TASK]
    found = (sorted(Path("links").glob(f"{iteration}.{task}.*[0-9]")) for task, iteration in before)
    return next((links for links in found if links), [])


def link() -> str:
    before = links_before()
    replica = os.environ["ROSE_REPLICA"]
    parts = [LEARNER, TASK, str(ITERATION), str(REPLICA), replica, os.environ["ROSE_SEED"], *sys.argv[1:]]
    parts += [path.read_text() for path in before]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def give(value: str) -> None:
    """Into a file as well: some learners read their metric there. It is torn where this is killed half way."""
    with Path("metric.txt").open("w") as file:
        for part in value[:5], value[5:]:
            file.write(part)
            file.flush()


def report(text: str, value: float) -> None:
    """What conditions, replicas and criteria of the campaign are made of."""
    copies = 1 + int(text[13], 16) % 3
    found = {"copies": copies, "names": [f"{letter}-{ITERATION}" for letter in "ab\u00fc"[:copies]], "distance": value}
    if TASK in ("simulation", "training"):
        Path(os.environ["ROSE_RESULT"]).write_text(json.dumps(found if TASK == "simulation" else {"weight": value}))


def catch(code: int) -> None:
    """End like a program that saves what it has."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
        signal.signal(number, lambda *_: os._exit(code))


def main() -> None:
    if "TORTURE_CATCH" in os.environ:
        catch(int(os.environ["TORTURE_CATCH"]))
    Path("links").mkdir(exist_ok=True)
    hold("lock.workspace", fcntl.LOCK_SH if TASK in ("training", "polish") else fcntl.LOCK_EX)
    hold(f"lock.{TASK}.{REPLICA}", fcntl.LOCK_EX)
    log("start")
    with Path("starts").open("a") as file:
        file.write("warm\n" if WARM else "cold\n")
    if TASK == "simulation":  # a helper that leaves the group and outlives a killed parent
        subprocess.run(["sleep", str(PAUSE_SECONDS)], start_new_session=True, check=True)
    else:
        time.sleep(PAUSE_SECONDS)
    if TASK == "active_learn" and ITERATION % 2 == 1 and ATTEMPT == 1 and "TORTURE_FAIL" not in os.environ:
        give("-1")  # would meet every criterion, were it believed
        log("fail")
        sys.exit(3)
    text = link()
    temporary = Path(f"links/new.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace("links/gathered" if TASK == "gather" else f"links/{ITERATION}.{TASK}.{REPLICA}")
    value = int(text[:13], 16) / 16**13
    print(value)
    report(text, value)
    if TASK in ("active_learn", "criterion"):
        give(repr(value))
    log("end")


main()
