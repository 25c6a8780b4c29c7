"""Mutation testing of the core: which small faults in it would its tests not notice?

    python -m tools.mutate                                  300 mutants of the whole core, drawn by --seed
    python -m tools.mutate --module journal.state --all     every mutant of a module, a package or an area
    python -m tools.mutate --module loop --sample 50 --seed 7

It works in copies of the tree, in a temporary directory that it removes. First it records which test runs which line
(a few minutes; kept in .mutate/ and renewed test file by test file as files change). Then each mutant meets the tests
that run its lines, quick ones first, in a fork of a process that has loaded everything except rose and the tests: about
a second per mutant instead of an interpreter's start. --minutes bounds the whole.

Exit code 1 where fewer than 90 % of the mutants were noticed, or time ran out. A hanging test notices too. Mutants that
change nothing are listed with the reason in tools/equivalents.yaml; each entry must still match the code.

Why not a library: mutmut leaves out decorated functions (every property, and all of the journal's `@register`ed event
handlers) and everything outside functions, runs only in-process tests, and stops at tests that start rose in a
directory of their own; cosmic-ray edits the tree in place and starts pytest anew for each mutant, with one test command
for all of them. Neither keeps a list of equivalents with reasons.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import coverage
import pytest
from hypothesis import Phase, settings

from tools.mutants import Equivalent, Mutant, mutants_of, read_equivalents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).parent.parent
EQUIVALENTS = REPOSITORY / "tools" / "equivalents.yaml"
RECORD = REPOSITORY / ".mutate"
NEEDED = 0.9


class Area(NamedTuple):
    """Modules of the core, and the tests among which those of a mutant are chosen."""

    modules: Sequence[str]
    tests: Sequence[str]


AREAS = {
    "loop": Area(["loop/*.py"], ["tests/loop"]),
    "journal": Area(["journal/*.py"], ["tests/journal", "tests/loop/test_model.py"]),
    "plan": Area(["plan/compile.py", "plan/render.py", "plan/file.py", "plan/codec.py"], ["tests/plan"]),
    "expressions": Area(["config/expression/*.py"], ["tests/config/test_expression.py"]),
    "resume": Area(["commands/resume.py"], ["tests/commands/test_resume.py", "tests/commands/test_resume_steps.py"]),
}  # fmt: skip

_LONGEST_TEST = 30.0
_LOADED_BEFORE = ("anyio._backends._asyncio", "hypothesis.stateful", "pydantic", "rich.live", "typer", "yaml")
_NOT_COPIED = (".*", "__pycache__", "rose-runs", "dist", "build", "*.egg-info")
_LEAST_SECONDS = 20.0
_TIMED_OUT = 100


# --- what is changed, and what it meets ------------------------------------------------------------------------------


def modules_of(area: Area) -> list[str]:
    """The files of an area as paths in the repository; every pattern has to name some."""
    found = []
    for pattern in area.modules:
        paths = sorted((REPOSITORY / "rose_cli").glob(pattern))
        if not paths:
            sys.exit(f"no module matches '{pattern}'")
        found += [path.relative_to(REPOSITORY).as_posix() for path in paths if path.name != "__init__.py"]
    return found


def test_files_of(area: Area) -> list[str]:
    found = []
    for name in area.tests:
        path = REPOSITORY / name
        paths = sorted(path.glob("test_*.py")) if path.is_dir() else [path]
        found += [each.relative_to(REPOSITORY).as_posix() for each in paths]
    return found


def chosen_modules(name: str | None) -> dict[str, Area]:
    """The modules that a name stands for (an area, a package, a module), each with its area."""
    every = {module: (key, area) for key, area in AREAS.items() for module in modules_of(area)}
    prefix = f"rose_cli/{(name or '').replace('.', '/')}"
    return {
        module: area
        for module, (key, area) in every.items()
        if name in {None, key} or module in {prefix, f"{prefix}.py"} or module.startswith(f"{prefix}/")
    }


@dataclass
class Record:
    """What the tests of some files do without a fault: how long each takes, and which lines of the core it runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, found: Mapping[str, Any]) -> None:
        self.seconds.update(found["seconds"])
        self.failed += found["failed"]
        for path, lines in found["lines"].items():
            mine = self.lines.setdefault(path, {})
            for line, tests in lines.items():
                mine.setdefault(int(line), set()).update(tests)

    def choice(self, mutant: Mutant, files: Sequence[str], seconds: float) -> list[str]:
        """The tests to try, as many as fit in `seconds`: quick ones first, and not many cases of one function."""
        lines = self.lines.get(mutant.path, {})
        first, last = mutant.lines if mutant.in_function else (0, sys.maxsize)
        running = {test for line, tests in lines.items() if first <= line <= last for test in tests}
        quick = sorted(
            (self.seconds[test], test)
            for test in running
            if test.split("::")[0] in files and self.seconds.get(test, _LONGEST_TEST) < _LONGEST_TEST
        )
        cases: Counter[str] = Counter()
        ranked = []
        for taken, test in quick:
            function = test.partition("[")[0]
            cases[function] += 1
            ranked.append((taken * cases[function], taken, test))
        chosen: list[str] = []
        for _, taken, test in sorted(ranked):
            seconds -= taken
            if seconds < 0 and chosen:
                break
            chosen.append(test)
        return chosen


