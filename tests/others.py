"""The programs that read what rose writes, in an environment of their own (`make others`), and the browser.

Rose is installed there too, with all its extras; the environment of the tests has none of them.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

ENVIRONMENT = Path(sys.prefix) / "others"
NODE_MODULES = ENVIRONMENT / "npm" / "node_modules"
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def other_python() -> str:
    """An interpreter that has rose with all extras, pandas, polars, DuckDB, TensorBoard, W&B, Playwright and more."""
    return _program("python")


def other_program(name: str) -> str:
    """A command of that environment: `mlflow`, `node`, `rocrate-validator`."""
    return _program(name)


def other_environment() -> dict[str, str]:
    """The variables for such a program: what Python compiles for it is kept, since packages are installed without."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(ENVIRONMENT / "pycache")}


def neighbour(name: str) -> str:
    """Snakemake's, Maestro's or Colmena's command, or the `python` that has them (`make neighbours`)."""
    found = ENVIRONMENT.with_name("neighbours") / "bin" / name
    if not found.exists() and sys.version_info < (3, 11):
        pytest.skip("Snakemake needs Python 3.11")
    return str(found) if found.exists() else _missing(f"{name} is not installed there: make neighbours")


def node_module(path: str) -> Path:
    """A file that npm installed, as `yaml-language-server/bin/yaml-language-server`."""
    found = NODE_MODULES / path
    return found if found.exists() else _missing(f"npm's {path} is not installed: make others")


def browser() -> str:
    """The path of a Chromium."""
    for name in _BROWSERS:
        if (found := shutil.which(name)) is not None:
            return found
    return _missing("there is no Chromium: apt install chromium-headless-shell")


def _program(name: str) -> str:
    found = ENVIRONMENT / "bin" / name
    return str(found) if found.exists() else _missing(f"{name} is not installed there: make others")


def _missing(reason: str) -> NoReturn:
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)
