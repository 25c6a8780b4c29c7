"""`flow_dask.py CHAINS ITERATIONS [fit]`: the chains on a local cluster of Dask with two workers of one thread each.

`fit`: each task is a call of `fit.main` in a worker that stays alive, in place of a process.
"""

import os
import subprocess
import sys
from pathlib import Path

from distributed import Client, LocalCluster

TASKS = ("simulation", "training")


def process(directory: str, task: str, _before: object) -> int:
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    with open(f"{directory}/{task}.out", "wb") as out, open(f"{directory}/{task}.err", "wb") as err:  # noqa: PTH123
        return subprocess.run(["true"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=True).returncode


def fitted(directory: str, task: str, _before: object) -> float:
    import fit

    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    value = fit.main()
    Path(directory, f"{task}.out").write_text(f"{value!r}\n")
    return value


def main(chains: int, iterations: int, function: object) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        ends = []
        for chain in range(chains):
            before = None
            for iteration in range(iterations):
                for task in TASKS:
                    before = client.submit(function, f"{Path.cwd()}/{chain}/{iteration}", task, before, pure=False)
            ends.append(before)
        client.gather(ends)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(int(sys.argv[1]), int(sys.argv[2]), fitted if "fit" in sys.argv else process)
