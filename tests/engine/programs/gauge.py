"""Counts how many of it run at once, in the file given; the first ones wait until the number given was seen."""

import fcntl
import json
import sys
import time
from pathlib import Path

path, wanted = Path(sys.argv[1]), int(sys.argv[2])


def change(by: int) -> int:
    with path.open("r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        now, peak = json.load(file)
        peak = max(peak, now + by)
        file.seek(0)
        file.truncate()
        json.dump([now + by, peak], file)
    return int(peak)


peak = change(+1)
until = time.monotonic() + 30
while peak < wanted and time.monotonic() < until:
    time.sleep(0.002)
    peak = change(0)
change(-1)
