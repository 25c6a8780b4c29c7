"""Programs that write, lock and die, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

import rose_cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = Path(__file__).parent / "programs"
Starter: TypeAlias = "Callable[..., subprocess.Popen[str]]"


@pytest.fixture
def start_program() -> Iterator[Starter]:
    """Starts one of the programs with its standard streams on pipes; whatever is left of them ends with the test."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(Path(rose_cli.__file__).parents[1])}

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
