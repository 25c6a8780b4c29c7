"""`flow_parsl.py CHAINS ITERATIONS [fit | threads]`: the chains with Parsl, as bash apps in two workers.

The workers are processes of its HighThroughputExecutor or, with `threads`, threads, its lightest executor. `fit`: each
task is a call of `fit.main` in a worker process that stays alive.
"""

import sys
from pathlib import Path

import parsl
from parsl import bash_app, python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor

TASKS = ("simulation", "training")


@bash_app
def process(before=None, stdout=None, stderr=None):  # noqa: ANN001, ANN201, ARG001
    return "true"


@python_app
def fitted(path, before=None, out=None):  # noqa: ANN001, ANN201, ARG001
    import sys
    from pathlib import Path

    if path not in sys.path:
        sys.path.insert(0, path)
    import fit

    Path(out).parent.mkdir(parents=True, exist_ok=True)
    value = fit.main()
    Path(out).write_text(f"{value!r}\n")
    return value


def main(chains: int, iterations: int, words: list[str]) -> None:
    from parsl.providers import LocalProvider

    executor = (
        ThreadPoolExecutor(max_threads=2)
        if "threads" in words
        else HighThroughputExecutor(
            address="127.0.0.1", max_workers_per_node=2, cores_per_worker=0.5,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
    )  # fmt: skip
    here = Path.cwd()
    with parsl.load(Config(executors=[executor])):
        ends = []
        for chain in range(chains):
            before = None
            for iteration in range(iterations):
                for task in TASKS:
                    log = f"{here}/{chain}/{iteration}/{task}"
                    if "fit" in words:
                        before = fitted(str(Path(__file__).parent), before=before, out=f"{log}.out")
                    else:
                        before = process(before=before, stdout=f"{log}.out", stderr=f"{log}.err")
            ends.append(before)
        for end in ends:
            end.result()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
