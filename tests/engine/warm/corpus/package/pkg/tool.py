import importlib.resources
import pickle
import sys

from .helper import who


class Local:
    pass


print(__name__, __package__, __spec__.name, sys.argv, who(), pickle.dumps(Local()))
print(importlib.resources.files("pkg").joinpath("data.txt").read_text(), "pkg.tool" in sys.modules)
if __name__ == "__main__":
    from multiprocessing import get_context

    with get_context("spawn").Pool(1) as pool:
        print(pool.apply(who))
        pool.close()
        pool.join()
