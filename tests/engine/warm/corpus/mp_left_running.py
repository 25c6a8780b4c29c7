"""multiprocessing: a daemon child is terminated at the end, another one is waited for."""
# lingers

import multiprocessing
import time
from pathlib import Path


def slow(name: str, seconds: float) -> None:
    time.sleep(seconds)
    Path(name).write_text("written")


if __name__ == "__main__":
    multiprocessing.Process(target=slow, args=("daemon.txt", 60), daemon=True).start()
    multiprocessing.Process(target=slow, args=("waited-for.txt", 0.1)).start()
    print("the end")
