"""Other tools that run chains of tasks, each in an environment of its own that this creates under build/."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import (
    BUILD,
    BenchmarkError,
    Reading,
    in_turns,
    measured,
    new_directory,
    ratios,
    scratch,
    spread,
    which,
)
from benchmarks.overhead import a_task, loop_once, rose_once
from benchmarks.report import Rows, Section, Size, verdict
from benchmarks.warm import NUMPY, SKLEARN, fit_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Once = Callable[[int], Reading]

SCRIPTS = Path(__file__).parent / "flows"
ENVIRONMENTS = BUILD / "opponents"
FIT_NEEDS = ("numpy==2.4.6", "scikit-learn==1.9.1") if sys.version_info >= (3, 11) else ("numpy", "scikit-learn")
"""As in requirements/lock.txt, so that the imports are the same for all."""


@dataclass(frozen=True)
class Tool:
    """A tool and the command that runs the chains with it; `{bin}` are the programs of its environment."""

    label: str
    packages: tuple[str, ...]
    command: str
    keeps: str
    wanted: float | None = None


def _flow(name: str, *words: str) -> str:
    return " ".join(("{bin}/python", f"{{scripts}}/flow_{name}.py", "{chains} {iterations}", *words))


ASYNCFLOW = ("radical-asyncflow==0.6.0", "rhapsody-py==0.6.0")
PARSL, DASK = ("parsl==2026.10.26",), ("distributed==2026.8.0",)
SNAKEMAKE = (
    "{bin}/snakemake --quiet all --cores 2 --snakefile {scripts}/Snakefile "
    "--config chains={chains} iterations={iterations}"
)
PARALLEL = "seq $(({chains} * {iterations} * 2)) | parallel --will-cite -j2 --joblog log --results out true"
TOOLS = (
    Tool("radical.asyncflow and rhapsody", ASYNCFLOW, _flow("asyncflow"), "nothing", 5),
    Tool("Snakemake", ("snakemake==9.27.1",), SNAKEMAKE, "output files and a record of each job"),
    Tool("Parsl, HighThroughputExecutor", PARSL, _flow("parsl"), "nothing"),
    Tool("Parsl, threads", PARSL, _flow("parsl", "threads"), "nothing"),
    Tool("Dask, LocalCluster", DASK, _flow("dask"), "nothing"),
    Tool("Luigi", ("luigi==3.8.1",), _flow("luigi"), "output files"),
    Tool("GNU parallel, without chains", (), f"sh -c '{PARALLEL}'", "output files and a line a task"),
)
FITTING = (
    Tool("radical.asyncflow, programs", (*ASYNCFLOW, *FIT_NEEDS), _flow("asyncflow", "fit"), "", 5),
    Tool("radical.asyncflow, functions", (*ASYNCFLOW, *FIT_NEEDS), _flow("asyncflow", "function"), ""),
    Tool("Parsl, functions", (*PARSL, *FIT_NEEDS), _flow("parsl", "fit"), ""),
    Tool("Dask, functions", (*DASK, *FIT_NEEDS), _flow("dask", "fit"), ""),
)


def environment_of(tool: Tool) -> Path:
    """The programs of the tool's environment, which is created if it is not there; BenchmarkError if that fails."""
    if not tool.packages:
        return Path(which("parallel")).parent
    directory = ENVIRONMENTS / "-".join(each.partition("==")[0] for each in tool.packages)
    ready = directory / "installed.txt"
    if not ready.is_file() or ready.read_text(encoding="utf-8").split() != list(tool.packages):
        shutil.rmtree(directory, ignore_errors=True)
        print(f"installing {', '.join(tool.packages)}", flush=True)
        venv.create(directory, with_pip=True)
        pip = [str(directory / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        try:
            done = subprocess.run(
                [*pip, "install", *tool.packages], capture_output=True, text=True, check=False, timeout=300
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError("could not be installed within 5 minutes") from None
        if done.returncode:
            raise BenchmarkError(f"could not be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        ready.write_text("\n".join(tool.packages), encoding="utf-8")
    return directory / "bin"


def tool_once(tool: Tool, programs: Path, folder: Path, chains: int, iterations: int) -> Reading:
    """In a home of its own, so that nobody's settings count and nothing is left behind."""
    with new_directory(folder) as directory:
        command = tool.command.format(bin=programs, scripts=SCRIPTS, chains=chains, iterations=iterations)
        environment = {
            **os.environ, "HOME": str(directory), "XDG_CACHE_HOME": str(directory / "cache"),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }  # fmt: skip
        return measured(shlex.split(command), directory, environment, limit=240)


def _once(tool: Tool, folder: Path, chains: int) -> Once | BenchmarkError:
    """How to run it; the error if it cannot be installed or does not work."""
    try:
        once = partial(tool_once, tool, environment_of(tool), folder, chains)
        once(1)  # compiles what it imports, too
    except BenchmarkError as error:
        return error
    return once


def in_rows(
    tools: Sequence[Tool], size: Size, own: Mapping[str, Once], folder: Path, chains: int, iterations: int, rounds: int
) -> Rows:
    """A row for each of rose's own ways, of which the first is what the tools are compared with, and for each tool.

    In the smallest size, nothing is installed: rose is measured alone.
    """
    ways: dict[str, Once] = dict(own)
    absent: dict[str, str] = {}
    for tool in tools if size is not Size.TINY else ():
        once = _once(tool, folder, chains)
        if isinstance(once, BenchmarkError):
            absent[tool.label] = str(once)
        else:
            ways[tool.label] = once
    both = in_turns(rounds, *(partial(once, number) for once in ways.values() for number in (1, iterations)))
    tasks = chains * (iterations - 1) * 2
    found = {label: Found(small, large, tasks) for label, small, large in zip(ways, both[::2], both[1::2], strict=True)}
    first, *_ = found.values()
    keeps = {tool.label: tool for tool in tools}
    rows = [each.row(label, first, keeps.get(label)) for label, each in found.items()]
    return [*rows, *([label, f"not measured: {reason}", "", "", "", ""] for label, reason in absent.items())]


@dataclass(frozen=True)
class Found:
    """What a tool took for a small and a large campaign, which differ by so many tasks."""

    small: list[Reading]
    large: list[Reading]
    tasks: int

    def walls(self) -> list[float]:
        return a_task(lambda reading: reading.wall, self.large, self.small, self.tasks)

    def row(self, label: str, rose: Found, tool: Tool | None) -> list[str]:
        cpu = a_task(lambda reading: reading.cpu, self.large, self.small, self.tasks)
        gain = ratios(self.walls(), rose.walls())
        return [
            _versions(label, tool),
            spread([reading.wall for reading in self.large], "s"),
            spread(self.walls(), "ms"),
            spread(cpu, "ms"),
            "" if self is rose else spread(gain, "×"),
            verdict(gain, "×", at_least=tool.wanted) if tool else "",
        ]


def _versions(label: str, tool: Tool | None) -> str:
    if tool is None:
        return label
    if not tool.packages:
        said = subprocess.run(["parallel", "--version"], capture_output=True, text=True, check=True).stdout
        return f"{label} ({said.split()[2]}); keeps {tool.keeps}"
    versions = ", ".join(each.partition("==")[2] for each in tool.packages if each not in FIT_NEEDS)
    return f"{label} ({versions})" + (f"; keeps {tool.keeps}" if tool.keeps else "")


def processes(size: Size) -> Rows:
    chains, iterations, rounds = size.pick((2, 2, 1), (16, 6, 2), (16, 20, 7))
    with scratch() as folder:
        own = {
            "rose; keeps every event, synced": partial(rose_once, folder, chains),
            "the plain loop; keeps a line a task, synced": partial(loop_once, folder, chains),
        }
        return in_rows(TOOLS, size, own, folder, chains, iterations, rounds)


def python_tasks(size: Size) -> Rows:
    chains, iterations, rounds = size.pick((1, 2, 1), (2, 4, 2), (4, 10, 5))
    with scratch() as folder:

        def rose(iterations: int, *, warm: bool) -> Reading:
            return fit_once(folder, chains, 2 * iterations, size.pick(NUMPY, SKLEARN, SKLEARN), warm=warm)

        own = {"rose, programs, warm": partial(rose, warm=True)}
        if size is not Size.TINY:
            own["rose, programs, cold"] = partial(rose, warm=False)
        return in_rows(FITTING, size, own, folder, chains, iterations, rounds)


COLUMNS = ("", "start to end", "wall time a task", "CPU a task", "rose is faster by", "to reach")
PROCESSES = Section(
    name="opponents",
    title="Other tools: tasks that do nothing",
    text="""The chains of the first section with other tools: 16 chains of tasks (`true`), two tasks at a time, the
    output of each task in files, and what each tool keeps on disk by default. Each tool has an environment of its own,
    its newest release when this was written, and the fastest way of running the chains that its documentation has; the
    scripts are in benchmarks/flows/. Wall time and CPU time of a task, the latter of all processes that the tool waits
    for, are the difference between a large and a small campaign, so they have no start-up in them; the second column
    has.""",
    unfair="""To rose: only it and the plain loop wait for the disk, before and after each task. The others can lose in
    a power cut what has finished, and radical.asyncflow, Parsl and Dask keep nothing to resume from unless they are
    told to. To the others: they are made for more than one machine, where their cost of a task matters less; Dask and
    Parsl are made for functions in workers that stay alive, which the next section is about; Luigi and Snakemake work
    out the graph of all tasks before they start, so their cost of a task grows with the campaign. GNU parallel knows
    no chains: its tasks are independent, which is easier, and each gets a number as an argument.""",
    columns=COLUMNS,
    run=processes,
)
PYTHON_TASKS = Section(
    name="opponents-python",
    title="Other tools: tasks that import scikit-learn",
    text="""The program of the section on warm tasks, in a few chains, two tasks at a time. With rose it is a program,
    started warm or cold; with radical.asyncflow a program, which is always started cold, or a function; with the tools
    whose two workers stay alive a function, whose imports are there from its second call on.""",
    unfair="""To rose: it starts a process for each task, with a directory, logs and synced records, while a function
    is called in a process that others have used, shares its state and its memory, and has no log of its own. To the
    functions: that is what they are for. For tasks of a few milliseconds that need no isolation, a worker that stays
    alive is the faster way.""",
    columns=COLUMNS,
    run=python_tasks,
)
