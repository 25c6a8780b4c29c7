"""What tasks inherit from the terminal that rose was called in."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def task_environment(environment: Mapping[str, str], interpreter: str = sys.executable) -> dict[str, str]:
    """The environment under every task: the terminal's, and Python's output is not held back unless that says so.

    Called by its path (`.venv/bin/rose`), rose behaves as if its environment were activated: `python` in a campaign
    is then the interpreter that has the campaign's packages, not whatever the system offers. Called by its name, or
    in an activated environment, the PATH is the user's own choice and stays as it is.
    """
    environment = {"PYTHONUNBUFFERED": "1", **environment}
    programs = Path(interpreter).parent
    path = environment.get("PATH", os.defpath)
    found = shutil.which("rose", path=path)
    chosen = "VIRTUAL_ENV" in environment or "CONDA_PREFIX" in environment
    if chosen or str(programs) in path.split(os.pathsep) or (found and Path(found).resolve().parent == programs):
        return environment
    return {**environment, "PATH": f"{programs}{os.pathsep}{path}"}
