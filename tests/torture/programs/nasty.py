"""One task that misbehaves in the way that its learner's name says; as the criterion it prints a number at the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = os.environ["ROSE_LEARNER"]
MEGABYTES = int(os.environ["TORTURE_MEGABYTES"])
CHUNK = (b"x" * 99 + b"\n") * 10_000


def print_much() -> None:
    for _ in range(MEGABYTES):
        os.write(1, CHUNK)


def print_one_line() -> None:
    for _ in range(MEGABYTES):
        os.write(1, CHUNK.replace(b"\n", b"x"))


def print_binary() -> None:
    os.write(1, bytes(range(256)) * 1000 + b"\n")
    os.write(2, b"\x1b[2J\x1b]0;gotcha\x07\xff\xfe\n")


def print_nothing() -> None:
    os._exit(0)


def close_stdout() -> None:
    os.close(1)
    os.close(2)
    time.sleep(0.1)
    os._exit(0)


def fork_daemons() -> None:
    for _ in range(3):
        command = ["sh", "-c", "sleep 1000 & sleep 1000"]
        subprocess.Popen(command, start_new_session=True, env={} if KIND == "daemons-without-mark" else None)


def ignore_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def flood_stderr() -> None:
    for _ in range(MEGABYTES):
        os.write(2, CHUNK)
    os._exit(3)


def print_half_a_character() -> None:
    os.write(1, b"caf\xc3\n")


def report_too_much() -> None:
    os.write(1, b'{"a": "' + b"x" * 70_000 + b'"}\n')


def report_a_deep_nest() -> None:
    Path(os.environ["ROSE_RESULT"]).write_text('{"a":' * 60_000)


def report_hostile_texts() -> None:
    """Any characters, halves of surrogate pairs among them, as keys and values; the same on stderr as bytes."""
    seed = random.Random(f"{os.environ['ROSE_SEED']} {os.environ['ROSE_ITERATION']}")
    texts = ["".join(chr(seed.randrange(0x110000 >> seed.randrange(14))) for _ in range(20)) for _ in range(40)]
    keys = [f"{number} {text}" for number, text in enumerate(texts)]
    Path(os.environ["ROSE_RESULT"]).write_text(json.dumps(dict(zip(keys, reversed(texts), strict=True))))
    os.write(2, "\n".join(texts).encode("utf-8", "surrogatepass"))
    if os.environ["ROSE_ITERATION"] == "1":
        os._exit(1)


def hold_the_output() -> None:
    """What is written behind the criterion's number would be taken for it: there it only holds on to the file."""
    words = "true" if os.environ["ROSE_TASK"] == "criterion" else "echo still here"
    command = f"trap '' TERM HUP; while :; do {words}; sleep 0.1; done"
    subprocess.Popen(["sh", "-c", command], start_new_session=True)


def remove_logs() -> None:
    shutil.rmtree("../logs", ignore_errors=True)


def remove_workspace() -> None:
    shutil.rmtree(os.environ["ROSE_WORKSPACE"])


KINDS: dict[str, Callable[[], None]] = {
    "much": print_much,
    "one-line": print_one_line,
    "binary": print_binary,
    "nothing": print_nothing,
    "closes-stdout": close_stdout,
    "daemons": fork_daemons,
    "daemons-without-mark": fork_daemons,
    "ignores-term": ignore_term,
    "floods-stderr": flood_stderr,
    "half-a-character": print_half_a_character,
    "reports-too-much": report_too_much,
    "reports-a-deep-nest": report_a_deep_nest,
    "reports-hostile-texts": report_hostile_texts,
    "holds-the-output": hold_the_output,
    "removes-logs": remove_logs,
    "removes-workspace": remove_workspace,
    "stops-itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "kills-itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "good": lambda: None,
}

KINDS[KIND]()
sys.stdout.write("\n0.5\n")
