"""multiprocessing: a pool with functions and classes of __main__, by every start method; its queue, lock and daemon."""
# lingers
# run: python mp_pool.py spawn
# run: python mp_pool.py fork
# run: python mp_pool.py forkserver
# run: python mp_pool.py default

import multiprocessing
import os
import sys
from dataclasses import dataclass
from multiprocessing import process


@dataclass
class Point:
    x: int
    where: str = ""


def moved(point: Point) -> Point:
    return Point(point.x + 1, os.getcwd())


def put(queue, number: int) -> None:
    queue.put((number, multiprocessing.current_process().name, __name__, sys.argv, process.ORIGINAL_DIR))


def failing() -> None:
    raise ValueError("in the child")


if __name__ == "__main__":
    print(multiprocessing.get_start_method(allow_none=True), multiprocessing.parent_process())
    print(multiprocessing.current_process().name, multiprocessing.active_children(), process.ORIGINAL_DIR)
    method = sys.argv[1] if sys.argv[1] != "default" else None
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        print(pool.map(moved, [Point(n) for n in range(5)]))
        pool.close()
        pool.join()
    queue = context.Queue()
    child = context.Process(target=put, args=(queue, 7))
    child.start()
    print(queue.get(), child.name)
    child.join()
    print(child.exitcode)
    sys.stdout.flush()
    child = context.Process(target=failing)
    child.start()
    child.join()
    print(child.exitcode)
