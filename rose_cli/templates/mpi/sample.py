"""The parallel program: every rank draws its share of the requested samples, at the same time as the others.

Replace it with your solver. This one needs no MPI package, because the launcher tells each process its number; one that
exchanges data between ranks uses mpi4py, or is compiled with MPI.
"""

import math
import os
import random

from workspace import ITERATION, SEED, load, save

CELLS = 8  # per side: the unit square is divided into 8 x 8 cells
FIRST_SAMPLES = 10  # per cell

LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun
)


def rank_and_size() -> tuple[int, int]:
    """The number of this process, from 0, and the number of all; without a launcher, it is the only one."""
    for rank, size in LAUNCHERS:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def height(x: float, y: float) -> float:
    """What is integrated over the unit square: a hill."""
    return math.exp(-40 * ((x - 0.3) ** 2 + (y - 0.6) ** 2))


def main() -> None:
    rank, size = rank_and_size()
    wanted = load("wanted", ITERATION - 1)["samples"] if ITERATION else [FIRST_SAMPLES] * CELLS**2
    sums = []
    for cell, count in enumerate(wanted):
        row, column = divmod(cell, CELLS)
        numbers = random.Random(f"{SEED} {ITERATION} {cell} {rank}")
        mine = len(range(rank, count, size))
        values = [height((column + numbers.random()) / CELLS, (row + numbers.random()) / CELLS) for _ in range(mine)]
        sums.append([mine, sum(values), sum(value * value for value in values)])
    save(f"part{rank}", {"sums": sums})


if __name__ == "__main__":
    main()
