"""A warm start is that of a fresh interpreter: each script of the corpus leaves the same, byte for byte.

Each runs with a new interpreter and twice warm, in the same folder, and again with a new one where these differ:
where the two new ones differ, the script is at fault. Nothing else may differ, and a start that was to be warm and was
not counts for nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.engine.base import Capacity, Preload
from rose_cli.engine.local import LocalEngine
from rose_cli.engine.warm import client
from tests.engine.conftest import RUN_ID, alive, nothing
from tests.engine.warm.cases import Case, Seen, cases

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts are for Linux"),
    pytest.mark.xdist_group("warm corpus"),  # one process has the results
]

LIBRARIES = (
    "numpy",
    "scipy.integrate",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.linear_model",
    "joblib",
    "threadpoolctl",
)
MODULES = (*LIBRARIES, *(name for name in ("click", "torch") if importlib.util.find_spec(name)))
AT_A_TIME = 4
"""Many scripts wait for something."""
CASES = cases()

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


@dataclass(frozen=True)
class Compared:
    """A case as a new interpreter ran it and as a warm one did, twice; why the latter were not warm.

    A second new interpreter has to show only where these differ whether this is the script's own fault.
    """

    cold: tuple[Seen, ...]
    warm: tuple[Seen, Seen]
    cold_because: tuple[str | None, str | None]


def base_environment() -> dict[str, str]:
    """Of a user's terminal; libraries start no threads."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "PATH": path, **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")}


@pytest.fixture(scope="module")
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compared]:
    """All cases that this session of the tests asks for, in one session of the engine."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params.get("case") for spec in specs if spec is not None]
    chosen = [case for case in asked if isinstance(case, Case) and not _lacks(case)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "MOST_SERVERS", len(chosen))  # many cases have an environment of their own
        return anyio.run(_compare_all, chosen, tmp_path_factory.mktemp("corpus"))


async def _compare_all(chosen: list[Case], folder: Path) -> dict[str, Compared]:
    found: dict[str, Compared] = {}
    limiter = anyio.CapacityLimiter(AT_A_TIME)
    async with LocalEngine(
        capacity=Capacity(AT_A_TIME), run_id=RUN_ID, session=1, directory=folder / "engine", grace_seconds=2,
        base_environment=base_environment(),
    ) as engine:  # fmt: skip

        async def compare(case: Case) -> None:
            async with limiter:
                found[case.name] = await _compared(engine, case, folder / case.name)

        async with anyio.create_task_group() as tasks:
            for case in chosen:
                tasks.start_soon(compare, case)
    return found


async def _compared(engine: LocalEngine, case: Case, folder: Path) -> Compared:
    async def seen(preload: Preload | None) -> tuple[Seen, str | None]:
        made = case.request(folder, preload)
        outcome = await engine.run(made, nothing)
        return Seen.of(case, made, outcome), outcome.cold_because

    preload = Preload(case.preload or MODULES)
    cold = [(await seen(None))[0]]
    (warm_1, because_1), (warm_2, because_2) = await seen(preload), await seen(preload)
    if cold[0] != warm_1 or cold[0] != warm_2:
        cold.append((await seen(None))[0])
    return Compared(tuple(cold), (warm_1, warm_2), (because_1, because_2))


def _lacks(case: Case) -> bool:
    return case.needs is not None and importlib.util.find_spec(case.needs) is None


def _parameter(case: Case) -> ParameterSet:
    known = [] if case.known is None else [pytest.mark.xfail(reason=case.known, raises=AssertionError)]
    return pytest.param(case, id=case.name, marks=known)


@pytest.mark.parametrize("case", [*map(_parameter, CASES)])
def test_a_warm_start_is_that_of_a_new_interpreter(case: Case, compared: dict[str, Compared]) -> None:
    if _lacks(case):
        pytest.skip(f"{case.needs} is not installed")
    runs = compared[case.name]
    if case.cold is None:
        assert runs.cold_because == (None, None)
    else:
        assert all(case.cold in (reason or "it was warm") for reason in runs.cold_because), runs.cold_because
    all_runs = [*runs.cold, *runs.warm]
    if case.differs:
        for lines in zip(*(run.out.splitlines() for run in all_runs), strict=True):
            assert len(set(lines)) == len(all_runs), lines
        all_runs = [run.without_output() for run in all_runs]
    cold, *others = all_runs
    if len(runs.cold) > 1:
        assert cold == others.pop(0), "the script itself differs from run to run"
    for warm in others:
        for part in ("outcome", "err", "out", "files"):
            assert getattr(warm, part) == getattr(cold, part), part


def test_the_corpus_is_large() -> None:
    assert len({case.source for case in CASES}) >= 60
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert alive() == []
