"""The shim: a library that is preloaded into rose alone, built with the machine's C compiler when it is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "programs" / "shim.c"

FOR_GOOD = 10**9


@dataclass(frozen=True)
class SystemCallFault:
    """Of the calls named `call` ("any": all that write) so many fail, from the `first` on; errno 0: a short write."""

    call: str
    first: int
    how_many: int
    errno: int

    def __str__(self) -> str:
        lasting = "for good" if self.how_many == FOR_GOOD else f"x {self.how_many}"
        return f"{self.call} {self.first} {lasting}, errno {self.errno}"

    @property
    def text(self) -> str:
        return f"{self.call} {self.first} {self.how_many} {self.errno}"


def missing() -> str | None:
    """Why there can be no shim here; None where there can."""
    if sys.platform != "linux":
        return "the shim needs Linux"
    return None if shutil.which("cc") else "the shim needs a C compiler named 'cc'"


def build_shim(folder: Path) -> Path:
    library = folder / "shim.so"
    assert not set(" :") & set(str(library)), "the loader would take it for several"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


NO_FAULT = SystemCallFault("any", 0, 0, 0)
"""Every call passes, and is logged as if it had failed."""


def failed_calls_in(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
