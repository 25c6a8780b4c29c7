"""joblib: loky's processes with functions and classes of __main__; threads; a cache on disk."""
# lingers
# run: python joblib_parallel.py loky
# run: python joblib_parallel.py threading
# run: python joblib_parallel.py multiprocessing

import sys
from pathlib import Path

import joblib


class Box:
    def __init__(self, n):
        self.n = n


def squared(box):
    return Box(box.n**2)


def cached(n):
    print("computed", n)
    return n + 1


if __name__ == "__main__":
    boxes = joblib.Parallel(n_jobs=2, backend=sys.argv[1])(joblib.delayed(squared)(Box(n)) for n in range(6))
    print([box.n for box in boxes], type(boxes[0]).__module__)
    memory = joblib.Memory("cache", verbose=0)
    print(memory.cache(cached)(1), memory.cache(cached)(1))
    print(sorted(str(path) for path in Path("cache").rglob("*.py")))
    joblib.dump(boxes, "boxes.joblib")
    joblib.memory.Memory("cache", verbose=0).clear(warn=False)
