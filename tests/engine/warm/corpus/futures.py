"""concurrent.futures: pools of processes and of threads that are still at work when the script's last line is done."""
# lingers
# run: python futures.py processes
# run: python futures.py threads

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path


def work(n):
    time.sleep(0.02)
    Path(f"done-{n}").write_text(str(n))
    return n, __name__


if __name__ == "__main__":
    kind = ProcessPoolExecutor if sys.argv[1] == "processes" else ThreadPoolExecutor
    pool = kind(2)
    print(list(pool.map(work, range(4))))
    for n in range(4, 8):
        pool.submit(work, n)
    print("the end", os.getpid() == os.getpgrp())
