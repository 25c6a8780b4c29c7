"""A task of the chain: its value hangs on all that its learner did before, so that a slip anywhere shows at the end.

Made again it comes out the same: a link is a file of its own that appears whole.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

ORDER = ("first", "second", "criterion")


def main() -> None:
    iteration, task = int(os.environ["ROSE_ITERATION"]), os.environ["ROSE_TASK"]
    time.sleep(float(os.environ.get("CHAIN_PAUSE", "0")))
    place = ORDER.index(task)
    before = Path(f"link.{iteration}.{ORDER[place - 1]}" if place else f"link.{iteration - 1}.{ORDER[-1]}")
    text = before.read_text() if place or iteration else "start"
    words = [os.environ["ROSE_LEARNER"], os.environ["ROSE_SEED"], task, str(iteration), *sys.argv[1:], text]
    link = hashlib.sha256("\n".join(words).encode()).hexdigest()
    unfinished = Path(f"unfinished.{os.getpid()}")
    unfinished.write_text(link)
    unfinished.replace(f"link.{iteration}.{task}")
    sys.stdout.write(f"{int(link[:13], 16) / 16**13}\n")


main()
