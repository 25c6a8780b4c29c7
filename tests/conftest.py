"""What tests share: a campaign in a folder of its own, and rose as a user calls it."""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from tests import preloaded

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is a matter of the machine."""
settings.load_profile("patient")
settings.register_profile("long", settings(), max_examples=10_000)
"""`pytest --hypothesis-profile=long`: for the tests that do not say how many examples they need."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.two_users import Person

REPOSITORY = Path(__file__).parent.parent
CAMPAIGNS = REPOSITORY / "campaigns"
PROGRAMS = Path(__file__).parent / "programs"
PATIENCE = 300
"""How long a test waits for what has to come: many times what that takes, so that a busy machine fails no test."""

Starter: TypeAlias = "Callable[..., subprocess.Popen[str]]"


NOT_ASKED_FOR = re.compile(
    r"(SLURM|PBS|LSB|COBALT|FLUX|GITHUB|ROSE|RADICAL|SUDO)_.*|.*_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
    r"|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|VIRTUAL_ENV|CONDA_PREFIX"
)
"""Variables that rose reads, and that this terminal, job or CI may have: a test that needs one sets it."""


def pytest_configure(config: pytest.Config) -> None:
    """Forget what the tests have not asked for, and compile rose once.

    Where PYTHONDONTWRITEBYTECODE is set, each of some thousand calls would compile it again.
    """
    for name in filter(NOT_ASKED_FOR.fullmatch, list(os.environ)):
        del os.environ[name]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make test`: rose would leave it ignored
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &` in a script: no program would see a Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        for folder in ("rose_cli", "tests"):
            compileall.compile_dir(REPOSITORY / folder, quiet=2)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on which Slurm, and with which tracker of processes, tests ran."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    used = Counter(value for report in reports for key, value in report.user_properties if key == "slurm")
    for name, number in sorted(used.items()):
        terminalreporter.write_line(f"{number} tests on {name}")


@dataclass(frozen=True)
class Called:
    """How a call of rose ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Rose:
    """rose, called in `folder` as a program of its own."""

    folder: Path

    @property
    def python(self) -> str:
        return sys.executable

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    @property
    def as_whom(self) -> dict[str, Any]:
        """What `subprocess` is to be told for it to be somebody else's process."""
        return {}

    def __call__(self, *arguments: str | Path, **variables: str) -> Called:
        environment = {**self.environment, "COLUMNS": "120", **variables}
        if not self.as_whom and preloaded.can_stand_in(environment):
            done = preloaded.call([*map(str, arguments)], self.folder, environment, PATIENCE)
        else:
            done = subprocess.run(
                [self.python, "-m", "rose_cli", *map(str, arguments)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
                **self.as_whom,
            )
        assert done.returncode != 3, f"a bug in rose: {done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return Called(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        """Start rose and leave it running; its output is read from the pipes."""
        return subprocess.Popen(
            [self.python, "-m", "rose_cli", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.as_whom,
        )

    def write(self, text: str, name: str = "campaign.yaml") -> Path:
        path = self.folder / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def script(self, text: str, name: str) -> Path:
        """A program beside the campaign."""
        path = self.write(text, name)
        path.chmod(0o755)
        return path

    def json(self, *arguments: str | Path) -> Any:
        called = self(*arguments)
        assert called.code == 0, called.err
        return json.loads(called.out)

    def status(self, run: str | Path) -> Any:
        return self.json("status", run, "--format", "json")

    def learners(self, run: str | Path) -> dict[str, Any]:
        """The learners of `rose status`, by name."""
        return {learner["name"]: learner for learner in self.status(run)["learners"]}

    def events(self, run: str | Path) -> list[dict[str, Any]]:
        """The facts in the journal of a run."""
        lines = (self.folder / run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rose(tmp_path: Path) -> Rose:
    return Rose(tmp_path)


@pytest.fixture
def start_program() -> Iterator[Starter]:
    """Starts a program of tests/programs with pipes for its standard streams; kills it when the test ends."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def start(name: str, *arguments: Any, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        argv = [*prefix, sys.executable, str(PROGRAMS / name), *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which everybody may make files and nobody may touch another's, as in /tmp.

    Not below `tmp_path`, whose upper folders pytest closes to others at any time.
    """
    from tests.two_users import why_not

    folder = Path(tempfile.mkdtemp(prefix="rose-shared-"))
    folder.chmod(0o1777)
    try:
        if (reason := why_not(folder)) is not None:
            pytest.skip(reason)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def alice(shared: Path) -> Person:
    """The user whose files are at stake. rose is called in the shared folder; `home` is hers alone."""
    from tests.two_users import ALICE, settle

    return settle("alice", ALICE, shared)


@pytest.fixture
def mallory(shared: Path) -> Person:
    """Another user, without rights over alice's files, in the same shared folder."""
    from tests.two_users import MALLORY, settle

    return settle("mallory", MALLORY, shared)
