"""`flow_luigi.py CHAINS ITERATIONS`: the chains with Luigi's local scheduler and two worker processes.

Each task starts a program whose output goes to a file; the file marks it as done, as is usual with Luigi.
"""

import subprocess
import sys
from pathlib import Path

import luigi

TASKS = ("simulation", "training")


class Step(luigi.Task):
    chain = luigi.IntParameter()
    number = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [Step(chain=self.chain, number=self.number - 1)] if self.number else []

    def output(self) -> luigi.LocalTarget:
        iteration, task = divmod(self.number, len(TASKS))
        return luigi.LocalTarget(f"{self.chain}/{iteration}/{TASKS[task]}.out")

    def run(self) -> None:
        path = Path(self.output().path)
        path.parent.mkdir(parents=True, exist_ok=True)
        logs = (path.with_suffix(end) for end in (".tmp", ".err"))
        with next(logs).open("wb") as out, next(logs).open("wb") as err:
            subprocess.run(["true"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=True)
        path.with_suffix(".tmp").rename(path)


if __name__ == "__main__":
    chains, iterations = int(sys.argv[1]), int(sys.argv[2])
    last = [Step(chain=chain, number=iterations * len(TASKS) - 1) for chain in range(chains)]
    sys.exit(not luigi.build(last, local_scheduler=True, workers=2, log_level="WARNING"))