# --- a process for each mutant ---------------------------------------------------------------------------------------


class Slot:
    """A copy of the tree in which one process at a time works."""

    def __init__(self, place: Path) -> None:
        self.tree, self.temporary, self.answer = place / "tree", place / "tmp", place / "answer.json"
        shutil.copytree(REPOSITORY, self.tree, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
        self._original: tuple[str, bytes] | None = None
        self._written = 0

    def put_in(self, mutant: Mutant | None) -> None:
        """Change the copy as the mutant does, and undo what the one before has changed."""
        if self._original is not None:
            self._write(*self._original)
        self._original = None if mutant is None else (mutant.path, (self.tree / mutant.path).read_bytes())
        if mutant is not None and self._original is not None:
            self._write(mutant.path, mutant.put_into(self._original[1]))

    def _write(self, path: str, content: bytes) -> None:
        """With a new time each: only by size and time does Python tell that what it compiled before is out of date."""
        self._written += 1
        (self.tree / path).write_bytes(content)
        os.utime(self.tree / path, (10**9 + self._written,) * 2)

    def start(self, work: Callable[[Slot], int], seconds: float) -> int:
        """The pid of a keeper that exits with what `work` returns in a child process, or _TIMED_OUT."""
        self.answer.unlink(missing_ok=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(mode=0o711)
        pid = os.fork()
        if pid == 0:
            code = _TIMED_OUT
            with suppress(BaseException):
                code = _keep(lambda: work(self), seconds)
            os._exit(code)
        return pid

    def enter(self) -> None:
        """Make this process one of the copy, as if Python had been started in it."""
        os.chdir(self.tree)
        out = os.open(self.tree.parent / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, stream in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
            os.dup2(stream, number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**31, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        os.environ.update(PYTHONPATH=str(self.tree), TMPDIR=str(self.temporary))
        tempfile.tempdir = None
        sys.path[:] = [str(self.tree), *(entry for entry in sys.path if entry and Path(entry) != REPOSITORY)]
        for name in [name for name in sys.modules if name.partition(".")[0] in {"tools", "tests", "rose_cli"}]:
            del sys.modules[name]

    def pytest(self, arguments: Iterable[str], plugin: object) -> int:
        fixed = ["--quiet", "-p", "no:cacheprovider", f"--basetemp={self.temporary / 'pytest'}"]
        return int(pytest.main([*fixed, *arguments], plugins=[plugin]))


def _keep(work: Callable[[], int], seconds: float) -> int:
    """Run `work` in a child, and leave no process of it behind, however it was started."""
    os.setsid()
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of this process
        prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG: end together with the main process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = work()
        os._exit(code)
    try:
        return _exit_code(child, time.monotonic() + seconds)
    finally:
        _end_children()


def _exit_code(child: int, end: float) -> int:
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return max(1, os.waitstatus_to_exitcode(status)) if status else 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return _TIMED_OUT


def _end_children() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(ChildProcessError):
        while True:
            for pid in children.read_text().split() if children.exists() else ():
                with suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)


class Pool:
    """Some slots, each with at most one process at work."""

    def __init__(self, place: Path, count: int, end: float) -> None:
        self.slots = [self._slot(place / str(number)) for number in range(count)]
        self._end = end

    @staticmethod
    def _slot(place: Path) -> Slot:
        place.mkdir(mode=0o711)
        return Slot(place)

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Every job with its exit code, in the order in which they end; none is started once the time is over."""
        waiting, free, busy = iter(jobs), list(self.slots), dict[int, tuple[Slot, Job]]()
        try:
            while True:
                while free and time.monotonic() < self._end and (job := next(waiting, None)) is not None:
                    slot = free.pop()
                    slot.put_in(job.mutant)
                    busy[slot.start(job.work, job.seconds)] = slot, job
                if not busy:
                    return
                pid, status = os.waitpid(-1, 0)
                slot, job = busy.pop(pid)
                answer = json.loads(slot.answer.read_text()) if slot.answer.exists() else None
                free.append(slot)
                yield Done(job, os.waitstatus_to_exitcode(status), answer)
        finally:
            for pid in busy:
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)


class Job(NamedTuple):
    """What to do in a slot, within what time, and with which change to the code."""

    about: Any
    work: Callable[[Slot], int]
    seconds: float
    mutant: Mutant | None = None


class Done(NamedTuple):
    job: Job
    code: int
    answer: Any


# --- what the tests run ----------------------------------------------------------------------------------------------


class _Timer:
    """A plugin that notes how long each test takes, and tells coverage, here and in subprocesses, which one it is."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self._measured = measured

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        os.environ["ROSE_MUTATE_TEST"] = item.nodeid
        self._measured.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)


def _record(slot: Slot, test_file: str) -> int:
    """Run the tests of a file, and note for each what it takes and which lines of the core it runs."""
    slot.enter()
    _quiet_hypothesis()
    place = slot.temporary / "coverage"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    (place / "rc").write_text(
        f"[run]\nparallel = true\ndata_file = {place / 'data'}\nsource = {slot.tree / 'rose_cli'}\n"
        "context = ${ROSE_MUTATE_TEST}\npatch = _exit\n"
    )
    os.environ["COVERAGE_PROCESS_START"] = str(place / "rc")
    source = str(slot.tree / "rose_cli")
    measured = coverage.Coverage(data_file=str(place / "data"), data_suffix="main", source=[source], config_file=False)
    measured.start()
    timer = _Timer(measured)
    code = slot.pytest([test_file], timer)
    measured.stop()
    measured.save()
    measured = coverage.Coverage(data_file=str(place / "data"), config_file=False)
    measured.combine([str(place)], keep=True)
    data = measured.get_data()
    core = {str(slot.tree / module): module for area in AREAS.values() for module in modules_of(area)}
    passed = timer.seconds.keys() - timer.failed
    lines = {
        core[name]: {line: sorted(passed.intersection(tests)) for line, tests in data.contexts_by_lineno(name).items()}
        for name in data.measured_files()
        if name in core
    }
    seconds = {test: round(taken, 3) for test, taken in timer.seconds.items() if test in passed}
    failed = sorted(timer.failed)
    slot.answer.write_text(json.dumps({"seconds": seconds, "lines": lines, "failed": failed}))
    return 0 if code in {0, 1} else 1


def _quiet_hypothesis() -> None:
    """The same examples each time, and no search for the smallest one that fails."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutate", phases=phases, derandomize=True, database=None, deadline=None)
    settings.load_profile("mutate")


class _Chosen:
    """A plugin that runs some tests in the order given, and notes the one that fails."""

    def __init__(self, slot: Slot, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self._answer = slot.answer

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._order), key=lambda i: self._order[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._answer.write_text(json.dumps(report.nodeid))


def _try(slot: Slot, tests: Sequence[str]) -> int:
    """Run the tests until one fails."""
    slot.enter()
    _quiet_hypothesis()
    return slot.pytest(["-x", *dict.fromkeys(test.split("::")[0] for test in tests)], _Chosen(slot, tests))


# --- the run ---------------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def record(pool: Pool, files: Sequence[str]) -> Record:
    """What the tests of these files run; only those are run for it that have changed, or all if the code has."""
    common = [*(REPOSITORY / "rose_cli").rglob("*"), *(REPOSITORY / "tests").rglob("*"), REPOSITORY / "tools/mutate.py"]
    base = _checksum(path for path in common if not path.name.startswith("test_"))
    RECORD.mkdir(exist_ok=True)
    (RECORD / ".gitignore").write_text("*\n")
    result, missing = Record(), []
    for name in files:
        place = RECORD / f"{name.replace('/', '.')}.json"
        key = base + _checksum([REPOSITORY / name])
        kept = json.loads(place.read_text()) if place.exists() else {}
        if kept.get("key") == key:
            result.add(kept)
        else:
            missing.append(Job((name, place, key), partial(_record, test_file=name), 900))
    if missing:
        _say(f"recording what the tests of {len(missing)} files run")
    for done in pool.run(missing):
        name, place, key = done.job.about
        if done.code or done.answer is None:
            sys.exit(f"{name} cannot be run (exit code {done.code}): see what pytest says of it")
        place.write_text(json.dumps({"key": key, **done.answer}))
        result.add(done.answer)
    for test in result.failed:
        _say(f"left out, as it is skipped or fails without a mutant: {test}")
    return result


def _checksum(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file() and path.suffix != ".pyc":
            found.update(path.read_bytes())
    return found.hexdigest()


@dataclass
class Tally:
    """How the mutants of a module fared."""

    noticed: int = 0
    timeouts: int = 0
    equivalent: int = 0
    survivors: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.noticed + self.timeouts + len(self.survivors)


def find_mutants(modules: Iterable[str]) -> list[Mutant]:
    return [mutant for module in modules for mutant in mutants_of(module, (REPOSITORY / module).read_bytes())]


def draw(modules: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """So many mutants of these modules; the same for the same seed, as long as the code is the same."""
    mutants = find_mutants(modules)
    return random.Random(seed).sample(mutants, min(count, len(mutants)))  # noqa: S311


def stale(equivalents: Iterable[Equivalent]) -> list[Equivalent]:
    """Those that match no mutant of the code as it is now."""
    known = {(m.path, m.code, m.change) for m in find_mutants(m for area in AREAS.values() for m in modules_of(area))}
    return [entry for entry in equivalents if (entry.path, entry.code, entry.change) not in known]


def mutate(options: argparse.Namespace) -> int:
    began = time.monotonic()
    equivalents = read_equivalents(EQUIVALENTS)
    if wrong := stale(equivalents):
        sys.exit("\n".join(f"matches nothing: {entry.path}: {entry.code}: {entry.change}" for entry in wrong))
    areas = chosen_modules(options.module)
    if not areas:
        sys.exit(f"no module of the core is called '{options.module}'; areas: {', '.join(AREAS)}")
    mutants = find_mutants(areas) if options.all else draw(areas, options.sample, options.seed)
    for name in _LOADED_BEFORE:
        importlib.import_module(name)
    tallies = {module: Tally() for module in areas}
    place = Path(tempfile.mkdtemp(prefix="rose-mutate-"))
    place.chmod(0o711)
    try:
        pool = Pool(place, options.jobs, began + 60 * options.minutes)
        files = list(dict.fromkeys(name for area in areas.values() for name in test_files_of(area)))
        known = record(pool, files)
        _try_all(pool, known, mutants, equivalents, areas, tallies, options.seconds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return _report(tallies, len(mutants), time.monotonic() - began)


def _try_all(
    pool: Pool, known: Record, mutants: Iterable[Mutant], equivalents: Sequence[Equivalent],
    areas: Mapping[str, Area], tallies: Mapping[str, Tally], seconds: float,
) -> None:  # fmt: skip
    kills: Counter[str] = Counter()

    def jobs() -> Iterator[Job]:
        for mutant in mutants:
            tally = tallies[mutant.path]
            if any(entry.is_for(mutant) for entry in equivalents):
                tally.equivalent += 1
                continue
            tests = known.choice(mutant, test_files_of(areas[mutant.path]), seconds)
            if not tests:
                survived(mutant, "no quick test runs this line")
                continue
            tests.sort(key=lambda test: -kills[test])
            limit = _LEAST_SECONDS + 8 * sum(known.seconds[test] for test in tests)
            yield Job(mutant, partial(_try, tests=tests), limit, mutant)

    def survived(mutant: Mutant, why: str) -> None:
        tallies[mutant.path].survivors.append(f"{mutant}  ({why})")

    for number, done in enumerate(pool.run(jobs()), 1):
        if number % 50 == 0:
            _say(f"{number} mutants tried")
        mutant = done.job.about
        if done.code in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
            survived(mutant, "all tests passed")
        elif done.code == _TIMED_OUT:
            tallies[mutant.path].timeouts += 1
        else:
            tallies[mutant.path].noticed += 1
            kills[str(done.answer)] += 1


def _report(tallies: Mapping[str, Tally], count: int, seconds: float) -> int:
    """A line for each module; 0 where enough were noticed, and all were tried."""
    rows = [
        (name.removeprefix("rose_cli/"), tally) for name, tally in tallies.items() if tally.tried or tally.equivalent
    ]
    total = Tally()
    for _, tally in rows:
        total.noticed += tally.noticed
        total.timeouts += tally.timeouts
        total.equivalent += tally.equivalent
        total.survivors += tally.survivors
    heads = ("mutants", "noticed", "timeouts", "not noticed", "equivalent", "rate")
    _print(f"{'':32}" + "".join(f"{head:>13}" for head in heads))
    for name, tally in [*rows, ("all", total)]:
        cells = (tally.tried + tally.equivalent, tally.noticed, tally.timeouts, len(tally.survivors), tally.equivalent)
        _print(f"{name:32}" + "".join(f"{cell:13}" for cell in cells) + f"{_rate(tally):>13.1%}")
    for survivor in sorted(total.survivors):
        _print(f"not noticed: {survivor}")
    left = count - total.tried - total.equivalent
    if left:
        _print(f"not tried, as the time was over: {left}")
    _print(f"in {seconds / 60:.1f} minutes; at least {NEEDED:.0%} have to be noticed")
    return 0 if not left and _rate(total) >= NEEDED else 1


def _rate(tally: Tally) -> float:
    return (tally.noticed + tally.timeouts) / tally.tried if tally.tried else 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--module", help="only this area, package or module: loop, journal.state")
    parser.add_argument("--sample", type=int, default=300, metavar="N", help="so many mutants, drawn at random (300)")
    parser.add_argument("--seed", type=int, default=1, help="which ones are drawn (1)")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seconds", type=float, default=15, help="of tests that a mutant meets at most (15)")
    parser.add_argument("--minutes", type=float, default=60, help="after which no further mutant is tried (60)")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes side by side")
    return mutate(parser.parse_args(arguments))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
