"""What a campaign of Python programs saves when their imports are there already."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import (
    OUTPUT,
    REPOSITORY,
    ROSE,
    BenchmarkError,
    Reading,
    in_turns,
    measured,
    new_directory,
    scratch,
)
from benchmarks.overhead import a_task
from benchmarks.report import Section, Size, compared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FIT = Path(__file__).parent / "flows" / "fit.py"
NUMPY = "numpy, numpy.random"
SKLEARN = "numpy, sklearn.linear_model"
TUTORIAL = REPOSITORY / "campaigns" / "tutorial"


def fit_once(folder: Path, chains: int, iterations: int, modules: str, *, warm: bool) -> Reading:
    """Chains of one task an iteration that imports these modules and computes next to nothing."""
    only = " numpy" if modules == NUMPY else ""
    with new_directory(folder) as directory:
        (directory / "campaign.yaml").write_text(
            f"engine: {{kind: local, cores: 2}}\nmax_iter: {iterations}\nlearners: {chains}\n"
            f"preload: {f'[{modules}]' if warm else 'false'}\n"
            f'tasks: {{training: {{executable: "{{python}} {FIT}{only}"}}}}\n',
            encoding="utf-8",
        )
        reading = measured([*ROSE, "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet"], directory)
        check_warm(directory)
        return reading


def check_warm(directory: Path) -> None:
    """Raises BenchmarkError if a task that was to be started warm was not."""
    for line in (directory / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        if reason := json.loads(line).get("cold"):
            raise BenchmarkError(f"a task was started cold: {reason}")


def tutorial_once(folder: Path, words: list[str], histories: list[object], *, warm: bool) -> Reading:
    """The campaign of the tutorial, cold without its `preload`; `histories` gets every metric value of it."""
    with new_directory(folder) as directory:
        shutil.copytree(TUTORIAL, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("rose-runs", "__*"))
        words = words if warm else [*words, "--set", "preload=false"]
        run = [*ROSE, "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet", *words]
        reading = measured(run, directory, limit=600)
        check_warm(directory)
        measured([*ROSE, "status", "run", "--format", "json"], directory)
        learners = json.loads((directory / OUTPUT).read_text(encoding="utf-8"))["learners"]
        histories.append([(each["name"], each["history"]) for each in learners])
        return reading


def warm(size: Size) -> Iterator[list[str]]:
    chains, iterations, rounds = size.pick((1, 2, 1), (2, 6, 3), (4, 20, 7))
    with scratch() as folder:
        for what, modules, bound in (("numpy", NUMPY, None), ("numpy and scikit-learn", SKLEARN, 20)):
            once = partial(fit_once, folder, chains, modules=modules)
            cold_small, warm_small, cold, warm = in_turns(
                rounds,
                partial(once, 1, warm=False), partial(once, 1, warm=True),
                partial(once, iterations, warm=False), partial(once, iterations, warm=True),
            )  # fmt: skip
            tasks = chains * (iterations - 1)
            ours, theirs = a_task(_wall, cold, cold_small, tasks), a_task(_wall, warm, warm_small, tasks)
            yield compared(f"a task that imports {what}", ours, theirs, "ms", at_least=bound)
            if size is Size.TINY:
                break
        histories: list[object] = []
        words = size.pick(["--max-iter", "1", "--learner", "static"], [], [])
        cold, warm = in_turns(
            size.pick(1, 2, 7),
            partial(tutorial_once, folder, words, histories, warm=False),
            partial(tutorial_once, folder, words, histories, warm=True),
        )
    if any(history != histories[0] for history in histories):
        message = f"the metric of the tutorial is not the same in each run: {histories}"
        raise BenchmarkError(message)
    yield compared("the tutorial's campaign, start to end", _walls(cold), _walls(warm), "s", at_least=5)
    yield compared("its CPU time, tasks included", _cpus(cold), _cpus(warm), "s")


def _wall(reading: Reading) -> float:
    return reading.wall


def _walls(readings: Iterable[Reading]) -> list[float]:
    return [reading.wall for reading in readings]


def _cpus(readings: Iterable[Reading]) -> list[float]:
    return [reading.cpu for reading in readings]


SECTION = Section(
    name="warm",
    title="Warm Python tasks",
    text="""The same campaign without `preload` (cold) and with it (warm), two tasks at a time. The first two rows have
    no start-up in them; the program imports the modules, fits a small regression and prints a number. The tutorial's
    campaign is run from its first to its last task, start of rose and of the preloaded interpreter included, and the
    metric of every learner and iteration is asserted to be the same to the last bit, warm and cold.""",
    unfair="""To the cold side: the program computes next to nothing in the first two rows. What is saved is the
    imports, so a task that computes for a minute gains as many milliseconds, and a small part of its time. To the warm
    side: the files that are imported are in memory already, as after a first run; on the shared file system of a
    cluster, imports take many times longer.""",
    columns=("", "cold", "warm", "gain", "to reach"),
    run=warm,
)
